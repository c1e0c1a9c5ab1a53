//! Reads a tree by the table of keys: unknown keys, missing keys, wrong types, defaults.
//!
//! Owns the way from a node to a typed value and the words for what is wrong with it. Owns no meaning beyond
//! the type of one value.
//!
//! Always holds: whoever asks for a key that is not in the section's table panics, in every test that gets
//! there; and a value that can't be read is reported exactly once, here, and is then `None`.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Number, Value as Json};

use crate::config::jq::Compile;
use crate::config::keys::{Key, Kind, Section};
use crate::config::problem::{Problem, nearest};
use crate::config::units;
use crate::config::yaml::{Content, Entry, Mark, Node, Scalar, Style};

/// Collects what is wrong.
pub struct Cx<'a> {
    file: &'a str,
    lines: Vec<&'a str>,
    pub problems: Vec<Problem>,
    pub compile: Compile,
    /// Lines that must not be quoted, because a secret's value is written there.
    withheld: BTreeSet<usize>,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Value<'a> {
    pub node: &'a Node,
    pub at: Mark,
    pub path: String,
}

/// A text and where it stands.
#[derive(Clone, Debug)]
pub struct Text {
    pub text: String,
    pub at: Mark,
    pub path: String,
}

/// A mapping that was found to be one of a section.
#[derive(Clone, Debug)]
pub struct Object<'a> {
    pub section: &'static Section,
    entries: &'a [Entry],
    pub at: Mark,
    pub path: String,
}

impl<'a> Cx<'a> {
    pub fn new(file: &'a str, text: &'a str, compile: Compile) -> Self {
        Self { file, lines: text.lines().collect(), problems: Vec::new(), compile, withheld: BTreeSet::new() }
    }

    pub fn problem(&mut self, at: Mark, path: &str, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(Problem {
            file: self.file.to_owned(),
            line: at.line,
            column: at.column,
            path: path.to_owned(),
            message: message.into(),
            help: help.into(),
            excerpt: at.line.checked_sub(1).and_then(|at| self.lines.get(at)).map(|line| (*line).to_owned()),
        });
    }

    /// Every problem, in the order of the file.
    pub fn finish(mut self) -> Vec<Problem> {
        for problem in &mut self.problems {
            if self.withheld.contains(&problem.line) {
                problem.excerpt = None;
            }
        }
        self.problems.sort_by_key(|p| (p.line, p.column));
        self.problems.dedup();
        self.problems
    }

    fn wrong(&mut self, value: &Value<'_>, wanted: &str, help: impl Into<String>) {
        let message = if matches!(value.node.content, Content::Secret(_)) {
            format!("a secret can't stand here; {wanted} is wanted")
        } else if value.node.is_null() {
            format!("nothing is written here; {wanted} is wanted")
        } else {
            format!("{} is not {wanted}", value.node.describe())
        };
        self.problem(value.at, &value.path, message, help);
    }

    /// The mapping, after a look at its keys.
    pub fn object<'n>(&mut self, value: &Value<'n>, section: &'static Section) -> Option<Object<'n>> {
        let Content::Map(entries) = &value.node.content else {
            let keys: Vec<&str> = section.keys.iter().map(|key| key.name).collect();
            self.wrong(value, "a mapping", format!("write a mapping with the keys {}", keys.join(", ")));
            return None;
        };
        for entry in entries {
            if section.key(&entry.key).is_none() {
                self.unknown(entry, &value.path, section);
            }
        }
        for key in section.keys {
            if key.required && !entries.iter().any(|entry| entry.key == key.name) {
                self.missing(value.at, &value.path, key);
            }
        }
        Some(Object { section, entries, at: value.at, path: value.path.clone() })
    }

    fn unknown(&mut self, entry: &Entry, parent: &str, section: &Section) {
        let help = match nearest(&entry.key, section.keys.iter().map(|key| key.name)) {
            Some(meant) => format!("did you mean '{meant}'?"),
            None => {
                let keys: Vec<&str> = section.keys.iter().map(|key| key.name).collect();
                format!("the keys here are {}", keys.join(", "))
            }
        };
        let path = join(parent, &entry.key);
        self.problem(entry.key_at, &path, format!("there is no key '{}' here", entry.key), help);
    }

    pub fn missing(&mut self, at: Mark, parent: &str, key: &Key) {
        let help = format!("add '{}' ({})", key.name, first_sentence(key.doc));
        self.problem(at, parent, format!("'{}' is missing", key.name), help);
    }

