//! The door that opens a watch of stored events from a position on.
//!
//! The node makes a push consumer and chooses where it delivers: below the caller's own deliver subjects. It has flow
//! control and heartbeats, needs no acknowledgement, and goes by itself once nobody listens.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, push};
use comms_domain::Domain;
use comms_msg::ServiceName;
use comms_msg::door::{Refusal, RefusalKind, WatchAsk, WatchFrom, Watching};

use super::Doors;
use crate::clock::date;
use crate::provision::watch_mark;

/// A watch nobody listens to is dropped after this.
const INACTIVE_MAX: Duration = Duration::from_secs(30);
/// A watcher that hears nothing for a multiple of this knows that something is wrong.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Consumers of the log at once, watches and listeners together: each costs the server memory and a look at every event.
const CONSUMERS_MAX: usize = 2_000;

impl Doors {
    /// Opens the watch. Events that were stored before the answer and match come too, from the asked position on.
    pub(super) async fn watch(
        &self,
        domain: &Domain,
        sender: &ServiceName,
        ask: WatchAsk,
    ) -> Result<Watching, Refusal> {
        if ask.types.is_empty() {
            return Err(Refusal::new(RefusalKind::Invalid, "/types  empty; name the events to watch"));
        }
        for type_name in &ask.types {
            if !domain.events.contains_key(type_name) {
                return Err(self.unknown(domain, comms_msg::Kind::Event, type_name));
            }
            self.allowed(domain, sender, type_name, "observe", |service| {
                service.observes.contains(type_name)
            })?;
        }
        let entity = ask.entity.as_ref().map_or("*", |entity| entity.as_str());
        let filter_subjects = ask
            .types
            .iter()
            .map(|name| format!("{}.event.{}.{entity}.{}", domain.name, name.context(), name.name()))
            .collect();
        let deliver_policy = match ask.from {
            WatchFrom::Start => DeliverPolicy::All,
            WatchFrom::New => DeliverPolicy::New,
            WatchFrom::Time(time) => DeliverPolicy::ByStartTime { start_time: date(time.unix_ms()) },
            WatchFrom::Position(position) if position.log() == self.log.incarnation() => {
                DeliverPolicy::ByStartSequence { start_sequence: position.sequence() + 1 }
            }
            WatchFrom::Position(position) => {
                let message =
                    format!("/from  position {position} is not of this log ({})", self.log.incarnation());
                return Err(Refusal::new(RefusalKind::NotFound, message));
            }
        };
        let token = format!("watch-{:032x}", rand::random::<u128>());
        let subject = format!("{}.deliver.{sender}.{token}", domain.name);
        let stream = self.log.event_stream().await.map_err(|e| self.refusal(e))?;
        if stream.cached_info().state.consumer_count >= CONSUMERS_MAX {
            return Err(Refusal::new(
                RefusalKind::Busy,
                format!("{CONSUMERS_MAX} readers of the log already"),
            ));
        }
        let consumer = push::Config {
            name: Some(format!("{sender}-{token}")),
            deliver_subject: subject.clone(),
            deliver_policy,
            ack_policy: AckPolicy::None,
            filter_subjects,
            flow_control: true,
            idle_heartbeat: HEARTBEAT,
            inactive_threshold: INACTIVE_MAX,
            metadata: watch_mark(sender),
            ..Default::default()
        };
        let made = stream.create_consumer(consumer).await.map_err(|e| {
            Refusal::new(RefusalKind::Unavailable, format!("the event log does not open a watch: {e}"))
        })?;
        let made = made.cached_info();
        Ok(Watching {
            subject,
            log: self.log.incarnation().to_owned(),
            consumer: made.name.clone(),
            waiting: Some(made.num_pending),
        })
    }
}
