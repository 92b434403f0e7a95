//! Queries: each answered to its asker's inbox, in the form it came in, or not at all once its deadline has passed.
//!
//! Queries that arrived as one frame are answered as frames: those that are ready together leave together.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Message, Subject};
use comms_msg::{DomainContent, Form, Kind, Msg, Reply, ServiceName, wire};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::arrivals::Arrivals;
use super::gate::Gate;
use super::handler::QueryHandler;
use crate::comms::Comms;
use crate::context::{Cause, QueryContext};
use crate::failure::Failure;
use crate::ids;
use crate::lane::Lane;
use crate::limits::{DIRECT_WITHIN, QUERY_FRAMES_AT_ONCE, STOP_WITHIN};

/// The queries of one type.
#[derive(Debug)]
pub(crate) struct Queries {
    pub(crate) answers: Arc<Answers>,
    pub(crate) source: Arrivals,
    pub(crate) stop: CancellationToken,
}

/// What answering needs.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) comms: Comms,
    pub(crate) gate: Gate,
    pub(crate) handler: QueryHandler,
}

impl Queries {
    /// Answers until stopped; then what has arrived, and what is under way.
    pub(crate) async fn run(mut self) {
        let mut frames = JoinSet::new();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                Some(_) = frames.join_next() => {}
                message = self.source.next(), if frames.len() < QUERY_FRAMES_AT_ONCE => match message {
                    Some(message) => drop(frames.spawn(Arc::clone(&self.answers).arrived(message))),
                    None => break,
                },
            }
        }
        self.source.drain().await;
        let finish = async {
            while let Some(message) = self.source.next().await {
                frames.spawn(Arc::clone(&self.answers).arrived(message));
            }
            while frames.join_next().await.is_some() {}
        };
        if tokio::time::timeout(STOP_WITHIN, finish).await.is_err() {
            tracing::warn!(type_name = %self.answers.handler.type_name, "queries were not answered to their end in time");
        }
    }
}

impl Answers {
    async fn arrived(self: Arc<Self>, message: Message) {
        let Some(sender) = self.gate.sender(&message) else { return };
        if self.gate.is_question(&message) {
            return;
        }
        let Some(reply) = message.reply.clone() else { return };
        let form = Form::of(&message.payload);
        let Ok(mut msgs) = wire::read(&message.payload) else {
            self.gate.malformed(&message.subject);
            return;
        };
        let now = ids::now();
        let mut queries: Vec<Msg> = Vec::with_capacity(msgs.size_hint().1.unwrap_or_default());
        while let Some(view) = msgs.next_view() {
            let Some(msg) = self.gate.admit(view, &sender, &message.subject) else { continue };
            if msg.hop.deadline.is_some_and(|deadline| deadline < now) {
                self.gate.expired(&message.subject);
                continue;
            }
            queries.push(msg);
        }
        let lane = (queries.len() > 1 && form == Form::Cbor)
            .then(|| Lane::of_answers(reply.clone(), self.handler.type_name.clone()));
        let mut answers = FuturesUnordered::new();
        for msg in queries {
            let patience = msg.hop.deadline.map_or(DIRECT_WITHIN, |deadline| ids::left(now, deadline));
            let mut answering = self.answer(msg, &sender).boxed();
            // One that is ready at once needs no place among those that wait.
            match (&mut answering).now_or_never() {
                Some(answer) => self.send(answer, form, &reply, lane.as_ref(), patience).await,
                None => answers.push(answering.map(move |answer| (answer, patience))),
            }
        }
        while let Some((answer, patience)) = answers.next().await {
            self.send(answer, form, &reply, lane.as_ref(), patience).await;
        }
    }

    async fn answer(&self, msg: Msg, sender: &ServiceName) -> Reply {
        let Msg { id, metadata, content, hop } = msg;
        let answer = match content {
            Some(DomainContent::Query(query)) => {
                let sender = Some(sender.clone());
                let what = (Kind::Query, self.handler.type_name.clone());
                let cause = Cause::new(self.comms.clone(), what, id, metadata, sender, hop.deadline, 1);
                self.handler.run(query.body, QueryContext::new(cause)).await.map_err(|failure| {
                    tracing::debug!(query = %id, reason = failure.reason(), "a query is not answered");
                    failure.into_refusal()
                })
            }
            _ => Err(Failure::bury("not a query").into_refusal()),
        };
        Reply { to: id, answer }
    }

    async fn send(
        &self,
        reply: Reply,
        form: Form,
        to: &Subject,
        lane: Option<&Arc<Lane>>,
        patience: Duration,
    ) {
        let reply = if reply.write_cbor(&mut Vec::new()).is_ok() { reply } else { too_large(reply) };
        let sent = match lane {
            Some(lane) => {
                self.comms
                    .publisher()
                    .push(lane, patience, |out| {
                        // Checked just now.
                        let _ = reply.write_cbor(out);
                    })
                    .await
            }
            None => match reply.to_wire(form) {
                Ok(payload) => self.comms.client().publish(to.clone(), payload).await.map_err(|error| {
                    crate::Error::new(crate::ErrorKind::Unavailable, "the connection is closed")
                        .because(error)
                }),
                Err(error) => Err(error.into()),
            },
        };
        if let Err(error) = sent {
            tracing::warn!(query = %reply.to, %error, "an answer could not be sent");
        }
    }
}

fn too_large(reply: Reply) -> Reply {
    Reply { to: reply.to, answer: Err(Failure::bury("the answer is too large for a message").into_refusal()) }
}
