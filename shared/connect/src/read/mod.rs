//! Reading: machines that are stepped, say what they need, and are given the answer.
//!
//! Nothing here sends or waits. Whoever steps a machine does, and may keep several at work at once. Always
//! holds: between two pages, what a machine is at can be written down and taken up again.

pub mod fetch;
pub mod jobs;
pub mod position;
pub mod reader;
pub mod record;
pub mod selector;
pub mod simple;
pub mod slice_run;

use std::time::Duration;

use crate::http::Ask;

/// What a step came to.
#[derive(Debug)]
pub enum Progress<T> {
    Need(Need),
    Done(T),
}

/// What has to happen before the next step.
#[derive(Clone, Debug, PartialEq)]
pub enum Need {
    /// The request is to be sent and its answer given.
    Ask(Box<Ask>),
    Wait(Duration),
    /// Another machine of the same session must get on first.
    Blocked,
}

/// Hands a need on.
macro_rules! ready {
    ($progress:expr) => {
        match $progress {
            $crate::read::Progress::Need(need) => return Ok($crate::read::Progress::Need(need)),
            $crate::read::Progress::Done(done) => done,
        }
    };
}
pub(crate) use ready;
