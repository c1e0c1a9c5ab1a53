//! Writes down what goes through the ports, and disturbs it where a test says so.
//!
//! Owns a [`Watch`]: every call of a wrapped port asks a [`Tap`] what is to become of it, and leaves one line
//! in the log. Owns no faults of its own; which call fails is the tap's business.
//!
//! Always holds: a line says what was asked and what came of it, bodies and answers as a digest and never
//! a secret, so two runs of one seed give equal logs. A call that fails before changed nothing, one that
//! fails after took its whole effect. Clock and entropy can't fail: they are written down, not counted.

#[cfg(test)]
mod tests;

use std::fmt::{self, Write as _};
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use teal::ports::Fault;
use teal::ports::fault::FaultKind;

use crate::watch::{Asked, Tapped, Watch};

/// One call of a port, as the tap sees it before it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Counts the calls that can fail, from 1.
    pub number: u64,
    /// Such as `ledger`.
    pub port: &'static str,
    /// Such as `transact`.
    pub op: &'static str,
    /// Keys and ids.
    pub what: String,
    /// Digest of everything that was passed.
    pub payload: u64,
}

/// What is to become of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Proceed,
    /// It fails with a transient fault and nothing happened.
    FailBefore,
    /// It happens, and the caller gets a transient fault all the same.
    FailAfter,
    /// The process dies here: this call and every one after it fail, and none has an effect.
    Stop,
}

pub trait Tap: Send + Sync {
    fn decide(&self, call: &Call) -> Decision;
}

impl<F: Fn(&Call) -> Decision + Send + Sync> Tap for F {
    fn decide(&self, call: &Call) -> Decision {
        self(call)
    }
}

/// Disturbs call `number` and lets every other one be: for loops over all the calls of a run.
pub fn at(number: u64, decision: Decision) -> impl Tap {
    move |call: &Call| if call.number == number { decision } else { Decision::Proceed }
}

/// The log of one process. Clones write to the same log; a process that starts again gets a new one over
/// the same world.
#[derive(Clone)]
pub struct Trace(Arc<Inner>);

struct Inner {
    tap: Box<dyn Tap>,
    calls: AtomicU64,
    stopped: AtomicBool,
    lines: Mutex<Vec<String>>,
    takes_turns: bool,
}

impl Default for Trace {
    fn default() -> Self {
        Self::new(|_: &Call| Decision::Proceed)
    }
}

impl Trace {
    pub fn new(tap: impl Tap + 'static) -> Self {
        Self::with(tap, false)
    }

    /// Each call takes a while: what the same task waits for besides goes on meanwhile.
    pub fn taking_turns(tap: impl Tap + 'static) -> Self {
        Self::with(tap, true)
    }

    fn with(tap: impl Tap + 'static, takes_turns: bool) -> Self {
        let (calls, stopped) = (AtomicU64::new(0), AtomicBool::new(false));
        Self(Arc::new(Inner { tap: Box::new(tap), calls, stopped, lines: Mutex::default(), takes_turns }))
    }

    async fn turn(&self) {
        let mut waits = self.0.takes_turns;
        poll_fn(|cx| {
            if !std::mem::take(&mut waits) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// The port, with every call of it written down here.
    pub fn wrap<P: ?Sized>(&self, port: Arc<P>) -> Arc<Tapped<P, Self>> {
        Tapped::new(port, self)
    }

    /// How many calls that can fail there were.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.0.calls.load(Ordering::SeqCst)
    }

    /// Whether the process has died.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.0.stopped.load(Ordering::SeqCst)
    }

    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.log().clone()
    }

    /// Everything that was written down, as one number.
    #[must_use]
    pub fn digest(&self) -> u64 {
        digest(&*self.log())
    }

    fn log(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, call: &Call, outcome: &str) {
        let Call { number, port, op, what, payload } = call;
        self.log().push(format!("{number} {port}.{op} {what} {payload:016x} -> {outcome}"));
    }
}

impl Watch for Trace {
    async fn call<T, E, F>(&self, asked: Asked<'_>, mut work: impl FnMut() -> F + Send) -> Result<T, E>
    where
        T: fmt::Debug + Send,
        E: From<Fault> + fmt::Display + Send,
        F: Future<Output = Result<T, E>> + Send,
    {
        let call = Call {
            number: self.0.calls.fetch_add(1, Ordering::SeqCst) + 1,
            port: asked.port,
            op: asked.op,
            what: asked.what.to_string(),
            payload: digest(asked.payload),
        };
        self.turn().await;
        let decision = if self.stopped() { Decision::Stop } else { self.0.tap.decide(&call) };
        match decision {
            Decision::Proceed => {
                let result = work().await;
                self.write(&call, &describe(&result));
                self.turn().await;
                result
            }
            Decision::FailBefore => {
                self.write(&call, "failed before");
                Err(made_to_fail(&call).into())
            }
            Decision::FailAfter => {
                let result = work().await;
                self.write(&call, &format!("{}, failed after", describe(&result)));
                result.and_then(|_| Err(made_to_fail(&call).into()))
            }
            Decision::Stop => {
                self.0.stopped.store(true, Ordering::SeqCst);
                self.write(&call, "stopped");
                let what = format!("the process had stopped before call {} ({}.{})", call.number, call.port, call.op);
                Err(Fault::new(FaultKind::Transient, what).into())
            }
        }
    }

    fn note(&self, what: &'static str, answer: &dyn fmt::Display) {
        self.log().push(format!("- {what} -> {answer}"));
    }
}

fn made_to_fail(call: &Call) -> Fault {
    Fault::new(FaultKind::Transient, format!("call {} ({}.{}) was made to fail", call.number, call.port, call.op))
}

fn describe<T: fmt::Debug, E: fmt::Display>(result: &Result<T, E>) -> String {
    match result {
        Ok(value) => format!("ok {:016x}", digest(value)),
        Err(error) => format!("error: {error}"),
    }
}

/// FNV-1a over what `Debug` prints: secrets print as `REDACTED`, and nothing printed depends on an address.
fn digest<T: fmt::Debug + ?Sized>(value: &T) -> u64 {
    struct Fnv(u64);

    impl fmt::Write for Fnv {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for byte in text.bytes() {
                self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
            Ok(())
        }
    }

    let mut fnv = Fnv(0xcbf2_9ce4_8422_2325);
    write!(fnv, "{value:?}").expect("writing to a number can't fail");
    fnv.0
}
