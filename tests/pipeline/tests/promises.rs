//! What the design promises, a file each, over the example system in memory.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod atomic_switch;
mod backups;
mod coalescing;
mod concurrency;
mod conditional;
mod confirm;
mod deliveries;
mod errands;
mod full_run;
mod gaps;
mod github;
mod honest_outcomes;
mod incremental;
mod leases;
mod limits;
mod no_false_deletes;
mod nothing_lost_across_a_switch;
mod order_free;
mod rebuild;
mod resumable;
mod retention;
mod rollback;
mod same_seed_same_trace;
mod traces;
mod webhook_changes;
