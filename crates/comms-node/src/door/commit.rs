//! The door where a handler answers for a command that was delivered to it: done with these events, try again later,
//! refused for good, given up.
//!
//! The answer counts once. Who may give it is who holds the delivery: the reply subject of the message must be of the
//! sender's own consumer, and the command at that place must be the one the answer is for.

use std::time::Duration;

use bytes::Bytes;
use comms_msg::door::{Commit, Committed, Completion, Refusal, RefusalKind};
use comms_msg::{CommitPlace, Draft, Msg, MsgId, ServiceName, TypeName};

use super::request::Request;
use super::{Doors, complete};
use crate::log::Standing;
use crate::log::commit::COMMIT_MESSAGES_MAX;
use crate::log::delivery::DeliverySubject;
use crate::log::outcomes::Ending;
use crate::log::pending::PendingCommand;
use crate::log::recovery::{EndingRecord, EndingState};

/// Deliveries of one command after which a handler that asks for another gets a dead letter instead. When to give up
/// is the handler's to say; this only keeps a command from going round for ever.
const DELIVERIES_MAX: u32 = 1_000;
/// The longest pause a handler can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest reason that is kept, in bytes.
const REASON_BYTES_MAX: usize = 4_096;

/// A delivery that its holder answers for.
struct Held {
    /// The reply subject, where the stream hears of it.
    acknowledge: String,
    sequence: u64,
    delivered: u32,
    command: PendingCommand,
}

impl Doors {
    /// Ends a command, or says how it stands.
    pub(super) async fn commit(
        &self,
        type_name: TypeName,
        sender: ServiceName,
        request: Request,
    ) -> Result<Committed, Refusal> {
        let commit: Commit = request.form.decode(&request.payload)?;
        let domain = self.current.get();
        self.allowed(&domain, &sender, &type_name, "handle", |service| service.handles.contains(&type_name))?;
        let delivery = DeliverySubject::parse(&commit.delivery)
            .filter(|d| self.is_own_consumer(&sender, d))
            .ok_or_else(|| {
                Refusal::new(
                    RefusalKind::Denied,
                    "/delivery  not a delivery to this service; give the reply subject of the message",
                )
            })?;
        let waiting = self.log.command_at(delivery.stream_sequence).await.map_err(|e| self.refusal(e))?;
        let is_other =
            |waiting: &PendingCommand| waiting.id != commit.command || waiting.type_name != type_name;
        let (ending, command) = match (self.log.ending(&commit.command), waiting) {
            // Nothing is left to acknowledge there.
            (Some(ending), None) => return Ok(already(&ending)),
            (ending, Some(waiting)) if !is_other(&waiting) => (ending, waiting),
            _ => {
                return Err(Refusal::new(
                    RefusalKind::NotFound,
                    format!("no command {} waits at that delivery", commit.command),
                ));
            }
        };
        if let Some(ending) = ending {
            self.log.settle(&commit.delivery, delivery.stream_sequence).await;
            return Ok(already(&ending));
        }
        let (sequence, delivered) = (delivery.stream_sequence, delivery.delivered);
        let held = Held { acknowledge: commit.delivery, sequence, delivered, command };
        match commit.completion {
            Completion::Check => Ok(open(held.command.failed)),
            Completion::Working => {
                self.tell(&held.acknowledge, Bytes::from_static(b"+WPI")).await;
                Ok(open(held.command.failed))
            }
            Completion::Done => self.done(&sender, held, commit.events).await,
            Completion::Retry { after_ms, reason, asked } if held.delivered < DELIVERIES_MAX => {
                let after = Duration::from_millis(after_ms).min(RETRY_AFTER_MAX);
                tracing::info!(command = %held.command.id, tries = held.delivered, reason, "to be tried again");
                let nak = format!("-NAK {{\"delay\": {}}}", after.as_nanos());
                if !asked {
                    self.log.try_failed(held.sequence);
                }
                self.tell(&held.acknowledge, nak.into()).await;
                Ok(open(held.command.failed + u32::from(!asked)))
            }
            Completion::Retry { reason, .. } | Completion::Dead { reason } => {
                self.end_without_events(&sender, held, EndingState::Dead, Some(reason)).await
            }
            Completion::Reject { reason } => {
                self.end_without_events(&sender, held, EndingState::Rejected, Some(reason)).await
            }
        }
    }

