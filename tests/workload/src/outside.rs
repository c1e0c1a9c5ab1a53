//! What everybody outside of the subject knows: configurations, what was accepted, what readers got, and the
//! first thing that a subject may not answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use teal::config::Bundle;
use teal::domain::{ConfigHash, Version};
use teal_conformance::simulator::audit::{Accepted, Listing};
use teal_conformance::simulator::{Mapping, Shape, bundle};

/// Every mapping as it is deployed, with the sources where they listen.
pub struct Configurations {
    pub bundles: BTreeMap<Mapping, Bundle>,
    pub mappings: BTreeMap<ConfigHash, Mapping>,
}

/// What an hour is to a person, a moment is to a test: limits are wider and graces shorter by so much.
const FASTER: u32 = 10;

impl Configurations {
    #[must_use]
    pub fn new(shape: Shape, sources: &str) -> Self {
        let shape = Shape { per_second: shape.per_second * FASTER, ..shape };
        let bundles: BTreeMap<Mapping, Bundle> = Mapping::ALL
            .into_iter()
            .map(|mapping| {
                let mut bundle = bundle(mapping, shape);
                for text in bundle.files.values_mut() {
                    *text = text.replace("http://sources.example.com", sources).replace("grace: 2m", "grace: 200ms");
                }
                (mapping, bundle)
            })
            .collect();
        let mappings = bundles.iter().map(|(mapping, bundle)| (bundle.hash(), *mapping)).collect();
        Self { bundles, mappings }
    }
}

#[derive(Default)]
pub struct Outside(Mutex<Memory>);

/// What was seen from outside.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub accepted: Vec<Accepted>,
    pub listings: Vec<Listing>,
    pub as_was: BTreeSet<Version>,
    /// How often each question got which status; 0 for no answer.
    pub answers: BTreeMap<(&'static str, u16), u64>,
    pub trouble: Option<String>,
}

impl Outside {
    pub fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn trouble(&self, what: impl FnOnce() -> String) {
        self.lock().trouble.get_or_insert_with(what);
    }

    pub fn answered(&self, what: &'static str, status: Option<u16>) {
        *self.lock().answers.entry((what, status.unwrap_or_default())).or_default() += 1;
    }
}
