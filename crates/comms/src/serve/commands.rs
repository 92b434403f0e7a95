//! Durable commands: from a delivery to a commit.
//!
//! The node stores the events of a command together with its outcome, and acknowledges the delivery; this file asks it
//! to. A command that was delivered before may have been committed before: then it is asked first, and the handler does
//! not run again. A door that does not answer is asked until it does, while the intake keeps the lease: the commit has the
//! same ids each time, so it counts once.
//!
//! A command is given up after some tries that failed, not after some deliveries: it is delivered again too when a server
//! restarts, a lease is lost or an instance stops, and none of that is the handler's failure. Only the node knows how many
//! failed, wherever they did; it says so when it is asked whether a command has ended.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use comms_msg::door::{Commit as DoorCommit, Committed, Completion};
use comms_msg::{
    CommitPlace, DomainContent, Door, Draft, Event, Hop, Kind, Metadata, Msg, MsgId, MsgKey, Subject,
    TypeName, wire,
};
use tokio_util::sync::CancellationToken;

use super::dropped::Why;
use super::gate::stored_fits;
use super::handler::CommandHandler;
use super::intake::{Next, Work};
use super::lease::Said;
use crate::commit::Emitted;
use crate::comms::Comms;
use crate::context::{Cause, CommandContext};
use crate::door::Request;
use crate::error::{Error, ErrorKind, Result};
use crate::failure::{Decision, Failure, chain};
use crate::ids;
use crate::limits::{
    COMMIT_WITHIN, DELIVERIES_MAX, RETRY_PAUSE_MAX, RETRY_PAUSE_MIN, TRIES_MAX, UNHANDLED_PAUSE,
};
use crate::offload;

/// Pause before what found no room is tried again: somebody has to make room first.
const FULL_PAUSE: Duration = Duration::from_secs(5);

/// Handles durable commands of the types that this process has handlers for.
#[derive(Debug)]
pub(crate) struct Commands {
    pub(crate) comms: Comms,
    pub(crate) handlers: HashMap<TypeName, CommandHandler>,
    pub(crate) stop: CancellationToken,
}

/// A delivered command that is what it says it is.
struct Delivered {
    msg: Msg,
    type_name: TypeName,
    handler: CommandHandler,
    cause: Cause,
}

impl Commands {
    /// One delivery, from its arrival to its acknowledgement. What is to be tried again is kept by the server meanwhile.
    pub(crate) async fn handle(self: Arc<Self>, work: Work) -> Next {
        self.answer_for(&work).await;
        Next::Done
    }

    async fn answer_for(&self, work: &Work) {
        let Some(delivered) = self.read(work).await else { return };
        let (id, type_name) = (delivered.msg.id, delivered.type_name.clone());
        let Some(try_number) = self.try_number(work, &delivered).await else { return };
        let completed = self.complete(work, delivered, try_number).await;
        let Some((completion, events)) = completed else { return };
        if let Err(error) = self.commit(work, &type_name, id, completion, events, try_number).await {
            // The command comes again when its lease ends, to whichever instance is there then.
            tracing::warn!(command = %id, %type_name, error = chain(&error), "a command's end could not be told to the node");
        }
    }

    async fn read(&self, work: &Work) -> Option<Delivered> {
        match self.parse(&work.message) {
            Ok((msg, type_name, sender)) => match self.handlers.get(&type_name) {
                Some(handler) => {
                    let cause = Cause::new(
                        self.comms.clone(),
                        (Kind::Command, type_name.clone()),
                        msg.id,
                        msg.metadata.clone(),
                        Some(sender),
                        msg.hop.deadline,
                        work.delivery.tries,
                    );
                    Some(Delivered { handler: handler.clone(), msg, type_name, cause })
                }
                None => {
                    tracing::warn!(command = %msg.id, %type_name, "no handler for this type here; left to other instances");
                    work.lease.tell(self.comms.client(), Said::Later(UNHANDLED_PAUSE)).await;
                    None
                }
            },
            Err(why) => {
                self.comms.drops().count(why, &work.message.subject);
                work.lease.tell(self.comms.client(), Said::Later(UNHANDLED_PAUSE)).await;
                None
            }
        }
    }

    fn parse(&self, message: &Message) -> Result<(Msg, TypeName, comms_msg::ServiceName), Why> {
        let Ok(Subject::Command { domain, type_name, sender }) = message.subject.parse() else {
            return Err(Why::Subject);
        };
        if domain != *self.comms.domain() {
            return Err(Why::Subject);
        }
        let mut msgs = wire::read(&message.payload).map_err(|_| Why::Malformed)?;
        let msg = msgs.next().ok_or(Why::Malformed)?.map_err(|_| Why::Malformed)?;
        if msgs.next().is_some() {
            return Err(Why::Malformed);
        }
        stored_fits(&msg, &type_name, &sender)?;
        Ok((msg, type_name, sender))
    }

