//! Who may write: setting the gates of generations, and checking a merge against its own.

use rusqlite::Connection;
use teal::domain::{Fence, GenerationId};
use teal::ports::EntitiesError;
use teal::ports::entities::{Gate, Writer};

use super::Outcome;
use super::stored::{self, Stored};

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

pub fn check(id: &GenerationId, stored: &Stored, writer: Writer) -> Result<(), EntitiesError> {
    match writer {
        Writer::Live if stored.gate != Gate::Open => Err(EntitiesError::GateClosed(id.clone())),
        Writer::Build(fence) if stored.gate == Gate::Open || fence < stored.fence => {
            Err(EntitiesError::StaleBuilder { id: id.clone(), fence })
        }
        Writer::Live | Writer::Build(_) => Ok(()),
    }
}
