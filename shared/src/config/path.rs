//! Paths into JSON, compiled once: `profile.displayName`, `tags[]`, `media[0].url`, `^.id`, `$.id`.
//!
//! A path starts at the item that a row is made from. `^` goes up to the item that it was found in, `^^`
//! two up, `$` is the whole record, `.` the item itself. `.name` takes a member, `["any name"]` one with
//! any characters, `[3]` an element, `[]` every element (only where a list is wanted).
//!
//! Owns reading, showing and following paths; what is done with the value that a path leads to is the
//! mapping's business. Always holds: following a path never fails and copies nothing; what isn't there and
//! null are the same, nothing. What a path shows parses to the same path again.

use std::fmt;
use std::str::FromStr;

use serde_json::Value as Json;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    pub base: Base,
    pub steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The item itself.
    Item,
    /// So many items up.
    Up(usize),
    Record,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Member(String),
    Element(usize),
    Every,
}

/// What is wrong with a path, where, and what to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("path '{path}', character {position}: {problem}")]
pub struct PathError {
    pub path: String,
    /// In characters, from 1.
    pub position: usize,
    pub problem: String,
}

/// The items that lead to where a path is followed from: the record, the item found in it, and so on.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    item: &'a Json,
    up: Option<&'a Scope<'a>>,
}

impl<'a> Scope<'a> {
    #[must_use]
    pub fn record(record: &'a Json) -> Self {
        Self { item: record, up: None }
    }

    /// An item that was found in this one.
    #[must_use]
    pub fn child(&'a self, item: &'a Json) -> Self {
        Self { item, up: Some(self) }
    }

    /// The same place with another value for the item: `^` and `$` lead where they led before.
    #[must_use]
    pub fn instead<'b>(&self, item: &'b Json) -> Scope<'b>
    where
        'a: 'b,
    {
        Scope { item, up: self.up }
    }

    #[must_use]
    pub fn item(&self) -> &'a Json {
        self.item
    }

    fn up(&self, levels: usize) -> Option<&'a Json> {
        let mut item = self.item;
        let mut up = self.up;
        for _ in 0..levels {
            let scope = up?;
            item = scope.item;
            up = scope.up;
        }
        Some(item)
    }

    fn whole(&self) -> &'a Json {
        let mut item = self.item;
        let mut up = self.up;
        while let Some(scope) = up {
            item = scope.item;
            up = scope.up;
        }
        item
    }
}

impl Path {
    /// Reads a path to one value; `[]` is refused.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let mut reader = Reader::new(text);
        let path = reader.path()?;
        match reader.first_every {
            Some(at) => {
                Err(reader.error(at, "'[]' means every element, but one value is wanted; write '[0]' for the first"))
            }
            None => Ok(path),
        }
    }

    /// Reads a path to items and splits it after each `[]`: `portfolios[].media[]` is `portfolios[]`, and
    /// from each of those `media[]`. A last part without `[]` leads to one item.
    pub fn parse_each(text: &str) -> Result<Vec<Self>, PathError> {
        let mut reader = Reader::new(text);
        let whole = reader.path()?;
        if let Base::Up(_) = whole.base {
            return Err(reader.error(0, "items are found from the record on; write the path without '^'"));
        }
        let mut paths = Vec::new();
        let mut steps = Vec::new();
        for step in whole.steps {
            let ends = step == Step::Every;
            steps.push(step);
            if ends {
                paths.push(Self { base: Base::Item, steps: std::mem::take(&mut steps) });
            }
        }
        if !steps.is_empty() {
            paths.push(Self { base: Base::Item, steps });
        }
        Ok(paths)
    }

    /// The value that the path leads to; `None` where there is nothing or null.
    #[must_use]
    pub fn get<'a>(&self, scope: &Scope<'a>) -> Option<&'a Json> {
        follow(self.base, &self.steps, scope)
    }

    /// The items that a path of [`Path::parse_each`] leads to. A missing or null list has none; a value that
    /// isn't a list where `[]` wants one is given back.
    pub fn items<'a>(&self, scope: &Scope<'a>) -> Result<&'a [Json], &'a Json> {
        let (wants_list, steps) = match self.steps.split_last() {
            Some((Step::Every, steps)) => (true, steps),
            _ => (false, &self.steps[..]),
        };
        let Some(found) = follow(self.base, steps, scope) else { return Ok(&[]) };
        match (wants_list, found) {
            (true, Json::Array(items)) => Ok(items),
            (true, other) => Err(other),
            (false, item) => Ok(std::slice::from_ref(item)),
        }
    }
}

