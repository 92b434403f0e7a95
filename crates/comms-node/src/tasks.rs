//! The one place where the node spawns tasks: each has a name and a policy, and none outlives [`Tasks::stop`] or the last
//! handle.
//!
//! An *essential* task must not end before the node is told to stop; if it does, [`Tasks::failed`] says so and the
//! node stops. A *restarting* task is begun again, after growing pauses. A *unit* is a piece of work that ends by itself;
//! its failure is its own. A panic counts as the end of the task, not of the process.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::pace::Pace;

/// Units that run at once: requests and connections in hand. Above this a caller is told that the node is busy.
pub(crate) const UNITS_MAX: usize = 16_384;
/// The pauses before a task is begun again: the first is for a hiccup, the longest for what somebody has to mend.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_LONGEST: Duration = Duration::from_secs(5);
/// A task that ran this long has recovered: the next pause is the first again.
const RECOVERED_AFTER: Duration = Duration::from_secs(30);

/// Handle to the tasks of a node. Clones are handles to the same tasks. Without any handle they are ended where they wait;
/// [`Tasks::stop`] is the orderly way.
#[derive(Debug, Clone)]
pub struct Tasks {
    inner: Arc<Inner>,
}

/// Nothing that runs in `set` may hold this: a task that kept its own set alive would never be ended by dropping it.
#[derive(Debug)]
struct Inner {
    token: CancellationToken,
    /// None once they have been stopped: nothing is spawned any more.
    set: Mutex<Option<JoinSet<()>>>,
    /// Names of what runs, to say at the end what did not stop.
    running: Mutex<Vec<Arc<str>>>,
    failure: watch::Sender<Option<TaskFailure>>,
}

/// An essential task that ended too early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} ended: {why}")]
pub struct TaskFailure {
    /// The task.
    pub name: String,
    /// How it ended.
    pub why: String,
}

/// Too many units run, or the node is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much is being done at once")]
pub struct Busy;

impl Default for Tasks {
    fn default() -> Self {
        Tasks::new()
    }
}

impl Tasks {
    /// None yet.
    pub fn new() -> Tasks {
        Tasks {
            inner: Arc::new(Inner {
                token: CancellationToken::new(),
                set: Mutex::new(Some(JoinSet::new())),
                running: Mutex::new(Vec::new()),
                failure: watch::channel(None).0,
            }),
        }
    }

    /// Is cancelled when the tasks are to stop: whatever waits between two units of work waits for this too.
    pub fn token(&self) -> CancellationToken {
        self.inner.token.clone()
    }

