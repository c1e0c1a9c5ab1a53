//! XML: an element is its text, or an object of its attributes (`@name`), children and text (`#text`); a child
//! that occurs again becomes a list; an empty element is null.

use crate::value::{Map, Value};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::DecodeError;

const MAX_DEPTH: usize = 100;

/// An element whose end has not been seen.
#[derive(Default)]
struct Open {
    name: String,
    members: Map,
    text: String,
}

pub(super) fn read(text: &[u8]) -> Result<Value, DecodeError> {
    let wrong = |why: String| DecodeError::Body { form: "XML", why };
    let text = std::str::from_utf8(text).map_err(|_| wrong("it is not UTF-8".to_owned()))?;
    let mut reader = Reader::from_str(text);
    let mut stack = vec![Open::default()];
    loop {
        let event = reader.read_event().map_err(|error| wrong(error.to_string()))?;
        let depth = stack.len();
        let top = stack.last_mut().expect("the bottom is never taken off");
        match event {
            Event::Start(start) => {
                if depth > MAX_DEPTH {
                    return Err(wrong(format!("nested more than {MAX_DEPTH} levels deep")));
                }
                stack.push(open(&start)?);
            }
            Event::Empty(start) => {
                let element = open(&start)?;
                close(top, element);
            }
            Event::End(_) => {
                if let (Some(element), Some(parent)) = (stack.pop(), stack.last_mut()) {
                    close(parent, element);
                }
            }
            Event::Text(text) => top.text.push_str(&text.xml10_content()),
            Event::CData(text) => top.text.push_str(&text.xml10_content()),
            Event::GeneralRef(reference) => {
                let known = match reference.resolve_char_ref() {
                    Ok(Some(c)) => Some(c),
                    Ok(None) => match reference.as_ref() {
                        "lt" => Some('<'),
                        "gt" => Some('>'),
                        "amp" => Some('&'),
                        "quot" => Some('"'),
                        "apos" => Some('\''),
                        _ => None,
                    },
                    Err(_) => None,
                };
                top.text.push(known.ok_or_else(|| wrong("it refers to an entity that is not known".to_owned()))?);
            }
            Event::Eof => break,
            Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::Comment(_) => {}
        }
    }
    match <[Open; 1]>::try_from(stack) {
        Ok([root]) if root.members.len() == 1 && root.text.trim().is_empty() => Ok(Value::Object(root.members)),
        Ok(_) => Err(wrong("it must have one root element, and no text around it".to_owned())),
        Err(_) => Err(wrong("it ends inside an element".to_owned())),
    }
}

fn open(start: &BytesStart) -> Result<Open, DecodeError> {
    let wrong = |why: String| DecodeError::Body { form: "XML", why };
    let mut element = Open { name: start.name().as_ref().to_owned(), ..Open::default() };
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| wrong(error.to_string()))?;
        let value =
            attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).map_err(|error| wrong(error.to_string()))?;
        element.members.insert(format!("@{}", attribute.key.as_ref()), value.into_owned().into());
    }
    Ok(element)
}

fn close(parent: &mut Open, element: Open) {
    let text = element.text.trim();
    let value = if element.members.is_empty() {
        if text.is_empty() { Value::Null } else { text.into() }
    } else {
        let mut members = element.members;
        if !text.is_empty() {
            members.insert("#text".to_owned(), text.into());
        }
        Value::Object(members)
    };
    match parent.members.get_mut(&element.name) {
        None => {
            parent.members.insert(element.name, value);
        }
        Some(Value::Array(items)) => items.push(value),
        Some(known) => *known = Value::Array(vec![known.take(), value]),
    }
}