fn follow<'a>(base: Base, steps: &[Step], scope: &Scope<'a>) -> Option<&'a Json> {
    let mut at = match base {
        Base::Item => scope.item,
        Base::Up(levels) => scope.up(levels)?,
        Base::Record => scope.whole(),
    };
    for step in steps {
        at = match step {
            Step::Member(name) => at.as_object()?.get(name)?,
            Step::Element(index) => at.as_array()?.get(*index)?,
            Step::Every => return None,
        };
    }
    (!at.is_null()).then_some(at)
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = match self.base {
            Base::Item => String::new(),
            Base::Up(levels) => "^".repeat(levels),
            Base::Record => "$".to_owned(),
        };
        f.write_str(&base)?;
        if base.is_empty() && self.steps.is_empty() {
            f.write_str(".")?;
        }
        for (index, step) in self.steps.iter().enumerate() {
            match step {
                Step::Member(name) if !name.is_empty() && name.chars().all(is_bare) => {
                    let dot = if index > 0 || !base.is_empty() { "." } else { "" };
                    write!(f, "{dot}{name}")?;
                }
                Step::Member(name) => write!(f, "[{}]", Json::from(name.as_str()))?,
                Step::Element(at) => write!(f, "[{at}]")?,
                Step::Every => f.write_str("[]")?,
            }
        }
        Ok(())
    }
}

/// What a member's name may hold without `["…"]` around it.
fn is_bare(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '@' | ':' | '/' | '+')
}

