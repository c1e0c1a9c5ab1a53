//! Why a record or a row comes to nothing: the codes, and how their messages are worded.
//!
//! Always holds: every code has a page under docs/errors; a message names what was found, in at most
//! [`MOST_SHOWN`] characters, and what was expected.

use std::io;

use serde_json::Value as Json;

use crate::domain::RejectReason;

/// Longest text in which a message shows a value.
pub const MOST_SHOWN: usize = 80;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    OwnerMissing,
    OrderUnreadable,
    NotAList,
    ProgramFailed,
    RequiredMissing,
    WrongType,
    BadTime,
    OutOfBounds,
    NotInLookup,
    KeyTwice,
    KeyMissing,
    RawUnreadable,
    DeliveryUntimed,
    DeliveryEmpty,
    NotFetched,
}

impl Code {
    pub const ALL: [Self; 15] = [
        Self::OwnerMissing,
        Self::OrderUnreadable,
        Self::NotAList,
        Self::ProgramFailed,
        Self::RequiredMissing,
        Self::WrongType,
        Self::BadTime,
        Self::OutOfBounds,
        Self::NotInLookup,
        Self::KeyTwice,
        Self::KeyMissing,
        Self::RawUnreadable,
        Self::DeliveryUntimed,
        Self::DeliveryEmpty,
        Self::NotFetched,
    ];

    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::OwnerMissing => "TEAL-R001",
            Self::OrderUnreadable => "TEAL-R002",
            Self::NotAList => "TEAL-R003",
            Self::ProgramFailed => "TEAL-R004",
            Self::RequiredMissing => "TEAL-R005",
            Self::WrongType => "TEAL-R006",
            Self::BadTime => "TEAL-R007",
            Self::OutOfBounds => "TEAL-R008",
            Self::NotInLookup => "TEAL-R009",
            Self::KeyTwice => "TEAL-R010",
            Self::KeyMissing => "TEAL-R011",
            Self::RawUnreadable => "TEAL-R012",
            Self::DeliveryUntimed => "TEAL-R013",
            Self::DeliveryEmpty => "TEAL-R014",
            Self::NotFetched => "TEAL-R015",
        }
    }

    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::OwnerMissing => "The record has no key",
            Self::OrderUnreadable => "The record's order can't be read",
            Self::NotAList => "Not a list",
            Self::ProgramFailed => "A jq program failed",
            Self::RequiredMissing => "A required field is missing",
            Self::WrongType => "Wrong type",
            Self::BadTime => "A date or time can't be read",
            Self::OutOfBounds => "Out of bounds",
            Self::NotInLookup => "Not in the lookup table",
            Self::KeyTwice => "Two different rows with the same key",
            Self::KeyMissing => "The row has no key",
            Self::RawUnreadable => "A stored answer can't be read",
            Self::DeliveryUntimed => "A delivery does not say when it was sent",
            Self::DeliveryEmpty => "A delivery has no record",
            Self::NotFetched => "What a delivery was about can't be fetched",
        }
    }

    pub(in crate::pipeline) fn reason(self, field: Option<&str>, message: impl Into<String>) -> RejectReason {
        RejectReason { code: self.code().to_owned(), field: field.map(str::to_owned), message: message.into() }
    }
}

/// The value as JSON, cut where it is too long to be shown.
pub(super) fn show(value: &Json) -> String {
    let mut start = Start(Vec::new());
    // Fails only to stop at the length that is shown.
    let _ = serde_json::to_writer(&mut start, value);
    let text = String::from_utf8_lossy(&start.0);
    if text.chars().count() <= MOST_SHOWN {
        text.into_owned()
    } else {
        text.chars().take(MOST_SHOWN - 1).chain(['…']).collect()
    }
}

/// Takes as many bytes as are surely enough, so that a large value isn't written out to show its start.
struct Start(Vec<u8>);

impl io::Write for Start {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        const ENOUGH: usize = (MOST_SHOWN + 1) * 4;
        if self.0.len() >= ENOUGH {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(ENOUGH - self.0.len());
        self.0.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What kind of JSON a value is, in a message's words.
pub(super) fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}
