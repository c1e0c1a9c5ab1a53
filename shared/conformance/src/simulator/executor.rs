//! Runs every task of a simulation on one thread, in virtual time, in an order that a seed decides.
//!
//! Owns time and who is next. A task is a future that waits only in [`Time::pause`], or for another part of itself;
//! while it waits, any other one may run, so each pause is a point at which the world can change under a task. Tasks that are due at the
//! same time run in the order of numbers drawn for them.
//!
//! Always holds: time never goes back; a task that is dropped (its process died, or its time was up) never
//! runs again; nothing here depends on an address or a hash map.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use teal::domain::Millis;

use crate::memory::lock;
use crate::seed::Seed;

pub type TaskId = u64;

/// The true time of a simulated world, and the only thing that a task can wait for.
#[derive(Debug)]
pub struct Time {
    now: AtomicI64,
    /// When the task that is being polled wants to be polled again.
    wanted: AtomicI64,
    /// The task that is being polled.
    task: AtomicU64,
}

impl Time {
    pub fn now(&self) -> Millis {
        Millis(self.now.load(Ordering::Relaxed))
    }

    /// The task that runs now.
    pub fn task(&self) -> TaskId {
        self.task.load(Ordering::Relaxed)
    }

    /// Lets other tasks run for this long, and at least once if they are due.
    pub fn pause(self: &Arc<Self>, span: Duration) -> Pause {
        Pause { until: self.now().plus(span), time: self.clone(), waited: false }
    }

    /// A task that waits for ever: it is about to be dropped.
    pub async fn never(&self) {
        std::future::pending().await
    }
}

pub struct Pause {
    time: Arc<Time>,
    until: Millis,
    waited: bool,
}

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.waited && self.time.now() >= self.until {
            return Poll::Ready(());
        }
        self.waited = true;
        self.time.wanted.fetch_min(self.until.0, Ordering::Relaxed);
        Poll::Pending
    }
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

pub struct Executor {
    pub time: Arc<Time>,
    tasks: BTreeMap<TaskId, Task>,
    due: BinaryHeap<Reverse<(Millis, u64, TaskId)>>,
    spawned: Arc<Mutex<Vec<(TaskId, Task)>>>,
    next: Arc<AtomicU64>,
    seed: Seed,
    woken: Arc<Woken>,
    waker: Waker,
}

/// Whether the task that is being polled wants to be polled again at once.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Starts tasks from within a task.
#[derive(Clone)]
pub struct Spawner {
    spawned: Arc<Mutex<Vec<(TaskId, Task)>>>,
    next: Arc<AtomicU64>,
}

impl Spawner {
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> TaskId {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.spawned).push((id, Box::pin(task)));
        id
    }
}

impl Executor {
    pub fn new(start: Millis, seed: Seed) -> Self {
        let time = Time { now: AtomicI64::new(start.0), wanted: AtomicI64::new(i64::MAX), task: AtomicU64::new(0) };
        let woken = Arc::<Woken>::default();
        Self {
            waker: woken.clone().into(),
            woken,
            time: Arc::new(time),
            tasks: BTreeMap::new(),
            due: BinaryHeap::new(),
            spawned: Arc::default(),
            next: Arc::new(AtomicU64::new(1)),
            seed,
        }
    }

    pub fn spawner(&self) -> Spawner {
        Spawner { spawned: self.spawned.clone(), next: self.next.clone() }
    }

    pub fn drop_task(&mut self, id: TaskId) {
        self.tasks.remove(&id);
    }

    pub fn is_alive(&self, id: TaskId) -> bool {
        self.tasks.contains_key(&id) || lock(&self.spawned).iter().any(|(one, _)| *one == id)
    }

    /// When the next task is due.
    pub fn next_due(&mut self) -> Option<Millis> {
        self.take_in_spawned();
        while let Some(Reverse((at, _, id))) = self.due.peek() {
            if self.tasks.contains_key(id) {
                return Some(*at);
            }
            self.due.pop();
        }
        None
    }

