//! JSON values whose objects keep the order of their members, as Python's do.
//!
//! Owns the engine's values: records, configurations, components, states. Owns no value of the pipeline, whose
//! objects go by name; the two meet where the engine is plugged in, nowhere else.
//!
//! Always holds: a member keeps its place until it is removed; numbers are as exact as they were read; a large
//! object costs no more for each member than a small one.

mod convert;
mod json;
mod map;
#[cfg(test)]
mod tests;

pub use map::{Entry, Map};
pub use serde_json::Number;

pub use crate::json;

#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    #[default]
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    Array(Vec<Value>),
    Object(Map),
}

impl Value {
    /// A member of an object, or an item of a list.
    pub fn get<I: Index>(&self, index: I) -> Option<&Value> {
        index.of(self)
    }

    pub fn get_mut<I: Index>(&mut self, index: I) -> Option<&mut Value> {
        index.of_mut(self)
    }

    /// By JSON pointer.
    pub fn pointer(&self, pointer: &str) -> Option<&Value> {
        if pointer.is_empty() {
            return Some(self);
        }
        pointer.strip_prefix('/')?.split('/').try_fold(self, |value, step| {
            let step = step.replace("~1", "/").replace("~0", "~");
            match value {
                Self::Object(members) => members.get(&step),
                Self::Array(items) => items.get(step.parse::<usize>().ok()?),
                _ => None,
            }
        })
    }

    pub fn as_object(&self) -> Option<&Map> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    pub fn as_object_mut(&mut self) -> Option<&mut Map> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    pub fn as_array(&self) -> Option<&Vec<Value>> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    pub fn as_array_mut(&mut self) -> Option<&mut Vec<Value>> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    pub fn as_number(&self) -> Option<&Number> {
        match self {
            Self::Number(number) => Some(number),
            _ => None,
        }
    }

    pub fn as_i64(&self) -> Option<i64> {
        self.as_number()?.as_i64()
    }

    pub fn as_u64(&self) -> Option<u64> {
        self.as_number()?.as_u64()
    }

    pub fn as_f64(&self) -> Option<f64> {
        self.as_number()?.as_f64()
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub fn is_boolean(&self) -> bool {
        matches!(self, Self::Bool(_))
    }

    pub fn is_number(&self) -> bool {
        matches!(self, Self::Number(_))
    }

    pub fn is_i64(&self) -> bool {
        self.as_number().is_some_and(Number::is_i64)
    }

    pub fn is_u64(&self) -> bool {
        self.as_number().is_some_and(Number::is_u64)
    }

    pub fn is_f64(&self) -> bool {
        self.as_number().is_some_and(Number::is_f64)
    }

    pub fn is_string(&self) -> bool {
        matches!(self, Self::String(_))
    }

    pub fn is_array(&self) -> bool {
        matches!(self, Self::Array(_))
    }

    pub fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    /// Leaves null.
    pub fn take(&mut self) -> Value {
        std::mem::take(self)
    }
}

/// What a value can be looked into with: names and positions.
pub trait Index {
    fn of(self, value: &Value) -> Option<&Value>;
    fn of_mut(self, value: &mut Value) -> Option<&mut Value>;
}

impl Index for &str {
    fn of(self, value: &Value) -> Option<&Value> {
        value.as_object()?.get(self)
    }

    fn of_mut(self, value: &mut Value) -> Option<&mut Value> {
        value.as_object_mut()?.get_mut(self)
    }
}

impl Index for &String {
    fn of(self, value: &Value) -> Option<&Value> {
        self.as_str().of(value)
    }

    fn of_mut(self, value: &mut Value) -> Option<&mut Value> {
        self.as_str().of_mut(value)
    }
}

impl Index for usize {
    fn of(self, value: &Value) -> Option<&Value> {
        value.as_array()?.get(self)
    }

    fn of_mut(self, value: &mut Value) -> Option<&mut Value> {
        value.as_array_mut()?.get_mut(self)
    }
}

impl std::ops::Index<&str> for Map {
    type Output = Value;

    fn index(&self, name: &str) -> &Value {
        self.get(name).unwrap_or(&NULL)
    }
}

static NULL: Value = Value::Null;

/// What isn't there reads as null.
impl<I: Index> std::ops::Index<I> for Value {
    type Output = Value;

    fn index(&self, index: I) -> &Value {
        index.of(self).unwrap_or(&NULL)
    }
}

/// Makes the member if there is none. Only objects have members.
impl std::ops::IndexMut<&str> for Value {
    fn index_mut(&mut self, name: &str) -> &mut Value {
        self.as_object_mut().expect("only an object is given members").entry(name).or_insert(Self::Null)
    }
}

/// A value written like JSON. Expressions are taken over with `Value::from`.
#[macro_export]
macro_rules! json {
    (null) => { $crate::value::Value::Null };
    ([$($items:tt)*]) => {{
        #[allow(unused_mut, clippy::vec_init_then_push)]
        let items = { let mut items = ::std::vec::Vec::new(); $crate::json!(@items items $($items)*); items };
        $crate::value::Value::Array(items)
    }};
    ({$($members:tt)*}) => {{
        #[allow(unused_mut)]
        let members = { let mut members = $crate::value::Map::new(); $crate::json!(@members members $($members)*); members };
        $crate::value::Value::Object(members)
    }};
    (@items $to:ident) => {};
    (@items $to:ident null $(, $($rest:tt)*)?) => {
        $to.push($crate::value::Value::Null); $crate::json!(@items $to $($($rest)*)?);
    };
    (@items $to:ident [$($inner:tt)*] $(, $($rest:tt)*)?) => {
        $to.push($crate::json!([$($inner)*])); $crate::json!(@items $to $($($rest)*)?);
    };
    (@items $to:ident {$($inner:tt)*} $(, $($rest:tt)*)?) => {
        $to.push($crate::json!({$($inner)*})); $crate::json!(@items $to $($($rest)*)?);
    };
    (@items $to:ident $item:expr $(, $($rest:tt)*)?) => {
        $to.push($crate::value::Value::from($item)); $crate::json!(@items $to $($($rest)*)?);
    };
    (@members $to:ident) => {};
    (@members $to:ident $name:tt : null $(, $($rest:tt)*)?) => {
        $to.insert(($name).into(), $crate::value::Value::Null); $crate::json!(@members $to $($($rest)*)?);
    };
    (@members $to:ident $name:tt : [$($inner:tt)*] $(, $($rest:tt)*)?) => {
        $to.insert(($name).into(), $crate::json!([$($inner)*])); $crate::json!(@members $to $($($rest)*)?);
    };
    (@members $to:ident $name:tt : {$($inner:tt)*} $(, $($rest:tt)*)?) => {
        $to.insert(($name).into(), $crate::json!({$($inner)*})); $crate::json!(@members $to $($($rest)*)?);
    };
    (@members $to:ident $name:tt : $value:expr $(, $($rest:tt)*)?) => {
        $to.insert(($name).into(), $crate::value::Value::from($value)); $crate::json!(@members $to $($($rest)*)?);
    };
    ($value:expr) => { $crate::value::Value::from($value) };
}
