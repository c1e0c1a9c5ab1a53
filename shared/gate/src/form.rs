//! Form bodies (`application/x-www-form-urlencoded`), byte for byte, and the tree that PHP-style brackets make.
//!
//! Owns decoding. Always holds: fields keep their order, and one that comes twice is there twice; bytes that
//! are no UTF-8 stay what they are until a tree of texts is asked for.

use std::borrow::Cow;

use percent_encoding::percent_decode;
use serde_json::{Map, Value as Json};

/// Deeper brackets are part of the name, and so is all of a form with more fields.
const MAX_DEPTH: usize = 8;

/// Names and values, decoded.
pub fn fields(form: &[u8]) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
    form.split(|byte| *byte == b'&').filter(|field| !field.is_empty()).map(|field| {
        let at = field.iter().position(|byte| *byte == b'=').unwrap_or(field.len());
        (decode(&field[..at]), decode(field.get(at + 1..).unwrap_or_default()))
    })
}

fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'+') {
        return percent_decode(text).into();
    }
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

/// Each field's name and value, one after the other, in the order of the names.
pub(crate) fn sorted(form: &[u8]) -> Vec<u8> {
    let mut all: Vec<_> = fields(form).collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all.into_iter().flat_map(|(name, value)| [name, value]).fold(Vec::new(), |mut out, part| {
        out.extend_from_slice(&part);
        out
    })
}

/// `data[merges][FNAME]=Zoë` as `{"data": {"merges": {"FNAME": "Zoë"}}}`. A name that comes twice, or ends in
/// `[]`, is a list.
#[must_use]
pub fn tree(form: &[u8]) -> Json {
    let mut root = Map::new();
    for (name, value) in fields(form) {
        let (name, value) = (String::from_utf8_lossy(&name), String::from_utf8_lossy(&value));
        let path = path(&name);
        let (first, rest) = path.split_first().expect("a path has at least one part");
        put(root.entry(*first).or_insert(Json::Null), rest, value.into_owned().into());
    }
    Json::Object(root)
}

fn path(name: &str) -> Vec<&str> {
    let Some((first, mut rest)) = name.find('[').filter(|at| *at > 0).map(|at| name.split_at(at)) else {
        return vec![name];
    };
    let mut parts = vec![first];
    while let Some((part, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        parts.push(part);
        rest = after;
    }
    if rest.is_empty() && parts.len() <= MAX_DEPTH { parts } else { vec![name] }
}

fn put(at: &mut Json, path: &[&str], value: Json) {
    match path {
        [] => match at {
            Json::Null => *at = value,
            Json::Array(items) => items.push(value),
            before => *before = Json::Array(vec![before.take(), value]),
        },
        [""] => match at {
            Json::Array(items) => items.push(value),
            Json::Null => *at = Json::Array(vec![value]),
            before => *before = Json::Array(vec![before.take(), value]),
        },
        [name, rest @ ..] => {
            if !at.is_object() {
                let before = at.take();
                *at = Json::Object(Map::new());
                if !before.is_null() {
                    at[""] = before;
                }
            }
            put(&mut at[*name], rest, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn brackets_make_a_tree_and_repeated_names_a_list() {
        let tree = tree(b"type=a&data[merges][FNAME]=Zo%C3%AB&data[id]=1+2&tag=x&tag=y&list[]=1&list[]=2&odd[=3&");
        assert_eq!(
            tree,
            json!({"type": "a", "data": {"merges": {"FNAME": "Zoë"}, "id": "1 2"}, "tag": ["x", "y"],
                   "list": ["1", "2"], "odd[": "3"})
        );
    }

    #[test]
    fn names_that_contradict_each_other_lose_nothing_and_harm_nothing() {
        for form in ["a=1&a[b]=2", "a[b]=2&a=1", "a[]=1&a[b]=2", "[a]=1", "=1&=2", "a[[[]]]=1", "&&=&%zz=%f"] {
            let text = tree(form.as_bytes()).to_string();
            assert_eq!(form.contains('1'), text.contains('1'), "{form}: {text}");
        }
        let deep = format!("a{}=1", "[b]".repeat(5_000));
        assert!(tree(deep.as_bytes()).as_object().unwrap().contains_key(&deep[..deep.len() - 2]));
    }

    #[test]
    fn sorting_keeps_bytes_that_are_no_text() {
        assert_eq!(sorted(b"b=%FF+&a=1&a=0"), b"a1a0b\xff ");
    }
}
