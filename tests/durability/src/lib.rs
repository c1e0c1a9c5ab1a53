//! What is left of a local Teal after a power cut at any moment.
//!
//! A killed process proves little about durability: what it wrote is in the kernel's hands and arrives. So
//! here a whole Teal (`subject`) runs under a recorder that writes down every call that changes its
//! directory (`recorder.c`, `log`). From that, a disk that forgets what was not synced is rebuilt as of any
//! moment (`disk`), a new Teal opens it, drains its queues (`drain`) and is judged by what the first one
//! had promised until then (`check`).
//!
//! Owns the recorder, the model of a disk and the judgement. Always holds: the whole log, replayed, makes the
//! directory that the subject left, byte for byte; a test says so, so nothing slips past the recorder.

pub mod check;
pub mod disk;
pub mod drain;
pub mod log;
pub mod plan;
pub mod recorder;
