//! The one place where a test stands between a stage and its ports.
//!
//! Owns the wrapper [`Tapped`] that gives every port a [`Watch`], and what a watch is told of a call. What
//! becomes of a call (written down, delayed, failed, repeated) is the watch's business: [`crate::trace`]
//! writes down and disturbs single calls, the simulator disturbs all of them.
//!
//! Always holds: the messages of one send are calls of their own, because a queue answers for each of them;
//! a URL is named without its query, which may carry a key. Clock and entropy can't fail: a watch only hears
//! of them.

mod ports;

use std::fmt;
use std::future::Future;

use teal::domain::GenerationId;
use teal::ports::{Fault, ItemKey};

pub use self::ports::{Second, Tapped, TappedWorld};

/// One call of a port, before it happens.
pub struct Asked<'a> {
    /// Such as `ledger`.
    pub port: &'static str,
    /// Such as `transact`.
    pub op: &'static str,
    pub what: What<'a>,
    /// Everything that was passed, for whoever writes it down.
    pub payload: &'a (dyn fmt::Debug + Sync),
}

/// Keys and ids of a call, shown only if somebody wants to see them.
#[derive(Clone, Copy)]
pub enum What<'a> {
    Nothing,
    Text(&'a str),
    /// Method and address of a request.
    Request(&'a str, &'a str),
    Item(&'a ItemKey),
    /// A ledger listing: part and prefix.
    Items(&'a str, &'a str),
    Writes(&'a [teal::ports::Write]),
    Generation(&'a GenerationId),
    Generations(&'a [GenerationId]),
    /// A merge: the generation, and the slot that it comes from.
    Slot(&'a GenerationId, &'a str),
}

impl fmt::Display for What<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = |items: &mut dyn Iterator<Item = String>| {
            let items: Vec<String> = items.collect();
            f.write_str(&items.join(","))
        };
        match self {
            Self::Nothing => f.write_str("-"),
            Self::Text(text) => f.write_str(text),
            Self::Request(method, address) => write!(f, "{method} {address}"),
            Self::Item(key) => write!(f, "{}/{}", key.part, key.sort),
            Self::Items(part, prefix) => write!(f, "{part}/{prefix}"),
            Self::Writes(writes) => {
                list(&mut writes.iter().map(|write| format!("{}/{}", write.key().part, write.key().sort)))
            }
            Self::Generation(id) => write!(f, "{id}"),
            Self::Generations(ids) => list(&mut ids.iter().map(ToString::to_string)),
            Self::Slot(id, slot) => write!(f, "{id} {slot}"),
        }
    }
}

/// Decides what becomes of every call of a port.
pub trait Watch: Clone + Send + Sync + 'static {
    /// Carries out a call: `work` does it, and may be done never, once or twice.
    fn call<T, E, F>(
        &self,
        asked: Asked<'_>,
        work: impl FnMut() -> F + Send,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        T: fmt::Debug + Send,
        E: From<Fault> + fmt::Display + Send,
        F: Future<Output = Result<T, E>> + Send;

    /// Hears of what can't fail.
    fn note(&self, what: &'static str, answer: &dyn fmt::Display);
}
