//! The simulator's workload without its scheduler: the same sources, plans and mappings, in real time, against
//! processes that are killed, over whatever adapters these have.
//!
//! ```text
//! plan ──► driver ──► subject: a Teal behind HTTP that is started and killed ──► its adapters
//!            │           │ pages                                                     │ once nobody works on them
//!            └──► sources over HTTP                                                audit
//! ```
//!
//! Owns carrying out a plan (`driver`), the sources' sockets (`sources`), what is asked of a subject (`subject`)
//! and the subject that this repository has, a local Teal (`local`). Owns no plan, no source and no judgement:
//! those are `teal_conformance::simulator`'s.
//!
//! Always holds: nothing but `local` knows which adapters the subject has. Everything listens on the loopback
//! address, and what was started ends with the value that started it.

pub mod driver;
pub mod local;
pub mod look;
pub mod outside;
pub mod sources;
pub mod subject;