    /// Which try of the command this is; `None` if it ended already, or if the node does not say.
    async fn try_number(&self, work: &Work, delivered: &Delivered) -> Option<u32> {
        if work.delivery.tries <= 1 {
            return Some(1);
        }
        let (id, type_name) = (delivered.msg.id, &delivered.type_name);
        match self.commit(work, type_name, id, Completion::Check, Vec::new(), 1).await {
            Ok(committed) => next_try(&committed),
            Err(error) => {
                tracing::warn!(command = %id, error = chain(&error), "whether a command ended already is not known");
                None
            }
        }
    }

    /// What the node is to be told.
    async fn complete(
        &self,
        work: &Work,
        delivered: Delivered,
        try_number: u32,
    ) -> Option<(Completion, Vec<Draft>)> {
        let Delivered { msg, handler, cause, .. } = delivered;
        let deliveries = work.delivery.tries;
        if deliveries > DELIVERIES_MAX {
            let reason = format!("delivered {deliveries} times without an end");
            return Some((Completion::Dead { reason }, Vec::new()));
        }
        if msg.hop.deadline.is_some_and(|deadline| deadline < ids::now()) {
            return Some((Completion::Reject { reason: "its deadline had passed".to_owned() }, Vec::new()));
        }
        let (metadata, key) = (msg.metadata.clone(), cause.key());
        let body = match msg.content {
            Some(DomainContent::Command(command)) => command.body,
            _ => return None,
        };
        let outcome = match handler.run(body, CommandContext::new(cause)).await {
            Ok(commit) => self.events((msg.id, &key), &metadata, commit).await,
            Err(failure) => Err(failure),
        };
        Some(match outcome {
            Ok(events) => (Completion::Done, events),
            Err(failure) => {
                let completion = completion(&failure, try_number);
                warn(&completion, msg.id, &handler.type_name, try_number);
                (completion, Vec::new())
            }
        })
    }

    /// The events of a commit as messages.
    async fn events(
        &self,
        command: (MsgId, &MsgKey),
        cause: &Metadata,
        commit: crate::Commit,
    ) -> Result<Vec<Draft>, Failure> {
        let emitted = commit.checked().map_err(|error| Failure::bury(chain(&error)))?;
        let events =
            caused(&self.comms, command, cause, emitted).await.map_err(|error| match error.kind() {
                ErrorKind::TooLarge | ErrorKind::Invalid | ErrorKind::Denied => Failure::bury(chain(&error)),
                // No fault of the handler's, and not to be counted as one.
                ErrorKind::Full | ErrorKind::Lost => Failure::retry(FULL_PAUSE).because(chain(&error)),
                _ => Failure::from(error),
            })?;
        Ok(events.into_iter().map(Draft::from).collect())
    }

    /// Tells the node, until it answers.
    async fn commit(
        &self,
        work: &Work,
        type_name: &TypeName,
        command: MsgId,
        completion: Completion,
        events: Vec<Draft>,
        try_number: u32,
    ) -> Result<Committed> {
        let mut commit = DoorCommit { command, delivery: String::new(), completion, events };
        loop {
            // The newest delivery, which is the one that the node can acknowledge.
            commit.delivery = work.lease.reply().into_string();
            let door = self.comms.door(Door::Commit(type_name.clone()));
            let error = match self.comms.request(Request::of(door, &commit, COMMIT_WITHIN)?).await {
                Ok(committed) => return Ok(committed),
                Err(error) => error,
            };
            // What a handler did is not thrown away because there is no room for it yet, or before the node was started again.
            let is_full = matches!(error.kind(), ErrorKind::Full | ErrorKind::Lost);
            if (is_full || error.is_retryable()) && !self.stop.is_cancelled() {
                if is_full {
                    tracing::warn!(%command, %type_name, %error, "its outcome waits");
                    let _ = tokio::time::timeout(FULL_PAUSE, self.stop.cancelled()).await;
                }
                continue;
            }
            let (Completion::Done, false) = (&commit.completion, is_full || error.is_retryable()) else {
                return Err(error);
            };
            // The node will not store these events, now or later: that is how this command ends here.
            let failure = match error.kind() {
                ErrorKind::Conflict => Failure::again(chain(&error)),
                _ => Failure::bury(chain(&error)),
            };
            tracing::warn!(%command, %type_name, reason = failure.reason(), "the node refuses what a handler caused");
            commit.completion = completion_of_refused(&failure, try_number.max(work.delivery.tries));
            commit.events.clear();
        }
    }
}