    /// The members of a mapping from names of the file's own.
    pub fn members<'n>(&mut self, value: &Value<'n>) -> Vec<(Text, Value<'n>)> {
        let Content::Map(entries) = &value.node.content else {
            self.wrong(value, "a mapping", "write name: value lines below it, indented, or {} for none");
            return Vec::new();
        };
        entries
            .iter()
            .map(|entry| {
                let path = join(&value.path, &entry.key);
                (Text { text: entry.key.clone(), at: entry.key_at, path: path.clone() }, place(entry, path))
            })
            .collect()
    }

    pub fn items<'n>(&mut self, value: &Value<'n>, help: &str) -> Vec<Value<'n>> {
        let Content::List(items) = &value.node.content else {
            self.wrong(value, "a list", help);
            return Vec::new();
        };
        let item =
            |(index, node): (usize, &'n Node)| Value { node, at: node.at, path: format!("{}[{index}]", value.path) };
        items.iter().enumerate().map(item).collect()
    }

    pub fn text_of(&mut self, value: &Value<'_>, wanted: &str, help: &str) -> Option<Text> {
        match &value.node.content {
            Content::Scalar(scalar) if !value.node.is_null() => {
                Some(Text { text: scalar.text.clone(), at: value.at, path: value.path.clone() })
            }
            _ => {
                self.wrong(value, wanted, help);
                None
            }
        }
    }

    /// A text, number or boolean as JSON.
    pub fn scalar_of(&mut self, value: &Value<'_>) -> Option<Json> {
        match &value.node.content {
            Content::Scalar(scalar) if !value.node.is_null() => Some(json_of(scalar)),
            _ => {
                self.wrong(
                    value,
                    "a text, a number, true or false",
                    "write one value; quote a text that looks otherwise",
                );
                None
            }
        }
    }

    /// Any value as JSON; a secret in it is a problem.
    pub fn json(&mut self, value: &Value<'_>) -> Json {
        match &value.node.content {
            Content::Scalar(scalar) => json_of(scalar),
            Content::List(_) => self.items(value, "").iter().map(|item| self.json(item)).collect(),
            Content::Map(_) => {
                let members = self.members(value);
                members.iter().map(|(name, value)| (name.text.clone(), self.json(value))).collect()
            }
            Content::Secret(name) => {
                let help = format!("make it a member of 'config' itself: name: \"${{secret:{name}}}\"");
                self.problem(value.at, &value.path, "a secret can't stand this deep inside 'config'", help);
                Json::Null
            }
        }
    }

    /// The name of one secret; whoever writes its value instead has the line withheld.
    fn secret_of(&mut self, value: &Value<'_>) -> Option<String> {
        if let Content::Secret(name) = &value.node.content {
            return Some(name.clone());
        }
        let last = match &value.node.content {
            Content::Scalar(scalar) => scalar.last_line,
            _ => value.at.line,
        };
        self.withheld.extend(value.at.line..=last);
        self.problem(
            value.at,
            &value.path,
            "a secret's value can't be written here",
            "write \"${secret:name}\", and put the value where secrets are kept",
        );
        None
    }
}

