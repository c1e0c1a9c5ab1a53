//! Noticing a listing that never ends.
//!
//! Always holds: what is remembered is small, however long the listing.

use crate::value::Value;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// How many pages a listing may have.
const MOST_PAGES: u64 = 1_000_000;
/// How often in a row a page may come that is the one before, byte for byte.
const MOST_EQUAL: u32 = 20;

/// One earlier token, replaced after 1, 2, 4, … pages, so that circles of any length are met; and the last page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rounds {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mark: Option<Value>,
    since: u64,
    until: u64,
    pages: u64,
    #[serde(default)]
    last: u64,
    #[serde(default)]
    equal: u32,
}

impl Rounds {
    /// A page with records was read, and leads to the page of this token.
    pub fn went(&mut self, token: &Value, body: &[u8], is_empty: bool) -> Result<(), Failure> {
        self.pages += 1;
        if self.mark.as_ref() == Some(token) {
            return Err(Failure::endless(
                "the source leads back to a page that was read already; the listing would never end",
            ));
        }
        if self.since >= self.until {
            self.mark = Some(token.clone());
            self.since = 0;
            self.until = (self.until * 2).max(1);
        }
        self.since += 1;
        // Not a hash that withstands an enemy: whoever makes pages equal only gets this listing stopped.
        let hash = (body.len() as u64) << 32 | u64::from(crc32fast::hash(body));
        self.equal = if hash == self.last && !is_empty { self.equal + 1 } else { 0 };
        self.last = hash;
        if self.equal >= MOST_EQUAL || self.pages >= MOST_PAGES {
            let what = if self.equal >= MOST_EQUAL { "the same page again and again" } else { "page after page" };
            return Err(Failure::endless(format!("the source sends {what}; the listing would never end")));
        }
        Ok(())
    }
}
