//! A thread with a runtime of its own: for what must go on whatever the other threads do.

use std::fmt;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::Error;

/// The thread. Dropping it ends what runs there, without waiting.
pub(crate) struct OwnThread(Option<Runtime>);

impl OwnThread {
    pub(crate) fn start(name: &str) -> Result<OwnThread, Error> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build();
        let runtime = runtime.map_err(|source| Error::Request {
            doing: format!("begin the thread {name}"),
            source: Box::new(source),
        })?;
        Ok(OwnThread(Some(runtime)))
    }

    /// Where to spawn what is to run there.
    pub(crate) fn handle(&self) -> &Handle {
        self.0.as_ref().expect("the runtime is there until this is dropped").handle()
    }
}

impl Drop for OwnThread {
    fn drop(&mut self) {
        // A runtime that is dropped waits for its threads, which nobody may do in an asynchronous task.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for OwnThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnThread(..)")
    }
}
