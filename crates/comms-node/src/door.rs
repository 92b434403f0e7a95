//! The doors: where services hand the node what is to be kept, and ask for what the node knows.
//!
//! Requests arrive in the account of services on `{domain}.door.…`; their last token is the sender's name, which the
//! broker vouches for. A door checks kind, sender, schema, rights and links, and only then writes to the log. It
//! answers into the sender's own inbox and nowhere else: the server never checks reply subjects, so an answer to any
//! other subject would let a service speak with the node's voice.
//!
//! Requests are served concurrently, up to a limit; order is promised per entity between requests that waited for
//! each other's answers.

mod check;
mod command;
mod commit;
mod complete;
mod event;
mod hello;
mod outcome;
mod request;
mod watch;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use bytes::Bytes;
use comms_domain::Layout;
use comms_msg::door::{HelloAsk, ListenAsk, Refusal, RefusalKind};
use comms_msg::{Door, ServiceName, Subject};
use comms_store::Blocks;
use futures::{Stream, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::request::Request;
use crate::access::Access;
use crate::current::Current;
use crate::log::{EventLog, OUTCOME_WAITERS_MAX};

/// Requests served at once. Past it they wait in the subscription; what finds no place there either is dropped, and
/// asked again by its sender. Those for an outcome do not count: they wait for a command to end, and it ends by others.
const REQUESTS_MAX: usize = 4_096;

/// All doors of a node.
#[derive(Debug)]
pub(crate) struct Doors {
    pub(crate) current: Current,
    /// Replaced with the definition.
    pub(crate) layout: RwLock<Arc<Layout>>,
    pub(crate) log: EventLog,
    pub(crate) access: Arc<Access>,
    pub(crate) blocks: Blocks,
    /// The node's connection in the account of services.
    pub(crate) services: async_nats::Client,
    pub(crate) node: String,
    pub(crate) http: String,
    pub(crate) counts: Counts,
}

/// What the doors saw.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) answered: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// Requests that got no answer, since they named no reply subject in their sender's inbox.
    pub(crate) dropped: AtomicU64,
}

impl Doors {
    #[expect(clippy::too_many_arguments, reason = "what the doors need, each used by some of them")]
    pub(crate) fn new(
        current: Current,
        layout: Layout,
        log: EventLog,
        access: Arc<Access>,
        blocks: Blocks,
        services: async_nats::Client,
        node: String,
        http: String,
    ) -> Doors {
        let layout = RwLock::new(Arc::new(layout));
        Doors { current, layout, log, access, blocks, services, node, http, counts: Counts::default() }
    }

    /// Subscribes to every door; nothing is served before [`serve`](Self::serve).
    pub(crate) async fn open(&self) -> Result<async_nats::Subscriber, crate::Error> {
        let filter = format!("{}.door.>", self.current.get().name);
        self.services
            .queue_subscribe(filter, "door".to_owned())
            .await
            .map_err(|e| crate::Error::Request { doing: "open the doors".to_owned(), source: Box::new(e) })
    }

    /// The layout in force.
    pub(crate) fn layout(&self) -> Arc<Layout> {
        self.layout.read().expect("nothing panics while it holds the layout").clone()
    }

    /// Goes on with another layout.
    pub(crate) fn follow(&self, layout: Arc<Layout>) {
        *self.layout.write().expect("nothing panics while it holds the layout") = layout;
    }

    /// Hears what leaves the queue of commands, until `stop`.
    pub(crate) async fn hear(self: Arc<Doors>, confirmed: async_nats::Subscriber, stop: CancellationToken) {
        self.log.hear(confirmed, stop).await;
    }

    /// Serves requests until `stop`, then takes no more and ends those it has.
    pub(crate) async fn serve(
        self: Arc<Doors>,
        mut requests: async_nats::Subscriber,
        stop: CancellationToken,
    ) {
        let room = Arc::new(Semaphore::new(REQUESTS_MAX));
        let waits = Arc::new(Semaphore::new(OUTCOME_WAITERS_MAX));
        let tasks = TaskTracker::new();
        loop {
            let taken = tokio::select! {
                biased;
                () = stop.cancelled() => None,
                taken = take(&mut requests, &room) => taken,
            };
            let Some((message, permit)) = taken else { break };
            let doors = self.clone();
            if is_wait(&message.subject) {
                drop(permit);
                let Ok(permit) = waits.clone().try_acquire_owned() else {
                    let text = format!("{OUTCOME_WAITERS_MAX} questions for outcomes wait already");
                    self.refuse(message, Refusal::new(RefusalKind::Busy, text)).await;
                    continue;
                };
                let stop = stop.clone();
                tasks.spawn(async move {
                    // Who waits when the node stops asks the next one.
                    tokio::select! {
                        () = doors.answer(message) => {}
                        () = stop.cancelled() => {}
                    }
                    drop(permit);
                });
                continue;
            }
            tasks.spawn(async move {
                doors.answer(message).await;
                drop(permit);
            });
        }
        // What fails here fails because the connection is gone, and then nothing can arrive either.
        let _ = requests.unsubscribe().await;
        tasks.close();
        tasks.wait().await;
    }

