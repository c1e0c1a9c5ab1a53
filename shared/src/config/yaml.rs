//! YAML as a tree that knows where everything was written.
//!
//! Owns the form: scalars, lists and mappings with line and column, and what this project refuses of YAML
//! (duplicate keys, merge keys, tags, several documents, keys that are not texts). Owns no meaning: a scalar
//! is its text, and whether it was quoted.
//!
//! Always holds: depth and size are bounded, aliases included, so a small file can't become a large tree.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::problem::Problem;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

#[derive(Clone, Debug)]
pub struct Node {
    pub at: Mark,
    pub content: Content,
}

#[derive(Clone, Debug)]
pub enum Content {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// `${secret:name}`. Made by substitution only.
    Secret(String),
}

#[derive(Clone, Debug)]
pub struct Scalar {
    pub text: String,
    pub style: Style,
    /// Where its source ends; a block's, in the line after it.
    pub last_line: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `12`, `true`, `~` mean what YAML says.
    Plain,
    Quoted,
    /// Quoted, and the text of a variable: a number where a number is wanted, and a text elsewhere.
    Filled,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub key: String,
    pub key_at: Mark,
    pub value: Node,
}

impl Node {
    /// Nothing was written: an empty value, `~` or `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar(Scalar { text, style: Style::Plain, .. })
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What kind of thing it is, for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.content {
            _ if self.is_null() => "nothing".to_owned(),
            Content::Scalar(scalar) if scalar.text.chars().count() > 40 => "a text".to_owned(),
            Content::Scalar(scalar) => format!("'{}'", scalar.text),
            Content::List(_) => "a list".to_owned(),
            Content::Map(_) => "a mapping".to_owned(),
            Content::Secret(_) => "a secret".to_owned(),
        }
    }
}

const MAX_DEPTH: usize = 64;
const MAX_NODES: usize = 200_000;

/// A list or mapping whose end has not been seen.
struct Open {
    node: Node,
    anchor: usize,
    key: Option<(String, Mark)>,
    size: usize,
    /// Levels below it.
    height: usize,
}

struct Builder<'a> {
    file: &'a str,
    lines: Vec<&'a str>,
    stack: Vec<Open>,
    root: Option<Node>,
    /// Value, number of nodes, levels.
    anchors: BTreeMap<usize, (Node, usize, usize)>,
    too_deep: bool,
    nodes: usize,
    problems: Vec<Problem>,
}

/// The tree, as far as there is one, and what is wrong with the form.
pub fn parse(file: &str, text: &str) -> (Option<Node>, Vec<Problem>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder {
        file,
        lines: text.lines().collect(),
        stack: Vec::new(),
        root: None,
        anchors: BTreeMap::new(),
        too_deep: false,
        nodes: 0,
        problems: Vec::new(),
    };
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                let at = mark(*error.marker());
                builder.problem(
                    at,
                    format!("this is not YAML: {}", error.info()),
                    "check indentation, quotes and brackets here and in the line before; quote texts that hold \
                     ': ', ' #', or begin with one of { [ & * ! | > % @",
                );
                return (None, builder.problems);
            }
        };
        let at = mark(span.start);
        match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents == 2 {
                    builder.problem(at, "a second document begins here".into(), "keep one document a file; remove ---");
                    break;
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                if tag.is_some() {
                    builder.refuse_tag(at);
                }
                let style = if style == ScalarStyle::Plain { Style::Plain } else { Style::Quoted };
                let scalar = Scalar { text: text.into_owned(), style, last_line: span.end.line() };
                builder.put(Node { at, content: Content::Scalar(scalar) }, anchor, 1, 0);
            }
            Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_)) => {
                builder.refuse_tag(at);
                return (None, builder.problems);
            }
            Event::SequenceStart(anchor, _) => builder.open(Node { at, content: Content::List(Vec::new()) }, anchor),
            Event::MappingStart(anchor, _) => builder.open(Node { at, content: Content::Map(Vec::new()) }, anchor),
            Event::SequenceEnd | Event::MappingEnd => builder.close(),
            Event::Alias(anchor) => match builder.anchors.get(&anchor).cloned() {
                Some((node, size, height)) => builder.put(node, 0, size, height),
                None => {
                    builder.problem(
                        at,
                        "this alias is inside the value that it names".into(),
                        "write the value out; an alias must come after its anchor's value",
                    );
                    return (None, builder.problems);
                }
            },
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        if builder.nodes > MAX_NODES || builder.too_deep || builder.stack.len() > MAX_DEPTH {
            builder.problem(
                at,
                format!("the file is too large: more than {MAX_DEPTH} levels or {MAX_NODES} values, aliases included"),
                "write less, or use fewer aliases",
            );
            return (None, builder.problems);
        }
    }
    (builder.root, builder.problems)
}

fn mark(marker: saphyr_parser::Marker) -> Mark {
    Mark { line: marker.line().max(1), column: marker.col() + 1 }
}

/// Without a tree nobody knows what is a secret's value, so a line that seems to hold one is not quoted.
fn may_be_shown(line: &str) -> bool {
    !line.contains("secret:") || line.contains("${secret:")
}

