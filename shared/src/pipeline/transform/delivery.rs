//! One delivery from its message to its record: whether it is a duplicate, what it consists of, what it sets off.
//!
//! Always holds: the record and the id that is done with are one transaction, and the last thing that happens; what
//! dies before is gone through again.

use super::Transform;
use crate::config::path::Scope;
use crate::config::{Action, Webhook};
use crate::domain::message::Arrival;
use crate::domain::raw::RawFrom;
use crate::domain::{ConfigHash, Message, Mode, Pointer, Raw, RawKey, SourceId, TraceParent, Version};
use crate::metrics;
use crate::pipeline::error::StageError;
use crate::pipeline::inbox::{self, Entry, Fate, Known};
use crate::pipeline::ledger::Stored;
use crate::pipeline::poll::WEBHOOK_CAUSE;
use crate::pipeline::webhook::event;
use crate::pipeline::webhook::store::Taken;
use crate::pipeline::{changelog, errand, ledger};
use crate::ports::blobs::Put;
use crate::ports::queue::{Outgoing, send_all};
use crate::ports::{EntitiesError, Entropy, Precondition};

/// Events that are stored and queued together.
const EVENTS_AT_ONCE: usize = 50;

/// A delivery while it is gone through.
struct At<'a> {
    config: &'a ConfigHash,
    source: &'a SourceId,
    key: &'a RawKey,
    raw: &'a Raw,
    hook: Option<&'a Webhook>,
    trace: Option<TraceParent>,
}

impl Transform {
    pub(super) async fn delivery(
        &self,
        config: &ConfigHash,
        source: &SourceId,
        key: &RawKey,
        trace: Option<TraceParent>,
        arrival: Arrival,
    ) -> Result<(), StageError> {
        let raw = self.raw(key).await?;
        let loaded = self.systems.get(config).await?;
        let hook = loaded.source(&source.name)?.webhook.as_ref();
        let mut entry = Entry::new(key, &raw, self.clock.now());
        entry.trace = trace.as_ref().map(|trace| trace.trace_id().to_string());
        let dedupes = hook.is_some_and(|hook| hook.after.dedupe.is_some());
        let mut id = None;
        if dedupes && matches!(raw.head.from, RawFrom::Delivery { .. }) {
            let known = inbox::known(self.ledger.as_ref(), source, &entry.id).await?;
            let shown = ledger::pointer(self.ledger.as_ref()).await?.ok_or(StageError::NoConfig)?;
            if let Some(known) = known.as_ref().filter(|_| arrival != Arrival::Replayed)
                && self.have_it(source, &known.value, &shown).await?
            {
                return self.repeated(source, entry, &known.value, arrival).await;
            }
            id = Some((known, shown.version));
        }
        let at = At { config, source, key, raw: &raw, hook, trace };
        match self.go_through(&at, &mut entry).await {
            Ok(()) => self.record(source, entry, id).await,
            Err(error) => {
                // A gate opens by itself, and soon.
                if !matches!(error, StageError::Entities(EntitiesError::GateClosed(_))) {
                    (entry.fate, entry.why) = (Fate::Failed, Some(error.to_string()));
                    let _ = self.ledger.transact(vec![entry.write(source)]).await;
                }
                Err(error)
            }
        }
    }

    async fn go_through(&self, at: &At<'_>, entry: &mut Entry) -> Result<(), StageError> {
        let body = match (&at.raw.head.from, at.hook) {
            (RawFrom::Delivery { .. }, Some(_)) => event::read(&at.raw.head.headers, &at.raw.body),
            _ => None,
        };
        if let (Some(hook), Some(events)) = (at.hook, at.hook.and_then(|hook| events(hook, at.raw, body.as_ref()))) {
            entry.events = self.split(at, hook, &entry.id, events).await?;
            entry.fate = Fate::Split;
            return self.put_aside(at.source, at.key).await;
        }
        let applied = self.change(at.source, at.key, at.raw, None).await?;
        self.count(at.source, &applied.counts);
        entry.rejects = applied.rejects.len();
        entry.rows = applied.counts.entities;
        if entry.rejects > 0 {
            entry.fate = Fate::Rejected;
        }
        let Some(hook) = at.hook.filter(|_| matches!(at.raw.head.from, RawFrom::Delivery { .. })) else {
            return Ok(());
        };
        for (index, rule) in hook.rules(body.as_ref().unwrap_or(&serde_json::Value::Null)) {
            match &rule.action {
                Action::Upsert { .. } | Action::Delete { .. } => {}
                Action::Sync { mode } => entry.syncs.push(*mode),
                action @ (Action::Fetch(_) | Action::Page(_)) => {
                    let wanted = errand::of(index, action, body.as_ref(), at.key, at.config);
                    match wanted {
                        Ok(wanted) => {
                            let queue = self.queue.as_ref();
                            errand::ask(self.ledger.as_ref(), queue, at.source, &wanted, self.clock.now()).await?;
                            entry.errands.push(wanted.shown());
                        }
                        Err(why) => {
                            (entry.fate, entry.rejects) = (Fate::Rejected, entry.rejects + 1);
                            let reject = errand::reject(at.source, at.key, at.config, index, why, self.clock.now());
                            self.ledger.transact(ledger::keep(&[reject])).await?;
                        }
                    }
                }
            }
        }
        self.ask_for_syncs(at, &entry.syncs).await
    }

    /// Asks for the syncs that the delivery's rules want. Asking twice is asking once: whoever comes while
    /// the source is busy leaves one note.
    async fn ask_for_syncs(&self, at: &At<'_>, modes: &[Mode]) -> Result<(), StageError> {
        let cause = format!("{WEBHOOK_CAUSE}{}", inbox::name(at.key));
        let syncs = modes.iter().map(|mode| {
            let (source, cause, trace) = (at.source.clone(), cause.clone(), at.trace.clone());
            Outgoing::now(Message::Sync { source, mode: *mode, cause, trace })
        });
        Ok(send_all(self.queue.as_ref(), syncs.collect()).await?)
    }

