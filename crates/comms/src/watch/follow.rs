//! The consumer behind a watch: opened, kept in step, and opened anew when something was lost.

use std::time::Duration;

use async_nats::{HeaderMap, Message, StatusCode, Subscriber};
use comms_msg::door::{WatchAsk, WatchFrom, Watching};
use comms_msg::{Door, Timestamp};
use futures::StreamExt;
use tokio::sync::mpsc;

use crate::comms::Comms;
use crate::door::Request;
use crate::error::{Error, ErrorKind, Result};
use crate::ids;
use crate::limits::{DOOR_PAUSE_MAX, DOOR_WITHIN, WATCH_SILENCE_MAX};
use crate::recorded::Unread;
use crate::serve::delivery::Delivery;
use crate::serve::events;

/// The only subjects that flow control is answered on: a reply subject alone proves nothing.
const FLOW_CONTROL_PREFIX: &str = "$JS.FC.";
const IDLE_HEARTBEAT: StatusCode = StatusCode::IDLE_HEARTBEAT;

/// One watch and its present consumer.
#[derive(Debug)]
pub(crate) struct Follow {
    comms: Comms,
    ask: WatchAsk,
    opened: Timestamp,
    seen: Seen,
    source: Subscriber,
    log: String,
    /// Messages of the present consumer with whose last everything that was there at the beginning has been handed on;
    /// none once that was said.
    waiting: Option<u64>,
}

/// What a watch hands on.
#[expect(clippy::large_enum_variant, reason = "all but one are events, and a box for each would cost")]
#[derive(Debug)]
pub(crate) enum Heard {
    /// An event.
    Event(Unread),
    /// Everything that was there at the beginning was handed on before this.
    CaughtUp,
}

/// How far a watch is.
#[derive(Debug, Default)]
struct Seen {
    /// The last event that was handed on, in the log.
    stream_sequence: Option<u64>,
    /// The last message of the present consumer.
    consumer_sequence: u64,
}

/// What a message means for the watch.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// An event to hand on, of this place in the log.
    Event(u64),
    /// Nothing new.
    Skip,
    /// Something is missing.
    Gap,
}

impl Seen {
    /// A message of the consumer arrived.
    fn delivered(&mut self, delivery: Delivery) -> Step {
        if delivery.consumer_sequence <= self.consumer_sequence {
            return Step::Skip;
        }
        if Some(delivery.consumer_sequence) != self.consumer_sequence.checked_add(1) {
            return Step::Gap;
        }
        self.consumer_sequence = delivery.consumer_sequence;
        if self.stream_sequence.is_some_and(|seen| delivery.stream_sequence <= seen) {
            return Step::Skip;
        }
        Step::Event(delivery.stream_sequence)
    }

    /// The server says which message of the consumer was its last.
    fn heartbeat(&self, last_consumer_sequence: u64) -> Step {
        if last_consumer_sequence > self.consumer_sequence { Step::Gap } else { Step::Skip }
    }
}

impl Follow {
    /// Opens the first consumer; what is wrong with the request is told here.
    pub(crate) async fn open(comms: Comms, ask: WatchAsk) -> Result<Self> {
        let opened = ids::now();
        let Opened { source, log, waiting } = subscribe(&comms, &ask, DOOR_WITHIN).await?;
        Ok(Self { comms, ask, opened, seen: Seen::default(), source, log, waiting })
    }

    /// Hands events on until nobody takes them any more, or the node refuses to go on.
    pub(crate) async fn run(mut self, events: mpsc::Sender<Result<Heard>>) {
        loop {
            if self.waiting.is_some_and(|waiting| self.seen.consumer_sequence >= waiting) {
                self.waiting = None;
                // Nobody may be there any more, which is noticed below.
                let _ = events.send(Ok(Heard::CaughtUp)).await;
            }
            let arrived = tokio::select! {
                () = events.closed() => return,
                arrived = tokio::time::timeout(WATCH_SILENCE_MAX, self.source.next()) => arrived,
            };
            let step = match arrived {
                Ok(Some(message)) => self.step(message, &events).await,
                // Not even heartbeats: the consumer is gone, or the connection was away too long.
                Ok(None) | Err(_) => Step::Gap,
            };
            if step == Step::Gap
                && let Err(error) = self.reopen(&events).await
            {
                // Nobody may be there any more to be told.
                let _ = events.send(Err(error)).await;
                return;
            }
        }
    }

