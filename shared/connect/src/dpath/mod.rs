//! Paths into JSON values as the dpath library understands them: names, indices, `*`, `?`, `[ab]`, `**`.

mod pattern;

use crate::value::{Map, Value};

use pattern::fits;

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Name(String),
    /// Of a list; in an object, the name with these digits.
    Index(i64),
}

impl Step {
    /// Of a rendered or literal path.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        match value {
            Value::String(name) => Self::Name(name.clone()),
            other => match other.as_i64() {
                Some(index) => Self::Index(index),
                None => Self::Name(crate::interpolate::python_text(other)),
            },
        }
    }

    pub fn name(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::Index(index) => index.to_string(),
        }
    }

    fn is_glob(&self) -> bool {
        matches!(self, Self::Name(name) if name.contains(['*', '?', '[']))
    }

    pub fn is_star(&self) -> bool {
        matches!(self, Self::Name(name) if name == "*")
    }

    fn is_deep(&self) -> bool {
        matches!(self, Self::Name(name) if name == "**")
    }

    fn index(&self) -> Option<i64> {
        match self {
            Self::Name(name) => name.trim().parse().ok(),
            Self::Index(index) => Some(*index),
        }
    }

    fn fits_member(&self, name: &str) -> bool {
        match self {
            Self::Name(pattern) if self.is_glob() => fits(pattern.as_bytes(), name.as_bytes()),
            Self::Name(own) => own == name,
            Self::Index(_) => false,
        }
    }

    fn fits_item(&self, index: usize, length: usize) -> bool {
        match self.index() {
            Some(own) => own + if own < 0 { length as i64 } else { 0 } == index as i64,
            None => self.fits_member(&index.to_string()),
        }
    }
}

/// Every value that the path leads to, taken out of `value`. `**` stands for any number of steps.
#[must_use]
pub fn take(value: Value, path: &[Step]) -> Vec<Value> {
    let mut found = Vec::new();
    if path.iter().any(Step::is_deep) {
        find_deep(&value, path, &mut Vec::new(), &mut |_, value| found.push(value.clone()));
    } else {
        collect(value, path, &mut found);
    }
    found
}

fn collect(value: Value, path: &[Step], found: &mut Vec<Value>) {
    let Some((step, rest)) = path.split_first() else { return found.push(value) };
    match value {
        Value::Object(mut members) => {
            if step.is_glob() {
                let fitting = members.into_iter().filter(|(name, _)| step.fits_member(name));
                fitting.for_each(|(_, value)| collect(value, rest, found));
            } else if let Step::Name(name) = step
                && let Some(value) = members.get_mut(name)
            {
                collect(value.take(), rest, found);
            }
        }
        Value::Array(items) => {
            let length = items.len();
            let fitting = items.into_iter().enumerate().filter(|(i, _)| step.fits_item(*i, length));
            fitting.for_each(|(_, value)| collect(value, rest, found));
        }
        _ => {}
    }
}

/// Every value that the path leads to.
#[must_use]
pub fn find<'v>(value: &'v Value, path: &[Step]) -> Vec<&'v Value> {
    let mut places = Vec::new();
    if path.iter().any(Step::is_deep) {
        find_deep(value, path, &mut Vec::new(), &mut |_, value| places.push(value));
    } else {
        look(value, path, &mut places);
    }
    places
}

fn look<'v>(value: &'v Value, path: &[Step], found: &mut Vec<&'v Value>) {
    let Some((step, rest)) = path.split_first() else { return found.push(value) };
    match value {
        Value::Object(members) if step.is_glob() => {
            let fitting = members.iter().filter(|(name, _)| step.fits_member(name));
            fitting.for_each(|(_, value)| look(value, rest, found));
        }
        Value::Object(members) => {
            if let Step::Name(name) = step
                && let Some(value) = members.get(name)
            {
                look(value, rest, found);
            }
        }
        Value::Array(items) => {
            let fitting = items.iter().enumerate().filter(|(i, _)| step.fits_item(*i, items.len()));
            fitting.for_each(|(_, value)| look(value, rest, found));
        }
        _ => {}
    }
}

