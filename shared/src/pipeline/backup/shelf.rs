//! The backups that there are, here and in the second place: finding, reading and checking them.
//!
//! Owns no writing. Always holds: nothing is handed out that is not what the manifest says it is.

use std::sync::Arc;

use bytes::Bytes;

use super::manifest::{BackupManifest, Damaged, Kind, Link, MANIFESTS, Part};
use crate::pipeline::error::StageError;
use crate::pipeline::ledger::PAGE;
use crate::pipeline::poll::Budget;
use crate::pipeline::systems::Systems;
use crate::ports::{BlobError, BlobReader, BlobStore, Clock, Elsewhere};

/// What the newest backup may be called.
const NEWEST: &str = "newest";

pub struct Shelf {
    pub here: Arc<dyn BlobReader>,
    pub elsewhere: Arc<dyn Elsewhere>,
    pub systems: Arc<Systems>,
    pub clock: Arc<dyn Clock>,
}

/// A backup as it is listed. One whose manifest is damaged is there as well, with the reason.
#[derive(Debug)]
pub struct Listed {
    pub id: String,
    /// `here`, `second`.
    pub places: Vec<&'static str>,
    pub manifest: Result<BackupManifest, Damaged>,
}

/// A backup with everything that it stands on, oldest first.
pub struct Chain {
    pub place: &'static str,
    store: Arc<dyn BlobReader>,
    pub links: Vec<BackupManifest>,
}

/// How far a check is.
#[derive(Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Checked {
    pub place: &'static str,
    pub backups: usize,
    pub parts: usize,
    pub bytes: u64,
    /// Where to go on; `None` when everything was checked.
    pub next: Option<usize>,
}

impl Shelf {
    /// The second place, where `teal.yaml` names one.
    pub(super) async fn second(&self) -> Result<Option<Arc<dyn BlobStore>>, StageError> {
        let loaded = match self.systems.current().await {
            Ok(loaded) => loaded,
            Err(StageError::NoConfig) => return Ok(None),
            Err(error) => return Err(error),
        };
        match loaded.system.backups.as_ref().and_then(|backups| backups.second.as_ref()) {
            Some(name) => Ok(Some(self.elsewhere.open(name).await?)),
            None => Ok(None),
        }
    }

    async fn places(&self) -> Result<Vec<(&'static str, Arc<dyn BlobReader>)>, StageError> {
        let mut places = vec![("here", self.here.clone())];
        places.extend(self.second().await?.map(|second| ("second", second as Arc<dyn BlobReader>)));
        Ok(places)
    }

    /// Every backup, oldest first.
    pub async fn list(&self) -> Result<Vec<Listed>, StageError> {
        let mut all: Vec<Listed> = Vec::new();
        for (place, store) in self.places().await? {
            for link in links(store.as_ref()).await? {
                match all.iter_mut().find(|one| one.id == link.id) {
                    Some(known) => {
                        known.places.push(place);
                        if known.manifest.is_err() {
                            known.manifest = manifest(store.as_ref(), &link).await?;
                        }
                    }
                    None => {
                        let manifest = manifest(store.as_ref(), &link).await?;
                        all.push(Listed { id: link.id, places: vec![place], manifest });
                    }
                }
            }
        }
        all.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(all)
    }

    /// A backup that can be restored as far as its manifests say; the newest one if none is named. `second/{id}`
    /// and `here/{id}` mean the one in that place; else it is the first place in which its manifests are whole.
    pub async fn chain(&self, named: Option<&str>) -> Result<Chain, StageError> {
        let (wanted, id) = match named.and_then(|named| named.split_once('/')) {
            Some((place, id)) => (Some(place), Some(id)),
            None => (None, named),
        };
        let id = id.filter(|id| *id != NEWEST);
        let mut found = Vec::new();
        for (place, store) in self.places().await? {
            if wanted.is_some_and(|wanted| wanted != place) {
                continue;
            }
            let links = links(store.as_ref()).await?;
            let wanted = match id {
                Some(id) => links.iter().find(|link| link.id == id),
                None => links.iter().rev().find(|link| !link.id.ends_with(Kind::Import.as_str())),
            };
            if let Some(link) = wanted {
                match chain_of(store.as_ref(), link.clone()).await? {
                    Ok(links) => return Ok(Chain { place, store, links }),
                    Err(Damaged(why)) => found.push(format!("backup '{}' can't be used: {why} ({place})", link.id)),
                }
            }
        }
        Err(StageError::Impossible(match (found.is_empty(), named) {
            (false, _) => found.join("; "),
            (true, _) if named.is_some_and(|named| named != NEWEST) => {
                let named = named.unwrap_or_default();
                format!("there is no backup '{named}'; `teal backup list` shows those that there are")
            }
            (true, _) => "there is no backup yet; `teal backup now` makes one".to_owned(),
        }))
    }

