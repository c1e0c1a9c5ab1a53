//! The stages, and the pure functions that they are made of.

pub mod normalize;
