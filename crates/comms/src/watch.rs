//! Watching events: from now on, or from a place in the log, without a gap.
//!
//! A watch is a consumer at the node that pushes to this connection. [`follow`] sees by the consumer's own numbers when
//! something was lost (a reconnect, an overflow), and opens the consumer anew from the last event that was handed on.
//! What the server cannot read it passes over, so the node is asked whether everything came ([`account`]).
//! A reader that is slower than the events holds them up at the server: at most a bounded number wait here.

mod account;
mod follow;

use std::future::IntoFuture;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use comms_msg::door::{WatchAsk, WatchFrom as DoorFrom};
use comms_msg::{Body, EntityId, Position, Timestamp, TypeName};
use futures::future::BoxFuture;
use futures::{FutureExt, Stream};
use tokio::sync::mpsc;

use crate::comms::Comms;
use crate::error::{Error, Result};
use crate::limits::WATCH_BUFFER;
use crate::message::Event;
use crate::recorded::{Recorded, Unread};
use crate::rights::Right;
use crate::tasks::Tasks;
use follow::{Follow, Heard};

/// Where a watch begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WatchFrom {
    /// With the next event there will be.
    #[default]
    Live,
    /// With the first event there is.
    Start,
    /// With the first event after this position.
    Position(Position),
    /// With the first event at or after this time.
    Time(Timestamp),
}

/// What a watch comes to.
#[expect(clippy::large_enum_variant, reason = "all but one are events, and a box for each would cost")]
#[derive(Clone, Debug)]
pub enum Watched<E> {
    /// The next event.
    Event(Recorded<E>),
    /// Events that stood at these positions were lost, and the operator went on without them (`comms up --accept-loss`).
    LossAccepted(Vec<Position>),
    /// Everything that was acknowledged before the watch began, and fits it, has been handed on, or was said to be lost. Comes
    /// once.
    CaughtUp,
}

type Decode<E> = fn(Unread, Comms) -> BoxFuture<'static, Result<Recorded<E>>>;

/// A watch about to begin; awaiting it begins it.
#[derive(Debug)]
#[must_use = "a watch begins by awaiting this"]
pub struct WatchBuilder<E> {
    comms: Comms,
    types: Result<Vec<TypeName>>,
    entity: Option<Result<EntityId>>,
    from: WatchFrom,
    decode: Decode<E>,
}

impl<E: Event> WatchBuilder<E> {
    pub(crate) fn typed(comms: Comms) -> Self {
        let types = E::TYPE.parse().map(|type_name| vec![type_name]).map_err(Error::from);
        let decode: Decode<E> = |event, comms| async move { event.decode(&comms).await }.boxed();
        Self { comms, types, entity: None, from: WatchFrom::Live, decode }
    }
}

impl WatchBuilder<Body> {
    pub(crate) fn untyped(comms: Comms, types: Vec<TypeName>) -> Self {
        let decode: Decode<Body> = |event, _| std::future::ready(event.undecoded()).boxed();
        Self { comms, types: Ok(types), entity: None, from: WatchFrom::Live, decode }
    }
}

impl<E> WatchBuilder<E> {
    /// Where to begin, instead of with the next event.
    pub fn from(mut self, from: WatchFrom) -> Self {
        self.from = from;
        self
    }

    /// Only the events of this entity.
    pub fn entity(mut self, entity: impl AsRef<str>) -> Self {
        self.entity = Some(EntityId::new(entity.as_ref()).map_err(Error::from));
        self
    }

    async fn open(self) -> Result<Watch<E>> {
        let Self { comms, types, entity, from, decode } = self;
        let types = types?;
        for type_name in &types {
            comms.check(Right::Observe, type_name).await?;
        }
        let from = match from {
            WatchFrom::Live => DoorFrom::New,
            WatchFrom::Start => DoorFrom::Start,
            WatchFrom::Position(position) => DoorFrom::Position(position),
            WatchFrom::Time(time) => DoorFrom::Time(time),
        };
        let follow =
            Follow::open(comms.clone(), WatchAsk { types, entity: entity.transpose()?, from }).await?;
        let (sender, events) = mpsc::channel(WATCH_BUFFER);
        let tasks = Tasks::default();
        tasks.spawn("watch", follow.run(sender));
        Ok(Watch { comms, events, decode, decoding: None, _tasks: tasks })
    }
}

impl<E: 'static> IntoFuture for WatchBuilder<E> {
    type Output = Result<Watch<E>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}

/// Events, in the order of the log, each once. A stream; it ends only after an error that cannot be mended by asking
/// again.
///
/// An event that cannot be decoded is an error in its place, and the next one follows.
///
/// An event that was acknowledged and that nobody can read any more is an error of the kind
/// [`Lost`](crate::ErrorKind::Lost), whose [`positions`](crate::Error::positions) say where it stood. It comes after at most
/// 2,048 further events, before the watch has caught up, or within some seconds when nothing new happens; the events that can
/// be read follow. One that nats-server passed over although it can be read may come out of its place.
pub struct Watch<E> {
    comms: Comms,
    events: mpsc::Receiver<Result<Heard>>,
    decode: Decode<E>,
    decoding: Option<BoxFuture<'static, Result<Recorded<E>>>>,
    _tasks: Tasks,
}

impl<E> std::fmt::Debug for Watch<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("waiting", &self.events.len()).finish_non_exhaustive()
    }
}

impl<E> Watch<E> {
    /// The next event. Safe to drop while waiting: nothing is lost.
    ///
    /// Losses that the operator accepted are passed over with a warning; [`step`](Self::step) tells them.
    pub async fn next(&mut self) -> Option<Result<Recorded<E>>> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    /// The next event, a loss that was accepted, or that the watch has caught up. Safe to drop while waiting: nothing is lost.
    pub async fn step(&mut self) -> Option<Result<Watched<E>>> {
        std::future::poll_fn(|cx| self.poll_step(cx)).await
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Recorded<E>>>> {
        loop {
            match ready!(self.poll_step(cx)) {
                Some(Ok(Watched::CaughtUp)) => {}
                Some(Ok(Watched::LossAccepted(positions))) => {
                    let (count, first) = (positions.len(), positions.first());
                    tracing::warn!(
                        count,
                        ?first,
                        "events are missing that were lost; the operator went on without them"
                    );
                }
                Some(Ok(Watched::Event(event))) => return Poll::Ready(Some(Ok(event))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Watched<E>>>> {
        loop {
            if let Some(decoding) = &mut self.decoding {
                let event = ready!(decoding.poll_unpin(cx));
                self.decoding = None;
                return Poll::Ready(Some(event.map(Watched::Event)));
            }
            match ready!(self.events.poll_recv(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(Heard::CaughtUp)) => return Poll::Ready(Some(Ok(Watched::CaughtUp))),
                Some(Ok(Heard::Accepted(positions))) => {
                    return Poll::Ready(Some(Ok(Watched::LossAccepted(positions))));
                }
                Some(Ok(Heard::Event(event))) => {
                    self.decoding = Some((self.decode)(event, self.comms.clone()));
                }
            }
        }
    }
}

impl<E> Unpin for Watch<E> {}

impl<E> Stream for Watch<E> {
    type Item = Result<Recorded<E>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}
