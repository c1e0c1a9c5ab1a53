//! The stages, each a struct over the ports that it uses.

pub mod disposition;