impl<'a> Object<'a> {
    /// The table's entry. Panics for a key that is not in it, which is a mistake of this program.
    fn entry(&self, name: &str) -> (&'static Key, Option<Value<'a>>) {
        let key = self.section.key(name).expect("the loader asks for keys of the table only");
        let value = self.entries.iter().find(|e| e.key == name).map(|e| place(e, join(&self.path, name)));
        (key, value)
    }

    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.entry(name).1
    }

    pub fn missing(&self, cx: &mut Cx<'_>, name: &str) {
        cx.missing(self.at, &self.path, self.entry(name).0);
    }

    pub fn section(&self, cx: &mut Cx<'_>, name: &str) -> Option<Object<'a>> {
        let (key, value) = self.entry(name);
        let Kind::Section(section) = key.kind else { unreachable!("{name} is a section") };
        cx.object(&value?, section)
    }

    /// A text, or the table's default at the mapping's own place.
    pub fn text(&self, cx: &mut Cx<'_>, name: &str) -> Option<Text> {
        let (key, value) = self.entry(name);
        match value {
            Some(value) => cx.text_of(&value, "a text", first_sentence(key.doc)),
            None => key.default.map(|text| Text { text: text.to_owned(), at: self.at, path: self.path.clone() }),
        }
    }

    /// One of the words that the table lists.
    pub fn choice(&self, cx: &mut Cx<'_>, name: &str) -> Option<Text> {
        let (key, _) = self.entry(name);
        let Kind::Choice(words) = key.kind else { unreachable!("{name} is a choice") };
        let text = self.text(cx, name)?;
        one_of(cx, &text, words).then_some(text)
    }

    pub fn secret(&self, cx: &mut Cx<'_>, name: &str) -> Option<String> {
        let value = self.get(name)?;
        cx.secret_of(&value)
    }

    pub fn boolean(&self, cx: &mut Cx<'_>, name: &str) -> bool {
        self.read(cx, name, "true or false", "write true or false", |text| match text {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        })
        .unwrap_or(false)
    }

    pub fn integer(&self, cx: &mut Cx<'_>, name: &str) -> Option<u32> {
        let Kind::Integer { min } = self.entry(name).0.kind else { unreachable!("{name} is an integer") };
        let wanted = format!("a whole number of at least {min}");
        self.read(cx, name, &wanted, &format!("write {wanted}"), |text| text.parse().ok().filter(|n| *n >= min))
    }

    pub fn number(&self, cx: &mut Cx<'_>, name: &str) -> Option<f64> {
        self.read(cx, name, "a number", "write a number such as 10 or 2.5", |text| {
            text.parse().ok().filter(|n: &f64| n.is_finite())
        })
    }

    pub fn duration(&self, cx: &mut Cx<'_>, name: &str) -> Duration {
        let help = "write a whole number with its unit: 500ms, 30s, 10m, 24h or 7d";
        self.read(cx, name, "a duration", help, units::duration).unwrap_or_default()
    }

    pub fn size(&self, cx: &mut Cx<'_>, name: &str) -> usize {
        let help = "write a number with its unit: B, KB, MB, GB, KiB, MiB or GiB, such as 16 MB";
        self.read(cx, name, "a size", help, units::size).unwrap_or_default()
    }

    /// `None` where it is not written and `inherited` is to be used.
    pub fn percent(&self, cx: &mut Cx<'_>, name: &str, inherited: Option<f64>) -> f64 {
        if let (None, Some(inherited)) = (self.get(name), inherited) {
            return inherited;
        }
        let help = "write a percentage from 0% to 100%, such as 20%";
        self.read(cx, name, "a percentage", help, units::percent).unwrap_or_default()
    }

    /// A value that is written without quotes, or comes from a variable.
    fn read<T>(
        &self,
        cx: &mut Cx<'_>,
        name: &str,
        wanted: &str,
        help: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let (key, value) = self.entry(name);
        let Some(value) = value else {
            return key.default.map(|text| parse(text).expect("defaults of the table can be read"));
        };
        let parsed = match &value.node.content {
            Content::Scalar(scalar) => parse(&scalar.text),
            _ => None,
        };
        if parsed.is_none() {
            cx.wrong(&value, wanted, help);
        }
        parsed
    }
}

/// Whether the text is one of the words; reports it if not.
pub fn one_of(cx: &mut Cx<'_>, text: &Text, words: &[&'static str]) -> bool {
    if words.contains(&text.text.as_str()) {
        return true;
    }
    let help = match (nearest(&text.text, words.iter().copied()), words) {
        (_, [only]) => format!("write {only}, the only one there is today"),
        (Some(meant), _) => format!("did you mean '{meant}'? There are {}", words.join(", ")),
        (None, _) => format!("write one of {}", words.join(", ")),
    };
    cx.problem(text.at, &text.path, format!("'{}' is not known here", text.text), help);
    false
}

fn place(entry: &Entry, path: String) -> Value<'_> {
    let at = if entry.value.is_null() { entry.key_at } else { entry.value.at };
    Value { node: &entry.value, at, path }
}

pub fn join(parent: &str, key: &str) -> String {
    if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }
}

fn first_sentence(doc: &str) -> &str {
    doc.split_once(". ").map_or(doc, |(first, _)| first).trim_end_matches('.')
}

fn json_of(scalar: &Scalar) -> Json {
    let text = scalar.text.as_str();
    if scalar.style != Style::Plain {
        return text.into();
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Json::Null,
        "true" | "True" | "TRUE" => return true.into(),
        "false" | "False" | "FALSE" => return false.into(),
        _ => {}
    }
    let numeric =
        text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)) && text.bytes().any(|b| b.is_ascii_digit());
    let number = if !numeric {
        None
    } else if let Ok(n) = text.parse::<i64>() {
        Some(Number::from(n))
    } else {
        text.parse().ok().and_then(Number::from_f64)
    };
    number.map_or_else(|| text.into(), Json::Number)
}
