//! P11: no raw object and no item of the ledger holds a secret.

use serde_json::Value as Json;
use teal::pipeline::{changelog, ledger};
use teal::ports::BlobError;

use super::super::oracle::Promise;
use super::{Audit, Failed, sources};

impl Audit<'_> {
    pub(super) async fn secrets_are_kept(&self) -> Result<(), Failed> {
        let whole = [ledger::SYSTEM, ledger::VERSION, ledger::GENERATION, ledger::RUN, ledger::REJECT, ledger::AUDIT];
        let mut parts: Vec<String> = whole.into_iter().map(ToOwned::to_owned).collect();
        parts.extend(self.runs.iter().map(|run| ledger::run_part(&run.id)));
        for source in sources() {
            parts.push(ledger::lease_key(&source).part);
            for (_, entry) in changelog::entries(self.stores.ledger, &source, 0, usize::MAX).await? {
                self.keeps_secrets(&entry.raw.0, || format!("the change log of {source}"))?;
            }
        }
        for part in parts {
            for (sort, value) in ledger::read_all::<Json>(self.stores.ledger, &part, "").await? {
                self.keeps_secrets(&value.to_string(), || format!("ledger item {part}/{sort}"))?;
            }
        }
        let mut after: Option<String> = None;
        loop {
            let keys = self.stores.blobs.list("raw/", after.as_deref(), ledger::PAGE).await?;
            let Some(last) = keys.last() else { return Ok(()) };
            after = Some(last.clone());
            for key in keys {
                match self.stores.blobs.get(&key).await {
                    Ok(bytes) => {
                        self.keeps_secrets(&String::from_utf8_lossy(&bytes), || format!("raw object {key}"))?
                    }
                    Err(BlobError::Missing(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    fn keeps_secrets(&self, text: &str, place: impl FnOnce() -> String) -> Result<(), Failed> {
        let told = self.known.secrets.iter().any(|secret| text.contains(secret));
        self.expect(!told, Promise::P11, || format!("a secret is in {}", place()))
    }
}