    /// Makes each event a delivery of its own. Cut off, it finds the same keys the next time.
    async fn split(
        &self,
        at: &At<'_>,
        hook: &Webhook,
        id: &str,
        events: &[serde_json::Value],
    ) -> Result<usize, StageError> {
        let mut headers = at.raw.head.headers.clone();
        headers.retain(|(name, _)| name != "content-type");
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        let RawFrom::Delivery { received, .. } = at.raw.head.from else { return Ok(0) };
        for (chunk, some) in events.chunks(EVENTS_AT_ONCE).enumerate() {
            let mut messages = Vec::with_capacity(some.len());
            for (index, event) in some.iter().enumerate() {
                let body = event.to_string().into_bytes().into();
                let of = Some((at.key, id, chunk * EVENTS_AT_ONCE + index));
                let taken = Taken { source: at.source, headers: &headers, body: &body, of };
                let (_, raw, object) = taken.raw(hook, headers.clone(), received, &Never);
                let put = self.raws.put_if_absent(&raw.0, object.encode()).await?;
                let arrival = if put == Put::WasThere { Arrival::Again } else { Arrival::First };
                let (config, source, trace) = (at.config.clone(), at.source.clone(), at.trace.clone());
                messages.push(Outgoing::now(Message::Delivery { config, source, raw, trace, arrival }));
            }
            send_all(self.queue.as_ref(), messages).await?;
        }
        Ok(events.len())
    }

    async fn put_aside(&self, source: &SourceId, key: &RawKey) -> Result<(), StageError> {
        match self.ledger.transact(vec![changelog::put_aside(source, key, self.clock.now())]).await {
            Err(error) if !ledger::was_refused(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// A delivery whose id is done with.
    async fn repeated(
        &self,
        source: &SourceId,
        mut entry: Entry,
        known: &Known,
        arrival: Arrival,
    ) -> Result<(), StageError> {
        self.put_aside(source, &entry.raw).await?;
        if known.raw == entry.raw && known.received == entry.received {
            if arrival == Arrival::Again {
                self.meter.count(&metrics::DELIVERIES, &[source.name.as_str(), Fate::Duplicate.as_str()], 1);
                let seen: Option<Stored<Entry>> = ledger::read(self.ledger.as_ref(), &entry.key(source)).await?;
                if let Some(seen) = seen {
                    let again = Entry { again: seen.value.again + 1, ..seen.value };
                    let write = ledger::put(entry.key(source), &again, Precondition::Matches(seen.revision));
                    // Of two that count at once, one is enough.
                    let _ = self.ledger.transact(vec![write]).await;
                }
            }
            return Ok(());
        }
        let bytes = |raw: &RawKey| raw.0.rsplit('-').next().map(str::to_owned);
        entry.differs = bytes(&known.raw) != bytes(&entry.raw);
        (entry.fate, entry.repeats) = (Fate::Duplicate, Some(known.raw.clone()));
        self.ledger.transact(vec![entry.write(source)]).await?;
        self.meter.count(&metrics::DELIVERIES, &[source.name.as_str(), Fate::Duplicate.as_str()], 1);
        Ok(())
    }

    /// Whether every entity of the source has what was done with: one that was declared since has neither a listing nor
    /// what came before it.
    async fn have_it(&self, source: &SourceId, known: &Known, shown: &Pointer) -> Result<bool, StageError> {
        let mut generations = self.systems.generations(shown.generation_ids()).await?;
        generations.retain(|generation| generation.source == *source);
        Ok(generations.iter().all(|g| g.listing.is_some() || g.id.number <= known.shown.0))
    }

    /// What became of it, and that its id is done with. Not of one that was rejected: that one may come again.
    /// `id`: what was known of its id, and what readers saw before it was gone through.
    async fn record(
        &self,
        source: &SourceId,
        mut entry: Entry,
        id: Option<(Option<Stored<Known>>, Version)>,
    ) -> Result<(), StageError> {
        let mut writes = vec![entry.write(source)];
        if let Some((known, shown)) = id.filter(|_| entry.fate != Fate::Rejected) {
            let (raw, received) = match &known {
                Some(first) => (first.value.raw.clone(), first.value.received),
                None => (entry.raw.clone(), entry.received),
            };
            let key = ledger::dedupe_key(source, &entry.id);
            writes.push(ledger::put(key, &Known { raw, received, shown }, ledger::unchanged(known.as_ref())));
        }
        match self.ledger.transact(writes).await {
            // Another one with this id was gone through at the same time: both were applied, which is as good as once.
            Err(error) if ledger::was_refused(&error) => {
                let first = inbox::known(self.ledger.as_ref(), source, &entry.id).await?;
                entry.repeats = first.map(|first| first.value.raw).filter(|first| *first != entry.raw);
                self.ledger.transact(vec![entry.write(source)]).await?;
            }
            other => other?,
        }
        self.meter.count(&metrics::DELIVERIES, &[source.name.as_str(), entry.fate.as_str()], 1);
        Ok(())
    }
}

/// The events of a delivery that has several.
fn events<'a>(hook: &Webhook, raw: &Raw, body: Option<&'a serde_json::Value>) -> Option<&'a [serde_json::Value]> {
    let RawFrom::Delivery { of: None, .. } = raw.head.from else { return None };
    hook.after.split.as_ref()?.get(&Scope::record(body?))?.as_array().map(Vec::as_slice)
}

/// Events are named by what they are in.
struct Never;

impl Entropy for Never {
    fn next(&self) -> u64 {
        0
    }
}
