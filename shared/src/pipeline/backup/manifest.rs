//! What a backup consists of, and under which keys it lies.
//!
//! ```text
//! backup/part/{id}/{n:06}-{start of its SHA-256}    a part: lines of the export, or raw objects one after another
//! backup/manifest/{id}-{SHA-256 of it}              what belongs to it; written last
//! ```
//!
//! Always holds: ids sort by time; a manifest's key says what it has to be, and a manifest says so of each part and
//! of the manifest before, so that nothing can be changed, cut off or left out unnoticed.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::{ConfigHash, EntityName, Generation, Millis, RawKey, RunId, SourceId, StreamName, Version};

pub(super) const MANIFESTS: &str = "backup/manifest/";
pub(super) const PARTS: &str = "backup/part/";
const FORMAT: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Full,
    /// What came since the one before it.
    Increment,
    /// Rows of another installation, and nothing else.
    Import,
}

impl Kind {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Increment => "increment",
            Self::Import => "import",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackupManifest {
    pub format: u32,
    pub id: String,
    pub kind: Kind,
    pub system: String,
    /// The moment that it shows.
    pub at: Millis,
    pub version: Version,
    /// The configuration that was in force.
    pub config: ConfigHash,
    /// What readers saw, each with the configuration that it follows.
    pub generations: Vec<Generation>,
    pub sources: Vec<SourceState>,
    /// What the rows came to. Empty in an increment, which has none.
    #[serde(default)]
    pub entities: BTreeMap<EntityName, EntityState>,
    #[serde(default)]
    pub previous: Option<Link>,
    pub parts: Vec<Part>,
}

/// Where a source stood.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceState {
    pub source: SourceId,
    /// The complete listing that readers see; `None` where there was none yet.
    pub listing: Option<RunId>,
    pub floor: Millis,
    /// The part of its change log that is in here: from, and up to but without.
    pub log: [u64; 2],
    pub streams: BTreeMap<StreamName, StreamState>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamState {
    /// Pages of the listing.
    pub pages: u64,
    /// Where the next incremental run goes on.
    pub cursor: Option<serde_json::Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityState {
    pub rows: u64,
    /// Sum of the rows' hashes, as a generation's head has it.
    pub sum: u64,
    /// Whether the rows are all of one moment: nothing came in while they were copied.
    pub exact: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub id: String,
    pub sha256: String,
}

impl Link {
    #[must_use]
    pub fn key(&self) -> String {
        format!("{MANIFESTS}{}-{}", self.id, self.sha256)
    }

    /// From a manifest's key.
    pub(super) fn parse(key: &str) -> Option<Self> {
        let (id, sha256) = key.strip_prefix(MANIFESTS)?.rsplit_once('-')?;
        Some(Self { id: id.to_owned(), sha256: sha256.to_owned() })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub key: String,
    #[serde(flatten)]
    pub holds: Holds,
    /// Lines or raw objects.
    pub items: u64,
    pub bytes: u64,
    pub sha256: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "holds", rename_all = "lowercase")]
pub enum Holds {
    /// Configurations, each under its key.
    Configs,
    /// Lines of the export.
    Rows { entity: EntityName },
    /// Pages of the listing, from this slot on.
    Pages { source: SourceId, stream: StreamName, first: u64 },
    /// Raw of the change log, in its order.
    Changes { source: SourceId },
}

/// Why something is not what it should be. Says what it is, as a sentence's end.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Damaged(pub String);

#[must_use]
pub(super) fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

impl BackupManifest {
    pub(super) const FORMAT: u32 = FORMAT;

    /// The manifest's bytes, and what names them.
    pub(super) fn encode(&self) -> (Link, Bytes) {
        let bytes = serde_json::to_vec(self).expect("a manifest has only string keys");
        (Link { id: self.id.clone(), sha256: sha256(&bytes) }, bytes.into())
    }

    pub(super) fn decode(link: &Link, bytes: &[u8]) -> Result<Self, Damaged> {
        let found = sha256(bytes);
        if found != link.sha256 {
            let why = format!("its manifest was changed or cut off: SHA-256 {found}, not {}", link.sha256);
            return Err(Damaged(why));
        }
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let unreadable = |error: serde_json::Error| Damaged(format!("its manifest can't be read: {error}"));
        let Format { format } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if format != FORMAT {
            return Err(Damaged(format!("it has format {format}; this Teal reads format {FORMAT}")));
        }
        serde_json::from_slice(bytes).map_err(unreadable)
    }
}

impl Part {
    pub(super) fn new(id: &str, n: usize, holds: Holds, items: u64, bytes: &[u8]) -> Self {
        let sha256 = sha256(bytes);
        Self { key: format!("{PARTS}{id}/{n:06}-{}", &sha256[..16]), holds, items, bytes: bytes.len() as u64, sha256 }
    }

    /// Whether these are the part's bytes.
    pub fn check(&self, bytes: &[u8]) -> Result<(), Damaged> {
        if bytes.len() as u64 != self.bytes {
            return Err(Damaged(format!("part '{}' has {} bytes, not {}", self.key, bytes.len(), self.bytes)));
        }
        if sha256(bytes) != self.sha256 {
            return Err(Damaged(format!("part '{}' was changed: its SHA-256 is not {}", self.key, self.sha256)));
        }
        Ok(())
    }
}

/// Objects one after another: a line with key and length, the bytes, a line end.
#[derive(Default)]
pub(in crate::pipeline) struct Pack {
    pub bytes: Vec<u8>,
    pub items: u64,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    key: String,
    bytes: usize,
}

impl Pack {
    pub fn add(&mut self, key: &str, bytes: &[u8]) {
        let entry = Entry { key: key.to_owned(), bytes: bytes.len() };
        serde_json::to_writer(&mut self.bytes, &entry).expect("an entry can be written to memory");
        self.bytes.push(b'\n');
        self.bytes.extend_from_slice(bytes);
        self.bytes.push(b'\n');
        self.items += 1;
    }

    /// The objects of a part with their keys.
    pub fn read(part: &Bytes) -> Result<Vec<(RawKey, Bytes)>, Damaged> {
        let bad = || Damaged("a part is not what this Teal writes".to_owned());
        let mut out = Vec::new();
        let mut at = 0;
        while at < part.len() {
            let end = at + part[at..].iter().position(|b| *b == b'\n').ok_or_else(bad)?;
            let Entry { key, bytes } = serde_json::from_slice(&part[at..end]).map_err(|_| bad())?;
            let (start, stop) = (end + 1, (end + 1).checked_add(bytes).ok_or_else(bad)?);
            if stop >= part.len() {
                return Err(bad());
            }
            out.push((RawKey(key), part.slice(start..stop)));
            at = stop + 1;
        }
        Ok(out)
    }
}

impl BackupManifest {
    /// Every configuration that is needed to understand it.
    #[must_use]
    pub fn configs(&self) -> std::collections::BTreeSet<ConfigHash> {
        let followed = self.generations.iter().map(|generation| generation.config.clone());
        followed.chain([self.config.clone()]).collect()
    }
}
