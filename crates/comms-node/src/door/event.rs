//! The door for events that no command caused: one event, or several of one entity that are stored together.

use bytes::Bytes;
use comms_domain::Domain;
use comms_msg::door::{Appended, AppendedEvent, Refusal, RefusalKind};
use comms_msg::{DomainContent, Filled, Kind, Msg, ServiceName, TypeName};

use super::{Doors, complete};
use crate::access::Budget;
use crate::log::{Appended as Stored, NewEvent};

impl Doors {
    /// Appends. The first event may say which position it expects its entity at; the answer to a conflict has the
    /// actual one.
    pub(super) async fn event(
        &self,
        domain: &Domain,
        sender: &ServiceName,
        type_name: &TypeName,
        messages: Vec<Bytes>,
    ) -> Result<Appended, Refusal> {
        if !domain.events.contains_key(type_name) {
            return Err(self.unknown(domain, Kind::Event, type_name));
        }
        self.allowed(domain, sender, type_name, "emit", |service| service.emits.contains(type_name))?;
        self.has_room()?;
        let mut events = Vec::with_capacity(messages.len());
        let mut filled = Filled::default();
        let mut offloaded: Vec<String> = Vec::new();
        let mut budget = Budget::of_request();
        for message in messages {
            let (mut msg, names) = complete::whole(&message, Kind::Event, type_name, sender)?;
            self.may_name(domain, sender, &msg.metadata.owner)?;
            offloaded.extend(self.check(domain, sender, &mut msg, &mut budget).await?);
            filled.merge(names.clone());
            events.push(self.new_event(msg, names)?);
        }
        let Some(first) = events.first() else {
            return Err(Refusal::new(RefusalKind::Malformed, "no event in the request"));
        };
        if events.iter().any(|other| other.entity != first.entity) {
            return Err(Refusal::new(RefusalKind::Invalid, "events of one request must be of one entity"));
        }
        let stored = self.log.append(events, 0).await.map_err(|e| self.refusal(e))?;
        Ok(Appended {
            events: self.appended(&stored),
            retry_safe: filled.retry_safe(),
            filled: filled.fields.into_iter().map(str::to_owned).chain(offloaded).collect(),
        })
    }

    /// An event ready for the log, with what it expects there; the expectation itself is not stored.
    pub(super) fn new_event(&self, mut msg: Msg, filled: Filled) -> Result<NewEvent, Refusal> {
        let Some(DomainContent::Event(event)) = &msg.content else {
            return Err(Refusal::new(RefusalKind::Invalid, "/content  not an event"));
        };
        if event.previous.is_some() {
            // A stored form that nobody checks would be trusted for ever.
            return Err(Refusal::new(
                RefusalKind::Invalid,
                "/content/previous  reserved for the log; leave it out",
            ));
        }
        let expect = std::mem::take(&mut msg.hop.expect);
        let expected =
            self.log.expected(&expect).map_err(|reason| Refusal::new(RefusalKind::Invalid, reason))?;
        NewEvent::of(msg, filled, expected)
            .ok_or_else(|| Refusal::new(RefusalKind::Invalid, "/metadata/sender  missing"))
    }

    /// What is told of stored events.
    pub(super) fn appended(&self, stored: &Stored) -> Vec<AppendedEvent> {
        let placed = stored.events.iter().zip(stored.stored.first..);
        placed.filter_map(|(msg, sequence)| self.appended_event(msg, sequence)).collect()
    }

    /// What is told of the event at `sequence`; `None` where no event stands there.
    pub(super) fn appended_event(&self, msg: &Msg, sequence: u64) -> Option<AppendedEvent> {
        let Some(DomainContent::Event(event)) = &msg.content else { return None };
        Some(AppendedEvent {
            id: msg.id,
            type_name: event.type_name.clone(),
            entity: event.entity.clone(),
            position: self.log.position(sequence),
            cid: msg.cid(),
        })
    }
}
