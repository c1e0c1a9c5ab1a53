//! A full run all of whose pages say what readers have: the generations that are there are confirmed, and the build
//! is dropped. Nothing moves, and no row is written.
//!
//! Always holds: gates are closed while the sizes and sums are compared and until the new listing is known, in one
//! transaction with the run's end. Whoever dies before has changed nothing but that older changes are asked whether they
//! are; whoever opens the gates again need not know.

use super::Switch;
use super::settle::dropped;
use crate::domain::{Confirmed, Fence, Generation, GenerationId, Manifest, Millis, Run, RunId, RunState, Version};
use crate::mutants::{self, Mutant};
use crate::pipeline::confirm::{self, Sum};
use crate::pipeline::error::StageError;
use crate::pipeline::ledger::{self, Stored};
use crate::ports::entities::Gate;
use crate::ports::ledger::pointer_key;
use crate::ports::{Precondition, Write};

impl Switch {
    /// Sees to the pages of a run that were held back. `false` when there are none, so that its build is settled.
    pub(super) async fn holds_back(&self, run: &Run, version: Version) -> Result<bool, StageError> {
        let sum = confirm::sum(self.ledger.as_ref(), &run.id).await?;
        if sum.pages == 0 {
            return Ok(false);
        }
        let is_all = run.pages == Some(sum.pages) && !confirm::are_to_be_applied(self.ledger.as_ref(), &run.id).await?;
        if is_all {
            let fence = self.take_lease(run.id.as_str()).await?;
            let confirmed = self.confirm(&run.id, version, &sum, fence).await;
            self.give_lease_back(run.id.as_str(), fence, false).await?;
            if confirmed? {
                self.pass_notes_on().await?;
                return Ok(true);
            }
        }
        confirm::to_be_applied(self.ledger.as_ref(), &run.id).await?;
        confirm::send_again(self.ledger.as_ref(), self.queue.as_ref(), &run.id).await?;
        Ok(true)
    }

    /// `false` when readers have something else.
    async fn confirm(&self, id: &RunId, version: Version, sum: &Sum, fence: Fence) -> Result<bool, StageError> {
        let run = ledger::run(self.ledger.as_ref(), id).await?.filter(|run| run.value.state != RunState::Ended);
        let Some(run) = run else { return Ok(true) };
        let target = self.as_it_would_be(&self.manifest(version).await?).await?;
        let mut pairs = Vec::new();
        for built in target.own.iter().filter(|built| built.id.number == version.0) {
            let Some(shown) = target.shown.value.generation(&built.id.entity) else { return Ok(false) };
            let shown: Option<Stored<Generation>> =
                ledger::read(self.ledger.as_ref(), &ledger::generation_key(&shown)).await?;
            match shown.filter(|shown| shown.value.can_be_confirmed_by(built)) {
                Some(shown) => pairs.push((shown, built)),
                None => return Ok(false),
            }
        }
        let ids: Vec<GenerationId> = pairs.iter().map(|(shown, _)| shown.value.id.clone()).collect();
        self.admin.set_gates(&ids, Gate::Closed, fence).await?;
        if !mutants::on(Mutant::ConfirmedBlindly) && !self.are_as_held(&ids, sum).await? {
            return Ok(false);
        }
        let until = Millis(sum.stated.0 + 1);
        self.admin.confirm(&ids, until, fence).await?;
        let confirmed = Confirmed { until, by: version, after: None, written: false };
        let mut writes = vec![
            Write::Check { key: pointer_key(), when: Precondition::Matches(target.shown.revision) },
            ledger::fenced(ledger::switch_lease_key(), fence),
        ];
        writes.extend(dropped(target.manifest.clone()));
        for (shown, built) in &pairs {
            let now = Generation { id: shown.value.id.clone(), confirmed: Some(confirmed.clone()), ..(*built).clone() };
            writes.push(ledger::put(ledger::generation_key(&now.id), &now, ledger::unchanged(Some(shown))));
        }
        writes.extend(self.cursors_of(&run.value).await?);
        let found = target.shown.value.version;
        let key = ledger::version_key(found);
        let shown: Stored<Manifest> =
            ledger::read(self.ledger.as_ref(), &key).await?.ok_or(StageError::NoVersion(found))?;
        let counted = Manifest { confirmed: shown.value.confirmed + 1, ..shown.value.clone() };
        writes.push(ledger::put(key, &counted, ledger::unchanged(Some(&shown))));
        let reason = format!("the source has what {found} shows; nothing was built, and {found} stays");
        let run = Stored { value: Run { reason: Some(reason), ..run.value }, ..run };
        self.end(run, None, writes).await?;
        Ok(true)
    }

    async fn are_as_held(&self, ids: &[GenerationId], sum: &Sum) -> Result<bool, StageError> {
        for id in ids {
            if !sum.is_all_of(&id.entity, &self.reader.head(id).await?) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
