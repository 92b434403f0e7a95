//! The door that opens a watch of stored events from a position on.
//!
//! The node makes a push consumer and chooses where it delivers: below the caller's own deliver subjects. It has flow
//! control and heartbeats, needs no acknowledgement, and goes by itself once nobody listens.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, push};
use comms_domain::{Domain, LOSS_ACCEPTED};
use comms_msg::door::{Refusal, RefusalKind, WatchAsk, WatchFrom, Watching};
use comms_msg::{Filter, ServiceName, TypeName};

use super::Doors;
use super::watches::Watches;
use crate::clock::date;
use crate::provision::watch_mark;

/// A watch nobody listens to is dropped after this.
const INACTIVE_MAX: Duration = Duration::from_secs(30);
/// A watcher that hears nothing for a multiple of this knows that something is wrong.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// The last millisecond of which nats-server can count the nanoseconds. It takes later ones for times long ago.
const SERVER_TIME_MAX_MS: u64 = i64::MAX as u64 / 1_000_000;

impl Doors {
    /// Refuses types that are no events of the domain, or that the sender does not observe.
    pub(super) fn may_observe_all(
        &self,
        domain: &Domain,
        sender: &ServiceName,
        types: &[TypeName],
    ) -> Result<(), Refusal> {
        if types.is_empty() {
            return Err(Refusal::new(RefusalKind::Invalid, "/types  empty; name the events to watch"));
        }
        for type_name in types {
            if !domain.events.contains_key(type_name) && type_name.as_str() != LOSS_ACCEPTED {
                return Err(self.unknown(domain, comms_msg::Kind::Event, type_name));
            }
            self.allowed(domain, sender, type_name, "observe", |service| service.may_observe(type_name))?;
        }
        Ok(())
    }

    /// Opens the watch. Events that were stored before the answer and match come too, from the asked position on.
    pub(super) async fn watch(
        &self,
        domain: &Domain,
        sender: &ServiceName,
        ask: WatchAsk,
    ) -> Result<Watching, Refusal> {
        self.may_observe_all(domain, sender, &ask.types)?;
        let filter = |type_name: &TypeName| match &ask.entity {
            Some(entity) => Filter::events_of(&domain.name, type_name, entity),
            None => Filter::events(&domain.name, type_name),
        };
        // Each once: the server refuses filters that overlap.
        let filters: BTreeSet<String> = ask.types.iter().map(|name| filter(name).into()).collect();
        let filter_subjects = filters.into_iter().collect();
        let deliver_policy = self.begin(ask.from).await?;
        // Asked for before the watch is there: what is acknowledged by now, the watch brings.
        let until = self.log.witness.extent(self.log.event_stream_name());
        let share = self.watches.room(&self.log, sender).await?;
        let (name, token) = Watches::name(sender);
        let subject = format!("{}.deliver.{sender}.{token}", domain.name);
        let consumer = push::Config {
            name: Some(name.clone()),
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
        let made = self.log.consume_events(consumer).await.map_err(|e| {
            Refusal::new(RefusalKind::Unavailable, format!("the event log does not open a watch: {e}"))
        })?;
        self.watches.opened(name.clone(), share).await;
        let after = match ask.from {
            // Not where the server finds its first message: those before may be lost.
            WatchFrom::Start => 0,
            WatchFrom::Position(position) => position.sequence(),
            WatchFrom::New | WatchFrom::Time(_) => made.after,
        };
        Ok(Watching {
            subject,
            log: self.log.incarnation().to_owned(),
            consumer: name,
            waiting: Some(made.waiting),
            after: Some(after),
            until,
        })
    }

    /// Where the consumer of a watch begins.
    async fn begin(&self, from: WatchFrom) -> Result<DeliverPolicy, Refusal> {
        let position = match from {
            WatchFrom::Start => return Ok(DeliverPolicy::All),
            WatchFrom::New => return Ok(DeliverPolicy::New),
            WatchFrom::Time(time) if time.unix_ms() > SERVER_TIME_MAX_MS => {
                let message =
                    format!("/from/time  {time} is after 2262-04-11, where nats-server ends to count");
                return Err(Refusal::new(RefusalKind::Invalid, message));
            }
            WatchFrom::Time(time) => {
                return Ok(DeliverPolicy::ByStartTime { start_time: date(time.unix_ms()) });
            }
            WatchFrom::Position(position) => position,
        };
        let incarnation = self.log.incarnation();
        if position.log() != incarnation {
            let message = format!("/from  position {position} is not of this log ({incarnation})");
            return Err(Refusal::new(RefusalKind::NotFound, message));
        }
        let last = self.log.last_event().await.map_err(|e| self.refusal(e))?;
        // The server would wait without a word until the log is so long.
        match position.sequence().checked_add(1).filter(|next| *next <= last.saturating_add(1)) {
            Some(start_sequence) => Ok(DeliverPolicy::ByStartSequence { start_sequence }),
            None => {
                let message = format!("/from  {position} is beyond the end of the log, which is {last}");
                Err(Refusal::new(RefusalKind::NotFound, message))
            }
        }
    }
}
