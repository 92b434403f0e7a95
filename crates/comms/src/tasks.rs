//! The only spawner of this crate: every task has a name and an owner, and none outlives its owner.
//!
//! Dropping [`Tasks`] aborts what still runs. A task that panics is reported; the owner decides nothing by it,
//! since each task here serves until its input ends.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use tokio::task::AbortHandle;

/// The tasks of one connection.
#[derive(Debug, Default)]
pub(crate) struct Tasks(Mutex<Vec<AbortHandle>>);

impl Tasks {
    /// Runs `future` until it ends or the owner is dropped.
    pub(crate) fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        let task = tokio::spawn(async move {
            future.await;
            tracing::trace!(task = name, "ended");
        });
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| !task.is_finished());
        tasks.push(task.abort_handle());
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        for task in self.0.get_mut().unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
    }
}
