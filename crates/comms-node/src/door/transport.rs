//! The doors over NATS.
//!
//! Requests arrive in the account of services on `{domain}.door.…`; their last token is the sender's name, which the
//! broker vouches for. They are answered into the sender's own inbox and nowhere else: the server never checks reply
//! subjects, so an answer to any other subject would let a service speak with the node's voice.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use comms_msg::Subject;
use comms_msg::door::{Refusal, RefusalKind};
use futures::{Stream, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::request::Request;
use super::{Ask, Doors};
use crate::log::OUTCOME_WAITERS_MAX;

/// Requests served at once. Past it they wait in the subscription; what finds no place there either is dropped, and
/// asked again by its sender. Those for an outcome do not count: they wait for a command to end, and it ends by others.
const REQUESTS_MAX: usize = 4_096;

/// The doors, open in the account of services; nothing is served before [`serve`](Self::serve).
#[derive(Debug)]
pub(crate) struct Transport {
    doors: Arc<Doors>,
    services: async_nats::Client,
    requests: async_nats::Subscriber,
}

impl Transport {
    /// Subscribes to every door.
    pub(crate) async fn open(
        doors: Arc<Doors>,
        services: async_nats::Client,
    ) -> Result<Transport, crate::Error> {
        let filter = format!("{}.door.>", doors.current.get().domain.name);
        let requests = services
            .queue_subscribe(filter, "door".to_owned())
            .await
            .map_err(|e| crate::Error::Request { doing: "open the doors".to_owned(), source: Box::new(e) })?;
        Ok(Transport { doors, services, requests })
    }

    /// Serves requests until `stop`, then takes no more and ends those it has.
    pub(crate) async fn serve(self, stop: CancellationToken) {
        let Transport { doors, services, mut requests } = self;
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
            let Some((request, reply)) = Request::read(&message) else {
                doors.counts.dropped.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(subject = %message.subject, "a door request without a reply subject in its sender's inbox");
                continue;
            };
            let (doors, services, stop) = (doors.clone(), services.clone(), stop.clone());
            if !is_wait(&message.subject) {
                tasks.spawn(async move {
                    answer(&doors, &services, request, reply).await;
                    drop(permit);
                });
                continue;
            }
            drop(permit);
            let Ok(permit) = waits.clone().try_acquire_owned() else {
                let text = format!("{OUTCOME_WAITERS_MAX} questions for outcomes wait already");
                let refusal = Refusal::new(RefusalKind::Busy, text);
                doors.counts.refused.fetch_add(1, Ordering::Relaxed);
                let _ = services.publish(reply, request.form.refusal(&refusal)).await;
                continue;
            };
            tasks.spawn(async move {
                // Who waits when the node stops asks the next one.
                tokio::select! {
                    () = answer(&doors, &services, request, reply) => {}
                    () = stop.cancelled() => {}
                }
                drop(permit);
            });
        }
        // What fails here fails because the connection is gone, and then nothing can arrive either.
        let _ = requests.unsubscribe().await;
        tasks.close();
        tasks.wait().await;
    }
}

/// Does what was asked, and answers.
async fn answer(doors: &Doors, services: &async_nats::Client, request: Request, reply: async_nats::Subject) {
    let payload = work(doors, request).await;
    // An answer that cannot be sent is one that did not arrive: the sender's own deadline tells it so.
    let _ = services.publish(reply, payload).await;
}

async fn work(doors: &Doors, request: Request) -> Bytes {
    let Request { subject, form, payload } = request;
    let answer = async {
        let (sender, ask) = match subject {
            Ok(Subject::Door { domain, door, sender }) if domain == doors.current.get().domain.name => {
                (sender, Ask::read(door, form, &payload)?)
            }
            Ok(Subject::Door { domain, .. }) => {
                return Err(Refusal::new(RefusalKind::Unknown, format!("this is not the domain {domain}")));
            }
            Ok(_) => return Err(Refusal::new(RefusalKind::Unknown, "there is no such door")),
            Err(reason) => return Err(Refusal::new(RefusalKind::Malformed, reason)),
        };
        // A question that waits must not keep its bytes: many may wait.
        drop(payload);
        doors.perform(&sender, ask).await
    };
    match answer.await {
        Ok(answer) => answer.write(form),
        Err(refusal) => {
            tracing::debug!(%refusal, "refused");
            form.refusal(&refusal)
        }
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
