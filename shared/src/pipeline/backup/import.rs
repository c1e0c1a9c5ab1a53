//! Taking in another installation's export: its lines become the parts of a backup that has rows and nothing else,
//! which is then restored like any.
//!
//! Always holds: lines are checked as they come, by form and by entity; a part that is sent again is the same part;
//! nothing of it can be restored before its end was said to be there, with the number of parts.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Backups;
use super::manifest::{BackupManifest, Holds, Kind, Pack, Part};
use super::shelf::links;
use crate::domain::{EntityName, Row, Version};
use crate::pipeline::error::StageError;
use crate::pipeline::ledger;

/// One line of an export.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::pipeline) struct Line {
    pub entity: EntityName,
    pub key: String,
    pub row: serde_json::Value,
}

impl Backups {
    /// The id under which lines are sent.
    #[must_use]
    pub fn begin_import(&self) -> String {
        self.new_id(Kind::Import)
    }

    /// Takes in some lines, the `n`th of an import, all of one entity.
    pub async fn import_lines(&self, id: &str, n: usize, lines: &[String]) -> Result<(), StageError> {
        check_id(id)?;
        let loaded = self.systems.current().await?;
        let mut pack = Pack::default();
        let mut of: Option<EntityName> = None;
        for line in lines {
            let wrong =
                |why: String| StageError::Impossible(format!("a line can't be imported: {why}; it is {line:.200}"));
            let Line { entity, key, row } = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
            let Some(declared) = loaded.system.entity(&entity) else {
                return Err(wrong(format!("there is no entity '{entity}' in teal.yaml")));
            };
            let row = Row::from_json(&declared.schema, &row).map_err(wrong)?;
            if row.key.to_string() != key {
                return Err(wrong(format!("its key is '{key}', and its row says '{}'", row.key)));
            }
            if of.as_ref().is_some_and(|of| *of != entity) {
                return Err(wrong("lines that are sent together are of one entity".to_owned()));
            }
            of = Some(entity);
            pack.bytes.extend_from_slice(line.as_bytes());
            pack.bytes.push(b'\n');
            pack.items += 1;
        }
        let Some(entity) = of else { return Err(StageError::Impossible("there are no lines to import".into())) };
        let note = self.store(id, n, Holds::Rows { entity }, pack).await?;
        Ok(self.ledger.transact(vec![note]).await?)
    }

    /// All lines are there, in so many parts: makes the backup that is to be restored.
    pub async fn end_import(&self, id: &str, parts: usize) -> Result<(), StageError> {
        check_id(id)?;
        if links(self.blobs.as_ref()).await?.iter().any(|link| link.id == id) {
            return Ok(());
        }
        let loaded = self.systems.current().await?;
        let found: Vec<(String, Part)> = ledger::read_all(self.ledger.as_ref(), &ledger::backup_part(id), "").await?;
        if found.len() != parts || parts == 0 {
            let why = format!("import '{id}' has {} parts, not {parts}; send the lines again", found.len());
            return Err(StageError::Impossible(why));
        }
        let manifest = BackupManifest {
            format: BackupManifest::FORMAT,
            id: id.to_owned(),
            kind: Kind::Import,
            system: loaded.system.name.clone(),
            at: self.clock.now(),
            version: Version(0),
            config: loaded.system.hash.clone(),
            generations: Vec::new(),
            sources: Vec::new(),
            entities: BTreeMap::new(),
            previous: None,
            parts: found.into_iter().map(|(_, part)| part).collect(),
        };
        let (link, bytes) = manifest.encode();
        self.blobs.put_if_absent(&link.key(), bytes).await?;
        self.forget_parts(id).await
    }
}

fn check_id(id: &str) -> Result<(), StageError> {
    let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if plain && id.ends_with(Kind::Import.as_str()) && id.len() < 64 {
        return Ok(());
    }
    Err(StageError::Impossible(format!("'{id}' is not the id of an import; begin one first")))
}
