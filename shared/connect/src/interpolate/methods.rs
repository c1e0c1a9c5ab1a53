//! Looking into values: `a.b`, `a['b']`, and what lists, mappings, dates and loops can do. Texts have their own
//! module.

use std::cell::RefCell;
use std::rc::Rc;

use super::call::{Args, Fault, Outcome, needed};
use super::machine::Machine;
use super::shared::Text;
use super::value::{LoopState, Py};
use super::{sorting, texts, times};

const LIST: &[&str] =
    &["append", "extend", "insert", "pop", "remove", "clear", "reverse", "sort", "copy", "count", "index"];
const TUPLE: &[&str] = &["count", "index"];
const DICT: &[&str] = &["get", "items", "keys", "values", "copy", "pop", "update", "setdefault", "clear"];
const MAPPING: &[&str] = &["get", "items", "keys", "values"];
const LOOP: &[&str] = &["cycle"];

pub(super) fn is_method(owner: &Py, name: &str) -> bool {
    match owner {
        Py::Text(_) => texts::METHODS,
        Py::Array(_) | Py::List(_) => LIST,
        Py::Tuple(_) => TUPLE,
        Py::Object(_) | Py::Dict(_) => DICT,
        Py::Headers(_) | Py::Slice(_) => MAPPING,
        Py::Moment(_) | Py::Date(_) | Py::Delta(_) => return times::is_method(owner, name),
        Py::Loop(_) => LOOP,
        Py::Float(_) | Py::Int(_) => &["is_integer"],
        _ => return false,
    }
    .contains(&name)
}

/// `owner.name`: what the type has under that name, else the member.
pub(super) fn attribute<'a>(owner: Py<'a>, name: Text<'a>) -> Outcome<'a> {
    if let Py::Undefined(owner) = owner {
        return Err(Fault::Undefined(format!("{owner}.{name}")));
    }
    if name.starts_with("__") {
        return Err(Fault::Forbidden(format!("the attribute '{name}'")));
    }
    if is_method(&owner, &name) {
        return Ok(Py::Method(Rc::new(owner), name));
    }
    let own = match &owner {
        Py::Slice(slice) => match &*name {
            "partition" | "_partition" => Some(Py::of(slice.partition())),
            "cursor_slice" => Some(Py::of(slice.cursor_slice())),
            "extra_fields" => Some(Py::of(slice.extra_fields())),
            _ => None,
        },
        Py::Loop(state) => loop_attribute(state, &name),
        Py::Moment(_) | Py::Date(_) | Py::Delta(_) | Py::Duration(_) => times::attribute(&owner, &name),
        _ => None,
    };
    match own {
        Some(value) => Ok(value),
        None => Ok(owner.member(&Py::Text(name.clone()))?.unwrap_or(Py::Undefined(name))),
    }
}

/// `owner[key]`: the member or item, else what the type has under that name.
pub(super) fn item<'a>(owner: Py<'a>, key: Py<'a>) -> Outcome<'a> {
    if let Py::Undefined(owner) = owner {
        return Err(Fault::Undefined(owner.into_owned()));
    }
    let found = if owner.is_mapping() {
        owner.member(&key).unwrap_or(None)
    } else {
        match (&owner, key.as_int()) {
            (Py::Array(items), Some(index)) => at(index, items.len()).map(|at| Py::of(&items[at])),
            (Py::List(items), Some(index)) => at(index, items.borrow().len()).map(|at| items.borrow()[at].clone()),
            (Py::Tuple(items), Some(index)) => at(index, items.len()).map(|at| items[at].clone()),
            (Py::Text(text), Some(index)) => at(index, owner.len().unwrap_or(0)).and_then(|at| letter(text, at)),
            _ => None,
        }
    };
    match (found, key) {
        (Some(found), _) => Ok(found),
        (None, Py::Text(name)) if !name.starts_with("__") => match is_method(&owner, &name) {
            true => Ok(Py::Method(Rc::new(owner), name)),
            false => match owner {
                Py::Slice(_) | Py::Loop(_) | Py::Moment(_) | Py::Date(_) | Py::Delta(_) => attribute(owner, name),
                _ => Ok(Py::Undefined(name)),
            },
        },
        (None, key) => Ok(Py::undefined(format!("an item of {} by {}", owner.kind(), key.kind()))),
    }
}

fn letter<'a>(text: &Text<'a>, at: usize) -> Option<Py<'a>> {
    let (start, c) = text.char_indices().nth(at)?;
    Some(match text {
        Text::Borrowed(text) => Py::Text(Text::Borrowed(&text[start..start + c.len_utf8()])),
        Text::Shared(_) => Py::text(c.to_string()),
    })
}

