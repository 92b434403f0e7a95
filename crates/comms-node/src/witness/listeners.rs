//! Looks after listeners: whether their consumers delivered what they passed ([`Passage`]).
//!
//! nats-server passes over what it cannot read, and no instance of a service can tell. So the consumers are looked at
//! every few seconds; what is missing by the count is read at once, and what proves nothing is read slowly.

use std::collections::HashSet;
use std::sync::Arc;

use async_nats::jetstream;
use async_nats::jetstream::consumer;
use comms_domain::{Domain, Layout, Purpose};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::passage::{Mark, Next, Passage};
use super::record::type_hash;
use super::watchman::{LOOK_EVERY, LOOK_WAITS, STEP};
use super::{Shared, Witness};
use crate::clock::now_ms;
use crate::current::Current;

/// Records read at a time, and how often between two looks: a million records, some tens of milliseconds in three seconds
/// when listeners catch up. Those that pass the same stretch share what is read.
const CHUNK: usize = 4_096;
const CHUNKS_MAX: usize = 256;
/// Messages read between two looks where counting proves nothing: a percent or two of a core.
const SLOWLY_MAX: u64 = 20_000;

/// One consumer of a service.
#[derive(Debug)]
struct Listener {
    /// Which of the streams.
    stream: usize,
    name: String,
    passage: Passage,
}

impl Witness {
    /// Looks after the listeners of what is in force, for ever.
    pub(super) async fn keep_following(&self, client: &async_nats::Client, current: &Current) {
        let context = jetstream::new(client.clone());
        let mut listeners: Vec<Listener> = Vec::new();
        let mut tick = interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            // Nothing more is to be found out then.
            if self.trouble().is_some() {
                continue;
            }
            {
                let in_force = current.get();
                self.shared.follow(&mut listeners, &in_force.layout, &in_force.domain);
            }
            look(&context, &self.shared, &mut listeners).await;
            let shared = Arc::clone(&self.shared);
            let mut counted = std::mem::take(&mut listeners);
            let counting = tokio::task::spawn_blocking(move || {
                shared.count(&mut counted);
                counted
            });
            match counting.await {
                Ok(counted) => listeners = counted,
                Err(error) => tracing::error!(%error, "the listeners cannot be looked after"),
            }
            // Whose turn is first changes, since there is a bound for all.
            if !listeners.is_empty() {
                listeners.rotate_left(1);
            }
            self.read_for(client, &mut listeners).await;
        }
    }

    /// Reads what cannot be decided by a count.
    async fn read_for(&self, client: &async_nats::Client, listeners: &mut [Listener]) {
        let mut slowly = SLOWLY_MAX;
        for listener in listeners {
            let watched = &self.shared.streams[listener.stream];
            while let Next::Read { first, last, is_urgent } = listener.passage.next() {
                let end = last.min(first.saturating_add(STEP - 1));
                let count = end - first + 1;
                if !is_urgent && slowly < count {
                    break;
                }
                match self.compare(client, watched, first, end).await {
                    Ok(true) => listener.passage.read(end),
                    // Asked again after the next look.
                    Ok(false) => break,
                    Err(loss) => return self.lost(format!("{loss}\n  {} passed over it", listener.name)),
                }
                if !is_urgent {
                    slowly -= count;
                }
            }
        }
    }
}

impl Shared {
    /// Takes over which listeners there are. One that hears other types than before begins anew.
    fn follow(&self, listeners: &mut Vec<Listener>, layout: &Layout, domain: &Domain) {
        let mut wanted: Vec<Listener> = Vec::new();
        for consumer in &layout.consumers {
            let (Purpose::Event(service) | Purpose::Foreign(service)) = &consumer.purpose else { continue };
            let stream = self.at(&consumer.stream);
            let (Some(stream), Some(service)) = (stream, domain.service(service)) else { continue };
            let types: HashSet<u32> =
                service.observes.iter().map(|name| type_hash(name.context(), name.name())).collect();
            wanted.push(Listener { stream, name: consumer.name.clone(), passage: Passage::of(types) });
        }
        let is_same = |one: &Listener, other: &Listener| {
            one.stream == other.stream
                && one.name == other.name
                && one.passage.types() == other.passage.types()
        };
        listeners.retain(|listener| wanted.iter().any(|wanted| is_same(listener, wanted)));
        wanted.retain(|wanted| !listeners.iter().any(|listener| is_same(listener, wanted)));
        listeners.extend(wanted);
    }

    /// Counts records for those that passed some. Blocks.
    fn count(&self, listeners: &mut [Listener]) {
        let (mut stuck, mut turn) = (vec![false; listeners.len()], 0);
        for _ in 0..CHUNKS_MAX {
            let next =
                (0..listeners.len()).map(|n| (turn + n) % listeners.len()).find_map(|n| {
                    match listeners[n].passage.next() {
                        Next::Count(first) if !stuck[n] => Some((n, first)),
                        _ => None,
                    }
                });
            let Some((n, first)) = next else { return };
            turn = n + 1;
            let stream = listeners[n].stream;
            let ledger = &self.streams[stream].ledger;
            let slots = match ledger.slots(first, CHUNK) {
                Ok(slots) => slots,
                Err(error) => {
                    tracing::warn!(stream = ledger.name(), %error, "a ledger cannot be read");
                    return;
                }
            };
            let (adopted, now) = (ledger.header().adopted, now_ms());
            for (other, listener) in listeners.iter_mut().enumerate() {
                let came_further =
                    listener.stream == stream && listener.passage.count(first, &slots, adopted, now);
                stuck[other] |= other == n && !came_further;
            }
        }
    }
}

/// Looks how far the consumers are. A server that does not answer is asked again later.
async fn look(context: &jetstream::Context, shared: &Shared, listeners: &mut [Listener]) {
    for listener in listeners.iter_mut().filter(|listener| listener.passage.next() == Next::Look) {
        let stream = shared.streams[listener.stream].ledger.name();
        match timeout(LOOK_WAITS, info(context, stream, &listener.name)).await {
            Ok(Some(info)) => listener.passage.seen(Mark {
                deliveries: info.delivered.consumer_sequence,
                sequence: info.delivered.stream_sequence,
                repeats: info.num_redelivered > 0,
            }),
            // One that is gone or is being made.
            Ok(None) => {}
            Err(_) => return,
        }
    }
}

async fn info(context: &jetstream::Context, stream: &str, consumer: &str) -> Option<consumer::Info> {
    let stream = context.get_stream_no_info(stream).await.ok()?;
    stream.consumer_info(consumer).await.ok()
}