    async fn dispatch(&self, door: Door, sender: ServiceName, request: Request) -> Result<Bytes, Refusal> {
        let form = request.form;
        match door {
            Door::Command(type_name) => Ok(form.ok(&self.command(type_name, sender, request).await?)),
            Door::Event(type_name) => Ok(form.ok(&self.event(type_name, sender, request).await?)),
            Door::Commit(type_name) => Ok(form.ok(&self.commit(type_name, sender, request).await?)),
            Door::Outcome(type_name) => Ok(form.ok(&self.outcome(type_name, sender, request).await?)),
            Door::Hello => {
                let HelloAsk {} = form.decode(&request.payload)?;
                Ok(form.ok(&self.hello(&sender)?))
            }
            Door::Listen => {
                let ListenAsk {} = form.decode(&request.payload)?;
                Ok(form.ok(&self.listen(&sender)?))
            }
            Door::Watch => Ok(form.ok(&self.watch(sender, request).await?)),
        }
    }

    /// Refuses what is not looked at.
    async fn refuse(&self, message: async_nats::Message, refusal: Refusal) {
        let Some((request, reply)) = Request::read(&message) else { return };
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
        let _ = self.services.publish(reply, request.form.refusal(&refusal)).await;
    }

    async fn answer(&self, message: async_nats::Message) {
        let Some((request, reply)) = Request::read(&message) else {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(subject = %message.subject, "a door request without a reply subject in its sender's inbox");
            return;
        };
        // A question that waits must not keep its bytes: many may wait.
        let subject = message.subject.clone();
        drop(message);
        let form = request.form;
        let answer = match request.subject.clone() {
            Ok(Subject::Door { domain, door, sender }) => {
                if domain == self.current.get().name {
                    self.dispatch(door, sender, request).await
                } else {
                    Err(Refusal::new(RefusalKind::Unknown, format!("this is not the domain {domain}")))
                }
            }
            Ok(_) => Err(Refusal::new(RefusalKind::Unknown, "there is no such door")),
            Err(reason) => Err(Refusal::new(RefusalKind::Malformed, reason)),
        };
        let payload = match answer {
            Ok(payload) => {
                self.counts.answered.fetch_add(1, Ordering::Relaxed);
                payload
            }
            Err(refusal) => {
                self.counts.refused.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%subject, %refusal, "refused");
                form.refusal(&refusal)
            }
        };
        // An answer that cannot be sent is one that did not arrive: the sender's own deadline tells it so.
        let _ = self.services.publish(reply, payload).await;
    }
}

/// Whether a request is one that waits: `{domain}.door.outcome.…`.
fn is_wait(subject: &str) -> bool {
    subject.split('.').nth(2) == Some("outcome")
}

/// The next request and its place in the room. It is taken only when there is a place for it, so that the wait for one
/// can be broken off without losing a request.
async fn take<T>(
    requests: &mut (impl Stream<Item = T> + Unpin),
    room: &Arc<Semaphore>,
) -> Option<(T, OwnedSemaphorePermit)> {
    let place = room.clone().acquire_owned().await.expect("the semaphore is never closed");
    requests.next().await.map(|request| (request, place))
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, stream};

    use super::*;

    #[tokio::test]
    async fn a_request_without_a_place_stays_where_it_is() {
        let room = Arc::new(Semaphore::new(1));
        let mut requests = stream::iter([1, 2]);
        let (first, place) = take(&mut requests, &room).await.unwrap();
        assert_eq!(first, 1);
        assert!(take(&mut requests, &room).now_or_never().is_none());
        drop(place);
        assert_eq!(take(&mut requests, &room).await.unwrap().0, 2);
        assert!(take(&mut requests, &room).await.is_none());
    }
}