/// An index from the front, or from the end when negative.
fn at(index: i128, length: usize) -> Option<usize> {
    let index = if index < 0 { index + length as i128 } else { index };
    usize::try_from(index).ok().filter(|index| *index < length)
}

/// Sets a member, in its old place if there is one.
pub(super) fn put<'a>(members: &Rc<RefCell<Vec<(Py<'a>, Py<'a>)>>>, key: Py<'a>, value: Py<'a>) {
    let mut members = members.borrow_mut();
    match members.iter_mut().find(|(known, _)| known.equals(&key)) {
        Some(member) => member.1 = value,
        None => members.push((key, value)),
    }
}

pub(super) fn call<'a>(machine: &mut Machine<'a>, owner: &Py<'a>, name: &str, args: Args<'a>) -> Outcome<'a> {
    match owner {
        Py::Text(text) => texts::call(machine, text, name, args),
        Py::List(items) => list(machine, owner, items, name, args),
        Py::Array(_) | Py::Tuple(_) => sequence(machine, owner, name, args),
        Py::Dict(members) => dict(machine, owner, members, name, args),
        Py::Object(_) | Py::Headers(_) | Py::Slice(_) => mapping(machine, owner, name, args),
        Py::Moment(_) | Py::Date(_) | Py::Delta(_) => times::call(owner, name, args),
        Py::Loop(state) if !args.pos.is_empty() => Ok(args.pos[state.index % args.pos.len()].clone()),
        Py::Float(float) => Ok(Py::Bool(float.fract() == 0.0)),
        Py::Int(_) => Ok(Py::Bool(true)),
        other => Err(Fault::Type(format!("'{}' has no method '{name}'", other.kind()))),
    }
}

fn sequence<'a>(machine: &mut Machine<'a>, owner: &Py<'a>, name: &str, args: Args<'a>) -> Outcome<'a> {
    machine.burn(owner.len().unwrap_or(0) / 4)?;
    match name {
        "copy" => owner.items().map(Py::list),
        "count" | "index" => {
            let [value] = args.bind(["value"])?;
            let value = needed(value, "value")?;
            machine.search(owner.len().unwrap_or(0), &value)?;
            let items = owner.items()?;
            if name == "count" {
                return Ok(Py::Int(items.iter().filter(|item| item.equals(&value)).count() as i128));
            }
            let at = items.iter().position(|item| item.equals(&value));
            at.map(|at| Py::Int(at as i128)).ok_or_else(|| Fault::Fails("the value is not in the list".to_owned()))
        }
        name => Err(Fault::Fails(format!("'{name}' can't change a list that the template didn't make itself"))),
    }
}

fn list<'a>(
    machine: &mut Machine<'a>,
    owner: &Py<'a>,
    items: &Rc<RefCell<Vec<Py<'a>>>>,
    name: &str,
    args: Args<'a>,
) -> Outcome<'a> {
    let guard = |value: &Py<'a>| {
        if value.holds(Rc::as_ptr(items).cast()) {
            return Err(Fault::Fails("a list can't hold itself".to_owned()));
        }
        Ok(())
    };
    match name {
        "append" => {
            let [value] = args.bind(["object"])?;
            let value = needed(value, "object")?;
            guard(&value)?;
            items.borrow_mut().push(value);
            Ok(Py::None)
        }
        "extend" => {
            let [values] = args.bind(["iterable"])?;
            let values = needed(values, "iterable")?.items()?;
            machine.burn(values.len())?;
            values.iter().try_for_each(guard)?;
            items.borrow_mut().extend(values);
            Ok(Py::None)
        }
        "insert" => {
            let [index, value] = args.bind(["index", "object"])?;
            let index = needed(index, "index")?.as_int().unwrap_or(0);
            let value = needed(value, "object")?;
            guard(&value)?;
            let mut items = items.borrow_mut();
            machine.burn(items.len() / 64)?;
            let length = items.len() as i128;
            let index = if index < 0 { (index + length).max(0) } else { index.min(length) };
            items.insert(index as usize, value);
            Ok(Py::None)
        }
        "pop" => {
            let [index] = args.bind(["index"])?;
            let index = index.map_or(Some(-1), |index| index.as_int());
            let mut items = items.borrow_mut();
            match index.and_then(|index| at(index, items.len())) {
                Some(at) => Ok(items.remove(at)),
                None => Err(Fault::Fails("pop: there is no such item".to_owned())),
            }
        }
        "remove" => {
            let [value] = args.bind(["value"])?;
            let value = needed(value, "value")?;
            machine.search(owner.len().unwrap_or(0), &value)?;
            let found = items.borrow().iter().position(|item| item.equals(&value));
            match found {
                Some(at) => {
                    items.borrow_mut().remove(at);
                    Ok(Py::None)
                }
                None => Err(Fault::Fails("remove: there is no such item".to_owned())),
            }
        }
        "clear" => {
            items.borrow_mut().clear();
            Ok(Py::None)
        }
        "reverse" => {
            machine.burn(items.borrow().len() / 8)?;
            items.borrow_mut().reverse();
            Ok(Py::None)
        }
        "sort" => {
            let [reverse] = args.bind(["reverse"])?;
            let sorted = sorting::sorted(machine, items.borrow().clone(), reverse.is_some_and(|r| r.is_true()))?;
            *items.borrow_mut() = sorted;
            Ok(Py::None)
        }
        _ => sequence(machine, owner, name, args),
    }
}