    async fn done(&self, sender: &ServiceName, held: Held, events: Vec<Draft>) -> Result<Committed, Refusal> {
        if events.is_empty() {
            return self.end_without_events(sender, held, EndingState::Done, None).await;
        }
        if events.len() > COMMIT_MESSAGES_MAX {
            let message =
                format!("/events  {} events; at most {COMMIT_MESSAGES_MAX} in one commit", events.len());
            return Err(Refusal::new(RefusalKind::TooLarge, message));
        }
        let domain = self.current.get();
        let mut checked = Vec::with_capacity(events.len());
        let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
        for (ordinal, event) in (0u32..).zip(events) {
            let place = format!("/events/{ordinal}");
            let mut msg =
                complete::caused(event, &held.command, sender, ordinal).map_err(|r| r.below(&place))?;
            let content = msg.content.as_ref().expect("what was completed has content");
            let type_name = content.type_name().clone();
            if !domain.events.contains_key(&type_name) {
                return Err(self.unknown(&domain, comms_msg::Kind::Event, &type_name).below(&place));
            }
            self.allowed(&domain, sender, &type_name, "emit", |service| service.emits.contains(&type_name))?;
            self.check(&domain, sender, &mut msg).await.map_err(|r| r.below(&place))?;
            msg.hop.commit =
                Some(CommitPlace::new(ordinal, count).expect("the number of events was checked above"));
            checked.push(self.new_event(msg)?);
        }
        let _right = match self.standing(&held, held.command.id).await? {
            Ok(right) => right,
            Err(already) => return Ok(already),
        };
        let stored = self.log.append(&checked).await.map_err(|e| self.refusal(e))?;
        let count = u32::try_from(checked.len()).unwrap_or(u32::MAX);
        let ending = Ending::Done { first: stored.first, count, tries: held.delivered };
        self.log.ended(&held.command, ending);
        self.log.settle(&held.acknowledge, held.sequence).await;
        let events = self.appended(&checked, stored);
        Ok(Committed { already: stored.duplicate, failed: held.command.failed, events })
    }

    async fn end_without_events(
        &self,
        sender: &ServiceName,
        held: Held,
        state: EndingState,
        reason: Option<String>,
    ) -> Result<Committed, Refusal> {
        let _right = match self.standing(&held, held.command.id).await? {
            Ok(right) => right,
            Err(already) => return Ok(already),
        };
        let letter = match state {
            EndingState::Dead => {
                let command = self.log.read_command(held.sequence).await.map_err(|e| self.refusal(e))?;
                command.map(|msg: Msg| serde_bytes::ByteBuf::from(msg.to_cbor()))
            }
            EndingState::Done | EndingState::Rejected => None,
        };
        let record = EndingRecord {
            command: held.command.id,
            state,
            handler: sender.clone(),
            tries: held.delivered,
            reason: reason.map(|text| shortened(text, REASON_BYTES_MAX)),
            letter,
        };
        let stored = self.log.store_ending(&held.command.type_name, held.command.id, &record).await;
        let stored = stored.map_err(|e| self.refusal(e))?;
        self.log.ended(&held.command, record.ending(stored.first));
        self.log.settle(&held.acknowledge, held.sequence).await;
        Ok(Committed { already: stored.duplicate, failed: held.command.failed, events: Vec::new() })
    }

    /// The right to end the command, or the answer where it ended meanwhile.
    async fn standing(
        &self,
        held: &Held,
        command: MsgId,
    ) -> Result<Result<crate::log::EndingRight<'_>, Committed>, Refusal> {
        match self.log.standing(command) {
            Standing::Open(right) => Ok(Ok(right)),
            Standing::Ended(ending) => {
                self.log.settle(&held.acknowledge, held.sequence).await;
                Ok(Err(already(&ending)))
            }
            Standing::Busy => Err(Refusal::new(
                RefusalKind::Busy,
                "another answer for this command is being stored; ask again",
            )),
        }
    }

    /// Tells the stream that a delivery is not over. If this is lost, its lease ends and it comes again.
    async fn tell(&self, delivery: &str, what: Bytes) {
        let _ = self.log.client.publish(delivery.to_owned(), what).await;
    }

    fn is_own_consumer(&self, sender: &ServiceName, delivery: &DeliverySubject<'_>) -> bool {
        let layout = self.layout();
        layout.consumers.iter().any(|consumer| {
            consumer.purpose == comms_domain::Purpose::Command(sender.clone())
                && consumer.stream == delivery.stream
                && consumer.name == delivery.consumer
        })
    }
}

/// The answer for a command that ended before.
fn already(ending: &Ending) -> Committed {
    tracing::debug!(?ending, "answered for before");
    Committed { already: true, failed: 0, events: Vec::new() }
}

/// The answer for one that is open, `failed` tries of which failed.
fn open(failed: u32) -> Committed {
    Committed { already: false, failed, events: Vec::new() }
}

/// `text` cut to at most `bytes_max` bytes, at a character.
fn shortened(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}
