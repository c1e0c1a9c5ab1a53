//! Runs stages in one process, handing them the very events that Lambda would.
//!
//! Owns tasks, sockets and signals; knows the stages only as handlers of `aws_lambda_events`. Always holds:
//! a handler's panic is one failed batch, request or firing, never the end of the process; a stop lets what
//! is at hand finish and takes nothing new.

pub mod http;
pub mod queues;
pub mod scheduler;
pub mod stop;

use std::any::Any;

/// What a panic said, for a log line.
fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
