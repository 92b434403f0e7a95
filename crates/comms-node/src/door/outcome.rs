//! The door where a sender asks how its command ended, and waits for it if it likes.

use std::time::Duration;

use comms_domain::Domain;
use comms_msg::door::{Outcome, OutcomeAsk, OutcomeEvent, OutcomeState, Refusal, RefusalKind};
use comms_msg::limits::DOOR_BYTES_MAX;
use comms_msg::{DomainContent, Kind, MsgKey, ServiceName, TypeName};

use super::Doors;
use crate::log::ending::Ending;

/// Events that are told whole, in bytes altogether: in JSON they take up to twice as much, and the ids of all others
/// have to fit into the same answer. Who needs the others reads them where they stand.
const MESSAGES_BYTES_MAX: usize = DOOR_BYTES_MAX / 4;
/// The longest a single question waits; who wants to wait longer asks again.
const WAIT_MAX: Duration = Duration::from_secs(25);

impl Doors {
    /// Answers when the command has ended, or with `pending` when the wait is over. A command that nobody knows is
    /// *not found*: it was never kept, or its outcome is older than outcomes are.
    pub(super) async fn outcome(
        &self,
        domain: &Domain,
        sender: &ServiceName,
        type_name: &TypeName,
        ask: OutcomeAsk,
    ) -> Result<Outcome, Refusal> {
        if !domain.commands.contains_key(type_name) {
            return Err(self.unknown(domain, Kind::Command, type_name));
        }
        self.allowed(domain, sender, type_name, "send", |service| service.sends.contains(type_name))?;
        let unknown = || {
            let message = format!("no outcome is kept of a command {}", ask.command);
            Refusal::new(RefusalKind::NotFound, message)
        };
        // The key holds sender and type, so another's command is none.
        let key = MsgKey::new(Kind::Command, sender, type_name, ask.command);
        let ending = || self.log.ending(&key).map_err(|e| self.refusal(e));
        if self.log.is_doubtful(&key) && !self.log.is_pending(&key) {
            self.log.find_doubtful().await.map_err(|e| self.refusal(e))?;
        }
        if ending()?.is_none() && self.log.is_pending(&key) && ask.wait_ms > 0 {
            let wait = Duration::from_millis(ask.wait_ms).min(WAIT_MAX);
            if let Some(ended) = self.log.wait_for(key).map_err(|e| self.refusal(e))? {
                // Both ends of the wait are told apart by the ending below.
                let _ = tokio::time::timeout(wait, ended).await;
                self.log.sweep_waiters(&key);
            }
        }
        // Before the ending is asked for: what ends in between is in the queue, or has ended.
        let is_pending = self.log.is_pending(&key);
        match ending()? {
            Some(ending) => self.describe(domain, sender, &ending).await,
            None if is_pending => Ok(outcome(OutcomeState::Pending)),
            None if self.log.is_doubtful(&key) => {
                let message =
                    format!("whether the command {} is kept is not known yet; ask again", ask.command);
                Err(Refusal::new(RefusalKind::Unavailable, message))
            }
            None => Err(unknown()),
        }
    }

    async fn describe(
        &self,
        domain: &Domain,
        sender: &ServiceName,
        ending: &Ending,
    ) -> Result<Outcome, Refusal> {
        Ok(match ending {
            Ending::Rejected { reason } => {
                Outcome { reason: Some(reason.to_string()), ..outcome(OutcomeState::Rejected) }
            }
            Ending::Dead { reason, tries } => {
                Outcome { reason: Some(reason.to_string()), tries: *tries, ..outcome(OutcomeState::Dead) }
            }
            Ending::Done { first, count, tries } => {
                let mut room = MESSAGES_BYTES_MAX;
                let mut events = Vec::with_capacity(*count as usize);
                for sequence in (*first..).take(*count as usize) {
                    let stored = self.log.read_event(sequence).await.map_err(|e| self.refusal(e))?;
                    let Some(msg) = stored else { continue };
                    let Some(DomainContent::Event(event)) = &msg.content else { continue };
                    let may_read =
                        domain.service(sender).is_some_and(|s| s.observes.contains(&event.type_name));
                    let bytes = msg.to_cbor().len();
                    let fits = bytes <= room;
                    room = if may_read && fits { room - bytes } else { room };
                    events.push(OutcomeEvent {
                        id: msg.id,
                        type_name: event.type_name.clone(),
                        entity: event.entity.clone(),
                        position: self.log.position(sequence),
                        cid: msg.cid(),
                        msg: (may_read && fits).then_some(msg),
                    });
                }
                Outcome { events, tries: *tries, ..outcome(OutcomeState::Done) }
            }
        })
    }
}

fn outcome(state: OutcomeState) -> Outcome {
    Outcome { state, reason: None, tries: 0, events: Vec::new() }
}