    /// Moves time on without running anything.
    pub fn advance_to(&self, time: Millis) {
        self.time.now.fetch_max(time.0, Ordering::Relaxed);
    }

    /// Runs the next task up to its next pause; `None` when there is none, else the task and whether it ended.
    pub fn step(&mut self) -> Option<(TaskId, bool)> {
        self.next_due()?;
        let Reverse((at, _, id)) = self.due.pop()?;
        self.advance_to(at);
        let task = self.tasks.get_mut(&id)?;
        self.time.wanted.store(i64::MAX, Ordering::Relaxed);
        self.time.task.store(id, Ordering::Relaxed);
        let ended = task.as_mut().poll(&mut Context::from_waker(&self.waker)).is_ready();
        // A part of the task waited for another part of it, which is done.
        let woken = self.woken.0.swap(false, Ordering::Relaxed);
        if ended {
            self.tasks.remove(&id);
        } else {
            let wanted = if woken { at.0 } else { self.time.wanted.load(Ordering::Relaxed) };
            if wanted < i64::MAX {
                self.due.push(Reverse((Millis(wanted), self.seed.number(), id)));
            }
        }
        Some((id, ended))
    }

    fn take_in_spawned(&mut self) {
        let spawned = std::mem::take(&mut *lock(&self.spawned));
        for (id, task) in spawned {
            self.due.push(Reverse((self.time.now(), self.seed.number(), id)));
            self.tasks.insert(id, task);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_of(seed: u64) -> Vec<(u32, i64)> {
        let mut executor = Executor::new(Millis(1000), Seed(seed));
        let log = Arc::new(Mutex::new(Vec::new()));
        for who in 0..3u32 {
            let (time, log) = (executor.time.clone(), log.clone());
            executor.spawner().spawn(async move {
                for round in 0..4u64 {
                    time.pause(Duration::from_millis(round)).await;
                    lock(&log).push((who, time.now().0));
                }
            });
        }
        while executor.step().is_some() {}
        std::mem::take(&mut *lock(&log))
    }

    #[test]
    fn one_seed_gives_one_order_and_other_seeds_others() {
        assert_eq!(log_of(1), log_of(1));
        assert!((2..9).any(|seed| log_of(seed) != log_of(1)));
        assert_eq!(log_of(1).len(), 12);
        assert!(log_of(1).windows(2).all(|pair| pair[0].1 <= pair[1].1), "time never goes back");
        assert_eq!(log_of(1).last().map(|last| last.1), Some(1006));
    }

    #[test]
    fn a_part_of_a_task_that_waited_for_another_goes_on_when_that_is_done() {
        let mut executor = Executor::new(Millis(0), Seed(1));
        let time = executor.time.clone();
        let task = executor.spawner().spawn(async move {
            let permit = futures::lock::Mutex::new(());
            let waits = async {
                time.pause(Duration::from_millis(1)).await;
                drop(permit.lock().await);
            };
            let works = async {
                let held = permit.lock().await;
                time.pause(Duration::from_millis(5)).await;
                drop(held);
            };
            // The one that waits is asked first, and hears of it only when the other is done.
            futures::join!(waits, works);
        });
        while executor.step().is_some() {}
        assert!(!executor.is_alive(task));
    }

    #[test]
    fn a_dropped_task_never_runs_again() {
        let mut executor = Executor::new(Millis(0), Seed(1));
        let ran = Arc::new(AtomicU64::new(0));
        let (time, count) = (executor.time.clone(), ran.clone());
        let id = executor.spawner().spawn(async move {
            loop {
                time.pause(Duration::from_millis(1)).await;
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        for _ in 0..5 {
            executor.step();
        }
        assert!(executor.is_alive(id));
        executor.drop_task(id);
        assert_eq!(executor.step(), None);
        assert!(!executor.is_alive(id));
        assert_eq!(ran.load(Ordering::Relaxed), 4);
    }
}
