//! The consumer behind a watch: opened, kept in step, and opened anew when something was lost.
//!
//! By the consumer's own numbers a watch sees what was lost on the way to it; what the server passed over it learns from
//! the node ([`Account`]).

use std::time::Duration;

use async_nats::{HeaderMap, Message, StatusCode, Subscriber};
use comms_msg::door::{Tally, TallyAsk, WatchAsk, WatchFrom, Watching};
use comms_msg::{Door, Position, Timestamp};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout};

use super::account::{Account, Finding, Question};
use crate::comms::Comms;
use crate::door::Request;
use crate::error::{Error, ErrorKind, Result};
use crate::ids;
use crate::limits::{DOOR_PAUSE_MAX, DOOR_WITHIN, WATCH_QUIET, WATCH_SILENCE_MAX};
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
    /// The last message of the present consumer.
    consumer_sequence: u64,
    source: Subscriber,
    /// When something came from there last.
    heard: Instant,
    log: String,
    /// Messages of the present consumer with whose last everything has come that it found at its beginning; none once
    /// it has.
    waiting: Option<u64>,
    account: Account,
}

/// What a watch hands on.
#[expect(clippy::large_enum_variant, reason = "all but some are events, and a box for each would cost")]
#[derive(Debug)]
pub(crate) enum Heard {
    /// An event.
    Event(Unread),
    /// Events that were lost, and without which the operator went on.
    Accepted(Vec<Position>),
    /// Everything that was there at the beginning was handed on before this.
    CaughtUp,
}

type Events = mpsc::Sender<Result<Heard>>;

/// A question that was asked, with its answer to come.
type Asked = BoxFuture<'static, (Question, Result<Tally>)>;

/// What a message means for the watch.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// The next message of the consumer.
    Next,
    /// Nothing new.
    Skip,
    /// Something is missing.
    Gap,
}

/// What a delivery means after `last`, the number of the one before.
fn delivered(last: u64, delivery: Delivery) -> Step {
    match delivery.consumer_sequence {
        now if now <= last => Step::Skip,
        now if Some(now) == last.checked_add(1) => Step::Next,
        _ => Step::Gap,
    }
}

impl Follow {
    /// Opens the first consumer; what is wrong with the request is told here.
    pub(crate) async fn open(comms: Comms, ask: WatchAsk) -> Result<Self> {
        let opened = ids::now();
        let Opened { source, log, waiting, after, until } = subscribe(&comms, &ask, DOOR_WITHIN).await?;
        let account = Account::new(after, until);
        let (heard, waiting) = (Instant::now(), Some(waiting));
        Ok(Self { comms, ask, opened, consumer_sequence: 0, source, heard, log, waiting, account })
    }

