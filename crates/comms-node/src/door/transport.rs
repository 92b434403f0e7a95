//! The doors over NATS.
//!
//! Requests arrive in the account of services on `{domain}.door.…`; their last token is the sender's name, which the
//! broker vouches for. They are answered into the sender's own inbox and nowhere else: the server never checks reply
//! subjects, so an answer to any other subject would let a service speak with the node's voice.
//!
//! They come in by a connection for each service (`entrances.rs`), are taken off at once (`reception.rs`), and wait for
//! their turn in a line for each sender (`line.rs`).

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use comms_msg::door::{Form, Refusal, RefusalKind};
use comms_msg::{Door, ServiceName};
use futures::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::entrances::Entrances;
use super::line::Lines;
use super::reception::{Arrived, Reception, Refused};
use super::{Ask, Doors, broken};
use crate::connections::Connections;
use crate::share::Share;

/// The doors, open in the account of services; nothing is served before [`serve`](Self::serve).
#[derive(Debug)]
pub(crate) struct Transport {
    doors: Arc<Doors>,
    services: async_nats::Client,
    entrances: Arc<Entrances>,
    reception: Reception,
    arrivals: mpsc::Receiver<Arrived>,
    refused: mpsc::Receiver<Refused>,
}

impl Transport {
    /// Opens every door for every service of the definition in force.
    pub(crate) async fn open(
        doors: Arc<Doors>,
        connections: &Connections,
    ) -> Result<Transport, crate::Error> {
        let (reception, arrivals, refused) = Reception::new(doors.clone());
        let entrances = Entrances::new(connections.clone(), reception.clone());
        entrances.follow(&doors.current.get().domain).await?;
        let services = connections.services.clone();
        Ok(Transport { doors, services, entrances: Arc::new(entrances), reception, arrivals, refused })
    }

    /// The ways in, which follow the definition.
    pub(crate) fn entrances(&self) -> Arc<Entrances> {
        self.entrances.clone()
    }

    /// Serves requests until `stop`, then takes no more and ends those that are being served. To be run where nothing
    /// but reading is done; the work is done by `workers`.
    pub(crate) async fn serve(self, workers: Handle, stop: CancellationToken) {
        let Transport { doors, services, entrances, reception, mut arrivals, refused } = self;
        let mut senders = senders(&doors);
        let mut lines = Lines::new(senders);
        let mut served = JoinSet::new();
        let refusing = workers.spawn(refuse(services.clone(), refused));
        loop {
            // However they ended, their places are free.
            while served.try_join_next().is_some() {}
            while let Some((arrived, place)) = lines.next() {
                served.spawn_on(answer(doors.clone(), services.clone(), arrived, place), &workers);
            }
            let arrived = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                arrived = arrivals.recv() => arrived,
                Some(_) = served.join_next() => continue,
            };
            let Some(arrived) = arrived else { break };
            if matches!(arrived.door, Door::Outcome(_)) {
                let work = wait(doors.clone(), services.clone(), arrived, stop.clone());
                served.spawn_on(work, &workers);
                continue;
            }
            let now = self::senders(&doors);
            if now != senders {
                senders = now;
                lines.follow(senders);
            }
            lines.push(arrived.sender.clone(), arrived);
        }
        entrances.close().await;
        arrivals.close();
        let stops = Refusal::new(RefusalKind::Unavailable, "the node stops");
        let rest = std::iter::from_fn(|| arrivals.try_recv().ok());
        for arrived in lines.drain().chain(rest) {
            reception.refuse(arrived.reply, arrived.form, &stops);
        }
        drop(reception);
        while served.join_next().await.is_some() {}
        let _ = refusing.await;
    }
}

/// Among how many the doors are shared.
fn senders(doors: &Doors) -> usize {
    doors.current.get().domain.services.len()
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
