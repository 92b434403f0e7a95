//! Whether the node is well, found out by using it: through its own door, through its streams, and by asking nats-server what it
//! says of its store. What is found is told in [`Condition`]; a managed server that hangs or stores nothing is started
//! again.

mod signs;
mod vitals;

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::signs::Signs;
use self::vitals::{Known, Round, Sign, Vitals};
use crate::condition::Condition;
use crate::connections::Connections;
use crate::current::Current;
use crate::server::Managed;

/// Pause between two probes.
const PROBE_PAUSE: Duration = Duration::from_secs(1);
/// How long nats-server may take to say how much it holds.
const USAGE_WITHIN: Duration = Duration::from_secs(2);
/// What an ending takes at most: the room that must be there before a server that froze is worth another start.
const ENDING_BYTES: u64 = 64 << 10;

/// Probes one node.
#[derive(Debug)]
pub(crate) struct Health {
    signs: Signs,
    jetstream: jetstream::Context,
    condition: Condition,
    server: Option<Arc<Managed>>,
}

impl Health {
    /// For the node with these parts; none is its server where that is somebody else's.
    pub(crate) fn new(
        connections: Connections,
        current: Current,
        condition: Condition,
        server: Option<Arc<Managed>>,
    ) -> Health {
        let jetstream = jetstream::new(connections.domain.clone());
        Health { signs: Signs { connections, current }, jetstream, condition, server }
    }

    /// Probes until `stop`.
    pub(crate) async fn watch(self, stop: CancellationToken) {
        let mut vitals = Vitals::default();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.step(&mut vitals) => {}
            }
        }
    }

    async fn step(&self, vitals: &mut Vitals) {
        let (round, ()) = tokio::join!(self.signs.round(), self.usage());
        self.note_store(&round);
        let judged = vitals.judge(Instant::now(), &round, &self.known());
        self.condition.tell(judged.ill);
        if let (Some(manner), Some(server)) = (judged.restart, &self.server) {
            tracing::error!(?manner, "nats-server is started again");
            server.restart(manner).await;
            // What was waited for in vain was the server that has ended.
            self.condition.stored();
        }
        sleep(PROBE_PAUSE).await;
    }

    fn known(&self) -> Known {
        let room = self.condition.room();
        Known {
            short: room.admit_new().err().map(|shortage| shortage.to_string()),
            is_full: room.admit_ending(ENDING_BYTES).is_err(),
            is_stalled: self.condition.is_stalled(),
            is_managed: self.server.is_some(),
            process: self.server.as_ref().and_then(|server| server.pid()),
        }
    }

    /// Tells the writers of the log whether the server stores.
    fn note_store(&self, round: &Round) {
        let room = self.condition.room();
        match &round.store {
            Sign::Ill(why) => {
                let domain = &self.signs.connections.domain;
                room.freeze(why, domain.statistics().connects.load(std::sync::atomic::Ordering::Relaxed));
            }
            Sign::Well => room.thaw(),
            Sign::Silent => {}
        }
    }

    /// Asks how much the log takes. A server that does not answer is found out by the probe.
    async fn usage(&self) {
        let room = self.condition.room();
        let written = room.log_written();
        if let Ok(Ok(account)) = timeout(USAGE_WITHIN, self.jetstream.query_account()).await {
            room.log_takes(account.storage, written);
        }
    }
}