    /// Spawns what the node cannot do without. If it ends before [`Tasks::stop`], the node has failed.
    pub fn essential<E, F>(&self, name: impl Into<Arc<str>>, task: F)
    where
        E: std::fmt::Display,
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        let (token, inner) = (self.token(), Arc::downgrade(&self.inner));
        let name: Arc<str> = name.into();
        self.spawn(Arc::clone(&name), async move {
            let why = outcome(task).await.err().unwrap_or_else(|| String::from("it had nothing more to do"));
            if !token.is_cancelled() {
                tracing::error!(task = &*name, why, "an essential task ended");
                let failure = TaskFailure { name: name.to_string(), why };
                // Without a handle there is nobody to tell.
                let Some(inner) = inner.upgrade() else { return };
                inner.failure.send_if_modified(|first| {
                    let is_first = first.is_none();
                    first.get_or_insert(failure);
                    is_first
                });
            }
        });
    }

    /// Spawns what is begun again whenever it ends, until [`Tasks::stop`].
    pub fn restarting<E, F>(&self, name: impl Into<Arc<str>>, mut begin: impl FnMut() -> F + Send + 'static)
    where
        E: std::fmt::Display,
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        let token = self.token();
        let name: Arc<str> = name.into();
        self.spawn(Arc::clone(&name), async move {
            let mut pace = Pace::new(PAUSE_FIRST, PAUSE_LONGEST);
            loop {
                let begun = Instant::now();
                let ended = outcome(begin()).await;
                if token.is_cancelled() {
                    break;
                }
                if begun.elapsed() >= RECOVERED_AFTER {
                    pace = Pace::new(PAUSE_FIRST, PAUSE_LONGEST);
                }
                let again_in = pace.next_pause();
                let why = ended.err();
                tracing::warn!(task = &*name, why, ?again_in, "a task ended and is begun again");
                tokio::select! {
                    () = token.cancelled() => break,
                    () = sleep(again_in) => {}
                }
            }
        });
    }

    /// Spawns a piece of work that ends by itself. Refused when too many run or the node is stopping.
    pub fn unit<F>(&self, name: &Arc<str>, task: F) -> Result<(), Busy>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if self.inner.token.is_cancelled() || self.running() >= UNITS_MAX {
            return Err(Busy);
        }
        let spoken = Arc::clone(name);
        self.spawn(Arc::clone(name), async move {
            let ended = outcome(task.map(Ok::<(), std::convert::Infallible>)).await;
            if let Err(why) = ended {
                tracing::error!(task = &*spoken, why, "a piece of work failed");
            }
        });
        Ok(())
    }

    /// How many tasks run.
    pub fn running(&self) -> usize {
        lock(&self.inner.running).len()
    }

    /// Waits for the first essential task that ends too early; for ever, if none does.
    pub async fn failed(&self) -> TaskFailure {
        let mut failure = self.inner.failure.subscribe();
        match failure.wait_for(Option::is_some).await.map(|failure| failure.clone()) {
            Ok(Some(failure)) => failure,
            // The sender lives as long as `self`.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Cancels the token, waits for all tasks at most `grace`, and ends those that still run where they wait.
    ///
    /// The names of those that had to be ended so are the answer.
    pub async fn stop(&self, grace: Duration) -> Vec<String> {
        self.inner.token.cancel();
        let Some(mut set) = lock(&self.inner.set).take() else { return Vec::new() };
        let deadline = Instant::now() + grace;
        while let Ok(Some(_)) = timeout_at(deadline, set.join_next()).await {}
        let mut late: Vec<String> = lock(&self.inner.running).iter().map(ToString::to_string).collect();
        late.sort();
        set.shutdown().await;
        late
    }

    fn spawn(&self, name: Arc<str>, task: impl Future<Output = ()> + Send + 'static) {
        let mut set = lock(&self.inner.set);
        let Some(set) = &mut *set else { return };
        let named = Named { inner: Arc::downgrade(&self.inner), name: Arc::clone(&name) };
        lock(&self.inner.running).push(name);
        // Tasks that have ended leave the set here; what remains is bounded by what runs.
        while set.try_join_next().is_some() {}
        set.spawn(async move {
            let _named = named;
            task.await;
        });
    }
}

/// Takes the name of a task out when it ends, however it ends.
struct Named {
    inner: Weak<Inner>,
    name: Arc<str>,
}

impl Drop for Named {
    fn drop(&mut self) {
        let Some(inner) = self.inner.upgrade() else { return };
        let mut running = lock(&inner.running);
        if let Some(at) = running.iter().position(|name| Arc::ptr_eq(name, &self.name)) {
            running.swap_remove(at);
        }
    }
}

async fn outcome<E: std::fmt::Display>(task: impl Future<Output = Result<(), E>>) -> Result<(), String> {
    match AssertUnwindSafe(task).catch_unwind().await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(panic) => {
            let said = panic.downcast_ref::<&str>().map(ToString::to_string);
            let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(format!("panic: {}", said.unwrap_or_default()))
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing panics while it holds one of these; a poisoned one is as good.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;
    use crate::fixture::wait_until;

    const GRACE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn an_essential_task_that_ends_is_a_failure_with_its_name() {
        let tasks = Tasks::new();
        tasks.essential("log", async { Err("disk full") });
        let failure = tasks.failed().await;
        assert_eq!((failure.name.as_str(), failure.why.as_str()), ("log", "disk full"));
        tasks.essential("doors", async { Ok::<(), Infallible>(()) });
        assert_eq!(tasks.failed().await.name, "log", "the first failure is the one that is told");
    }

    #[tokio::test]
    async fn a_panic_is_the_end_of_its_task_only() {
        let tasks = Tasks::new();
        tasks.essential::<Infallible, _>("log", async { panic!("broken {}", 1) });
        assert_eq!(tasks.failed().await.why, "panic: broken 1");
        tasks.unit(&"put".into(), async { panic!("also") }).unwrap();
        assert_eq!(tasks.stop(GRACE).await, [""; 0]);
    }

    #[tokio::test]
    async fn an_essential_task_that_stops_when_told_is_no_failure() {
        let tasks = Tasks::new();
        let token = tasks.token();
        tasks.essential("log", async move {
            token.cancelled().await;
            Ok::<(), Infallible>(())
        });
        assert_eq!(tasks.stop(GRACE).await, [""; 0]);
        assert!(tasks.failed().now_or_never().is_none());
        assert_eq!(tasks.running(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_restarting_task_is_begun_again_after_growing_pauses() {
        let tasks = Tasks::new();
        let third = Arc::new(Notify::new());
        let begun = Arc::new(AtomicUsize::new(0));
        let start = Instant::now();
        tasks.restarting("watch", {
            let (third, begun) = (Arc::clone(&third), Arc::clone(&begun));
            move || {
                let (third, begun) = (Arc::clone(&third), Arc::clone(&begun));
                async move {
                    if begun.fetch_add(1, Ordering::Relaxed) == 2 {
                        third.notify_one();
                    }
                    Err("gone")
                }
            }
        });
        third.notified().await;
        assert!(start.elapsed() >= PAUSE_FIRST * 3, "{:?}", start.elapsed());
        assert_eq!(tasks.stop(GRACE).await, [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_stop_in_time_is_ended_and_named() {
        let tasks = Tasks::new();
        tasks.essential("deaf", std::future::pending::<Result<(), Infallible>>());
        tasks.unit(&"slow".into(), std::future::pending()).unwrap();
        assert_eq!(tasks.stop(GRACE).await, ["deaf", "slow"]);
        assert_eq!(tasks.running(), 0);
        assert_eq!(tasks.unit(&"late".into(), async {}), Err(Busy));
    }

    #[tokio::test]
    async fn dropping_the_last_handle_ends_the_tasks() {
        let tasks = Tasks::new();
        let alive = Arc::new(());
        let held = || {
            let alive = Arc::clone(&alive);
            async move {
                std::future::pending::<()>().await;
                drop(alive);
                Ok::<(), Infallible>(())
            }
        };
        tasks.essential("log", held());
        tasks.restarting("watch", {
            let alive = Arc::clone(&alive);
            move || {
                let alive = Arc::clone(&alive);
                async move {
                    std::future::pending::<()>().await;
                    drop(alive);
                    Ok::<(), Infallible>(())
                }
            }
        });
        tasks.unit(&"put".into(), held().map(drop)).unwrap();
        let clone = tasks.clone();
        drop(tasks);
        assert_eq!(clone.running(), 3, "a clone is a handle too");
        drop(clone);
        wait_until("all tasks are gone", || Arc::strong_count(&alive) == 1).await;
    }

    #[tokio::test]
    async fn units_are_bounded_and_their_end_makes_room() {
        let tasks = Tasks::new();
        let name: Arc<str> = "put".into();
        let gate = tasks.token();
        for _ in 0..UNITS_MAX {
            tasks.unit(&name, gate.clone().cancelled_owned()).unwrap();
        }
        assert_eq!(tasks.unit(&name, async {}), Err(Busy));
        assert_eq!(tasks.stop(GRACE).await, [""; 0]);
        assert_eq!(tasks.running(), 0);
    }
}
