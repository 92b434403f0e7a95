//! How a durable command ended, for its sender: at once, or for one that comes back later with its id.

use std::future::IntoFuture;
use std::pin::Pin;
use std::time::Duration;

use comms_content::Cid;
use comms_msg::door::{self, OutcomeAsk, OutcomeEvent, OutcomeState};
use comms_msg::limits::OUTCOME_WAIT_MS_MAX;
use comms_msg::{Door, EntityId, Msg, MsgId, Position, TypeName};
use tokio::time::Instant;

use crate::comms::Comms;
use crate::door::Request;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::OUTCOME_POLL;
use crate::message::Event;
use crate::offload;
use crate::rights::Right;

/// How a command ended, or that it did not by the deadline.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// How often it was delivered to a handler, as far as known.
    pub tries: u32,
    /// What it caused, in order.
    pub events: Vec<Caused>,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Handled, and its events are stored.
    Done,
    /// Refused for good, and why.
    Rejected(String),
    /// Given up after too many failures, and why. An operator can have it tried again.
    Dead(String),
    /// Nothing known by the deadline; it may still be handled.
    Pending,
}

/// One event that a command caused.
#[derive(Clone, Debug)]
pub struct Caused {
    /// Its id.
    pub id: MsgId,
    /// Its type.
    pub type_name: TypeName,
    /// Whose history it is in.
    pub entity: EntityId,
    /// Where in the log.
    pub position: Position,
    /// Its message CID.
    pub cid: Cid,
    /// The event itself, if this service may observe it and the outcome has room for it.
    pub msg: Option<Msg>,
    comms: Comms,
}

impl Caused {
    /// The event as a type of the program.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Denied`] if this service may not observe it. [`ErrorKind::TooLarge`] if the events of the command were
    /// too large altogether for one answer: this one is read where it stands, with a [`watch`](Comms::watch) of its entity.
    /// [`ErrorKind::Invalid`] if it is of another type.
    pub async fn decode<E: Event>(&self) -> Result<E> {
        let Some(msg) = &self.msg else {
            self.comms.check(Right::Observe, &self.type_name).await?;
            let (type_name, entity, position) = (&self.type_name, &self.entity, &self.position);
            let message = format!(
                "the outcome is too large to hold this {type_name}; watch {entity} from before its position {position}"
            );
            return Err(Error::new(ErrorKind::TooLarge, message));
        };
        if self.type_name.as_str() != E::TYPE {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("this is a {}, not a {}", self.type_name, E::TYPE),
            ));
        }
        let content = msg
            .content
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::Malformed, "an event without content"))?;
        Ok(offload::fetch(&self.comms, content.body()).await?.decode()?)
    }
}

impl Outcome {
    /// This outcome if the command is done; else an error that says how it ended.
    pub fn done(self) -> Result<Self> {
        match &self.end {
            End::Done => Ok(self),
            End::Rejected(reason) => Err(Error::new(ErrorKind::Rejected, format!("rejected: {reason}"))),
            End::Dead(reason) => {
                Err(Error::new(ErrorKind::Rejected, format!("given up after {} tries: {reason}", self.tries)))
            }
            End::Pending => Err(Error::new(ErrorKind::Timeout, "no outcome by the deadline").perhaps_done()),
        }
    }
}

/// The question how a command ended; awaiting it waits for the end.
///
/// While the node does not answer it is asked again until the deadline; then the end is [`End::Pending`]. The last question
/// may take some seconds longer.
#[derive(Debug)]
#[must_use = "awaiting this waits for the outcome"]
pub struct AwaitOutcome {
    comms: Comms,
    type_name: Result<TypeName>,
    id: MsgId,
    within: Option<Duration>,
}

impl AwaitOutcome {
    pub(crate) fn new(comms: Comms, type_name: Result<TypeName>, id: MsgId) -> Self {
        Self { comms, type_name, id, within: None }
    }