/// Each match with the names and indices on the way to it; parents before children.
fn find_deep<'v>(value: &'v Value, path: &[Step], way: &mut Vec<Step>, each: &mut dyn FnMut(&[Step], &'v Value)) {
    let deep = path.iter().position(Step::is_deep);
    walk(value, way, if deep.is_some() { usize::MAX } else { path.len() }, &mut |way, lengths, value| {
        let matches = match deep {
            None => way.len() == path.len() && fit_all(path, way, lengths),
            Some(at) => {
                let after = path.len() - at - 1;
                way.len() >= at + after
                    && fit_all(&path[..at], &way[..at], &lengths[..at])
                    && fit_all(&path[at + 1..], &way[way.len() - after..], &lengths[way.len() - after..])
            }
        };
        if matches {
            each(way, value);
        }
    });
}

fn fit_all(path: &[Step], way: &[Step], lengths: &[usize]) -> bool {
    path.iter().zip(way).zip(lengths).all(|((step, place), length)| match place {
        Step::Name(name) => step.fits_member(name),
        Step::Index(index) => step.fits_item(*index as usize, *length),
    })
}

/// The way to a value, the number of its neighbours at each step, the value.
type Visit<'f, 'v> = &'f mut dyn FnMut(&[Step], &[usize], &'v Value);

fn walk<'v>(value: &'v Value, way: &mut Vec<Step>, depth: usize, each: Visit<'_, 'v>) {
    fn nested<'v>(value: &'v Value, way: &mut Vec<Step>, lengths: &mut Vec<usize>, depth: usize, each: Visit<'_, 'v>) {
        if way.len() >= depth {
            return;
        }
        let children: Vec<(Step, &Value)> = match value {
            Value::Object(members) => members.iter().map(|(name, value)| (Step::Name(name.clone()), value)).collect(),
            Value::Array(items) => items.iter().enumerate().map(|(i, value)| (Step::Index(i as i64), value)).collect(),
            _ => return,
        };
        lengths.push(children.len());
        for (step, child) in &children {
            way.push(step.clone());
            each(way, lengths, child);
            way.pop();
        }
        for (step, child) in children {
            way.push(step);
            nested(child, way, lengths, depth, each);
            way.pop();
        }
        lengths.pop();
    }
    nested(value, way, &mut Vec::new(), depth, each);
}

/// What says of a leaf whether it goes.
pub type Condition<'f, E> = &'f mut dyn FnMut(&Value) -> Result<bool, E>;

/// Removes what the path leads to, or, with a condition, every leaf that it holds for, wherever it is: so the
/// reference does it. An item that isn't its list's last becomes null instead.
pub fn remove<E>(value: &mut Value, path: &[Step], condition: Option<Condition<'_, E>>) -> Result<usize, E> {
    if condition.is_none() && path.iter().all(|step| !step.is_glob()) {
        return Ok(usize::from(remove_one(value, path)));
    }
    let mut ways: Vec<Vec<Step>> = Vec::new();
    match condition {
        None => find_deep(value, path, &mut Vec::new(), &mut |way, _| ways.push(way.to_vec())),
        Some(condition) => {
            let mut failed = None;
            walk(value, &mut Vec::new(), usize::MAX, &mut |way, _, value| {
                if failed.is_none() && !matches!(value, Value::Array(_) | Value::Object(_)) {
                    match condition(value) {
                        Ok(true) => ways.push(way.to_vec()),
                        Ok(false) => {}
                        Err(error) => failed = Some(error),
                    }
                }
            });
            if let Some(error) = failed {
                return Err(error);
            }
        }
    }
    Ok(ways.iter().filter(|way| remove_one(value, way)).count())
}

