//! Threads with a runtime of their own: for what must go on whatever the other threads do.

use std::fmt;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::Error;

/// The threads. Dropping them ends what runs there, without waiting.
pub(crate) struct OwnThreads(Option<Runtime>);

impl OwnThreads {
    pub(crate) fn start(name: &str, threads: usize) -> Result<OwnThreads, Error> {
        let runtime =
            Builder::new_multi_thread().worker_threads(threads).thread_name(name).enable_all().build();
        let runtime = runtime.map_err(|source| Error::Request {
            doing: format!("begin the threads {name}"),
            source: Box::new(source),
        })?;
        Ok(OwnThreads(Some(runtime)))
    }

    /// Where to spawn what is to run there.
    pub(crate) fn handle(&self) -> &Handle {
        self.0.as_ref().expect("the runtime is there until this is dropped").handle()
    }
}

impl Drop for OwnThreads {
    fn drop(&mut self) {
        // A runtime that is dropped waits for its threads, which nobody may do in an asynchronous task.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for OwnThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnThreads(..)")
    }
}
