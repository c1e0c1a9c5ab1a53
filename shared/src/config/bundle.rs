//! Everything a configuration consists of, as one content-addressed object.
//!
//! Layout of its blob: `config/{hash}`, JSON `{"files": {path: text}, "env": {name: value}}`, keys sorted.
//! Holds no secret: `${secret:name}` stays a reference in the files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::ConfigHash;

/// The path under which a bundle keeps the system's own file.
pub const ROOT: &str = "teal.yaml";

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// `teal.yaml` and every file that it names, by the path that it names them with.
    pub files: BTreeMap<String, String>,
    /// Values of the `${NAME}`s that occur in it.
    pub env: BTreeMap<String, String>,
}

impl Bundle {
    #[must_use]
    pub fn hash(&self) -> ConfigHash {
        ConfigHash::new(format!("{:x}", Sha256::digest(self.encode())))
    }

    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a bundle has only string keys")
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    #[must_use]
    pub fn blob_key(hash: &ConfigHash) -> String {
        format!("config/{hash}")
    }
}
