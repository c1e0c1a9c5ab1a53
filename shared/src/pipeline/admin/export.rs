//! The canonical export: what readers see and nothing else, in one order. Two systems that show the same
//! data export the same bytes, whatever their runs, versions, orders and times were.
//!
//! One line a row, entities by name, rows by key: `{"entity":…,"key":…,"row":{…}}`, members sorted.

use crate::domain::{GenerationId, Key, Pointer};
use crate::pipeline::error::StageError;
use crate::ports::EntityReader;
use crate::ports::entities::ListQuery;

const PAGE: usize = 1000;

/// Hands every line of the export of the pointer's version to `line`, without its line end.
pub async fn export(
    reader: &dyn EntityReader,
    pointer: &Pointer,
    mut line: impl FnMut(&str) + Send,
) -> Result<(), StageError> {
    for id in pointer.generation_ids() {
        let mut after = None;
        loop {
            after = export_page(reader, &id, after, PAGE, |text| line(&text)).await?;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(())
}

/// The next `limit` lines of a generation after a key. Returns the last one's key where there may be more.
pub async fn export_page(
    reader: &dyn EntityReader,
    id: &GenerationId,
    after: Option<Key>,
    limit: usize,
    mut line: impl FnMut(String) + Send,
) -> Result<Option<Key>, StageError> {
    let schema = reader.head(id).await?.schema;
    let rows = reader.list(id, &ListQuery { after, limit, filters: Vec::new() }).await?;
    for row in &rows {
        let text = serde_json::json!({
            "entity": id.entity, "key": row.key.to_string(), "row": row.to_json(&schema),
        });
        line(text.to_string());
    }
    Ok(if rows.len() < limit { None } else { rows.into_iter().next_back().map(|row| row.key) })
}
