//! Paths into JSON, compiled once: `profile.displayName`, `tags[]`, `media[0].url`, `^.id`, `$.id`.
//!
//! A path starts at the item that a row is made from. `^` goes up to the item that it was found in, `^^`
//! two up, `$` is the whole record. `.name` takes a member, `["any name"]` one with any characters, `[3]`
//! an element, `[]` every element (only where a list is wanted).

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    pub base: Base,
    pub steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The item itself.
    Item,
    /// So many items up.
    Up(usize),
    Record,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Member(String),
    Element(usize),
    Every,
}
