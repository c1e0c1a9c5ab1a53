//! From and to values of other kinds, and what a value compares with.

use serde_json::Number;

use super::{Map, Value};

macro_rules! from {
    ($($kind:ty => |$it:ident| $value:expr;)*) => {
        $(impl From<$kind> for Value {
            fn from($it: $kind) -> Self {
                $value
            }
        })*
    };
}
from! {
    bool => |it| Self::Bool(it);
    Number => |it| Self::Number(it);
    i32 => |it| Self::Number(it.into());
    i64 => |it| Self::Number(it.into());
    u16 => |it| Self::Number(it.into());
    u32 => |it| Self::Number(it.into());
    u64 => |it| Self::Number(it.into());
    usize => |it| Self::Number(it.into());
    f64 => |it| Number::from_f64(it).map_or(Self::Null, Self::Number);
    &str => |it| Self::String(it.to_owned());
    &String => |it| Self::String(it.clone());
    String => |it| Self::String(it);
    &[String] => |it| it.iter().collect();
    &[Value] => |it| Self::Array(it.to_vec());
    Map => |it| Self::Object(it);
    &Map => |it| Self::Object(it.clone());
    &Value => |it| it.clone();
    // What the pipeline has: a configuration, a position.
    &serde_json::Value => |it| match it {
        serde_json::Value::Null => Self::Null,
        serde_json::Value::Bool(truth) => Self::Bool(*truth),
        serde_json::Value::Number(number) => Self::Number(number.clone()),
        serde_json::Value::String(text) => Self::String(text.clone()),
        serde_json::Value::Array(items) => Self::Array(items.iter().map(Self::from).collect()),
        serde_json::Value::Object(members) => {
            Self::Object(members.iter().map(|(name, value)| (name.clone(), value.into())).collect())
        }
    };
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        items.into_iter().collect()
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<T: Into<Value>> FromIterator<T> for Value {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::Array(items.into_iter().map(Into::into).collect())
    }
}

impl FromIterator<(String, Value)> for Value {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(members: I) -> Self {
        Self::Object(members.into_iter().collect())
    }
}

/// What the pipeline takes: members go by name there.
impl From<Value> for serde_json::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(truth) => Self::Bool(truth),
            Value::Number(number) => Self::Number(number),
            Value::String(text) => Self::String(text),
            Value::Array(items) => Self::Array(items.into_iter().map(Self::from).collect()),
            Value::Object(members) => {
                Self::Object(members.into_iter().map(|(name, value)| (name, value.into())).collect())
            }
        }
    }
}

macro_rules! equals {
    ($($kind:ty => |$value:ident, $it:ident| $equals:expr;)*) => {
        $(impl PartialEq<$kind> for Value {
            fn eq(&self, $it: &$kind) -> bool {
                let $value = self;
                $equals
            }
        })*
    };
}
equals! {
    str => |value, it| value.as_str() == Some(it);
    &str => |value, it| value.as_str() == Some(*it);
    String => |value, it| value.as_str() == Some(it);
    bool => |value, it| value.as_bool() == Some(*it);
    i32 => |value, it| value.as_i64() == Some(i64::from(*it));
    i64 => |value, it| value.as_i64() == Some(*it);
    f64 => |value, it| value.as_f64() == Some(*it);
}
