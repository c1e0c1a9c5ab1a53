//! What is judged: a request as it came, and what the caller knows besides.

use std::borrow::Cow;

use crate::form;
use crate::refusal::Refusal;

/// Headers may have so many bytes together, names and values. No sender needs a quarter of it.
pub(crate) const MAX_HEADERS: usize = 32 << 10;
/// A header that is looked into may have so many bytes.
pub(crate) const MAX_HEADER: usize = 8 << 10;

#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    /// What follows `?`, as it came.
    pub query: &'a str,
    /// Names in any case. A header that came twice is there twice.
    pub headers: &'a [(String, String)],
    pub body: &'a [u8],
}

/// What the caller knows of the source at this moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// The owner waits for the sender to propose its secret.
    pub awaiting: bool,
    /// Channels that were opened; `None` where nobody keeps account of them.
    pub channels: Option<&'a [Channel]>,
}

/// A channel that was opened at the sender (Google's word for a lease).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    pub id: String,
    /// Known once the sender has answered.
    pub resource: Option<String>,
}

impl<'a> Request<'a> {
    pub(crate) fn check_size(&self) -> Result<(), Refusal> {
        let size: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if size > MAX_HEADERS { Err(Refusal::LargeHeaders { bytes: size }) } else { Ok(()) }
    }

    /// The header's value; twice is an error, since nobody can say which one a proxy looked at.
    pub(crate) fn header(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        let mut given = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        match (given.next(), given.next()) {
            (None, _) => Ok(None),
            (Some(_), Some(_)) => Err(Refusal::Twice { what: name.to_owned() }),
            (Some(value), None) if value.len() > MAX_HEADER => Err(Refusal::LargeHeaders { bytes: value.len() }),
            (Some(value), None) => Ok(Some(value)),
        }
    }

    /// The one header that goes by any of these names.
    pub(crate) fn header_of(&self, names: &[String]) -> Result<&'a str, Refusal> {
        let mut found = None;
        for name in names {
            if let Some(value) = self.header(name)?
                && found.replace(value).is_some()
            {
                return Err(Refusal::Twice { what: names.join(" and ") });
            }
        }
        found.ok_or_else(|| Refusal::Missing { what: format!("the header {}", names.join(" or ")) })
    }

    /// A parameter of the query, decoded; one that is given twice counts as missing.
    pub(crate) fn parameter(&self, name: &str) -> Option<Cow<'a, str>> {
        if self.query.len() > MAX_HEADER {
            return None;
        }
        let mut given = form::fields(self.query.as_bytes()).filter(|(key, _)| **key == *name.as_bytes());
        match (given.next(), given.next()) {
            (Some((_, value)), None) => match value {
                Cow::Borrowed(value) => std::str::from_utf8(value).ok().map(Cow::Borrowed),
                Cow::Owned(value) => String::from_utf8(value).ok().map(Cow::Owned),
            },
            _ => None,
        }
    }
}