    /// Checks the parts of a backup and of those that it stands on, from part `from` on until the budget is spent.
    pub async fn verify(&self, id: Option<&str>, from: usize, budget: &Budget) -> Result<Checked, StageError> {
        let chain = self.chain(id).await?;
        let mut checked = Checked { place: chain.place, backups: chain.links.len(), ..Checked::default() };
        let parts: Vec<&Part> = chain.links.iter().flat_map(|link| &link.parts).collect();
        checked.parts = parts.len();
        for (n, part) in parts.into_iter().enumerate().skip(from) {
            if n > from && budget.is_spent(self.clock.now()) {
                checked.next = Some(n);
                return Ok(checked);
            }
            checked.bytes += chain.part(part).await?.len() as u64;
        }
        Ok(checked)
    }
}

impl Chain {
    /// The one that was asked for.
    #[must_use]
    pub fn newest(&self) -> &BackupManifest {
        self.links.last().expect("a chain has the backup that it was asked for")
    }

    /// A part's bytes, which are what the manifest says they are.
    pub async fn part(&self, part: &Part) -> Result<Bytes, StageError> {
        let refused = |Damaged(why)| {
            StageError::Impossible(format!("backup '{}' can't be used: {why} ({})", self.newest().id, self.place))
        };
        let bytes = match self.store.get(&part.key).await {
            Ok(bytes) => bytes,
            Err(BlobError::Missing(key)) => return Err(refused(Damaged(format!("its part '{key}' is missing")))),
            Err(error) => return Err(error.into()),
        };
        part.check(&bytes).map_err(refused)?;
        Ok(bytes)
    }
}

/// What is on a shelf, oldest first.
pub(super) async fn links(store: &dyn BlobReader) -> Result<Vec<Link>, StageError> {
    let mut out: Vec<Link> = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let keys = store.list(MANIFESTS, after.as_deref(), PAGE).await?;
        out.extend(keys.iter().filter_map(|key| Link::parse(key)));
        if keys.len() < PAGE {
            return Ok(out);
        }
        after = keys.last().cloned();
    }
}

pub(super) async fn manifest(
    store: &dyn BlobReader,
    link: &Link,
) -> Result<Result<BackupManifest, Damaged>, StageError> {
    match store.get(&link.key()).await {
        Ok(bytes) => Ok(BackupManifest::decode(link, &bytes)),
        Err(BlobError::Missing(_)) => Ok(Err(Damaged(format!("the manifest of '{}' is missing", link.id)))),
        Err(error) => Err(error.into()),
    }
}

async fn chain_of(store: &dyn BlobReader, newest: Link) -> Result<Result<Vec<BackupManifest>, Damaged>, StageError> {
    let mut links = Vec::new();
    let mut next = Some(newest);
    while let Some(link) = next {
        let manifest = match manifest(store, &link).await? {
            Ok(manifest) => manifest,
            Err(Damaged(why)) if links.is_empty() => return Ok(Err(Damaged(why))),
            Err(Damaged(why)) => return Ok(Err(Damaged(format!("it stands on '{}', and {why}", link.id)))),
        };
        next = manifest.previous.clone();
        links.push(manifest);
    }
    links.reverse();
    match links.first() {
        Some(first) if first.kind != Kind::Increment => Ok(Ok(links)),
        _ => Ok(Err(Damaged("it does not begin with a full backup".to_owned()))),
    }
}
