//! A generation's line in `_generations`: what changes with every write.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};
use teal::domain::{EntityName, Fence, GenerationId, Millis, Schema};
use teal::ports::EntitiesError;
use teal::ports::entities::{Gate, Head};

use super::Outcome;
use crate::sqlite::permanent;

#[derive(Clone, Debug)]
pub struct Stored {
    /// Which making of the generation this is; never used again, not even for the same id.
    pub incarnation: i64,
    pub gate: Gate,
    pub fence: Fence,
    pub confirmed: Millis,
    pub sequence: u64,
    pub rows: u64,
    pub sum: u64,
    /// Lines in the owners' table: while there are none, nobody needs to look there.
    pub absences: u64,
}

impl Stored {
    pub fn head(&self, schema: &Arc<Schema>) -> Head {
        Head {
            gate: self.gate,
            fence: self.fence,
            sequence: self.sequence,
            rows: self.rows,
            sum: self.sum,
            schema: Arc::clone(schema),
        }
    }
}

/// `None` when the generation is missing or being dropped.
pub fn find(db: &Connection, id: &GenerationId) -> Outcome<Option<Stored>> {
    let mut statement = db.prepare_cached(
        "SELECT incarnation, gate, fence, sequence, rows, sum, absences, confirmed FROM _generations
         WHERE entity = ?1 AND number = ?2 AND dropping = 0",
    )?;
    let mut rows = statement.query((id.entity.as_str(), id.number))?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
    Ok(Some(Stored {
        incarnation: row.get(0)?,
        gate: gate_of(id, row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?)?,
        fence: Fence(number(2)?),
        sequence: number(3)?,
        rows: number(4)?,
        sum: number(5)?,
        absences: number(6)?,
        confirmed: Millis(row.get(7)?),
    }))
}

pub fn must_find(db: &Connection, id: &GenerationId) -> Outcome<Stored> {
    find(db, id)?.ok_or_else(|| EntitiesError::NoGeneration(id.clone()).into())
}

/// Also when it is being dropped.
pub fn incarnation(db: &Connection, id: &GenerationId) -> Outcome<Option<i64>> {
    let mut statement = db.prepare_cached("SELECT incarnation FROM _generations WHERE entity = ?1 AND number = ?2")?;
    Ok(statement.query_row((id.entity.as_str(), id.number), |row| row.get(0)).optional()?)
}

pub fn all(db: &Connection) -> Outcome<Vec<GenerationId>> {
    let mut statement = db.prepare_cached("SELECT entity, number FROM _generations ORDER BY entity, number")?;
    let ids = statement.query_map([], |row| {
        Ok(GenerationId { entity: EntityName::new(row.get_ref(0)?.as_str()?), number: row.get(1)? })
    })?;
    Ok(ids.collect::<Result<_, _>>()?)
}

pub fn gate_name(gate: Gate) -> &'static str {
    match gate {
        Gate::Building => "building",
        Gate::Open => "open",
        Gate::Closed => "closed",
    }
}

fn gate_of(id: &GenerationId, name: &str) -> Outcome<Gate> {
    match name {
        "building" => Ok(Gate::Building),
        "open" => Ok(Gate::Open),
        "closed" => Ok(Gate::Closed),
        other => Err(permanent(format!("{id} has the unknown gate '{other}'; the file is damaged")).into()),
    }
}