/// What a handler failed with, for whoever reads the service's log; a command that was rejected has been answered.
fn warn(completion: &Completion, command: MsgId, type_name: &TypeName, try_number: u32) {
    match completion {
        Completion::Retry { after_ms, reason, .. } => {
            tracing::warn!(%command, %type_name, r#try = try_number, reason, after_ms, "a handler failed and will be tried again");
        }
        Completion::Dead { reason } => {
            tracing::error!(%command, %type_name, r#try = try_number, reason, "a handler failed and the command is given up");
        }
        Completion::Reject { reason } => {
            tracing::debug!(%command, %type_name, reason, "a handler rejected a command");
        }
        Completion::Done | Completion::Check | Completion::Working => {}
    }
}

/// Which try comes next of a command that has not ended.
fn next_try(committed: &Committed) -> Option<u32> {
    (!committed.already).then(|| committed.failed.saturating_add(1))
}

/// A conflict is contention, not a mistake of the handler: it is tried again more often than a failure.
fn completion_of_refused(failure: &Failure, try_number: u32) -> Completion {
    match failure.decision {
        Decision::Again => retry(back_off(try_number), failure.reason(), true),
        Decision::After(_) | Decision::Reject | Decision::Bury => completion(failure, try_number),
    }
}

/// What becomes of a command whose `try_number` failed; the first is number 1.
fn completion(failure: &Failure, try_number: u32) -> Completion {
    let reason = failure.reason().to_owned();
    match failure.decision {
        Decision::Again if try_number >= TRIES_MAX => Completion::Dead { reason },
        Decision::Again => retry(back_off(try_number), &reason, false),
        Decision::After(wait) => retry(wait, &reason, true),
        Decision::Reject => Completion::Reject { reason },
        Decision::Bury => Completion::Dead { reason },
    }
}

fn retry(wait: Duration, reason: &str, asked: bool) -> Completion {
    let after_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    Completion::Retry { after_ms, reason: reason.to_owned(), asked }
}

/// The pause after a try; the first is number 1.
pub(crate) fn back_off(try_number: u32) -> Duration {
    RETRY_PAUSE_MIN.saturating_mul(1 << try_number.saturating_sub(1).min(16)).min(RETRY_PAUSE_MAX)
}

/// The messages of the events that a command caused: with ids that derive from it, and in its conversation.
pub(crate) async fn caused(
    comms: &Comms,
    (command, key): (MsgId, &MsgKey),
    cause: &Metadata,
    emitted: Vec<Emitted>,
) -> Result<Vec<Msg>> {
    let count =
        u32::try_from(emitted.len()).map_err(|_| Error::new(ErrorKind::TooLarge, "too many events"))?;
    let now = ids::now();
    let mut events = Vec::with_capacity(emitted.len());
    for (ordinal, event) in (0..count).zip(emitted) {
        let Emitted { type_name, version, entity, expect, body } = event;
        let body = offload::reduce(comms, &type_name, body).await?;
        let mut metadata = cause.caused(command, now);
        metadata.sender = Some(comms.service().clone());
        let event = Event { type_name, version, entity, previous: None, body };
        let hop = Hop { commit: Some(CommitPlace::new(ordinal, count)?), expect, ..Hop::default() };
        let id = MsgId::derive(key, comms.service(), ordinal);
        events.push(Msg { id, metadata, content: Some(DomainContent::Event(event)), hop });
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_retried_a_limited_number_of_times() {
        let failure = Failure::again("disk full");
        assert!(matches!(completion(&failure, 1), Completion::Retry { after_ms: 200, .. }));
        assert!(matches!(completion(&failure, TRIES_MAX - 1), Completion::Retry { .. }));
        assert!(matches!(completion(&failure, TRIES_MAX), Completion::Dead { .. }));
    }

    #[test]
    fn tries_are_counted_by_failures_and_not_by_deliveries() {
        let after = |failed: u32| {
            let open = Committed { already: false, events: Vec::new(), failed, filled: Vec::new() };
            completion(&Failure::again("the shelf is locked"), next_try(&open).expect("it has not ended"))
        };
        // However often it was delivered: nothing has failed before.
        let first = u64::try_from(RETRY_PAUSE_MIN.as_millis()).expect("short");
        assert!(matches!(after(0), Completion::Retry { after_ms, .. } if after_ms == first));
        assert!(matches!(after(1), Completion::Retry { after_ms, .. } if after_ms == 2 * first));
        assert!(matches!(after(TRIES_MAX - 2), Completion::Retry { .. }));
        assert!(matches!(after(TRIES_MAX - 1), Completion::Dead { .. }));
        assert!(matches!(after(u32::MAX), Completion::Dead { .. }));
        let ended = Committed { already: true, events: Vec::new(), failed: 1, filled: Vec::new() };
        assert_eq!(next_try(&ended), None, "the handler does not run again");
    }

    #[test]
    fn what_a_handler_asks_for_is_done() {
        let later = Failure::retry(Duration::from_secs(7));
        assert!(matches!(completion(&later, TRIES_MAX + 1), Completion::Retry { after_ms: 7_000, .. }));
        assert!(matches!(completion(&Failure::reject("no"), 1), Completion::Reject { .. }));
        assert!(matches!(completion(&Failure::bury("no"), 1), Completion::Dead { .. }));
    }

    #[test]
    fn the_pause_doubles_up_to_its_longest() {
        assert_eq!(back_off(1), RETRY_PAUSE_MIN);
        assert_eq!(back_off(2), RETRY_PAUSE_MIN * 2);
        assert_eq!(back_off(u32::MAX), RETRY_PAUSE_MAX);
    }

    #[test]
    fn a_conflict_is_tried_again_beyond_the_tries_of_a_failure() {
        let conflict = Failure::again("the entity moved on");
        assert!(matches!(completion_of_refused(&conflict, TRIES_MAX + 1), Completion::Retry { .. }));
    }
}