    /// Hands events on until nobody takes them any more, or the node refuses to go on.
    pub(crate) async fn run(mut self, events: Events) {
        let mut asked: Option<Asked> = None;
        loop {
            if self.waiting.take_if(|waiting| self.consumer_sequence >= *waiting).is_some() {
                self.account.may_be_all();
            }
            if self.account.catches_up() {
                // Nobody may be there any more, which is noticed below.
                let _ = events.send(Ok(Heard::CaughtUp)).await;
            }
            if asked.is_none() {
                asked = self.account.question().map(|question| self.asking(question));
            }
            let takes = !(self.account.is_full() && asked.is_some());
            let step = tokio::select! {
                () = events.closed() => return,
                (question, answer) = answer(&mut asked) => {
                    asked = None;
                    self.answered(&question, answer, &events).await
                }
                arrived = timeout(self.patience(), self.source.next()), if takes => {
                    Ok(self.arrived(arrived, &events).await)
                }
            };
            let going_on = match step {
                Ok(Step::Gap) => {
                    if asked.take().is_some() {
                        self.account.unanswered();
                    }
                    self.reopen(&events).await
                }
                Ok(Step::Next | Step::Skip) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = going_on {
                // Nobody may be there any more to be told.
                let _ = events.send(Err(error)).await;
                return;
            }
        }
    }

    /// How long the source is waited for.
    fn patience(&self) -> Duration {
        let silence = WATCH_SILENCE_MAX.saturating_sub(self.heard.elapsed());
        if self.account.is_behind() { silence.min(WATCH_QUIET) } else { silence }
    }

    async fn arrived(&mut self, arrived: Result<Option<Message>, Elapsed>, events: &Events) -> Step {
        match arrived {
            Ok(Some(message)) => {
                let step = self.step(message, events).await;
                // Not before the reader took it: what came meanwhile waits here.
                self.heard = Instant::now();
                step
            }
            Err(_) if self.heard.elapsed() < WATCH_SILENCE_MAX => {
                self.account.may_be_all();
                Step::Skip
            }
            // Not even heartbeats: the consumer is gone, or the connection was away too long.
            Ok(None) | Err(_) => Step::Gap,
        }
    }

    async fn step(&mut self, message: Message, events: &Events) -> Step {
        if let Some(status) = message.status {
            return self.status(status, &message).await;
        }
        let Some(delivery) = message.reply.as_ref().and_then(|reply| Delivery::parse(reply)) else {
            return Step::Skip;
        };
        let step = delivered(self.consumer_sequence, delivery);
        if step == Step::Next {
            self.consumer_sequence = delivery.consumer_sequence;
            let sequence = delivery.stream_sequence;
            if !self.account.got(sequence) {
                return Step::Skip;
            }
            let read = events::read(&message, &self.log, sequence)
                .map(|(event, _)| Heard::Event(event))
                .map_err(|why| {
                    Error::new(
                        ErrorKind::Malformed,
                        format!("{} at {sequence}@{} is no event: {why}", message.subject, self.log),
                    )
                });
            // A full buffer holds the watch up here, flow control stays unanswered, and the server waits.
            let _ = events.send(read).await;
        }
        step
    }

    async fn status(&mut self, status: StatusCode, message: &Message) -> Step {
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
        let number = |name| header(headers, name).and_then(|last| last.parse::<u64>().ok());
        match number("Nats-Last-Consumer") {
            Some(last) if last > self.consumer_sequence => return Step::Gap,
            Some(last) if last == self.consumer_sequence => {
                if let Some(sequence) = number("Nats-Last-Stream") {
                    self.account.quiet_at(sequence);
                }
            }
            // One that was on its way while more came, or flow control alone.
            Some(_) | None => {}
        }
        Step::Skip
    }

    /// Asks the node what is missing of a stretch.
    fn asking(&self, question: Question) -> Asked {
        let (comms, log) = (self.comms.clone(), self.log.clone());
        let (types, entity) = (self.ask.types.clone(), self.ask.entity.clone());
        async move {
            let asking = async {
                let after = Position::new(&log, question.after)?;
                let (until, got) = (question.until, question.got.clone());
                let ask = TallyAsk { types, entity, after, until, got };
                let mut request = Request::of(comms.door(Door::Tally), &ask, DOOR_WITHIN)?;
                request.tells_only = true;
                comms.request(request).await
            };
            let answer = asking.await;
            (question, answer)
        }
        .boxed()
    }

    /// Hands on what is missing. Where the node cannot tell it is asked again.
    async fn answered(
        &mut self,
        question: &Question,
        answer: Result<Tally>,
        events: &Events,
    ) -> Result<Step> {
        let tally = match answer {
            Ok(tally) => tally,
            Err(error) if error.is_retryable() => {
                tracing::warn!(%error, "it is not known yet whether a watch got everything");
                self.account.unanswered();
                return Ok(Step::Skip);
            }
            Err(error) => return Err(error),
        };
        let Finding { missing, accepted, withheld, fetch } = self.account.answered(question, tally);
        let positions = |sequences: Vec<u64>| -> Result<Vec<Position>> {
            sequences.into_iter().map(|sequence| Ok(Position::new(&self.log, sequence)?)).collect()
        };
        // Nobody may be there any more to be told.
        for (sequences, why) in [
            (missing, "cannot be read any more"),
            (withheld.into_iter().collect(), "cannot be got from nats-server"),
        ] {
            let positions = positions(sequences)?;
            if !positions.is_empty() {
                let _ = events.send(Err(Error::lost(positions, why))).await;
            }
        }
        let accepted = positions(accepted)?;
        if !accepted.is_empty() {
            let _ = events.send(Ok(Heard::Accepted(accepted))).await;
        }
        Ok(if fetch.is_some() { Step::Gap } else { Step::Skip })
    }

    /// A new consumer, from the last event that was handed on, or before one that did not come.
    async fn reopen(&mut self, events: &Events) -> Result<()> {
        let resume = self.account.resume();
        self.ask.from = match self.ask.from {
            // What came since is not new any more; nothing of it was handed on.
            WatchFrom::New if self.account.is_fresh() => WatchFrom::Time(self.opened),
            from if self.account.is_fresh() => from,
            _ => WatchFrom::Position(Position::new(&self.log, resume)?),
        };
        tracing::debug!(from = ?self.ask.from, "a watch missed something and goes on from there");
        loop {
            let opened = tokio::select! {
                () = events.closed() => return Err(Error::new(ErrorKind::Unavailable, "nobody watches any more")),
                opened = subscribe(&self.comms, &self.ask, DOOR_WITHIN) => opened,
            };
            match opened {
                Ok(Opened { source, log, waiting, after, until }) => {
                    if log != self.log {
                        self.account = self.account.anew(after, until);
                    }
                    self.account.reopened(resume.min(after));
                    self.source = source;
                    self.heard = Instant::now();
                    self.log = log;
                    self.waiting = Some(waiting);
                    self.consumer_sequence = 0;
                    return Ok(());
                }
                Err(error) if error.is_retryable() => tokio::time::sleep(DOOR_PAUSE_MAX).await,
                Err(error) => return Err(error),
            }
        }
    }
}

/// The answer to the question that was asked, if one was.
async fn answer(asked: &mut Option<Asked>) -> (Question, Result<Tally>) {
    match asked {
        Some(asked) => asked.await,
        None => std::future::pending().await,
    }
}

/// A consumer that was opened.
struct Opened {
    source: Subscriber,
    log: String,
    waiting: u64,
    after: u64,
    until: u64,
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
    let (Some(waiting), Some(after), Some(until)) = (watching.waiting, watching.after, watching.until) else {
        return Err(Error::new(ErrorKind::Internal, "the node does not say where a watch begins and ends"));
    };
    Ok(Opened { source, log: watching.log, waiting, after, until })
}

fn header<'a>(headers: Option<&'a HeaderMap>, name: &str) -> Option<&'a str> {
    headers?.get(name).map(async_nats::HeaderValue::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_number_of_the_consumer_is_a_gap() {
        let step = |last, consumer_sequence| {
            delivered(last, Delivery { tries: 1, stream_sequence: 9, consumer_sequence })
        };
        assert_eq!((step(0, 1), step(1, 2)), (Step::Next, Step::Next));
        assert_eq!((step(1, 1), step(2, 1)), (Step::Skip, Step::Skip));
        assert_eq!((step(0, 2), step(1, 3), step(u64::MAX, 1)), (Step::Gap, Step::Gap, Step::Skip));
    }
}