impl Builder<'_> {
    fn problem(&mut self, at: Mark, message: String, help: &str) {
        self.problems.push(Problem {
            file: self.file.to_owned(),
            line: at.line,
            column: at.column,
            path: self.path(),
            message,
            help: help.to_owned(),
            excerpt: self.lines.get(at.line - 1).filter(|line| may_be_shown(line)).map(|line| (*line).to_owned()),
        });
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.stack {
            match (&open.node.content, &open.key) {
                (Content::List(items), _) => path.push_str(&format!("[{}]", items.len())),
                (_, Some((key, _))) if path.is_empty() => path.push_str(key),
                (_, Some((key, _))) => path.push_str(&format!(".{key}")),
                _ => {}
            }
        }
        path
    }

    fn refuse_tag(&mut self, at: Mark) {
        self.problem(at, "tags are not used here".into(), "remove the tag; quote the value if it must be a text");
    }

    fn open(&mut self, node: Node, anchor: usize) {
        self.stack.push(Open { node, anchor, key: None, size: 1, height: 0 });
    }

    fn close(&mut self) {
        if let Some(open) = self.stack.pop() {
            // Its members are counted already.
            self.nodes = self.nodes.saturating_sub(open.size - 1);
            self.put(open.node, open.anchor, open.size, open.height);
        }
    }

    /// Puts a complete node, of `size` nodes in all and with `height` levels below it, where it belongs.
    fn put(&mut self, node: Node, anchor: usize, size: usize, height: usize) {
        self.too_deep |= self.stack.len() + height > MAX_DEPTH;
        self.nodes += size;
        if anchor != 0 {
            self.nodes += size;
            self.anchors.insert(anchor, (node.clone(), size, height));
        }
        let Some(open) = self.stack.last_mut() else {
            self.root.get_or_insert(node);
            return;
        };
        open.size += size;
        open.height = open.height.max(height + 1);
        match (&mut open.node.content, open.key.take()) {
            (Content::List(items), _) => items.push(node),
            (Content::Map(entries), Some((key, key_at))) => {
                if let Some(first) = entries.iter().find(|e| e.key == key).map(|e| e.key_at.line) {
                    self.problem(
                        key_at,
                        format!("'{key}' stands here a second time; the first is in line {first}"),
                        "keep one of the two, or give one another name",
                    );
                } else {
                    entries.push(Entry { key, key_at, value: node });
                }
            }
            (Content::Map(_), None) => match node.content {
                Content::Scalar(scalar) => {
                    let merge = scalar.text == "<<" && scalar.style == Style::Plain;
                    open.key = Some((scalar.text, node.at));
                    if merge {
                        self.problem(
                            node.at,
                            "merge keys (<<) are not used here".into(),
                            "write the members out, or name the whole value with an alias",
                        );
                    }
                }
                _ => {
                    open.key = Some(("?".to_owned(), node.at));
                    self.problem(node.at, "a key must be a text".into(), "write key: value with a simple name");
                }
            },
            (Content::Scalar(_) | Content::Secret(_), _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<(usize, usize, String)> {
        parse("f", text).1.into_iter().map(|p| (p.line, p.column, p.message)).collect()
    }

    #[test]
    fn everything_knows_where_it_was_written() {
        let (root, problems) = parse("f", "a:\n  - x\n  - { k: 'v' }\nempty:\n");
        assert!(problems.is_empty());
        let Content::Map(entries) = root.unwrap().content else { panic!("a mapping") };
        assert_eq!(entries[0].key_at, Mark { line: 1, column: 1 });
        let Content::List(items) = &entries[0].value.content else { panic!("a list") };
        assert_eq!(items[0].at, Mark { line: 2, column: 5 });
        let Content::Map(inner) = &items[1].content else { panic!("a mapping") };
        assert_eq!((inner[0].key_at.column, inner[0].value.at.column), (7, 10));
        assert!(entries[1].value.is_null());
    }

    #[test]
    fn aliases_stand_for_their_value_but_cannot_blow_the_tree_up() {
        let (root, none) = parse("f", "a: &x [1, 2]\nb: *x\n");
        assert!(none.is_empty());
        let Content::Map(entries) = root.unwrap().content else { panic!("a mapping") };
        assert!(matches!(&entries[1].value.content, Content::List(items) if items.len() == 2));
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..30 {
            let before = i - 1;
            bomb.push_str(&format!("a{i}: &a{i} [*a{before}, *a{before}, *a{before}, *a{before}]\n"));
        }
        assert!(problems(&bomb)[0].2.contains("too large"));
        let mut tower = "a0: &a0 [x]\n".to_owned();
        for i in 1..100 {
            let before = i - 1;
            tower.push_str(&format!("a{i}: &a{i} [*a{before}]\n"));
        }
        assert!(problems(&tower)[0].2.contains("too large"));
    }

    #[test]
    fn what_is_refused_of_yaml_is_refused_with_its_place() {
        for (text, line, column, message) in [
            ("a: 1\nb: 2\na: 3\n", 3, 1, "a second time; the first is in line 1"),
            ("a: &x { k: 1 }\nb:\n  <<: *x\n", 3, 3, "merge keys"),
            ("a: !!str 1\n", 1, 4, "tags"),
            ("a: 1\n---\nb: 2\n", 2, 1, "second document"),
            ("? [a]\n: 1\n", 1, 3, "a key must be a text"),
            ("a: [1, 2\nb: 3\n", 2, 2, "not YAML"),
            ("a: &x [*x]\n", 1, 8, "inside the value"),
        ] {
            let found = problems(text);
            assert!(found[0].2.contains(message), "{text}: {found:?}");
            assert_eq!((found[0].0, found[0].1), (line, column), "{text}: {found:?}");
        }
        assert!(problems("\u{feff}a: 1\n").is_empty(), "a byte order mark is no part of the text");
        let (_, secret) = parse("f", "secret: 'hunter2\n");
        assert!(
            secret[0].excerpt.as_ref().is_none_or(|line| !line.contains("hunter2")),
            "a secret's value is not quoted"
        );
        let deep = "[".repeat(5000);
        assert!(!problems(&deep).is_empty());
    }
}
