//! After a backup: it is copied to the second place, and those go that are older than they are kept.
//!
//! Always holds: the newest full backup stays, with all that follows it; one goes with everything that stands on it,
//! manifests first, so that what is listed is whole.

use std::collections::BTreeSet;

use super::manifest::{Kind, Link, PARTS};
use super::shelf::{links, manifest};
use super::{Backups, Last, digits, last_key};
use crate::domain::Millis;
use crate::pipeline::error::StageError;
use crate::pipeline::ledger::{self, PAGE};
use crate::pipeline::poll::Budget;
use crate::ports::BlobStore;

/// How long parts without a manifest may belong to a backup or an import that is still being made.
const ORPHAN: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

impl Backups {
    /// `false` when the budget was spent before the end.
    pub(super) async fn tidy(&self, budget: &Budget) -> Result<bool, StageError> {
        let Some(last) = self.last().await?.filter(|last| !last.value.tidy) else { return Ok(true) };
        let second = self.shelf.second().await?;
        if let Some(second) = &second
            && !self.copy_to(second.as_ref(), budget).await?
        {
            return Ok(false);
        }
        let keep = self.systems.current().await?.system.backups.as_ref().map(|backups| backups.keep);
        let stores = [Some(self.blobs.as_ref()), second.as_deref()];
        for store in stores.into_iter().flatten() {
            if let Some(keep) = keep {
                self.drop_old(store, self.clock.now().minus(keep)).await?;
            }
            self.drop_orphans(store).await?;
        }
        let tidy = Last { tidy: true, ..last.value.clone() };
        let write = ledger::put(last_key(), &tidy, ledger::unchanged(Some(&last)));
        match self.ledger.transact(vec![write]).await {
            Err(error) if !ledger::was_refused(&error) => Err(error.into()),
            _ => Ok(true),
        }
    }

    async fn copy_to(&self, second: &dyn BlobStore, budget: &Budget) -> Result<bool, StageError> {
        let there: BTreeSet<String> = links(second).await?.into_iter().map(|link| link.id).collect();
        for link in links(self.blobs.as_ref()).await?.into_iter().filter(|link| !there.contains(&link.id)) {
            // What is damaged here would be no copy; verifying says so.
            let Ok(manifest) = manifest(self.blobs.as_ref(), &link).await? else { continue };
            let copied: BTreeSet<String> = keys(second, &format!("{PARTS}{}/", link.id)).await?.into_iter().collect();
            for part in manifest.parts.iter().filter(|part| !copied.contains(&part.key)) {
                if budget.is_spent(self.clock.now()) {
                    return Ok(false);
                }
                second.put_if_absent(&part.key, self.blobs.get(&part.key).await?).await?;
            }
            second.put_if_absent(&link.key(), manifest.encode().1).await?;
        }
        Ok(true)
    }

    async fn drop_old(&self, store: &dyn BlobStore, before: Millis) -> Result<(), StageError> {
        let before = digits(before);
        let is = |link: &Link, kind: Kind| link.id.ends_with(kind.as_str());
        let mut chains: Vec<Vec<Link>> = Vec::new();
        let mut imports = Vec::new();
        for link in links(store).await? {
            match chains.last_mut() {
                _ if is(&link, Kind::Import) => imports.push(vec![link]),
                Some(chain) if is(&link, Kind::Increment) => chain.push(link),
                _ => chains.push(vec![link]),
            }
        }
        chains.pop();
        for chain in chains.into_iter().chain(imports) {
            if chain.last().is_some_and(|newest| newest.id.as_str() < before.as_str()) {
                for link in chain.iter().rev() {
                    store.delete(&link.key()).await?;
                }
                for link in &chain {
                    drop_parts(store, &link.id).await?;
                }
            }
        }
        Ok(())
    }

    /// Parts that no manifest will ever name: whoever wrote them died or was overtaken.
    async fn drop_orphans(&self, store: &dyn BlobStore) -> Result<(), StageError> {
        let before = digits(self.clock.now().minus(ORPHAN));
        let known: BTreeSet<String> = links(store).await?.into_iter().map(|link| link.id).collect();
        let mut after: Option<String> = None;
        while let Some(key) = store.list(PARTS, after.as_deref(), 1).await?.pop() {
            let id = key[PARTS.len()..].split('/').next().unwrap_or_default().to_owned();
            // Behind everything of this id.
            after = Some(format!("{PARTS}{id}/~"));
            if !known.contains(&id) && id.as_str() < before.as_str() {
                drop_parts(store, &id).await?;
                self.forget_parts(&id).await?;
            }
        }
        Ok(())
    }
}

async fn drop_parts(store: &dyn BlobStore, id: &str) -> Result<(), StageError> {
    for key in keys(store, &format!("{PARTS}{id}/")).await? {
        store.delete(&key).await?;
    }
    Ok(())
}

async fn keys(store: &dyn BlobStore, prefix: &str) -> Result<Vec<String>, StageError> {
    let mut all: Vec<String> = Vec::new();
    loop {
        let keys = store.list(prefix, all.last().map(String::as_str), PAGE).await?;
        let over = keys.len() < PAGE;
        all.extend(keys);
        if over {
            return Ok(all);
        }
    }
}
