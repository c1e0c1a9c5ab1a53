//! Where a listing goes on, as an opaque token: base64url of a small JSON object.
//!
//! Always holds: the token pins version and generation, names entity and filters, and carries a checksum,
//! so that a changed or foreign one is refused instead of being read as something else. It holds no right:
//! whoever makes one up reads nothing that a listing would not show.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::domain::row::first_eight;
use crate::domain::{EntityName, Key, KeyPart, Schema, Version};
use crate::pipeline::api::{Code, Problem};

/// Longer ones were not made here: keys are bounded, and so is what decoding costs.
const MAX_LENGTH: usize = 8192;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cursor {
    #[serde(rename = "v")]
    pub version: Version,
    #[serde(rename = "e")]
    pub entity: EntityName,
    #[serde(rename = "g")]
    pub generation: u32,
    /// The last key of the page before.
    #[serde(rename = "k")]
    pub key: Key,
    /// Fingerprint of the filters.
    #[serde(rename = "f")]
    pub filters: String,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    c: Cursor,
    x: String,
}

impl Cursor {
    pub fn encode(&self) -> String {
        let sealed = Sealed { c: self.clone(), x: self.checksum() };
        token(&serde_json::to_value(sealed).expect("a cursor has only string keys"))
    }

    pub fn decode(text: &str) -> Result<Self, Problem> {
        if text.len() > MAX_LENGTH {
            return Err(bad());
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| bad())?;
        let sealed: Sealed = serde_json::from_slice(&bytes).map_err(|_| bad())?;
        if sealed.x == sealed.c.checksum() { Ok(sealed.c) } else { Err(bad()) }
    }

    /// That it goes on with this listing and no other.
    pub fn check(&self, entity: &EntityName, filters: &str) -> Result<(), Problem> {
        if self.entity != *entity {
            let detail = format!("this cursor is of a listing of {}, not of {entity}", self.entity);
            return Err(Problem::new(Code::Cursor, detail));
        }
        if self.filters != filters {
            let detail = "this cursor is of a listing with other filters; repeat those of the first page";
            return Err(Problem::new(Code::Cursor, detail));
        }
        Ok(())
    }

    fn checksum(&self) -> String {
        let text = serde_json::to_string(self).expect("a cursor has only string keys");
        format!("{:016x}", first_eight(&Sha256::digest(text)))
    }
}

/// That the key is one of this schema: stores may rely on it.
pub(super) fn check_key(key: &Key, schema: &Schema) -> Result<(), Problem> {
    let integers: Vec<bool> = key.parts().iter().map(|part| matches!(part, KeyPart::Int(_))).collect();
    if integers == schema.key_integers() { Ok(()) } else { Err(bad()) }
}

pub(super) fn bad() -> Problem {
    Problem::new(Code::Cursor, "the cursor can't be read; take it from `next` as it is, or start without one")
}

/// JSON as a token that fits a URL and a header.
pub(super) fn token(json: &Json) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}
