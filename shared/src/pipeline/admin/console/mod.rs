//! The admin API: everything that people may do to a system, as JSON over whatever carries it.
//!
//! ```text
//! POST /sync            {source?, mode?, switch?, force?, resume?}   202, a run per source
//! POST /rebuild         {switch?, force?}                            202, the run
//! POST /switch          {version, force?}                            the move
//! POST /rollback        {version?, as_was?}                          the move
//! POST /drop            {version}                                    a build that nobody wants
//! POST /deploy          {bundle}                                     what is in force now
//! POST /rejects/replay  {id?, entity?, source?, code?, run?}         202, how many
//! GET  /status
//! GET  /versions
//! GET  /diff            ?to= &from= &examples=
//! GET  /runs            ?limit=
//! GET  /runs/{id}
//! GET  /rejects         ?entity= &source= &code= &run= &id= &limit=
//! GET  /rejects/{id}
//! GET  /refused         ?source= &limit=
//! GET  /refused/{id}
//! POST /candidates/await {source}                                    until when
//! POST /candidates/take {source}                                     the secret, once
//! GET  /deliveries      ?source= &state= &since= &until= &id= &limit=
//! GET  /deliveries/{id}
//! POST /deliveries/replay {id?, source?, state?, since?, until?}     202, how many
//! GET  /leases
//! GET  /export          ?version= &entity= &after=
//! GET  /backups
//! POST /backups         {full?}                                      202, begins one
//! POST /backups/make    {}                                           goes on with it
//! GET  /backups/{id}    ?from=                                       checks it
//! POST /backups/restore {backup?, switch?, force?}                   202, the run
//! POST /import          {}                                           the import
//! POST /import/lines    {import, n, lines}
//! POST /import/end      {import, parts, switch?, force?}             202, the run
//! ```
//!
//! Owns the shapes of questions and answers, and the audit of what was asked. Owns no work of its own: each
//! action is a call to the stage that does it, and fetching is left to whoever works on the queues.
//!
//! Always holds: an action is in the audit, with who asked, before it happens; an unknown parameter or
//! member is an error, never ignored; what fails is a problem with a stable code that says what exists
//! instead.

mod act;
mod ask;
mod backups;
mod deliveries;
mod gate;
mod look;
mod problem;
mod view;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;

use self::ask::Ask;
use super::Admin;
use crate::domain::QueueName;
use crate::pipeline::api::{AdminApi, ApiResponse, Code, Problem, Query};
use crate::pipeline::backup::Backups;
use crate::pipeline::caller::Caller;
use crate::pipeline::error::StageError;
use crate::pipeline::ledger::{self, Audit};
use crate::pipeline::poll::Poll;
use crate::pipeline::switch::Switch;
use crate::ports::{BlobReader, Clock, Fault, ItemKey, Ledger, Precondition, QueueSender};

/// How much waits in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueDepth {
    pub visible: u64,
    pub in_flight: u64,
    pub delayed: u64,
    pub dead: u64,
}

/// What a host knows about its queues. A stage never asks: only people do.
#[async_trait]
pub trait Depths: Send + Sync {
    async fn depth(&self, queue: QueueName) -> Result<QueueDepth, Fault>;
}

pub struct Console {
    pub admin: Arc<Admin>,
    pub poll: Arc<Poll>,
    pub switch: Arc<Switch>,
    pub backups: Arc<Backups>,
    pub ledger: Arc<dyn Ledger>,
    pub blobs: Arc<dyn BlobReader>,
    pub queue: Arc<dyn QueueSender>,
    pub clock: Arc<dyn Clock>,
    /// `None` where the host can't tell; the status then says nothing about queues.
    pub depths: Option<Arc<dyn Depths>>,
}

/// Why a question has no answer.
enum Failed {
    Stage(StageError),
    Problem(Problem),
}

impl<E: Into<StageError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Stage(error.into())
    }
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

type Answer = Result<ApiResponse, Failed>;

#[async_trait]
impl AdminApi for Console {
    async fn call(&self, caller: &Caller, method: &str, path: &str, query: &Query, body: Bytes) -> ApiResponse {
        match self.answer(&Ask { caller, method, query, body }, path).await {
            Ok(answer) => answer,
            Err(Failed::Problem(problem)) => problem.into(),
            Err(Failed::Stage(error)) => self.explain(error).await.into(),
        }
    }
}

impl Console {
    async fn answer(&self, ask: &Ask<'_>, path: &str) -> Answer {
        let path = path.trim_start_matches('/');
        let (area, rest) = path.split_once('/').unwrap_or((path, ""));
        match (area, rest) {
            ("sync", "") => self.sync(ask).await,
            ("rebuild", "") => self.rebuild(ask).await,
            ("switch", "") => self.switch_to(ask).await,
            ("rollback", "") => self.roll_back(ask).await,
            ("drop", "") => self.drop_version(ask).await,
            ("deploy", "") => self.deploy(ask).await,
            ("rejects", "replay") => self.replay(ask).await,
            ("status", "") => self.status(ask).await,
            ("versions", "") => self.versions(ask).await,
            ("diff", "") => self.diff(ask).await,
            ("runs", "") => self.runs(ask).await,
            ("runs", id) => self.run(ask, id).await,
            ("rejects", "") => self.rejects(ask).await,
            ("rejects", id) => self.reject(ask, id).await,
            ("refused", "") => self.refused(ask).await,
            ("refused", id) => self.refused_one(ask, id).await,
            ("candidates", "await") => self.await_candidate(ask).await,
            ("candidates", "take") => self.take_candidate(ask).await,
            ("deliveries", "") => self.deliveries(ask).await,
            ("deliveries", "replay") => self.replay_deliveries(ask).await,
            ("deliveries", id) => self.delivery(ask, id).await,
            ("leases", "") => self.leases(ask).await,
            ("export", "") => self.export(ask).await,
            ("backups", "") => self.backups(ask).await,
            ("backups", "make") => self.make_backup(ask).await,
            ("backups", "restore") => self.restore(ask).await,
            ("backups", id) => self.verify_backup(ask, id).await,
            ("import", "") => self.begin_import(ask).await,
            ("import", "lines") => self.import_lines(ask).await,
            ("import", "end") => self.end_import(ask).await,
            _ => Err(Problem::new(Code::NoRoute, format!("the admin API has no '/{path}'")).into()),
        }
    }

    /// Writes down what is about to be done, and for whom.
    async fn audit(&self, caller: &Caller, what: String) -> Result<(), StageError> {
        let at = self.clock.now();
        let nonce = self.poll.entropy.next() & 0xffff_ffff;
        let key = ItemKey::new(ledger::AUDIT, format!("{:015}#{nonce:08x}", at.0));
        let audit = Audit { at, who: caller.subject.clone(), what };
        Ok(self.ledger.transact(vec![ledger::put(key, &audit, Precondition::None)]).await?)
    }
}