    async fn step(&mut self, message: Message, events: &mpsc::Sender<Result<Heard>>) -> Step {
        if let Some(status) = message.status {
            return self.status(status, &message).await;
        }
        let Some(delivery) = message.reply.as_ref().and_then(|reply| Delivery::parse(reply)) else {
            return Step::Skip;
        };
        let step = self.seen.delivered(delivery);
        if let Step::Event(sequence) = step {
            let read = events::read(&message, &self.log, sequence)
                .map(|(event, _)| Heard::Event(event))
                .map_err(|why| {
                    Error::new(
                        ErrorKind::Malformed,
                        format!("{} at {sequence}@{} is no event: {why}", message.subject, self.log),
                    )
                });
            self.seen.stream_sequence = Some(sequence);
            // A full buffer holds the watch up here, flow control stays unanswered, and the server waits.
            let _ = events.send(read).await;
        }
        step
    }

    async fn status(&self, status: StatusCode, message: &Message) -> Step {
        if status != IDLE_HEARTBEAT {
            // The consumer was deleted or the server stops: whatever it is, this one brings nothing more.
            return Step::Gap;
        }
        let headers = message.headers.as_ref();
        let asked = message.reply.as_deref().or_else(|| header(headers, "Nats-Consumer-Stalled"));
        if let Some(subject) = asked.filter(|subject| subject.starts_with(FLOW_CONTROL_PREFIX)) {
            // Lost with a closed connection, which ends this watch anyway.
            let _ = self.comms.client().publish(subject.to_owned(), bytes::Bytes::new()).await;
        }
        match header(headers, "Nats-Last-Consumer").and_then(|last| last.parse().ok()) {
            Some(last) => self.seen.heartbeat(last),
            None => Step::Skip,
        }
    }

    /// A new consumer, from the last event that was handed on.
    async fn reopen(&mut self, events: &mpsc::Sender<Result<Heard>>) -> Result<()> {
        self.ask.from = match (self.seen.stream_sequence, self.ask.from) {
            (Some(sequence), _) => WatchFrom::Position(comms_msg::Position::new(&self.log, sequence)?),
            // What came since is not new any more; nothing of it was handed on.
            (None, WatchFrom::New) => WatchFrom::Time(self.opened),
            (None, from) => from,
        };
        tracing::debug!(from = ?self.ask.from, "a watch missed something and goes on from there");
        loop {
            let opened = tokio::select! {
                () = events.closed() => return Err(Error::new(ErrorKind::Unavailable, "nobody watches any more")),
                opened = subscribe(&self.comms, &self.ask, DOOR_WITHIN) => opened,
            };
            match opened {
                Ok(Opened { source, log, waiting }) => {
                    self.source = source;
                    self.log = log;
                    self.waiting = self.waiting.and(waiting);
                    self.seen.consumer_sequence = 0;
                    return Ok(());
                }
                Err(error) if error.is_retryable() => tokio::time::sleep(DOOR_PAUSE_MAX).await,
                Err(error) => return Err(error),
            }
        }
    }
}

/// A consumer that was opened.
struct Opened {
    source: Subscriber,
    log: String,
    waiting: Option<u64>,
}

async fn subscribe(comms: &Comms, ask: &WatchAsk, within: Duration) -> Result<Opened> {
    let mut request = Request::of(comms.door(Door::Watch), ask, within)?;
    request.tells_only = true;
    let watching: Watching = comms.request(request).await?;
    let source = comms
        .client()
        .subscribe(watching.subject)
        .await
        .map_err(|error| Error::new(ErrorKind::Unavailable, "the connection is closed").because(error))?;
    Ok(Opened { source, log: watching.log, waiting: watching.waiting })
}

fn header<'a>(headers: Option<&'a HeaderMap>, name: &str) -> Option<&'a str> {
    headers?.get(name).map(async_nats::HeaderValue::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(consumer_sequence: u64, stream_sequence: u64) -> Delivery {
        Delivery { tries: 1, stream_sequence, consumer_sequence }
    }

    #[test]
    fn a_consumer_without_gaps_hands_everything_on_once() {
        let mut seen = Seen::default();
        assert_eq!(seen.delivered(delivery(1, 10)), Step::Event(10));
        seen.stream_sequence = Some(10);
        assert_eq!(seen.delivered(delivery(2, 14)), Step::Event(14));
        assert_eq!(seen.delivered(delivery(2, 14)), Step::Skip, "the same again");
    }

    #[test]
    fn a_missing_number_is_a_gap() {
        let mut seen = Seen { stream_sequence: Some(10), consumer_sequence: 1 };
        assert_eq!(seen.delivered(delivery(3, 20)), Step::Gap);
        assert_eq!(seen.heartbeat(1), Step::Skip);
        assert_eq!(seen.heartbeat(2), Step::Gap, "the last message never came");
    }

    #[test]
    fn what_was_handed_on_before_a_reopening_is_not_handed_on_again() {
        let mut seen = Seen { stream_sequence: Some(10), consumer_sequence: 0 };
        assert_eq!(seen.delivered(delivery(1, 10)), Step::Skip);
        assert_eq!(seen.delivered(delivery(2, 11)), Step::Event(11));
    }
}