fn mapping<'a>(machine: &mut Machine<'a>, owner: &Py<'a>, name: &str, args: Args<'a>) -> Outcome<'a> {
    match name {
        "get" => {
            let [key, default] = args.bind(["key", "default"])?;
            Ok(owner.member(&needed(key, "key")?)?.or(default).unwrap_or(Py::None))
        }
        "items" | "keys" | "values" | "copy" => {
            args.bind([])?;
            machine.burn(owner.len().unwrap_or(0))?;
            let members = owner.members();
            Ok(match name {
                "items" => Py::list(members.into_iter().map(|(key, value)| Py::tuple(vec![key, value])).collect()),
                "keys" => Py::list(members.into_iter().map(|(key, _)| key).collect()),
                "values" => Py::list(members.into_iter().map(|(_, value)| value).collect()),
                _ => Py::dict(members),
            })
        }
        name => Err(Fault::Fails(format!("'{name}' can't change a mapping that the template didn't make itself"))),
    }
}

fn dict<'a>(
    machine: &mut Machine<'a>,
    owner: &Py<'a>,
    members: &Rc<RefCell<Vec<(Py<'a>, Py<'a>)>>>,
    name: &str,
    args: Args<'a>,
) -> Outcome<'a> {
    let guard = |value: &Py<'a>| {
        if value.holds(Rc::as_ptr(members).cast()) {
            return Err(Fault::Fails("a mapping can't hold itself".to_owned()));
        }
        Ok(())
    };
    machine.burn(members.borrow().len() / 8)?;
    match name {
        "pop" => {
            let [key, default] = args.bind(["key", "default"])?;
            let key = needed(key, "key")?;
            let found = members.borrow().iter().position(|(known, _)| known.equals(&key));
            match (found, default) {
                (Some(at), _) => Ok(members.borrow_mut().remove(at).1),
                (None, Some(default)) => Ok(default),
                (None, None) => Err(Fault::Fails("pop: there is no such member".to_owned())),
            }
        }
        "setdefault" => {
            let [key, default] = args.bind(["key", "default"])?;
            let key = needed(key, "key")?;
            if let Some(found) = owner.member(&key)? {
                return Ok(found);
            }
            let default = default.unwrap_or(Py::None);
            guard(&default)?;
            members.borrow_mut().push((key, default.clone()));
            Ok(default)
        }
        "update" => {
            let mut new: Vec<(Py, Py)> = Vec::new();
            for other in &args.pos {
                if other.is_mapping() {
                    new.extend(other.members());
                } else {
                    for pair in other.items()? {
                        match <[Py; 2]>::try_from(pair.items()?) {
                            Ok([key, value]) => new.push((key, value)),
                            Err(_) => return Err(Fault::Fails("update: an item is no pair".to_owned())),
                        }
                    }
                }
            }
            new.extend(args.named.into_iter().map(|(name, value)| (Py::Text(name), value)));
            for (key, value) in new {
                guard(&value)?;
                machine.burn(members.borrow().len() / 8 + 1)?;
                owner.member(&key)?;
                put(members, key, value);
            }
            Ok(Py::None)
        }
        "clear" => {
            members.borrow_mut().clear();
            Ok(Py::None)
        }
        _ => mapping(machine, owner, name, args),
    }
}

fn loop_attribute<'a>(state: &LoopState<'a>, name: &str) -> Option<Py<'a>> {
    let (index, length) = (state.index as i128, state.items.len() as i128);
    let neighbour = |at: Option<usize>| {
        at.and_then(|at| state.items.get(at)).cloned().unwrap_or_else(|| Py::undefined("there is no such item"))
    };
    Some(match name {
        "index" => Py::Int(index + 1),
        "index0" => Py::Int(index),
        "revindex" => Py::Int(length - index),
        "revindex0" => Py::Int(length - index - 1),
        "first" => Py::Bool(index == 0),
        "last" => Py::Bool(index + 1 == length),
        "length" => Py::Int(length),
        "depth" => Py::Int(state.depth as i128),
        "depth0" => Py::Int(state.depth as i128 - 1),
        "previtem" => neighbour(state.index.checked_sub(1)),
        "nextitem" => neighbour(Some(state.index + 1)),
        _ => return None,
    })
}
