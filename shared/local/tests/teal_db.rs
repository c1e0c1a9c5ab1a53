//! `teal.db` keeps the contracts of the ledger and of the entities.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::sync::Arc;

use async_trait::async_trait;
use teal::ports::Ledger;
use teal_conformance::suites::entities::{EntitiesHarness, EntityStore};
use teal_conformance::suites::ledger::LedgerHarness;
use teal_local::sqlite::Synchronous;
use teal_local::store::{StoreOptions, TealDb};

struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> Arc<TealDb> {
        let options = StoreOptions { synchronous: Synchronous::Off, ..StoreOptions::default() };
        TealDb::open(self.0.path().join("teal.db"), options).unwrap()
    }

    fn open_empty(&self) -> Arc<TealDb> {
        for file in std::fs::read_dir(self.0.path()).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
        self.open()
    }
}

#[async_trait]
impl LedgerHarness for Directory {
    async fn fresh(&self) -> Arc<dyn Ledger> {
        self.open_empty()
    }

    async fn again(&self) -> Arc<dyn Ledger> {
        self.open()
    }
}

#[async_trait]
impl EntitiesHarness for Directory {
    async fn fresh(&self) -> Arc<dyn EntityStore> {
        self.open_empty()
    }

    async fn again(&self) -> Arc<dyn EntityStore> {
        self.open()
    }
}

mod ledger {
    use super::Directory;

    teal_conformance::ledger_suite!(Directory::new());
}

mod entities {
    use super::Directory;

    teal_conformance::entities_suite!(Directory::new());
    teal_conformance::entities_base_suite!(Directory::new());
}
