//! The stages, each a struct over the ports that it uses.

pub mod api;
pub mod caller;
pub mod disposition;
#[cfg(test)]
pub(crate) mod fakes;
pub mod webhook;
