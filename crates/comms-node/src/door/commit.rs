//! The door where a handler answers for a command that was delivered to it: done with these events, try again later,
//! refused for good, given up.
//!
//! The answer counts once. Who may give it is who holds the delivery: the reply subject of the message must be of the
//! sender's own consumer, and the command at that place must be the one the answer is for.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use comms_domain::{Domain, Layout};
use comms_msg::door::{Commit, Committed, Completion, Refusal, RefusalKind};
use comms_msg::{Kind, MsgId, MsgKey, ServiceName, TypeName};

use super::Doors;
use crate::current::InForce;
use crate::log::Delivered;
use crate::log::commands::PendingCommand;
use crate::log::delivery::DeliverySubject;
use crate::log::ending::{Ending, EndingState};

/// Deliveries of one command after which a handler that asks for another gets a dead letter instead. When to give up
/// is the handler's to say; this only keeps a command from going round for ever.
const DELIVERIES_MAX: u32 = 1_000;
/// The longest pause a handler can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl Doors {
    /// Ends a command, or says how it stands.
    pub(super) async fn commit(
        &self,
        in_force: &InForce,
        sender: &ServiceName,
        type_name: &TypeName,
        commit: Commit,
    ) -> Result<Committed, Refusal> {
        let domain = &in_force.domain;
        self.allowed(domain, sender, type_name, "handle", |service| service.handles.contains(type_name))?;
        let held = match self.held(in_force, sender, type_name, &commit).await? {
            Ok(held) => held,
            Err(ended) => return Ok(ended),
        };
        match commit.completion {
            Completion::Check => Ok(open(held.command.failed)),
            Completion::Working => {
                self.log.tell(&held.acknowledge, Bytes::from_static(b"+WPI")).await;
                Ok(open(held.command.failed))
            }
            Completion::Done => self.done(domain, sender, held, commit.events).await,
            Completion::Retry { after_ms, reason, asked } if held.tries < DELIVERIES_MAX => {
                let after = Duration::from_millis(after_ms).min(RETRY_AFTER_MAX);
                let (command, tries) = (&held.command, held.tries);
                self.counts.failed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(service = %sender, command = %command.id, type_name = %command.type_name, tries, reason, "a command failed and will be tried again");
                Ok(self.again(held, after, asked).await)
            }
            Completion::Retry { reason, .. } | Completion::Dead { reason } => {
                self.end_without_events(sender, held, EndingState::Dead, Some(reason)).await
            }
            Completion::Reject { reason } => {
                self.end_without_events(sender, held, EndingState::Rejected, Some(reason)).await
            }
        }
    }

    /// The delivery that `sender` answers for, or what there is to say where the command ended before.
    async fn held(
        &self,
        in_force: &InForce,
        sender: &ServiceName,
        type_name: &TypeName,
        commit: &Commit,
    ) -> Result<Result<Delivered, Committed>, Refusal> {
        let delivery = DeliverySubject::parse(&commit.delivery)
            .filter(|delivery| is_own_consumer(&in_force.layout, sender, delivery))
            .ok_or_else(|| {
                Refusal::new(
                    RefusalKind::Denied,
                    "/delivery  not a delivery to this service; give the reply subject of the message",
                )
            })?;
        let sequence = delivery.stream_sequence;
        let waiting = self.log.command_at(sequence).await.map_err(|e| self.refusal(e))?;
        let is_meant =
            |waiting: &PendingCommand| waiting.id == commit.command && waiting.type_name == *type_name;
        let is_gone = waiting.is_none();
        let Some(command) = waiting.filter(is_meant) else {
            let refusal = Refusal::new(
                RefusalKind::NotFound,
                format!("no command {} waits at that delivery", commit.command),
            );
            if !is_gone {
                return Err(refusal);
            }
            // An answer that is given again, since the first one got lost.
            return match self.left(&in_force.domain, type_name, commit.command, sequence)? {
                Some(ending) => Ok(Err(self.already(&ending).await?)),
                None => Err(refusal.perhaps_done()),
            };
        };
        if let Some(ending) = self.log.ending(&command.key).map_err(|e| self.refusal(e))? {
            self.log.settle(&commit.delivery, sequence).await;
            return Ok(Err(self.already(&ending).await?));
        }
        let (acknowledge, tries) = (commit.delivery.clone(), delivery.delivered);
        Ok(Ok(Delivered { acknowledge, sequence, tries, command }))
    }

    /// How the command ended that stood at `sequence` of the queue and left it; a delivery does not say whose it was.
    fn left(
        &self,
        domain: &Domain,
        type_name: &TypeName,
        id: MsgId,
        sequence: u64,
    ) -> Result<Option<Ending>, Refusal> {
        if let Some(key) = self.log.gone_from(sequence, type_name).filter(|key| key.id() == id) {
            return self.log.ending(&key).map_err(|e| self.refusal(e));
        }
        for sender in domain.services_that(|service| service.sends.contains(type_name)) {
            let key = MsgKey::new(Kind::Command, sender, type_name, id);
            if let Some(ending) = self.log.ended_at(&key, sequence).map_err(|e| self.refusal(e))? {
                return Ok(Some(ending));
            }
        }
        Ok(None)
    }

    /// Gives a delivery back, to be tried again.
    async fn again(&self, held: Delivered, after: Duration, asked: bool) -> Committed {
        if !asked {
            self.log.try_failed(held.sequence);
        }
        let nak = format!("-NAK {{\"delay\": {}}}", after.as_nanos());
        self.log.tell(&held.acknowledge, nak.into()).await;
        open(held.command.failed.saturating_add(u32::from(!asked)))
    }
}

fn is_own_consumer(layout: &Layout, sender: &ServiceName, delivery: &DeliverySubject<'_>) -> bool {
    layout.consumers.iter().any(|consumer| {
        consumer.purpose == comms_domain::Purpose::Command(sender.clone())
            && consumer.stream == delivery.stream
            && consumer.name == delivery.consumer
    })
}

/// The answer for one that is open, `failed` tries of which failed.
fn open(failed: u32) -> Committed {
    Committed { already: false, failed, events: Vec::new(), filled: Vec::new() }
}
