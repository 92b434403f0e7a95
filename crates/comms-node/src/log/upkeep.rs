//! What the log does by itself: it hears what left the queue, finds what was stored although nobody said so, and writes
//! its index to disk.

use std::time::Duration;

use async_nats::Subscriber;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::EventLog;
use super::append::entries_of;
use super::commands::PendingCommand;
use super::commit::AppendError;
use super::ending::EndingRecord;
use super::index::{Entry, Index};
use crate::clock::now_ms;
use comms_msg::{Msg, MsgKey};

/// How often the index is written where little happens, and the log is looked through where something is in doubt. What
/// was stored since is read back after a crash.
const WRITE_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked whether so much happened that the index should be written at once.
const DUE_LOOK: Duration = Duration::from_millis(250);

impl EventLog {
    /// Keeps the log up until `stop`; then the index is written once more.
    pub(crate) async fn keep_up(&self, confirmed: Subscriber, stop: CancellationToken) {
        tokio::join!(
            self.hear(confirmed, stop.clone()),
            self.look_for_vanished(stop.clone()),
            self.write_index(stop)
        );
    }

    async fn write_index(&self, stop: CancellationToken) {
        let mut look = tokio::time::interval(DUE_LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut written = tokio::time::Instant::now();
        loop {
            let is_last = tokio::select! {
                _ = look.tick() => false,
                () = stop.cancelled() => true,
            };
            if !is_last && !self.index.is_due() && written.elapsed() < WRITE_EVERY {
                continue;
            }
            if !is_last && let Err(error) = self.find_doubtful().await {
                tracing::debug!(%error, "what may be stored cannot be looked for now");
            }
            self.flush().await;
            written = tokio::time::Instant::now();
            if is_last {
                return;
            }
        }
    }

    pub(crate) async fn flush(&self) {
        let index = self.index.clone();
        match tokio::task::spawn_blocking(move || index.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "the index of the log cannot be written; it is tried again")
            }
            Err(error) => {
                tracing::error!(%error, "writing the index of the log ended early; it is tried again")
            }
        }
    }

    /// Looks for what was stored although nobody said so, so that nothing stays in doubt for long.
    pub(crate) async fn find_doubtful(&self) -> Result<(), AppendError> {
        let begun_ms = now_ms();
        let (events, commands) = {
            let mut memory = self.lock();
            (memory.arrivals.uncertain_after(), memory.commands.arrivals().uncertain_after())
        };
        if events.is_some() || self.index.has_gap() {
            self.catch_up().await?;
            self.lock().arrivals.settle(begun_ms);
        }
        if let Some(after) = commands {
            let mut found = Vec::new();
            self.commands
                .read(after, |message| {
                    let msg = Msg::from_cbor(message.payload).ok();
                    if let Some(command) = msg.as_ref().and_then(PendingCommand::of) {
                        found.push((message.sequence, command));
                    }
                })
                .await?;
            let mut memory = self.lock();
            for (sequence, command) in found {
                if memory.commands.arrivals().is_uncertain(&command.key) {
                    memory.commands.found(sequence, command);
                }
            }
            memory.commands.arrivals().settle(begun_ms);
        }
        Ok(())
    }

    /// Reads the log from where it is known without a gap to its end. Who waits for a command hears of an end that is found.
    pub(super) async fn catch_up(&self) -> Result<(), AppendError> {
        let last = self.events.last_sequence().await?;
        let prefix = outcome_prefix(&self.domain);
        self.events
            .read(self.index.through(), |message| {
                let wake = |command: &MsgKey| self.wake(command);
                note(&self.index, &prefix, message.subject, message.sequence, message.payload, wake);
            })
            .await?;
        self.index.note_through(last);
        Ok(())
    }
}

pub(super) fn outcome_prefix(domain: &str) -> String {
    format!("{domain}.outcome.")
}

/// Tells the index of a message of the log as it was read back, and then `ended` of the command whose end it tells; whether it
/// could be read.
pub(super) fn note(
    index: &Index,
    outcome_prefix: &str,
    subject: &str,
    sequence: u64,
    payload: &bytes::Bytes,
    ended: impl Fn(&MsgKey),
) -> bool {
    let mut entries: Vec<(MsgKey, Entry)> = Vec::new();
    let is_readable = if subject.starts_with(outcome_prefix) {
        EndingRecord::from_cbor(payload).is_some_and(|record| {
            let (key, command) = record.remembered(sequence);
            entries.push((key, Entry::Ended(command)));
            true
        })
    } else {
        Msg::from_cbor(payload).is_ok_and(|msg| {
            entries_of(&msg, sequence, 0, &mut entries);
            true
        })
    };
    let found = entries.iter().find(|(_, entry)| matches!(entry, Entry::Ended(_))).map(|(key, _)| *key);
    index.note(entries, sequence, sequence);
    if let Some(command) = found {
        ended(&command);
    }
    is_readable
}
