//! Names and identities. Each is a type of its own, so that a stream cannot be passed for an entity.
//!
//! Always holds: a declared name (system, source, stream, entity) is lower-case letters, digits and
//! `_`, starts with a letter and has at most 48 characters, so it is safe in file names, table names
//! and store keys without escaping. Stream names come from connectors and may also hold `-`.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn new(name: impl AsRef<str>) -> Self {
                Self(Arc::from(name.as_ref()))
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self::new(name)
            }
        }
    };
}

name!(
    /// A source as `teal.yaml` names it.
    SourceName
);
name!(
    /// One listing of a source.
    StreamName
);
name!(
    /// The normalized type that readers see.
    EntityName
);
name!(
    /// One sync from trigger to outcome. Sorts by start time.
    RunId
);
name!(
    /// SHA-256 of a configuration as it was loaded, in hex. Runs and messages name the one they work under.
    ConfigHash
);

impl ConfigHash {
    /// Enough of it to tell it from others.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

/// Whether a declared name is one that Teal can use in tables, files and keys.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    name.len() <= 48
        && chars.next().is_some_and(|c| c.is_ascii_lowercase())
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Whose data this is, when one source serves several accounts added at run time; `-/-` when unused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Account {
    pub tenant: Arc<str>,
    pub account: Arc<str>,
}

impl Default for Account {
    fn default() -> Self {
        Self { tenant: "-".into(), account: "-".into() }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.account)
    }
}

impl From<Account> for String {
    fn from(account: Account) -> Self {
        account.to_string()
    }
}

impl TryFrom<String> for Account {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.split_once('/') {
            Some((tenant, account)) if !tenant.is_empty() && !account.is_empty() => {
                Ok(Self { tenant: tenant.into(), account: account.into() })
            }
            _ => Err(format!("'{text}' is not of the form tenant/account")),
        }
    }
}

/// A source together with whose account of it is meant: what leases, limits, cursors and raw are kept by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourceId {
    pub name: SourceName,
    #[serde(default)]
    pub account: Account,
}

impl SourceId {
    #[must_use]
    pub fn new(name: impl AsRef<str>) -> Self {
        Self { name: SourceName::new(name), account: Account::default() }
    }
}

/// `tenant/account/source`, the form that store keys carry.
impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.name)
    }
}

/// Whoever holds a lease writes under its fence; a store refuses a fence older than the one it has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub u64);

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
