//! The doors over NATS.
//!
//! Requests arrive in the account of services on `{domain}.door.…`; their last token is the sender's name, which the
//! broker vouches for. They are answered into the sender's own inbox and nowhere else: the server never checks reply
//! subjects, so an answer to any other subject would let a service speak with the node's voice.
//!
//! nats-server cuts a connection that is not read for as long as it takes to fill its buffer, and with it everybody's
//! doors. So what arrives is taken off at once, whatever else the node does, on a thread of its own; it is held only as
//! far as its sender's shares go (`limits.requests`, `limits.request_bytes`), and refused where they end.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use comms_domain::Bound;
use comms_msg::door::{Form, Refusal, RefusalKind};
use comms_msg::{Door, ServiceName, Subject};
use futures::{FutureExt, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::line::Lines;
use super::request::Request;
use super::{Ask, Doors, broken};
use crate::share::Share;

/// Bytes of a request at a door that keeps nothing: a watch of as many types as it may name takes half of it.
const SMALL_BYTES_MAX: usize = 16 << 10;
/// Refusals that wait to be said. What finds no place here is not answered: its sender asks again, later.
const REFUSALS_WAITING_MAX: usize = 1_024;

/// The doors, open in the account of services; nothing is served before [`serve`](Self::serve).
#[derive(Debug)]
pub(crate) struct Transport {
    doors: Arc<Doors>,
    services: async_nats::Client,
    requests: async_nats::Subscriber,
}

/// A request that its sender had room for.
struct Arrived {
    sender: ServiceName,
    door: Door,
    form: Form,
    payload: Bytes,
    reply: async_nats::Subject,
    /// What it holds until it is answered.
    held: Vec<Share>,
}

/// A refusal of what is not looked at.
type Refused = (async_nats::Subject, Bytes);

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

    /// Serves requests until `stop`, then takes no more and ends those that are being served. To be run where nothing
    /// else runs; the work is done by `workers`.
    pub(crate) async fn serve(mut self, workers: Handle, stop: CancellationToken) {
        let mut senders = self.senders();
        let mut lines = Lines::new(senders);
        let mut served = JoinSet::new();
        let (refusals, waiting) = mpsc::channel(REFUSALS_WAITING_MAX);
        let refusing = workers.spawn(refuse(self.services.clone(), waiting));
        loop {
            // However they ended, their places are free.
            while served.try_join_next().is_some() {}
            while let Some((arrived, place)) = lines.next() {
                served.spawn_on(answer(self.doors.clone(), self.services.clone(), arrived, place), &workers);
            }
            let message = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                message = self.requests.next() => message,
                Some(_) = served.join_next() => continue,
            };
            let Some(message) = message else { break };
            let Some((request, reply)) = Request::read(&message) else {
                self.doors.counts.dropped.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(subject = %message.subject, "a door request without a reply subject in its sender's inbox");
                continue;
            };
            match self.admit(request, reply) {
                Ok(arrived) if matches!(arrived.door, Door::Outcome(_)) => {
                    let work = wait(self.doors.clone(), self.services.clone(), arrived, stop.clone());
                    served.spawn_on(work, &workers);
                }
                Ok(arrived) => {
                    let now = self.senders();
                    if now != senders {
                        senders = now;
                        lines.follow(senders);
                    }
                    lines.push(arrived.sender.clone(), arrived);
                }
                Err(refused) => self.say(&refusals, refused),
            }
        }
        // What fails here fails because the connection is gone, and then nothing can arrive either.
        let _ = self.requests.unsubscribe().await;
        for arrived in lines.drain() {
            let refusal = Refusal::new(RefusalKind::Unavailable, "the node stops");
            self.say(&refusals, (arrived.reply, arrived.form.refusal(&refusal)));
        }
        drop(refusals);
        while served.join_next().await.is_some() {}
        let _ = refusing.await;
    }

    /// Among how many the doors are shared.
    fn senders(&self) -> usize {
        self.doors.current.get().domain.services.len()
    }

    /// Takes a request in, if its sender has room for it.
    fn admit(&self, request: Request, reply: async_nats::Subject) -> Result<Arrived, Refused> {
        let Request { subject, form, payload } = request;
        let arrived = self.addressed(subject).and_then(|(sender, door)| {
            let held = self.held(&sender, &door, payload.len())?;
            Ok((sender, door, held))
        });
        match arrived {
            Ok((sender, door, held)) => Ok(Arrived { sender, door, form, payload, reply, held }),
            Err(refusal) => {
                self.doors.counts.refused.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%refusal, "refused");
                Err((reply, form.refusal(&refusal)))
            }
        }
    }

    /// Who asks at which door of this domain.
    fn addressed(&self, subject: Result<Subject, String>) -> Result<(ServiceName, Door), Refusal> {
        match subject {
            Ok(Subject::Door { domain, door, sender }) if domain == self.doors.current.get().domain.name => {
                Ok((sender, door))
            }
            Ok(Subject::Door { domain, .. }) => {
                Err(Refusal::new(RefusalKind::Unknown, format!("this is not the domain {domain}")))
            }
            Ok(_) => Err(Refusal::new(RefusalKind::Unknown, "there is no such door")),
            Err(reason) => Err(Refusal::new(RefusalKind::Malformed, reason)),
        }
    }

    /// What a request of so many bytes takes of its sender's shares.
    fn held(&self, sender: &ServiceName, door: &Door, bytes: usize) -> Result<Vec<Share>, Refusal> {
        let keeps = matches!(door, Door::Command(_) | Door::Event(_) | Door::Commit(_));
        if !keeps && bytes > SMALL_BYTES_MAX {
            let word = door.word();
            let message =
                format!("{bytes} bytes; a request at the door {word} has at most {SMALL_BYTES_MAX}");
            return Err(Refusal::new(RefusalKind::TooLarge, message));
        }
        let current = &self.doors.current;
        if matches!(door, Door::Outcome(_)) {
            return Ok(vec![current.shares(Bound::Outcomes).take(sender, 1)?]);
        }
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        Ok(vec![
            current.shares(Bound::Requests).take(sender, 1)?,
            current.shares(Bound::RequestBytes).take(sender, bytes)?,
        ])
    }

    /// Has a refusal said, unless too many wait already. Never waits: the reader must not.
    fn say(&self, refusals: &mpsc::Sender<Refused>, refused: Refused) {
        if refusals.try_send(refused).is_err() {
            self.doors.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Says refusals until there are no more.
async fn refuse(services: async_nats::Client, mut refusals: mpsc::Receiver<Refused>) {
    while let Some((reply, payload)) = refusals.recv().await {
        let _ = services.publish(reply, payload).await;
    }
}

/// Does what was asked, and answers.
async fn answer(doors: Arc<Doors>, services: async_nats::Client, arrived: Arrived, place: Share) {
    let Arrived { sender, door, form, payload, reply, held } = arrived;
    let payload = work(&doors, &sender, door, form, payload).await;
    // An answer that cannot be sent is one that did not arrive: the sender's own deadline tells it so.
    let _ = services.publish(reply, payload).await;
    drop((held, place));
}

/// The same for a question that may wait. Who waits when the node stops asks the next one.
async fn wait(doors: Arc<Doors>, services: async_nats::Client, arrived: Arrived, stop: CancellationToken) {
    let Arrived { sender, door, form, payload, reply, held } = arrived;
    tokio::select! {
        payload = work(&doors, &sender, door, form, payload) => {
            let _ = services.publish(reply, payload).await;
        }
        () = stop.cancelled() => {}
    }
    drop(held);
}

async fn work(doors: &Doors, sender: &ServiceName, door: Door, form: Form, payload: Bytes) -> Bytes {
    let asked = async {
        let ask = Ask::read(door, form, &payload)?;
        // A question that waits must not keep its bytes: many may wait.
        drop(payload);
        let answer = doors.perform(sender, ask).await?;
        Ok(answer.write(form))
    };
    let answer = AssertUnwindSafe(asked).catch_unwind().await;
    answer.unwrap_or_else(|panic| Err(broken(&doors.counts, sender, &*panic))).unwrap_or_else(|refusal| {
        tracing::debug!(%sender, %refusal, "refused");
        form.refusal(&refusal)
    })
}
