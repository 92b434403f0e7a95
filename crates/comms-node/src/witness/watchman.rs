//! What the witness does while the node runs: ledgers are synced, streams and listeners are looked at, blank records are filled in, and
//! everything that is stored is read through and compared, slowly, again and again.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::compare::Comparison;
use super::start::{created_ns, info};
use super::{Manner, Shared, Watched, Witness};
use crate::current::Current;

/// How often ledgers are synced: what was acknowledged within this time before a power failure is not witnessed.
const SYNC_EVERY: Duration = Duration::from_millis(250);
/// How often streams are looked at: with the wait for an answer, a stream that is gone is noticed within 10 s.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(3);
/// How long a look waits for the server.
pub(super) const LOOK_WAITS: Duration = Duration::from_secs(4);
/// Messages compared in one step in the background, and the pause behind it: a few percent of a core.
pub(super) const STEP: u64 = 2_000;
const STEP_PAUSE: Duration = Duration::from_millis(100);
/// Pause between two readings of everything. A disk that rots does so slowly.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(6 * 60 * 60);

impl Witness {
    /// Does all of it until `stop`, then syncs once more.
    pub(crate) async fn watch(self, client: async_nats::Client, current: Current, stop: CancellationToken) {
        let work = async {
            tokio::join!(
                self.keep_synced(),
                self.keep_looking(&client),
                self.keep_reading(&client),
                self.keep_following(&client, &current)
            );
        };
        tokio::select! {
            () = work => {}
            () = stop.cancelled() => {}
        }
        self.sync().await;
    }

    async fn keep_synced(&self) {
        let mut tick = interval(SYNC_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.sync().await;
        }
    }

    pub(crate) async fn sync(&self) {
        let shared = Arc::clone(&self.shared);
        let synced = tokio::task::spawn_blocking(move || {
            for Watched { ledger, .. } in &shared.streams {
                if let Err(error) = ledger.sync() {
                    tracing::error!(path = %ledger.path().display(), %error, "a ledger cannot be synced");
                }
            }
        });
        if let Err(error) = synced.await {
            tracing::error!(%error, "the ledgers cannot be synced");
        }
    }

    async fn keep_looking(&self, client: &async_nats::Client) {
        let context = jetstream::new(client.clone());
        let mut tick = interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.look_at_files().await;
            for watched in &self.shared.streams {
                if let Err(reason) = self.look(&context, watched).await {
                    self.lost(reason);
                }
            }
        }
    }

    /// Files that were removed under the node are missed by nobody before the next start.
    async fn look_at_files(&self) {
        let shared = Arc::clone(&self.shared);
        let looked = tokio::task::spawn_blocking(move || {
            shared.streams.iter().try_for_each(|Watched { ledger, blocks, .. }| {
                if !ledger.is_in_place() {
                    return Err(format!("the ledger {} was removed or replaced", ledger.path().display()));
                }
                blocks.as_ref().map_or(Ok(()), |blocks| blocks.look(ledger))
            })
        });
        match looked.await {
            Ok(looked) => looked.unwrap_or_else(|reason| self.lost(reason)),
            Err(error) => tracing::error!(%error, "the files of the streams cannot be looked at"),
        }
    }

    /// Holds what the server counts against the ledger, and fills in what stayed blank.
    ///
    /// # Errors
    /// What is lost. A server that does not answer has lost nothing.
    async fn look(&self, context: &jetstream::Context, watched: &Watched) -> Result<(), String> {
        let Watched { ledger, manner, .. } = watched;
        let (name, before) = (ledger.name(), ledger.tally());
        let Ok(Ok(found)) = timeout(LOOK_WAITS, info(context, name)).await else { return Ok(()) };
        let after = ledger.tally();
        let Some(info) = found else {
            return Err(format!("the stream {name} is gone; {} messages stood there", before.lasting));
        };
        if created_ns(&info) != ledger.header().created_ns {
            return Err(format!("the stream {name} was deleted and made anew"));
        }
        let (last, messages) = (info.state.last_sequence, info.state.messages);
        if last < before.extent {
            return Err(format!("the stream {name} ends at {last} and went to {}", before.extent));
        }
        // What was settled while the answer was on its way may be gone, and what was stored may not be counted.
        if messages + (after.released - before.released) < before.lasting {
            return Err(format!("the stream {name} holds {messages} messages of {}", before.lasting));
        }
        if *manner == Manner::Followed {
            ledger.reach(last);
        }
        // What stays blank for as long as a look is not on its way any more.
        let blank = before.frontier;
        if blank <= before.extent && after.frontier == blank {
            let end = before.extent.min(blank.saturating_add(STEP));
            return self.compare(&context.client(), watched, blank, end).await.map(drop);
        }
        Ok(())
    }

    /// Reads what the start left out, then everything, and so on.
    async fn keep_reading(&self, client: &async_nats::Client) {
        let mut is_first = true;
        loop {
            for watched in &self.shared.streams {
                let tally = watched.ledger.tally();
                let end = if is_first { watched.compared_from.saturating_sub(1) } else { tally.extent };
                self.read(client, watched, tally.floor, end).await;
            }
            is_first = false;
            tokio::time::sleep(READ_AGAIN_AFTER).await;
        }
    }

    async fn read(&self, client: &async_nats::Client, watched: &Watched, first: u64, end: u64) {
        let begin = Instant::now();
        let mut at = first;
        while at <= end {
            let last = end.min(at + STEP - 1);
            if let Err(reason) = self.compare(client, watched, at, last).await {
                self.lost(reason);
            }
            at = last + 1;
            tokio::time::sleep(STEP_PAUSE).await;
        }
        let seconds = begin.elapsed().as_secs();
        tracing::debug!(stream = watched.ledger.name(), first, end, seconds, "compared with its ledger");
    }

    /// Whether it could be compared: a stream that cannot be read right now has lost nothing.
    ///
    /// # Errors
    /// What is lost.
    pub(super) async fn compare(
        &self,
        client: &async_nats::Client,
        watched: &Watched,
        first: u64,
        last: u64,
    ) -> Result<bool, String> {
        let Shared { names, .. } = &*self.shared;
        let Watched { ledger, incarnation, manner, .. } = watched;
        let is_queue = *manner == Manner::Queue;
        let comparison = Comparison { client, ledger, names, incarnation, is_queue };
        let mut findings = match comparison.run(first, last).await {
            Ok(findings) => findings,
            Err(error) => {
                tracing::debug!(stream = ledger.name(), first, last, error, "not compared");
                return Ok(false);
            }
        };
        for (sequence, record) in std::mem::take(&mut findings.commands) {
            findings.loss.add(super::loss::How::Missing, sequence, Some(&record), names);
        }
        match findings.loss.is_empty() {
            true => Ok(true),
            false => Err(findings.loss.to_string()),
        }
    }
}
