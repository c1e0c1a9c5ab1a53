//! Teal's ports on AWS, a feature each service, and the host that hands Lambda's events to the stages.
//!
//! Owns how keys, conditions and retries look in each service. Decides nothing that a stage decides.
//!
//! Always holds: all clients share one HTTP client; every call has a timeout and a budget of retries.

pub mod actions;
pub mod clients;
#[cfg(feature = "dynamodb")]
pub mod dynamodb;
pub mod fault;
#[cfg(feature = "host")]
pub mod host;
mod names;
pub mod patience;
pub mod requests;
#[cfg(feature = "s3")]
pub mod s3_blobs;
#[cfg(feature = "scheduler")]
pub mod scheduler_schedules;
#[cfg(feature = "secrets")]
pub mod secrets;
pub mod settings;
#[cfg(feature = "sqs")]
pub mod sqs_queue;
#[cfg(not(feature = "config"))]
mod surroundings;
pub mod upstream;

pub use clients::AwsClients;
pub use settings::Settings;
