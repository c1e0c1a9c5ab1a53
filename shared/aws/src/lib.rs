//! Teal's ports on AWS, a feature each service, and the host that hands Lambda's events to the stages.
//!
//! Owns how keys, conditions and retries look in each service. Decides nothing that a stage decides.
//!
//! Always holds: all clients share one HTTP client; every call has a timeout and a budget of retries.
