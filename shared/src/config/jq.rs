//! jq programs, compiled once.

#[derive(Debug)]
pub struct Program;