/// Removes every list that the path leads to, and from a list of lists its items too.
pub fn remove_lists(value: &mut Value, path: &[Step]) {
    let mut ways: Vec<Vec<Step>> = Vec::new();
    find_deep(value, path, &mut Vec::new(), &mut |way, found| {
        if found.is_array() {
            ways.push(way.to_vec());
        }
    });
    // The last first, so that no index moves before its turn.
    for way in ways.iter().rev() {
        let Some((last, before)) = way.split_last() else { continue };
        match (before.iter().try_fold(&mut *value, child), last) {
            (Some(Value::Object(members)), Step::Name(name)) => members.retain(|known, _| known != name),
            (Some(Value::Array(items)), Step::Index(index)) => {
                items.remove(*index as usize);
            }
            _ => {}
        }
    }
}

fn remove_one(value: &mut Value, way: &[Step]) -> bool {
    let Some((last, before)) = way.split_last() else { return false };
    let mut place = value;
    for step in before {
        let Some(next) = child(place, step) else { return false };
        place = next;
    }
    match place {
        Value::Object(members) => match last {
            Step::Name(name) if members.contains_key(name) => {
                members.retain(|known, _| known != name);
                true
            }
            _ => false,
        },
        Value::Array(items) => {
            let Some(at) = (0..items.len()).find(|at| last.fits_item(*at, items.len())) else { return false };
            if at + 1 == items.len() {
                items.pop();
            } else {
                items[at] = Value::Null;
            }
            true
        }
        _ => false,
    }
}

fn child<'v>(value: &'v mut Value, step: &Step) -> Option<&'v mut Value> {
    match value {
        Value::Object(members) => match step {
            Step::Name(name) => members.get_mut(name),
            Step::Index(_) => None,
        },
        Value::Array(items) => {
            let at = (0..items.len()).find(|at| step.fits_item(*at, items.len()))?;
            items.get_mut(at)
        }
        _ => None,
    }
}

/// How far a list may be extended by setting an item behind its end.
const MAX_INDEX: usize = 100_000;

/// Sets the value at the path, making what is missing on the way: lists where the next step is a number, objects
/// elsewhere. The error names the step that leads through a plain value.
pub fn set(value: &mut Value, path: &[Step], new: Value) -> Result<(), String> {
    let Some((last, before)) = path.split_last() else { return Err("an empty path leads nowhere".to_owned()) };
    let mut place = value;
    for (i, step) in before.iter().enumerate() {
        let list = path[i + 1].index().is_some_and(|index| index >= 0);
        place = slot(place, step, || if list { Value::Array(Vec::new()) } else { Value::Object(Map::new()) })?;
        if !matches!(place, Value::Array(_) | Value::Object(_)) {
            return Err(format!("'{}' is there already and holds nothing inside", step.name()));
        }
    }
    *slot(place, last, || Value::Null)? = new;
    Ok(())
}

fn slot<'v>(place: &'v mut Value, step: &Step, missing: impl Fn() -> Value) -> Result<&'v mut Value, String> {
    match place {
        Value::Object(members) => Ok(members.entry(step.name()).or_insert_with(missing)),
        Value::Array(items) => {
            let index = step.index().and_then(|index| usize::try_from(index).ok()).filter(|index| *index <= MAX_INDEX);
            let index = index.ok_or_else(|| format!("'{}' is no index of a list", step.name()))?;
            if index >= items.len() {
                items.resize(index, Value::Null);
                items.push(missing());
            }
            Ok(&mut items[index])
        }
        _ => Err(format!("'{}' leads into a plain value", step.name())),
    }
}

/// Of a component's list of steps.
#[must_use]
pub fn steps(path: Option<&Value>) -> Vec<Step> {
    match path {
        Some(Value::Array(steps)) => steps.iter().map(Step::of).collect(),
        Some(Value::String(step)) => vec![Step::Name(step.clone())],
        _ => Vec::new(),
    }
}
