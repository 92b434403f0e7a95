//! Commands that wait here and stand in the queue no more: somebody with the server's own rights removed them, or a store was
//! mended. Nobody will be delivered one, so it is ended as dead, with that reason, and whoever waits for it hears so.

use std::time::Duration;

use comms_msg::ServiceName;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::commit::AppendError;
use super::ending::EndingState;
use super::{Delivered, Effect, EventLog};

/// How often some of them are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How many are looked for at once: each is a read. Those before the first that the queue holds need none.
const LOOKED_MAX: usize = 256;
/// What its sender is told.
const REASON: &str = "it was taken out of its queue before its handler answered for it";

impl EventLog {
    /// Looks for them until `stop`.
    pub(super) async fn look_for_vanished(&self, stop: CancellationToken) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut after = 0;
        loop {
            tokio::select! {
                _ = look.tick() => {}
                () = stop.cancelled() => return,
            }
            match self.end_vanished(after).await {
                Ok(next) => after = next,
                Err(error) => tracing::debug!(%error, "whether commands vanished is not known now"),
            }
        }
    }

    /// Ends those behind `after` that vanished, some at a time; answers where to go on.
    pub(super) async fn end_vanished(&self, after: u64) -> Result<u64, AppendError> {
        let first = self.commands.first_sequence().await?;
        let waiting = self.lock().commands.waiting(after, LOOKED_MAX);
        let next = if waiting.len() < LOOKED_MAX { 0 } else { waiting.last().map_or(0, |(last, _)| *last) };
        for (sequence, command) in waiting {
            if sequence >= first && self.read_command(sequence).await?.is_some() {
                continue;
            }
            tracing::error!(
                command = %command.id, type_name = %command.type_name, sequence,
                "a command vanished from its queue; it is ended as dead"
            );
            // There is no delivery to acknowledge, and nobody handled it.
            let delivered = Delivered { acknowledge: String::new(), sequence, tries: 0, command };
            let effect = Effect::Nothing { state: EndingState::Dead, reason: Some(REASON.to_owned()) };
            self.finish(&delivered, &ServiceName::operator(), effect).await?;
            self.settled(sequence);
        }
        Ok(next)
    }
}
