//! One file a command. Each is written once, against [`crate::client::Client`].

pub mod backup;
pub mod check;
pub mod connector;
pub mod deliveries;
pub mod deploy;
pub mod dev;
pub mod export;
pub mod follow;
pub mod gate;
pub mod look;
pub mod moves;
pub mod rebuild;
pub mod rejects;
pub mod sync;

use crate::output::Output;
use crate::session::Place;

/// What every command gets.
#[derive(Clone, Debug)]
pub struct Context {
    pub place: Place,
    pub output: Output,
}
