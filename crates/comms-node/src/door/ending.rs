//! How a command ends: with the events it caused, or without any. Stored, remembered, told to who waits, and then taken
//! out of the queue.

use comms_domain::Domain;
use comms_msg::door::{Committed, Refusal, RefusalKind};
use comms_msg::{CommitPlace, Draft, Msg, ServiceName};

use super::commit::{Held, already};
use super::{Doors, complete};
use crate::log::commit::COMMIT_MESSAGES_MAX;
use crate::log::outcomes::Ending;
use crate::log::recovery::{EndingRecord, EndingState};
use crate::log::{NewEvent, Standing};

/// The longest reason that is kept, in bytes.
const REASON_BYTES_MAX: usize = 4_096;

impl Doors {
    /// Stores the events that a command caused, together, and ends it.
    pub(super) async fn done(
        &self,
        domain: &Domain,
        sender: &ServiceName,
        held: Held,
        events: Vec<Draft>,
    ) -> Result<Committed, Refusal> {
        if events.is_empty() {
            return self.end_without_events(sender, held, EndingState::Done, None).await;
        }
        if events.len() > COMMIT_MESSAGES_MAX {
            let message =
                format!("/events  {} events; at most {COMMIT_MESSAGES_MAX} in one commit", events.len());
            return Err(Refusal::new(RefusalKind::TooLarge, message));
        }
        let checked = self.caused(domain, sender, &held, events).await?;
        let _right = match self.standing(&held).await? {
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

    /// Stores how a command ended that caused nothing.
    pub(super) async fn end_without_events(
        &self,
        sender: &ServiceName,
        held: Held,
        state: EndingState,
        reason: Option<String>,
    ) -> Result<Committed, Refusal> {
        let _right = match self.standing(&held).await? {
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

    /// The events that a handler says its command caused, completed and checked.
    async fn caused(
        &self,
        domain: &Domain,
        sender: &ServiceName,
        held: &Held,
        events: Vec<Draft>,
    ) -> Result<Vec<NewEvent>, Refusal> {
        let mut checked = Vec::with_capacity(events.len());
        let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
        for (ordinal, event) in (0u32..).zip(events) {
            let place = format!("/events/{ordinal}");
            let mut msg =
                complete::caused(event, &held.command, sender, ordinal).map_err(|r| r.below(&place))?;
            let content = msg.content.as_ref().expect("what was completed has content");
            let type_name = content.type_name().clone();
            if !domain.events.contains_key(&type_name) {
                return Err(self.unknown(domain, comms_msg::Kind::Event, &type_name).below(&place));
            }
            self.allowed(domain, sender, &type_name, "emit", |service| service.emits.contains(&type_name))?;
            self.check(domain, sender, &mut msg).await.map_err(|r| r.below(&place))?;
            msg.hop.commit =
                Some(CommitPlace::new(ordinal, count).expect("the number of events was checked before"));
            checked.push(self.new_event(msg)?);
        }
        Ok(checked)
    }

    /// The right to end the command, or the answer where it ended meanwhile.
    async fn standing(&self, held: &Held) -> Result<Result<crate::log::EndingRight<'_>, Committed>, Refusal> {
        match self.log.standing(held.command.id) {
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
}

/// `text` cut to at most `bytes_max` bytes, at a character.
fn shortened(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}
