//! What one step saw while it was played.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Instant;

use serde_json::Value as Json;

use crate::demo::report::{Step, Title};

pub struct Scene {
    title: Title,
    began: Instant,
    saw: Vec<String>,
    facts: BTreeMap<&'static str, Json>,
    wrong: Vec<String>,
}

impl Scene {
    pub fn new(title: Title) -> Self {
        Self { title, began: Instant::now(), saw: Vec::new(), facts: BTreeMap::new(), wrong: Vec::new() }
    }

    pub fn saw(&mut self, what: impl Into<String>) {
        self.saw.push(what.into());
    }

    pub fn fact(&mut self, name: &'static str, value: impl Into<Json>) {
        self.facts.insert(name, value.into());
    }

    pub fn wrong(&mut self, what: impl Into<String>) {
        self.wrong.push(what.into());
    }

    pub fn must(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(otherwise());
        }
    }

    pub fn same<A: PartialEq<B> + Debug, B: Debug>(&mut self, what: &str, found: A, expected: B) {
        if found != expected {
            self.wrong.push(format!("{what}: found {found:?}, expected {expected:?}"));
        }
    }

    pub fn end(mut self, played: anyhow::Result<()>) -> Step {
        if let Err(error) = played {
            self.wrong.push(format!("{error:#}"));
        }
        Step {
            ok: self.wrong.is_empty(),
            ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            title: self.title,
            saw: self.saw,
            facts: self.facts,
            wrong: self.wrong,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene() -> Scene {
        Scene::new(Title { step: 1, title: "A step".into(), did: String::new() })
    }

    #[test]
    fn a_step_is_well_only_if_nothing_was_wrong() {
        let mut well = scene();
        well.same("a number", 3, 3);
        well.must(true, || unreachable!("nobody asks why"));
        assert!(well.end(Ok(())).ok);

        let mut wrong = scene();
        wrong.same("a number", 3, 4);
        wrong.must(false, || "the other".into());
        let step = wrong.end(Err(anyhow::anyhow!("cause").context("failed")));
        assert!(!step.ok);
        assert_eq!(step.wrong, ["a number: found 3, expected 4", "the other", "failed: cause"]);
    }
}
