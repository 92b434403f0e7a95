//! How a durable command ended, for its sender: at once, or for one that comes back later with its id.

use std::future::IntoFuture;
use std::pin::Pin;
use std::time::Duration;

use comms_content::Cid;
use comms_msg::door::{OutcomeAsk, OutcomeEvent, OutcomeState};
use comms_msg::limits::OUTCOME_WAIT_MS_MAX;
use comms_msg::{Door, EntityId, Msg, MsgId, Position, TypeName};
use tokio::time::Instant;

use crate::comms::Comms;
use crate::door::Request;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::OUTCOME_POLL;
use crate::message::Event;
use crate::offload;

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
    /// The event itself, if this service may observe it.
    pub msg: Option<Msg>,
    comms: Comms,
}

impl Caused {
    /// The event as a type of the program.
    pub async fn decode<E: Event>(&self) -> Result<E> {
        let Some(msg) = &self.msg else {
            let message = format!("{} may not observe {}", self.comms.service(), self.type_name);
            return Err(Error::new(ErrorKind::Denied, message));
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
        let until = Instant::now() + within.unwrap_or_else(|| comms.rights().command_deadline(&type_name));
        loop {
            let hold = until.saturating_duration_since(Instant::now()).min(OUTCOME_POLL);
            let wait_ms = u64::try_from(hold.as_millis()).unwrap_or(u64::MAX).min(OUTCOME_WAIT_MS_MAX);
            let door = comms.door(Door::Outcome(type_name.clone()));
            let mut request =
                Request::of(door, &OutcomeAsk { command: id, wait_ms }, hold + crate::limits::DOOR_ATTEMPT)?;
            request.hold = hold;
            request.tells_only = true;
            let outcome: comms_msg::door::Outcome = comms.request(request).await?;
            let reason = outcome.reason.unwrap_or_default();
            let end = match outcome.state {
                OutcomeState::Pending if Instant::now() < until => continue,
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
