//! Who may write: setting the gates of generations, and what confirmed them.

use rusqlite::Connection;
use teal::domain::{Fence, GenerationId, Millis};
use teal::ports::EntitiesError;
use teal::ports::entities::Gate;

use super::Outcome;
use super::stored;

/// All or none: the job that runs it is taken back as a whole.
pub fn set(db: &Connection, ids: &[GenerationId], gate: Gate, fence: Fence) -> Outcome<()> {
    for id in ids {
        let stored = stored::must_find(db, id)?;
        if stored.fence > fence {
            return Err(EntitiesError::StaleBuilder { id: id.clone(), fence }.into());
        }
        db.prepare_cached("UPDATE _generations SET gate = ?1, fence = ?2 WHERE incarnation = ?3")?.execute((
            stored::gate_name(gate),
            fence.0.cast_signed(),
            stored.incarnation,
        ))?;
    }
    Ok(())
}

/// All or none, as with gates.
pub fn confirm(db: &Connection, ids: &[GenerationId], until: Millis, fence: Fence) -> Outcome<()> {
    for id in ids {
        let stored = stored::must_find(db, id)?;
        if stored.fence > fence {
            return Err(EntitiesError::StaleBuilder { id: id.clone(), fence }.into());
        }
        db.prepare_cached("UPDATE _generations SET confirmed = max(confirmed, ?1), fence = ?2 WHERE incarnation = ?3")?
            .execute((until.0, fence.0.cast_signed(), stored.incarnation))?;
    }
    Ok(())
}