/// Reads a path from left to right. Positions are in bytes until an error shows them.
struct Reader<'t> {
    text: &'t str,
    at: usize,
    first_every: Option<usize>,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, at: 0, first_every: None }
    }

    fn path(&mut self) -> Result<Path, PathError> {
        if self.text.is_empty() {
            return Err(self.error(0, "it is empty; write '.' for the item itself"));
        }
        if self.text == "." {
            self.at = 1;
            return Ok(Path { base: Base::Item, steps: Vec::new() });
        }
        let base = self.base();
        let mut steps = Vec::new();
        while let Some(next) = self.peek() {
            let first = steps.is_empty() && base == Base::Item;
            match next {
                '[' => steps.push(self.bracket()?),
                '.' => {
                    self.at += 1;
                    if self.peek() != Some('[') {
                        steps.push(self.member()?);
                    }
                }
                _ if first => steps.push(self.member()?),
                _ => return Err(self.unexpected(next)),
            }
        }
        Ok(Path { base, steps })
    }

    fn base(&mut self) -> Base {
        if self.peek() == Some('$') {
            self.at += 1;
            return Base::Record;
        }
        let levels = self.rest().chars().take_while(|c| *c == '^').count();
        self.at += levels;
        if levels == 0 { Base::Item } else { Base::Up(levels) }
    }

    fn member(&mut self) -> Result<Step, PathError> {
        let name: String = self.rest().chars().take_while(|c| is_bare(*c)).collect();
        if name.is_empty() {
            return Err(match self.peek() {
                Some(next) => self.unexpected(next),
                None => self.error(self.at, "it ends where a member's name is expected; remove the '.' at the end"),
            });
        }
        self.at += name.len();
        Ok(Step::Member(name))
    }

    fn bracket(&mut self) -> Result<Step, PathError> {
        let start = self.at;
        self.at += 1;
        let step = match self.peek() {
            Some(']') => {
                self.first_every.get_or_insert(start);
                Step::Every
            }
            Some('"') => {
                let mut names = serde_json::Deserializer::from_str(self.rest()).into_iter::<String>();
                match names.next() {
                    Some(Ok(name)) => {
                        self.at += names.byte_offset();
                        Step::Member(name)
                    }
                    _ => return Err(self.error(start, "the name isn't closed; write it as [\"any name\"]")),
                }
            }
            Some(c) if c.is_ascii_digit() => {
                let digits: String = self.rest().chars().take_while(char::is_ascii_digit).collect();
                self.at += digits.len();
                Step::Element(digits.parse().map_err(|_| self.error(start, "the number is too large"))?)
            }
            Some('-') => return Err(self.error(start, "elements are counted from 0; from the end takes a jq 'map'")),
            _ => return Err(self.error(start, "write [] for every element, [0] for one, [\"name\"] for a member")),
        };
        if self.peek() != Some(']') {
            return Err(self.error(start, "'[' isn't closed; write ']' after the number or the name"));
        }
        self.at += 1;
        Ok(step)
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn unexpected(&self, found: char) -> PathError {
        let problem = match found {
            '^' | '$' => format!("'{found}' is only possible at the start"),
            '.' => "two dots in a row; write one".to_owned(),
            ']' => "']' without '['".to_owned(),
            '|' | '(' => "this looks like jq; a path has names only, use 'map' for a program".to_owned(),
            _ => format!("'{found}' can't stand here; write a name that holds it as [\"any name\"]"),
        };
        self.error(self.at, problem)
    }

    fn error(&self, at: usize, problem: impl Into<String>) -> PathError {
        let position = self.text[..at].chars().count() + 1;
        PathError { path: self.text.to_owned(), position, problem: problem.into() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn member(name: &str) -> Step {
        Step::Member(name.into())
    }

    #[test]
    fn every_kind_of_step_and_base_is_read() {
        for (text, base, steps) in [
            (".", Base::Item, vec![]),
            ("id", Base::Item, vec![member("id")]),
            (".id", Base::Item, vec![member("id")]),
            ("profile.displayName", Base::Item, vec![member("profile"), member("displayName")]),
            ("media[0].url", Base::Item, vec![member("media"), Step::Element(0), member("url")]),
            ("[\"a.b \\\" c\"]", Base::Item, vec![member("a.b \" c")]),
            ("a.[\"b\"]", Base::Item, vec![member("a"), member("b")]),
            ("^", Base::Up(1), vec![]),
            ("^^.id", Base::Up(2), vec![member("id")]),
            ("$.id", Base::Record, vec![member("id")]),
            ("$[3]", Base::Record, vec![Step::Element(3)]),
            ("größe-2", Base::Item, vec![member("größe-2")]),
        ] {
            assert_eq!(Path::parse(text), Ok(Path { base, steps }), "{text}");
        }
    }

    #[test]
    fn a_wrong_path_says_where_and_what_to_write() {
        for (text, position, hint) in [
            ("", 1, "write '.'"),
            ("a.", 3, "remove the '.'"),
            ("a..b", 3, "two dots"),
            ("tags[]", 5, "write '[0]'"),
            ("a.^", 3, "only possible at the start"),
            ("é b", 2, "[\"any name\"]"),
            ("a[-1]", 2, "counted from 0"),
            ("a[x]", 2, "[\"name\"]"),
            ("a[1", 2, "isn't closed"),
            ("a[\"b]", 2, "isn't closed"),
            ("a[99999999999999999999999]", 2, "too large"),
            ("a]", 2, "without '['"),
            (".a | .b", 3, "can't stand here"),
            ("a|b", 2, "jq"),
            ("$id", 2, "can't stand here"),
        ] {
            let error = Path::parse(text).expect_err(text);
            assert_eq!(error.position, position, "{error}");
            assert!(error.problem.contains(hint), "{error}");
        }
    }

    #[test]
    fn a_path_to_items_is_split_after_each_list() {
        let shown = |text| Path::parse_each(text).map(|ps| ps.iter().map(Path::to_string).collect::<Vec<_>>());
        assert_eq!(shown("portfolios[].media[].tags[]").unwrap(), ["portfolios[]", "media[]", "tags[]"]);
        assert_eq!(shown("profile.media[]").unwrap(), ["profile.media[]"]);
        assert_eq!(shown("$.rows[][]").unwrap(), ["rows[]", "[]"]);
        assert_eq!(shown("address").unwrap(), ["address"]);
        assert!(shown(".").unwrap().is_empty());
        assert_eq!(Path::parse_each("^.a[]").unwrap_err().position, 1);
    }

    #[test]
    fn a_path_leads_from_the_item_up_and_from_the_record_down() {
        let record = json!({"id": 7, "list": [{"id": 8, "tags": [{"id": 9, "none": null}]}]});
        let top = Scope::record(&record);
        let outer = &record["list"][0];
        let outer_scope = top.child(outer);
        let scope = outer_scope.child(&outer["tags"][0]);
        let other = json!({"id": 10});
        let get = |scope: &Scope<'_>, text: &str| Path::parse(text).unwrap().get(scope).cloned();
        assert_eq!(get(&scope, "id"), Some(json!(9)));
        assert_eq!(get(&scope, "^.id"), Some(json!(8)));
        assert_eq!(get(&scope, "^^.id"), Some(json!(7)));
        assert_eq!(get(&scope, "$.id"), Some(json!(7)));
        assert_eq!(get(&scope, "^^^.id"), None);
        assert_eq!(get(&scope, "none"), None);
        assert_eq!(get(&scope, "id.deeper"), None);
        assert_eq!(get(&scope, "$.list[1]"), None);
        assert_eq!(get(&scope, "."), Some(outer["tags"][0].clone()));
        let replaced = scope.instead(&other);
        assert_eq!((get(&replaced, "id"), get(&replaced, "^.id")), (Some(json!(10)), Some(json!(8))));
    }

    #[test]
    fn only_a_list_has_items_and_nothing_has_none() {
        let record = json!({"many": [1, 2], "one": {"a": 1}, "null": null});
        let scope = Scope::record(&record);
        let items = |text: &str| Path::parse_each(text).unwrap()[0].items(&scope).map(<[Json]>::len);
        assert_eq!(items("many[]"), Ok(2));
        assert_eq!(items("null[]"), Ok(0));
        assert_eq!(items("missing[]"), Ok(0));
        assert_eq!(items("one"), Ok(1));
        assert_eq!(items("missing"), Ok(0));
        assert_eq!(items("one[]"), Err(&json!({"a": 1})));
    }

    proptest! {
        #[test]
        fn a_shown_path_parses_to_itself(
            up in 0usize..3,
            names in proptest::collection::vec(prop_oneof!["[a-zé_-]{1,5}", ".{0,6}"], 0..4),
            index in proptest::option::of(0usize..100),
        ) {
            let base = if up == 0 { Base::Item } else { Base::Up(up) };
            let steps = names.into_iter().map(Step::Member).chain(index.map(Step::Element)).collect();
            let path = Path { base, steps };
            prop_assert_eq!(Path::parse(&path.to_string()), Ok(path));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,20}") {
            let _ = Path::parse(&text);
            let _ = Path::parse_each(&text);
        }
    }
}
