//! Direct commands: handled in the order they arrive, many at a time, and acknowledged by nobody.
//!
//! Handlers of one type begin in order, in one task. One that is ready at once costs no task and no queue; those that
//! wait go on beside the next, up to a bound. A handler that fails is logged: there is nobody to tell.

use async_nats::Message;
use comms_msg::{DomainContent, EntityId, Kind, Metadata, Msg, MsgId, MsgKey, Timestamp, TypeName, wire};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::arrivals::Arrivals;
use super::commands::caused;
use super::gate::Gate;
use super::handler::CommandHandler;
use crate::commit::Commit;
use crate::comms::Comms;
use crate::context::{Cause, CommandContext};
use crate::error::Result;
use crate::failure::{Failure, chain};
use crate::ids;
use crate::limits::{DIRECT_AT_ONCE, DOOR_WITHIN, STOP_WITHIN};
use crate::publish;

/// The direct commands of one type.
#[derive(Debug)]
pub(crate) struct Direct {
    pub(crate) comms: Comms,
    pub(crate) gate: Gate,
    pub(crate) handler: CommandHandler,
    pub(crate) source: Arrivals,
    pub(crate) stop: CancellationToken,
}

type UnderWay = FuturesUnordered<BoxFuture<'static, ()>>;

impl Direct {
    /// Handles until stopped; then what has arrived, and what is under way.
    pub(crate) async fn run(mut self) {
        let mut under_way = UnderWay::new();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                Some(()) = under_way.next() => {}
                message = self.source.next(), if under_way.len() < DIRECT_AT_ONCE => match message {
                    Some(message) => self.arrived(message, &mut under_way).await,
                    None => break,
                },
            }
        }
        // What the server has sent until it took the unsubscription is still handled.
        self.source.drain().await;
        let finish = async {
            while let Some(message) = self.source.next().await {
                self.arrived(message, &mut under_way).await;
            }
            while under_way.next().await.is_some() {}
        };
        let end = Instant::now() + STOP_WITHIN;
        if tokio::time::timeout_at(end, finish).await.is_err() {
            tracing::warn!(type_name = %self.handler.type_name, "direct commands were not handled to their end in time");
        }
    }

    async fn arrived(&self, message: Message, under_way: &mut UnderWay) {
        let Some(sender) = self.gate.sender(&message) else { return };
        if self.gate.is_question(&message) {
            return;
        }
        let Ok(mut msgs) = wire::read(&message.payload) else {
            self.gate.malformed(&message.subject);
            return;
        };
        let now = ids::now();
        while let Some(view) = msgs.next_view() {
            let Some(msg) = self.gate.admit(view, &sender, &message.subject) else { continue };
            if msg.hop.deadline.is_some_and(|deadline| deadline < now) {
                self.gate.expired(&message.subject);
                continue;
            }
            if under_way.len() >= DIRECT_AT_ONCE {
                under_way.next().await;
            }
            self.begin(msg, &sender, now, under_way);
        }
    }

    fn begin(&self, msg: Msg, sender: &comms_msg::ServiceName, now: Timestamp, under_way: &mut UnderWay) {
        let Msg { id, metadata, content: Some(DomainContent::Command(command)), hop } = msg else { return };
        let what = (Kind::Command, self.handler.type_name.clone());
        let cause = Cause::new(self.comms.clone(), what, id, metadata, Some(sender.clone()), hop.deadline, 1);
        let cx = CommandContext::new(cause);
        let mut handling = self.handler.run(command.body, cx.clone());
        match (&mut handling).now_or_never() {
            Some(Ok(commit)) if commit.is_empty() => {
                if let Err(error) = commit.checked() {
                    self.failed(id, &chain(&error));
                }
            }
            Some(Err(failure)) => self.failed(id, failure.reason()),
            Some(Ok(commit)) => {
                under_way.push(self.finish(id, cx, now, std::future::ready(Ok(commit)).boxed()))
            }
            None => under_way.push(self.finish(id, cx, now, handling)),
        }
    }

    fn failed(&self, command: MsgId, reason: &str) {
        tracing::warn!(%command, type_name = %self.handler.type_name, reason, "a direct command failed");
    }

    fn finish(
        &self,
        id: MsgId,
        cx: CommandContext,
        now: Timestamp,
        handling: BoxFuture<'static, Result<Commit, Failure>>,
    ) -> BoxFuture<'static, ()> {
        let type_name = self.handler.type_name.clone();
        async move {
            let ended = match handling.await {
                Ok(commit) => store(&cx, id, commit).await.map_err(|error| chain(&error)),
                Err(failure) => Err(failure.reason().to_owned()),
            };
            if let Err(reason) = ended {
                tracing::warn!(command = %id, %type_name, reason, began = %now, "a direct command failed");
            }
        }
        .boxed()
    }
}

/// Appends what a direct command caused: entity by entity, the events of each in order. Nobody keeps the command, so nobody
/// tries again what fails: what follows it of this entity, and entities after it, are not appended either.
async fn store(cx: &CommandContext, command: MsgId, commit: Commit) -> Result<()> {
    let (comms, metadata) = (cx.comms(), cx.metadata());
    let mut rest = events(comms, (command, &cx.key()), metadata, commit).await?;
    while let Some(first) = rest.first().and_then(entity).cloned() {
        let (own, others) = rest.into_iter().partition::<Vec<_>, _>(|msg| entity(msg) == Some(&first));
        rest = others;
        append(comms, own).await?;
    }
    Ok(())
}

async fn events(
    comms: &Comms,
    command: (MsgId, &MsgKey),
    metadata: &Metadata,
    commit: Commit,
) -> Result<Vec<Msg>> {
    let mut events = caused(comms, command, metadata, commit.checked()?).await?;
    for event in &mut events {
        // The places were counted over all entities; what is appended together is counted by the door.
        event.hop.commit = None;
    }
    Ok(events)
}

/// Appends events of one entity. Those of one type that follow each other go together; another type has another door, which
/// they go through after the door before it has answered.
async fn append(comms: &Comms, events: Vec<Msg>) -> Result<()> {
    let mut pending = events.into_iter().peekable();
    while let Some(first) = pending.next() {
        let Some(type_name) = type_of(&first).cloned() else {
            return Ok(());
        };
        let mut frame = wire::Frame::new();
        if !frame.push(&first) {
            publish::hand_in(comms, type_name, first.to_wire()?, DOOR_WITHIN).await?;
            continue;
        }
        while pending.next_if(|next| type_of(next) == Some(&type_name) && frame.push(next)).is_some() {}
        publish::hand_in(comms, type_name, frame.finish(), DOOR_WITHIN).await?;
    }
    Ok(())
}

fn type_of(msg: &Msg) -> Option<&TypeName> {
    msg.content.as_ref().map(DomainContent::type_name)
}

fn entity(msg: &Msg) -> Option<&EntityId> {
    msg.content.as_ref().and_then(DomainContent::entity)
}
