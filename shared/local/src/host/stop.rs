//! The word that it is time to stop, said once and heard by all.

use std::future::Future;
use std::io;

use tokio::sync::watch;

/// Says stop. When it is dropped, that says it, too.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Hears it.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

#[must_use]
pub fn stop() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Returns once it was said, at once if it was before.
    pub async fn stopped(&self) {
        // An error means that the stopper is gone.
        let _ = self.0.clone().wait_for(|stopped| *stopped).await;
    }

    /// The future's result, or `None` if the stop comes first.
    pub async fn or<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.stopped() => None,
            result = work => Some(result),
        }
    }
}

/// Stops at the first Ctrl-C or SIGTERM. At the second the process ends at once with status 130: whoever
/// asks twice doesn't want to wait, and what was not acknowledged comes again at the next start.
pub fn on_signals() -> io::Result<Stop> {
    let (stopper, stop) = stop();
    let mut signals = Signals::listen()?;
    tokio::spawn(async move {
        signals.next().await;
        tracing::info!("stopping; once more to stop without waiting");
        stopper.stop();
        signals.next().await;
        std::process::exit(130);
    });
    Ok(stop)
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn listen() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) {
        self.0.recv().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_hears_a_stop_also_who_listens_later_or_loses_the_stopper() {
        let (stopper, stop) = stop();
        let early = tokio::spawn({
            let stop = stop.clone();
            async move { stop.stopped().await }
        });
        assert!(!stop.is_stopped());
        assert_eq!(stop.or(async { 1 }).await, Some(1));
        stopper.stop();
        early.await.unwrap();
        stop.stopped().await;
        assert!(stop.is_stopped());
        assert_eq!(stop.or(std::future::pending::<()>()).await, None);
        let (dropped, orphan) = super::stop();
        drop(dropped);
        orphan.stopped().await;
        assert!(orphan.is_stopped());
    }
}
