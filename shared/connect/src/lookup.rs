//! Paths through JSON, where the CDK uses its `dpath`.

use crate::value::{Map, Value};

/// The value at a path; numbers are indices of lists.
pub fn get<'a, S: AsRef<str>>(value: &'a Value, path: &[S]) -> Option<&'a Value> {
    path.iter().try_fold(value, |node, step| match node {
        Value::Object(members) => members.get(step.as_ref()),
        Value::Array(items) => items.get(step.as_ref().parse::<usize>().ok()?),
        _ => None,
    })
}

/// Sets what is there already; `false` when nothing is. A `*` is every member.
pub fn set(value: &mut Value, path: &[String], new: &Value) -> bool {
    let [step, rest @ ..] = path else {
        *value = new.clone();
        return true;
    };
    let mut below: Vec<&mut Value> = match value {
        Value::Object(members) if step == "*" => members.values_mut().collect(),
        Value::Object(members) => members.get_mut(step).into_iter().collect(),
        Value::Array(items) if step == "*" => items.iter_mut().collect(),
        Value::Array(items) => step.parse::<usize>().ok().and_then(|at| items.get_mut(at)).into_iter().collect(),
        _ => Vec::new(),
    };
    let mut is_set = false;
    for node in &mut below {
        is_set |= set(node, rest, new);
    }
    is_set
}

/// Sets a member, with whatever objects and lists are missing on the way.
pub fn put(value: &mut Value, path: &[String], new: Value) -> Option<()> {
    let [step, rest @ ..] = path else {
        *value = new;
        return Some(());
    };
    let index = step.parse::<usize>().ok();
    if let (Value::Array(items), Some(index)) = (&mut *value, index) {
        if items.len() <= index {
            items.resize(index + 1, Value::Null);
        }
        return put(&mut items[index], rest, new);
    }
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    put(value.as_object_mut()?.entry(step.clone()).or_insert(Value::Null), rest, new)
}
