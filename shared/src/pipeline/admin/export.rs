//! The canonical export: what readers see and nothing else, in one order. Two systems that show the same
//! data export the same bytes, whatever their runs, versions, orders and times were.
//!
//! One line a row, entities by name, rows by key: `{"entity":…,"key":…,"row":{…}}`, members sorted.

use crate::domain::Pointer;
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
        let schema = reader.head(&id).await?.schema;
        let mut after = None;
        loop {
            let query = ListQuery { after: after.take(), limit: PAGE, filters: Vec::new() };
            let rows = reader.list(&id, &query).await?;
            for row in &rows {
                let text = serde_json::json!({
                    "entity": id.entity, "key": row.key.to_string(), "row": row.to_json(&schema),
                });
                line(&text.to_string());
            }
            if rows.len() < PAGE {
                break;
            }
            after = rows.into_iter().next_back().map(|row| row.key);
        }
    }
    Ok(())
}
