//! Taking ended commands out of the queue, and hearing that they are out.
//!
//! An acknowledgement can get lost. Then the command is delivered again, and its ending must still be known: so a
//! command counts as waiting until the stream has confirmed that it is gone.

use std::time::Duration;

use async_nats::Subscriber;
use futures::StreamExt;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::EventLog;

/// How long a confirmation may take before the acknowledgement is said again.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(10);

/// An acknowledgement that is not confirmed.
#[derive(Debug)]
pub(crate) struct Unsettled {
    /// The reply subject of the delivery.
    delivery: String,
    said: Instant,
}

impl EventLog {
    /// Takes the ended command at `sequence` out of the queue. Its ending is remembered at least until that is confirmed.
    pub(crate) async fn settle(&self, delivery: &str, sequence: u64) {
        let unsettled = Unsettled { delivery: delivery.to_owned(), said: Instant::now() };
        self.lock().unsettled.insert(sequence, unsettled);
        self.witness.settled(self.commands.name(), sequence);
        self.acknowledge(delivery, sequence).await;
    }

    async fn acknowledge(&self, delivery: &str, sequence: u64) {
        if self.commands.take_out(delivery, sequence).await {
            self.settled(sequence);
        }
    }

    /// Hears what the stream confirms until `stop`, and says again what it does not.
    pub(super) async fn hear(&self, mut confirmed: Subscriber, stop: CancellationToken) {
        let mut look = tokio::time::interval(CONFIRMED_WITHIN);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = confirmed.next() => match message {
                    Some(message) => {
                        let token = message.subject.rsplit('.').next().and_then(|token| token.parse().ok());
                        // Without a responder there was no stream to hear it.
                        if let (Some(sequence), None) = (token, message.status) {
                            self.settled(sequence);
                        }
                    }
                    None => return,
                },
                _ = look.tick() => self.say_again().await,
                () = stop.cancelled() => return,
            }
        }
    }

    async fn say_again(&self) {
        let now = Instant::now();
        let late: Vec<(u64, String)> = {
            let memory = self.lock();
            let late = memory.unsettled.iter().filter(|(_, one)| now - one.said >= CONFIRMED_WITHIN);
            late.map(|(sequence, one)| (*sequence, one.delivery.clone())).collect()
        };
        for (sequence, delivery) in late {
            match self.read_command(sequence).await {
                // It went, and only the confirmation got lost.
                Ok(None) => self.settled(sequence),
                Ok(Some(_)) => self.acknowledge(&delivery, sequence).await,
                // The stream does not answer: the next look comes.
                Err(_) => return,
            }
        }
    }

    pub(super) fn settled(&self, sequence: u64) {
        let mut memory = self.lock();
        memory.unsettled.remove(&sequence);
        memory.commands.settled(sequence);
    }
}
