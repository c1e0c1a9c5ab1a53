//! Turns a host's events into calls of the stages: the only place that knows the shapes of Lambda's events.
//! Both hosts hand in the same ones.

pub mod callers;
pub mod events;
pub mod http;
pub mod queues;
pub mod sqs;
