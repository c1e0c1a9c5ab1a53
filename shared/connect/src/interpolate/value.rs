//! Python's values, as far as templates have them. What a context shows is borrowed, never copied.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::rc::Rc;

use crate::value::{Map, Value};
use jiff::civil::Date;

use super::call::Fault;
use super::context::{StreamSlice, Variable};
use super::shared::Text;
use crate::datetime::{IsoDuration, Moment};

#[derive(Clone)]
pub(super) enum Py<'a> {
    /// What isn't there, with its name. It prints as nothing; looking into it is a fault.
    Undefined(Text<'a>),
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Text<'a>),
    Array(&'a [Value]),
    Object(&'a Map),
    Headers(&'a Map),
    Slice(&'a StreamSlice),
    List(Rc<RefCell<Vec<Py<'a>>>>),
    Tuple(Rc<Vec<Py<'a>>>),
    Dict(Rc<RefCell<Vec<(Py<'a>, Py<'a>)>>>),
    Namespace(Rc<RefCell<Vec<(Py<'a>, Py<'a>)>>>),
    Moment(Moment),
    Date(Date),
    /// Microseconds.
    Delta(i64),
    Duration(IsoDuration),
    Method(Rc<Py<'a>>, Text<'a>),
    Function(Text<'a>),
    Loop(Rc<LoopState<'a>>),
}

pub(super) struct LoopState<'a> {
    pub items: Rc<Vec<Py<'a>>>,
    pub index: usize,
    pub depth: usize,
}

impl<'a> Py<'a> {
    pub fn of(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::None,
            Value::Bool(truth) => Self::Bool(*truth),
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(int), _) => Self::Int(int.into()),
                (None, Some(int)) => Self::Int(int.into()),
                (None, None) => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => Self::Text(Text::Borrowed(text)),
            Value::Array(items) => Self::Array(items),
            Value::Object(members) => Self::Object(members),
        }
    }

    pub fn shown(variable: Variable<'a>) -> Self {
        match variable {
            Variable::Json(value) => Self::of(value),
            Variable::Headers(Value::Object(members)) => Self::Headers(members),
            Variable::Headers(other) => Self::of(other),
            Variable::Slice(slice) => Self::Slice(slice),
        }
    }

    pub fn text(text: impl Into<Rc<str>>) -> Self {
        Self::Text(Text::Shared(text.into()))
    }

    pub fn list(items: Vec<Py<'a>>) -> Self {
        Self::List(Rc::new(RefCell::new(items)))
    }

    pub fn tuple(items: Vec<Py<'a>>) -> Self {
        Self::Tuple(Rc::new(items))
    }

    pub fn dict(members: Vec<(Py<'a>, Py<'a>)>) -> Self {
        Self::Dict(Rc::new(RefCell::new(members)))
    }

    pub fn undefined(name: impl Into<Text<'a>>) -> Self {
        Self::Undefined(name.into())
    }

    /// Python's name of the type.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Undefined(_) => "Undefined",
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) => "str",
            Self::Array(_) | Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Object(_) | Self::Dict(_) => "dict",
            Self::Headers(_) => "CaseInsensitiveDict",
            Self::Slice(_) => "StreamSlice",
            Self::Namespace(_) => "Namespace",
            Self::Moment(_) => "datetime",
            Self::Date(_) => "date",
            Self::Delta(_) => "timedelta",
            Self::Duration(_) => "Duration",
            Self::Method(..) => "method",
            Self::Function(_) => "function",
            Self::Loop(_) => "LoopContext",
        }
    }

    pub fn is_true(&self) -> bool {
        match self {
            Self::Undefined(_) | Self::None => false,
            Self::Bool(truth) => *truth,
            Self::Int(int) => *int != 0,
            Self::Float(float) => *float != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::Delta(microseconds) => *microseconds != 0,
            Self::Duration(_) | Self::Moment(_) | Self::Date(_) | Self::Method(..) | Self::Function(_) => true,
            Self::Loop(_) | Self::Namespace(_) => true,
            _ => self.len() != Some(0),
        }
    }

    /// Of what has one.
    pub fn len(&self) -> Option<usize> {
        Some(match self {
            Self::Undefined(_) => 0,
            Self::Text(text) => {
                if text.is_ascii() {
                    text.len()
                } else {
                    text.chars().count()
                }
            }
            Self::Array(items) => items.len(),
            Self::List(items) => items.borrow().len(),
            Self::Tuple(items) => items.len(),
            Self::Loop(state) => state.items.len(),
            Self::Object(members) | Self::Headers(members) => members.len(),
            Self::Slice(slice) => slice.members().len(),
            Self::Dict(members) => members.borrow().len(),
            _ => return None,
        })
    }

    pub fn is_mapping(&self) -> bool {
        matches!(self, Self::Object(_) | Self::Headers(_) | Self::Slice(_) | Self::Dict(_))
    }

    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Bool(truth) => Some(f64::from(u8::from(*truth))),
            Self::Int(int) => Some(*int as f64),
            Self::Float(float) => Some(*float),
            _ => None,
        }
    }

    /// An integer, or a truth value as one.
    pub fn as_int(&self) -> Option<i128> {
        match self {
            Self::Bool(truth) => Some(i128::from(*truth)),
            Self::Int(int) => Some(*int),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The items of what can be iterated over; of mappings, the keys.
    pub fn items(&self) -> Result<Vec<Py<'a>>, Fault> {
        Ok(match self {
            Self::Undefined(_) => Vec::new(),
            Self::Text(Text::Borrowed(text)) => {
                text.char_indices().map(|(at, c)| Py::Text(Text::Borrowed(&text[at..at + c.len_utf8()]))).collect()
            }
            Self::Text(text) => text.chars().map(|c| Py::text(c.to_string())).collect(),
            Self::Array(items) => items.iter().map(Py::of).collect(),
            Self::List(items) => items.borrow().clone(),
            Self::Tuple(items) => items.to_vec(),
            Self::Loop(state) => state.items.to_vec(),
            _ if self.is_mapping() => self.members().into_iter().map(|(key, _)| key).collect(),
            _ => return Err(Fault::Type(format!("'{}' object is not iterable", self.kind()))),
        })
    }

    /// Keys and values; nothing for what isn't a mapping.
    pub fn members(&self) -> Vec<(Py<'a>, Py<'a>)> {
        let members = match self {
            Self::Object(members) | Self::Headers(members) => *members,
            Self::Slice(slice) => slice.members(),
            Self::Dict(members) | Self::Namespace(members) => return members.borrow().clone(),
            _ => return Vec::new(),
        };
        members.iter().map(|(key, value)| (Py::Text(Text::Borrowed(key)), Py::of(value))).collect()
    }

    /// The member of a mapping. A key that can't be one is a fault.
    pub fn member(&self, key: &Py<'a>) -> Result<Option<Py<'a>>, Fault> {
        if matches!(key, Py::Array(_) | Py::List(_) | Py::Object(_) | Py::Dict(_)) {
            return Err(Fault::Type(format!("unhashable type: '{}'", key.kind())));
        }
        Ok(match (self, key) {
            (Self::Object(members), Py::Text(key)) => members.get(key).map(|value| match value {
                Value::Object(headers) if **key == *"headers" => Py::Headers(headers),
                value => Py::of(value),
            }),
            (Self::Slice(slice), Py::Text(key)) => slice.members().get(key).map(Py::of),
            (Self::Headers(members), Py::Text(key)) => {
                let other_case = || members.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
                members.get(key).or_else(|| other_case().map(|(_, value)| value)).map(Py::of)
            }
            (Self::Dict(members) | Self::Namespace(members), key) => {
                members.borrow().iter().find(|(known, _)| known.equals(key)).map(|(_, value)| value.clone())
            }
            _ => None,
        })
    }

    /// `==`.
    pub fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Undefined(_), Self::Undefined(_)) | (Self::None, Self::None) => true,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Moment(a), Self::Moment(b)) => a.compare(b) == Some(Ordering::Equal),
            (Self::Date(a), Self::Date(b)) => a == b,
            (Self::Delta(a), Self::Delta(b)) => a == b,
            (Self::Duration(a), Self::Duration(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a == b,
            (Self::Object(a), Self::Object(b)) => a == b,
            (Self::Tuple(a), Self::Tuple(b)) => all_equal(a, b),
            (Self::Array(_) | Self::List(_), Self::Array(_) | Self::List(_)) if self.len() != other.len() => false,
            (Self::Array(_) | Self::List(_), Self::Array(_) | Self::List(_)) => match (self.items(), other.items()) {
                (Ok(a), Ok(b)) => all_equal(&a, &b),
                _ => false,
            },
            _ if self.is_mapping() && other.is_mapping() => {
                self.len() == other.len()
                    && (self.members().iter())
                        .all(|(key, value)| matches!(other.member(key), Ok(Some(found)) if found.equals(value)))
            }
            _ => match (self.as_int(), other.as_int()) {
                (Some(a), Some(b)) => a == b,
                _ => matches!((self.as_number(), other.as_number()), (Some(a), Some(b)) if a == b),
            },
        }
    }

    /// `<` and its kin; a fault for what has no order. `None` when one of them is no number.
    pub fn order(&self, other: &Self) -> Result<Option<Ordering>, Fault> {
        if let (Some(a), Some(b)) = (self.as_int(), other.as_int()) {
            return Ok(Some(a.cmp(&b)));
        }
        if let (Some(a), Some(b)) = (self.as_number(), other.as_number()) {
            return Ok(a.partial_cmp(&b));
        }
        let unordered =
            || Fault::Type(format!("'<' not supported between instances of '{}' and '{}'", self.kind(), other.kind()));
        match (self, other) {
            (Self::Undefined(name), _) | (_, Self::Undefined(name)) => Err(Fault::Undefined(name.to_string())),
            (Self::Text(a), Self::Text(b)) => Ok(Some(a.cmp(b))),
            (Self::Moment(a), Self::Moment(b)) => a.compare(b).map(Some).ok_or_else(unordered),
            (Self::Date(a), Self::Date(b)) => Ok(Some(a.cmp(b))),
            (Self::Delta(a), Self::Delta(b)) => Ok(Some(a.cmp(b))),
            (Self::Array(_) | Self::List(_), Self::Array(_) | Self::List(_)) | (Self::Tuple(_), Self::Tuple(_)) => {
                let (a, b) = (self.items()?, other.items()?);
                for (a, b) in a.iter().zip(&b) {
                    if !a.equals(b) {
                        return a.order(b);
                    }
                }
                Ok(Some(a.len().cmp(&b.len())))
            }
            _ => Err(unordered()),
        }
    }

    /// The JSON value that reading the printed value would give, if the print is a literal.
    pub fn to_json(&self) -> Option<Value> {
        Some(match self {
            Self::None => Value::Null,
            Self::Bool(truth) => Value::Bool(*truth),
            Self::Int(int) => match (i64::try_from(*int), u64::try_from(*int)) {
                (Ok(int), _) => int.into(),
                (_, Ok(int)) => int.into(),
                _ => return None,
            },
            Self::Float(float) => serde_json::Number::from_f64(*float)?.into(),
            Self::Text(text) => Value::String(text.clone().into_owned()),
            Self::Array(items) => Value::Array(items.to_vec()),
            Self::Object(members) => Value::Object((*members).clone()),
            Self::Headers(members) => Value::Object((*members).clone()),
            Self::Slice(slice) => Value::Object(slice.members().clone()),
            Self::List(items) => items.borrow().iter().map(Self::to_json).collect::<Option<_>>()?,
            Self::Tuple(items) => items.iter().map(Self::to_json).collect::<Option<_>>()?,
            Self::Dict(members) => {
                let mut object = Map::new();
                for (key, value) in members.borrow().iter() {
                    object.insert(json_key(&key.to_json()?)?, value.to_json()?);
                }
                Value::Object(object)
            }
            _ => return None,
        })
    }

    /// What it takes to walk through the whole value, in quarters of a step, up to what is left; what is shared is
    /// walked through each time. What a context shows counts with its own size only: nothing in it is there twice.
    pub fn walk(&self, left: &mut usize, depth: usize) -> Result<(), Fault> {
        let mut take = |units: usize| match left.checked_sub(units + 1) {
            Some(less) => {
                *left = less;
                Ok(())
            }
            None => Err(Fault::endless()),
        };
        if depth > MAX_DEPTH {
            return Err(Fault::Stopped(format!("a value is nested more than {MAX_DEPTH} levels deep")));
        }
        match self {
            Self::Text(text) => take(text.len() / 16),
            Self::Array(items) => take(items.len()),
            Self::Object(members) | Self::Headers(members) => take(members.len()),
            Self::List(items) => {
                take(0)?;
                items.borrow().iter().try_for_each(|item| item.walk(left, depth + 1))
            }
            Self::Tuple(items) => {
                take(0)?;
                items.iter().try_for_each(|item| item.walk(left, depth + 1))
            }
            Self::Loop(state) => {
                take(0)?;
                state.items.iter().try_for_each(|item| item.walk(left, depth + 1))
            }
            Self::Dict(members) | Self::Namespace(members) => {
                take(0)?;
                members.borrow().iter().try_for_each(|(key, value)| {
                    key.walk(left, depth + 1)?;
                    value.walk(left, depth + 1)
                })
            }
            Self::Method(owner, _) => owner.walk(left, depth + 1),
            _ => take(0),
        }
    }

    /// Whether it is, or holds, the given list or mapping.
    pub fn holds(&self, address: *const ()) -> bool {
        match self {
            Self::List(items) => Rc::as_ptr(items).cast() == address || items.borrow().iter().any(|i| i.holds(address)),
            Self::Tuple(items) => items.iter().any(|item| item.holds(address)),
            Self::Dict(members) | Self::Namespace(members) => {
                Rc::as_ptr(members).cast() == address || members.borrow().iter().any(|(_, value)| value.holds(address))
            }
            Self::Method(owner, _) => owner.holds(address),
            Self::Loop(state) => state.items.iter().any(|item| item.holds(address)),
            _ => false,
        }
    }
}

/// How deep what a template makes may be nested.
const MAX_DEPTH: usize = 200;

fn all_equal<'a>(a: &[Py<'a>], b: &[Py<'a>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.equals(b))
}

/// A key as Python's JSON writer makes a text of it.
pub(crate) fn json_key(key: &Value) -> Option<String> {
    Some(match key {
        Value::String(text) => text.clone(),
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(_) => super::print::python_text(key),
        Value::Array(_) | Value::Object(_) => return None,
    })
}
