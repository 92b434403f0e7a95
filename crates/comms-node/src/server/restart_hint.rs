//! How whoever writes to nats-server says that it runs and stores nothing.
//!
//! When a write to its disk fails, nats-server (from 2.14 on) freezes the stream and answers no write to it until it is
//! started again, even when the disk has recovered. From outside its process looks well, so the supervisor cannot see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::Notify;
use tokio::time::sleep;

/// Pause between two starts that were asked for. A server whose disk is still full freezes again with the first write,
/// and each start costs everybody the connection.
const RESTART_PAUSE: Duration = Duration::from_secs(30);

/// Handle by which writes that stall, and writes that succeed again, are reported. Clones report the same server.
#[derive(Debug, Clone)]
pub struct RestartHint {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    is_managed: bool,
    is_stalled: AtomicBool,
    told: Notify,
}

impl RestartHint {
    /// For a server of the node's own.
    pub(super) fn managed() -> RestartHint {
        RestartHint::new(true)
    }

    /// For a server of somebody else's, which nobody here can start again: what is reported is logged.
    pub fn external() -> RestartHint {
        RestartHint::new(false)
    }

    fn new(is_managed: bool) -> RestartHint {
        let (is_stalled, told) = (AtomicBool::new(false), Notify::new());
        RestartHint { shared: Arc::new(Shared { is_managed, is_stalled, told }) }
    }

    /// A write got no answer from a server to which the connection is up; `why` says what was waited for.
    ///
    /// May be called for every such write. A managed server is started again, at most once in half a minute.
    pub fn stalled(&self, why: &str) {
        let Shared { is_managed, is_stalled, told } = &*self.shared;
        let was = is_stalled.swap(true, Ordering::Relaxed);
        match (was, is_managed) {
            (true, _) => tracing::debug!(why, "nats-server still stores nothing"),
            (false, true) => tracing::error!(why, "nats-server stores nothing and is to be started again"),
            (false, false) => {
                tracing::error!(
                    why,
                    "nats-server stores nothing; look at its log and its disk, and start it again"
                );
            }
        }
        told.notify_one();
    }

    /// A write was stored. Cheap enough to be called for every one.
    pub fn recovered(&self) {
        if self.is_stalled() && self.shared.is_stalled.swap(false, Ordering::Relaxed) {
            tracing::info!("nats-server stores again");
        }
    }

    /// Whether writes stalled and none was stored since.
    pub fn is_stalled(&self) -> bool {
        self.shared.is_stalled.load(Ordering::Relaxed)
    }

    /// Calls `restart` when writes stall, with a pause after each. Never returns.
    pub(super) async fn heed<F: Future<Output = ()>>(&self, mut restart: impl FnMut() -> F) {
        let told = &self.shared.told;
        loop {
            told.notified().await;
            // What recovered by itself meanwhile needs no restart.
            if !self.is_stalled() {
                continue;
            }
            restart().await;
            // What was reported until now was about the server that has ended.
            let _ = told.notified().now_or_never();
            sleep(RESTART_PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn restarts_have_a_pause_between_them_and_stop_when_writes_succeed() {
        let hint = RestartHint::managed();
        let (begun, restarts) = (Instant::now(), AtomicUsize::new(0));
        // Every start meets a disk that is still full; the third one succeeds.
        let restart = async || {
            let restarts = restarts.fetch_add(1, Ordering::Relaxed) + 1;
            hint.stalled("a write in flight when the server ended");
            let after = hint.clone();
            tokio::spawn(async move {
                sleep(Duration::from_secs(5)).await;
                if restarts < 3 {
                    after.stalled("no answer");
                } else {
                    after.recovered();
                }
            });
        };
        hint.stalled("no answer");
        hint.stalled("no answer");
        let _ = timeout(RESTART_PAUSE * 10, hint.heed(restart)).await;
        assert_eq!(restarts.load(Ordering::Relaxed), 3);
        assert!(!hint.is_stalled() && begun.elapsed() >= RESTART_PAUSE * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_recovered_is_left_alone() {
        let hint = RestartHint::managed();
        hint.stalled("no answer");
        hint.recovered();
        let restart = async || panic!("nothing is wrong");
        assert!(timeout(RESTART_PAUSE * 2, hint.heed(restart)).await.is_err());
    }
}
