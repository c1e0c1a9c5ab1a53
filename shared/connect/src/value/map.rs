//! Members in the order in which they came.
//!
//! A small object is a list that is searched from its start: for the sizes that records have, nothing is faster
//! or smaller. A larger one has a table of where each name stands beside its list.

use std::fmt;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::Value;

/// So many members are found soon enough by looking at each.
const SEARCHED: usize = 24;

#[derive(Clone, Default)]
pub struct Map {
    members: Vec<(String, Value)>,
    /// Of objects with more than `SEARCHED` members.
    table: Option<Box<Table>>,
}

#[derive(Clone, Default)]
struct Table {
    places: HashTable<usize>,
    hasher: DefaultHashBuilder,
}

impl Table {
    fn of(members: &[(String, Value)]) -> Box<Self> {
        let mut table = Self::default();
        table.places.reserve(2 * members.len(), |_| 0);
        (0..members.len()).for_each(|at| table.add(members, at));
        Box::new(table)
    }

    fn add(&mut self, members: &[(String, Value)], at: usize) {
        let Self { places, hasher } = self;
        places
            .insert_unique(hasher.hash_one(members[at].0.as_str()), at, |at| hasher.hash_one(members[*at].0.as_str()));
    }

    fn find(&self, members: &[(String, Value)], name: &str) -> Option<usize> {
        self.places.find(self.hasher.hash_one(name), |at| members[*at].0 == name).copied()
    }

    fn remove(&mut self, members: &[(String, Value)], at: usize) {
        if let Ok(entry) = self.places.find_entry(self.hasher.hash_one(members[at].0.as_str()), |known| *known == at) {
            entry.remove();
        }
        self.places.iter_mut().filter(|place| **place > at).for_each(|place| *place -= 1);
    }
}

impl Map {
    #[must_use]
    pub const fn new() -> Self {
        Self { members: Vec::new(), table: None }
    }

    #[must_use]
    pub fn with_capacity(members: usize) -> Self {
        Self { members: Vec::with_capacity(members), table: None }
    }

    fn find(&self, name: &str) -> Option<usize> {
        match &self.table {
            None => self.members.iter().position(|(known, _)| known == name),
            Some(table) => table.find(&self.members, name),
        }
    }

    /// Adds what is not there, and gives its place.
    fn add(&mut self, name: String, value: Value) -> usize {
        let at = self.members.len();
        self.members.push((name, value));
        match &mut self.table {
            Some(table) => table.add(&self.members, at),
            None if at >= SEARCHED => self.table = Some(Table::of(&self.members)),
            None => {}
        }
        at
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.find(name).map(|at| &self.members[at].1)
    }

    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.find(name).map(|at| &mut self.members[at].1)
    }

    #[must_use]
    pub fn contains_key(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// A known member keeps its place.
    pub fn insert(&mut self, name: String, value: Value) -> Option<Value> {
        match self.find(&name) {
            Some(at) => Some(std::mem::replace(&mut self.members[at].1, value)),
            None => {
                self.add(name, value);
                None
            }
        }
    }

    /// The members after it move up, so this is not for many of a large object: see `retain`.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let at = self.find(name)?;
        if let Some(table) = &mut self.table {
            table.remove(&self.members, at);
        }
        Some(self.members.remove(at).1)
    }

    pub fn retain<F: FnMut(&str, &mut Value) -> bool>(&mut self, mut keeps: F) {
        self.members.retain_mut(|(name, value)| keeps(name, value));
        self.table = (self.members.len() > SEARCHED).then(|| Table::of(&self.members));
    }

    pub fn entry(&mut self, name: impl Into<String>) -> Entry<'_> {
        Entry { map: self, name: name.into() }
    }

    pub fn iter(&self) -> Iter<'_> {
        self.into_iter()
    }

    pub fn keys(&self) -> impl ExactSizeIterator<Item = &String> + DoubleEndedIterator + Clone {
        self.members.iter().map(|(name, _)| name)
    }

    pub fn values(&self) -> impl ExactSizeIterator<Item = &Value> + DoubleEndedIterator + Clone {
        self.members.iter().map(|(_, value)| value)
    }

    pub fn values_mut(&mut self) -> impl ExactSizeIterator<Item = &mut Value> {
        self.members.iter_mut().map(|(_, value)| value)
    }
}

pub type Iter<'a> =
    std::iter::Map<std::slice::Iter<'a, (String, Value)>, fn(&'a (String, Value)) -> (&'a String, &'a Value)>;

/// The place of a member that may not be there yet.
pub struct Entry<'a> {
    map: &'a mut Map,
    name: String,
}

impl<'a> Entry<'a> {
    pub fn or_insert(self, value: Value) -> &'a mut Value {
        self.or_insert_with(|| value)
    }

    pub fn or_insert_with<F: FnOnce() -> Value>(self, value: F) -> &'a mut Value {
        let at = match self.map.find(&self.name) {
            Some(at) => at,
            None => self.map.add(self.name, value()),
        };
        &mut self.map.members[at].1
    }
}

/// Whatever the order.
impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(name, value)| other.get(name) == Some(value))
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Extend<(String, Value)> for Map {
    fn extend<I: IntoIterator<Item = (String, Value)>>(&mut self, members: I) {
        members.into_iter().for_each(|(name, value)| drop(self.insert(name, value)));
    }
}

impl FromIterator<(String, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(members: I) -> Self {
        let members = members.into_iter();
        let mut map = Self::with_capacity(members.size_hint().0);
        map.extend(members);
        map
    }
}

impl IntoIterator for Map {
    type Item = (String, Value);
    type IntoIter = std::vec::IntoIter<(String, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.members.into_iter()
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = (&'a String, &'a Value);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.members.iter().map(|(name, value)| (name, value))
    }
}

impl<'a> IntoIterator for &'a mut Map {
    type Item = (&'a String, &'a mut Value);
    type IntoIter = std::iter::Map<std::slice::IterMut<'a, (String, Value)>, fn(&'a mut (String, Value)) -> Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.members.iter_mut().map(|(name, value)| (&*name, value))
    }
}
