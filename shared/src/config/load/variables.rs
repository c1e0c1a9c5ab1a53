//! `${NAME}`, `${NAME:-default}` and `${secret:name}` in the scalars of a tree.
//!
//! Owns their syntax. `$${` stands for `${` itself. As in a shell, the default also stands in for an empty
//! value. A secret is the whole of a scalar or nothing; where it is allowed is for the reader to say.

use std::collections::{BTreeMap, BTreeSet};

use super::reader::Cx;
use crate::config::jq::Program;
use crate::config::yaml::{Content, Mark, Node, Style};

#[derive(Debug, PartialEq)]
enum Piece<'a> {
    Text(&'a str),
    Variable { name: &'a str, default: Option<&'a str> },
    Secret(&'a str),
    Bad(String),
}

/// Names of the variables that occur.
pub fn names(node: &Node) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    match &node.content {
        Content::Scalar(scalar) => {
            for piece in split(&scalar.text) {
                if let Piece::Variable { name, .. } = piece {
                    out.insert(name.to_owned());
                }
            }
        }
        Content::List(items) => items.iter().for_each(|item| out.extend(names(item))),
        Content::Map(entries) => entries.iter().for_each(|entry| out.extend(names(&entry.value))),
        Content::Secret(_) => {}
    }
    out
}

/// The text with its variables filled in, as far as they have values.
pub fn fill_text(text: &str, env: &BTreeMap<String, String>) -> String {
    let mut ignored = Cx::new("", "", Program::unread);
    fill_scalar(text, env, Mark::default(), "", &mut ignored)
}

pub fn fill(node: &mut Node, env: &BTreeMap<String, String>, path: &str, cx: &mut Cx<'_>) {
    match &mut node.content {
        Content::Scalar(scalar) => {
            if !scalar.text.contains("${") {
                return;
            }
            if let [Piece::Secret(name)] = split(&scalar.text)[..] {
                node.content = Content::Secret(name.to_owned());
                return;
            }
            scalar.text = fill_scalar(&scalar.text, env, node.at, path, cx);
            if scalar.style == Style::Quoted {
                scalar.style = Style::Filled;
            }
        }
        Content::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                fill(item, env, &format!("{path}[{index}]"), cx);
            }
        }
        Content::Map(entries) => {
            for entry in entries {
                let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                fill(&mut entry.value, env, &path, cx);
            }
        }
        Content::Secret(_) => {}
    }
}

fn fill_scalar(text: &str, env: &BTreeMap<String, String>, at: Mark, path: &str, cx: &mut Cx<'_>) -> String {
    let mut out = String::with_capacity(text.len());
    for piece in split(text) {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Variable { name, default } => match (env.get(name), default) {
                (Some(value), None) => out.push_str(value),
                (Some(value), Some(_)) if !value.is_empty() => out.push_str(value),
                (_, Some(default)) => out.push_str(default),
                (None, None) => cx.problem(
                    at,
                    path,
                    format!("the variable {name} has no value"),
                    format!("set {name} in the environment, or write ${{{name}:-default}}"),
                ),
            },
            Piece::Secret(name) => cx.problem(
                at,
                path,
                format!("the secret '{name}' stands inside a longer text"),
                format!("make \"${{secret:{name}}}\" the whole value, and put the rest into the connector's manifest"),
            ),
            Piece::Bad(message) => cx.problem(
                at,
                path,
                message,
                "write ${NAME}, ${NAME:-default} or ${secret:name}; for the characters themselves write $${".to_owned(),
            ),
        }
    }
    out
}

fn split(text: &str) -> Vec<Piece<'_>> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        if rest[..start].ends_with('$') {
            out.push(Piece::Text(&rest[..start - 1]));
            out.push(Piece::Text("${"));
            rest = &rest[start + 2..];
            continue;
        }
        if start > 0 {
            out.push(Piece::Text(&rest[..start]));
        }
        let Some(end) = rest[start..].find('}') else {
            out.push(Piece::Bad("a ${ is not closed".to_owned()));
            return out;
        };
        out.push(variable(&rest[start + 2..start + end]));
        rest = &rest[start + end + 1..];
    }
    if !rest.is_empty() {
        out.push(Piece::Text(rest));
    }
    out
}

fn variable(inside: &str) -> Piece<'_> {
    if let Some(name) = inside.strip_prefix("secret:") {
        let good = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        return if !name.is_empty() && name.chars().all(good) {
            Piece::Secret(name)
        } else {
            Piece::Bad(format!("'{name}' is not a secret's name, which has letters, digits, '-', '_', '.' and '/'"))
        };
    }
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let good = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.chars().next().is_some_and(|c| !c.is_ascii_digit());
    if good { Piece::Variable { name, default } } else { Piece::Bad(format!("'${{{inside}}}' is not a variable")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_in_and_a_doubled_dollar_is_left_alone() {
        let env = BTreeMap::from([("A".to_owned(), "1".to_owned()), ("EMPTY".to_owned(), String::new())]);
        for (text, expected) in [
            ("x${A}y", "x1y"),
            ("${A}${A}", "11"),
            ("${B:-http://127.0.0.1:1}", "http://127.0.0.1:1"),
            ("${EMPTY:-d}", "d"),
            ("[${EMPTY}]", "[]"),
            ("$${A}", "${A}"),
            ("$A {}", "$A {}"),
        ] {
            let mut cx = Cx::new("f", "", Program::unread);
            assert_eq!(fill_scalar(text, &env, Mark::default(), "", &mut cx), expected);
            assert!(cx.problems.is_empty(), "{text}");
        }
    }

    #[test]
    fn what_is_no_variable_is_a_problem() {
        for text in ["${B}", "${", "a ${A b", "${}", "${1A}", "${secret:}", "${secret:a b}", "x${secret:a}"] {
            let mut cx = Cx::new("f", "", Program::unread);
            fill_scalar(text, &BTreeMap::new(), Mark { line: 1, column: 1 }, "", &mut cx);
            assert_eq!(cx.problems.len(), 1, "{text}");
        }
    }
}
