//! One suite a port: each sentence of its contract as an async function that fails when it is not kept.
//!
//! Owns the guarantees and the harness traits through which they get an adapter. An adapter's test file is
//! a harness and one line, such as `ledger_suite!(MyHarness::new())`, which makes a test of every guarantee.
//! What only some adapters can do is another suite, never an `if` in one.
//!
//! Always holds: a harness is made anew for every test, so it may own the directory that its store lives
//! in. No guarantee waits for real time or depends on who is faster.

#![expect(clippy::unwrap_used, reason = "suites are test code: what fails here fails a test")]

pub mod blobs;
pub mod entities;
pub mod ledger;
pub mod queue;
pub mod schedules;
pub mod secrets;

/// A `#[tokio::test]` for each named guarantee of a suite. The suites' own macros call it.
#[macro_export]
macro_rules! suite_tests {
    ($suite:ident, $harness:expr, [$($guarantee:ident),* $(,)?]) => {
        $(
            #[tokio::test]
            async fn $guarantee() {
                let harness = $harness;
                $crate::suites::$suite::$guarantee(&harness).await;
            }
        )*
    };
}