    /// How long to wait, instead of as long as the definition says for this command. Zero asks what is known now.
    pub fn within(mut self, within: Duration) -> Self {
        self.within = Some(within);
        self
    }

    async fn wait(self) -> Result<Outcome> {
        let Self { comms, type_name, id, within } = self;
        let type_name = type_name?;
        let within = within.unwrap_or_else(|| comms.rights().command_deadline(&type_name));
        let until = crate::ids::moment_after(within);
        loop {
            let hold = until.saturating_duration_since(Instant::now()).min(OUTCOME_POLL);
            let wait_ms = u64::try_from(hold.as_millis()).unwrap_or(u64::MAX).min(OUTCOME_WAIT_MS_MAX);
            let door = comms.door(Door::Outcome(type_name.clone()));
            let mut request =
                Request::of(door, &OutcomeAsk { command: id, wait_ms }, hold + crate::limits::DOOR_ATTEMPT)?;
            request.hold = hold;
            request.tells_only = true;
            let polled = comms.request(request).await;
            let Some(outcome) = ended(polled, Instant::now() >= until)? else {
                continue;
            };
            let reason = outcome.reason.unwrap_or_default();
            let end = match outcome.state {
                OutcomeState::Pending => End::Pending,
                OutcomeState::Done => End::Done,
                OutcomeState::Rejected => End::Rejected(reason),
                OutcomeState::Dead => End::Dead(reason),
            };
            let events = outcome.events.into_iter().map(|event| caused(&comms, event)).collect();
            return Ok(Outcome { end, tries: outcome.tries, events });
        }
    }
}

/// What ends the wait after one poll, if it ends: an error that may pass does not, and is nothing known at its end.
fn ended(polled: Result<door::Outcome>, is_late: bool) -> Result<Option<door::Outcome>> {
    match polled {
        Ok(outcome) if outcome.state == OutcomeState::Pending && !is_late => Ok(None),
        Ok(outcome) => Ok(Some(outcome)),
        Err(error) if error.is_retryable() => {
            tracing::debug!(%error, is_late, "asking for an outcome failed");
            let state = OutcomeState::Pending;
            Ok(is_late.then(|| door::Outcome { state, reason: None, tries: 0, events: Vec::new() }))
        }
        Err(error) => Err(error),
    }
}

fn caused(comms: &Comms, event: OutcomeEvent) -> Caused {
    let OutcomeEvent { id, type_name, entity, position, cid, msg } = event;
    Caused { id, type_name, entity, position, cid, msg, comms: comms.clone() }
}

impl IntoFuture for AwaitOutcome {
    type Output = Result<Outcome>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.wait())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(state: OutcomeState) -> Result<door::Outcome> {
        Ok(door::Outcome { state, reason: None, tries: 1, events: Vec::new() })
    }

    fn failed(kind: ErrorKind) -> Result<door::Outcome> {
        Err(Error::new(kind, "no"))
    }

    #[test]
    fn a_poll_that_fails_for_now_does_not_end_the_wait_before_its_deadline() {
        for kind in [ErrorKind::Timeout, ErrorKind::Busy, ErrorKind::Unavailable] {
            assert_eq!(ended(failed(kind), false).expect("goes on"), None);
            let late = ended(failed(kind), true).expect("ends").expect("says something");
            assert_eq!(late.state, OutcomeState::Pending);
        }
        for kind in [ErrorKind::NotFound, ErrorKind::Denied, ErrorKind::Internal] {
            assert_eq!(ended(failed(kind), false).expect_err("is told").kind(), kind);
        }
    }

    #[test]
    fn only_an_end_ends_the_wait_before_its_deadline() {
        assert_eq!(ended(told(OutcomeState::Pending), false).expect("goes on"), None);
        for (state, is_late) in
            [(OutcomeState::Pending, true), (OutcomeState::Done, false), (OutcomeState::Dead, true)]
        {
            let outcome = ended(told(state), is_late).expect("ends").expect("says something");
            assert_eq!((outcome.state, outcome.tries), (state, 1));
        }
    }
}
