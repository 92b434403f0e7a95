//! What the log remembers is read back from the streams at start: commands that wait, and how commands ended.
//!
//! The command stream is read whole, since all of it is pending. The event stream is read from whichever is earlier:
//! the time for which outcomes are kept, or the oldest command that still waits; a commit cannot stand before its
//! command. Doors open only after this.

use std::ops::ControlFlow;
use std::time::Duration;

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::stream::Stream;
use bytes::Bytes;
use comms_content::Node;
use comms_msg::{DomainContent, Msg, MsgId, ServiceName};
use futures::StreamExt;
use serde::{Deserialize, Serialize};

use super::direct_read::{self, Begin};
use super::outcomes::{Ending, OUTCOME_KEPT_MS, Outcomes};
use super::pending::{Pending, PendingCommand};
use crate::Error;
use crate::clock::date;

/// How long one message may take to come before the read-back counts as stuck.
const NEXT_WAIT: Duration = Duration::from_secs(10);

/// How a command ended that caused no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EndingState {
    Done,
    Rejected,
    Dead,
}

/// The stored form of such an ending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndingRecord {
    pub(crate) command: MsgId,
    pub(crate) state: EndingState,
    pub(crate) handler: ServiceName,
    pub(crate) tries: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// A dead letter holds its command as it was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) letter: Option<serde_bytes::ByteBuf>,
}

impl EndingRecord {
    pub(crate) fn to_cbor(&self) -> Bytes {
        Node::encode(self).expect("an ending has only text, numbers and bytes").into_bytes()
    }

    fn from_cbor(bytes: &Bytes) -> Option<EndingRecord> {
        Node::from_cbor(bytes.clone()).ok()?.decode().ok()
    }

    pub(crate) fn ending(&self, sequence: u64) -> Ending {
        let reason = || self.reason.clone().unwrap_or_default().into_boxed_str();
        match self.state {
            EndingState::Done => Ending::Done { first: sequence, count: 0, tries: self.tries },
            EndingState::Rejected => Ending::Rejected { reason: reason() },
            EndingState::Dead => Ending::Dead { reason: reason(), tries: self.tries },
        }
    }
}

/// What was read back.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) pending: Pending,
    pub(crate) outcomes: Outcomes,
    /// Stored messages that could not be read; they are left where they are and told to the operator.
    pub(crate) unreadable: u64,
}

/// Reads both streams back.
pub(crate) async fn recover(
    client: &async_nats::Client,
    domain: &str,
    commands: &Stream,
    events: &Stream,
    now_ms: u64,
) -> Result<Recovered, Error> {
    let mut recovered = Recovered::default();
    let mut since_ms = now_ms.saturating_sub(OUTCOME_KEPT_MS);
    let oldest = commands.cached_info().state.first_timestamp.unix_timestamp_nanos() / 1_000_000;
    if commands.cached_info().state.messages > 0 {
        since_ms = since_ms.min(u64::try_from(oldest).unwrap_or(0));
    }
    let queue = &commands.cached_info().config.name;
    direct_read::read(client, queue, ">", Begin::At(1), |found| {
        match Msg::from_cbor(found.payload).ok().as_ref().and_then(pending) {
            Some(command) => recovered.pending.insert(found.sequence, command),
            None => recovered.unreadable += 1,
        }
        ControlFlow::Continue(())
    })
    .await
    .map_err(|reason| Error::Recovery { what: queue.clone(), reason })?;
    let start_time = date(since_ms);
    let pending = &recovered.pending;
    let is_waiting = |command: &MsgId| pending.sequence_of(command).is_some();
    let outcome_prefix = format!("{domain}.outcome.");
    read(events, DeliverPolicy::ByStartTime { start_time }, |sequence, time_ms, subject, payload| {
        if subject.starts_with(&outcome_prefix) {
            match EndingRecord::from_cbor(payload) {
                Some(record) => {
                    let ending = record.ending(sequence);
                    recovered.outcomes.insert(record.command, ending, None, time_ms, is_waiting);
                }
                None => recovered.unreadable += 1,
            }
            return;
        }
        match Msg::from_cbor(payload) {
            Ok(msg) => {
                if let (Some(part), Some(command)) = (msg.hop.commit, msg.metadata.causation) {
                    let ending = Ending::of_event(sequence, part.count(), part.ordinal());
                    recovered.outcomes.insert(command, ending, None, time_ms, is_waiting);
                }
            }
            Err(_) => recovered.unreadable += 1,
        }
    })
    .await?;
    Ok(recovered)
}

/// What must be known of a stored command; `None` if the message is no command a door stored.
pub(crate) fn pending(msg: &Msg) -> Option<PendingCommand> {
    match &msg.content {
        Some(DomainContent::Command(command)) => Some(PendingCommand {
            id: msg.id,
            type_name: command.type_name.clone(),
            sender: msg.metadata.sender.clone(),
            owner: msg.metadata.owner.clone(),
            correlation: msg.metadata.correlation,
            failed: 0,
        }),
        _ => None,
    }
}

/// Reads `stream` up to what was its end at the start of the call.
async fn read(
    stream: &Stream,
    from: DeliverPolicy,
    mut each: impl FnMut(u64, u64, &str, &Bytes),
) -> Result<(), Error> {
    let failed = |what: &str, reason: String| Error::Recovery { what: what.to_owned(), reason };
    let name = stream.cached_info().config.name.clone();
    let info = stream.get_info().await.map_err(|e| failed(&name, e.to_string()))?;
    if info.state.messages == 0 {
        return Ok(());
    }
    let consumer = stream
        .create_consumer(pull::OrderedConfig { deliver_policy: from, ..Default::default() })
        .await
        .map_err(|e| failed(&name, e.to_string()))?;
    if consumer.cached_info().num_pending == 0 {
        return Ok(());
    }
    let last = info.state.last_sequence;
    let mut messages = consumer.messages().await.map_err(|e| failed(&name, e.to_string()))?;
    loop {
        let next = tokio::time::timeout(NEXT_WAIT, messages.next()).await;
        let message = match next {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(error))) => return Err(failed(&name, error.to_string())),
            Ok(None) => return Err(failed(&name, "the read ended early".to_owned())),
            Err(_) => return Err(failed(&name, format!("no message came for {} s", NEXT_WAIT.as_secs()))),
        };
        let info = message.info().map_err(|e| failed(&name, e.to_string()))?;
        let time_ms = u64::try_from(info.published.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
        let (sequence, left) = (info.stream_sequence, info.pending);
        each(sequence, time_ms, message.subject.as_str(), &message.payload);
        if sequence >= last || left == 0 {
            return Ok(());
        }
    }
}
