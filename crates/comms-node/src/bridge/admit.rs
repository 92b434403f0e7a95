//! Which events of another node are kept here. Pure.
//!
//! A node vouches for its services: that an event was logged by `leafa` is certain, since it came under the subjects that
//! only the key of `leafa` may use; which of its services emitted it is what `leafa` says. So it is held against the
//! definition as far as anything in it can be known here.

use comms_domain::{Domain, NodeName, Spec, foreign_subject};
use comms_msg::limits::MSG_BYTES_MAX;
use comms_msg::{Body, DomainContent, Hop, Msg, Subject};

use super::wire::{Feed, Item};

/// Why an event is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub(super) enum Refused {
    /// Not one that this connection may bring.
    #[error("of another node than the one it came from")]
    Origin,
    /// No subject of a stored event of this domain.
    #[error("no subject of an event of this domain")]
    Subject,
    /// Larger than a message may be.
    #[error("too large")]
    Size,
    /// Not a message.
    #[error("no message")]
    Malformed,
    /// A message of another kind, type or entity than its subject says.
    #[error("not what its subject says")]
    Mismatch,
    /// The definition in force here has no such event.
    #[error("of a type that the definition here does not have")]
    Type,
    /// No service of that name may emit it.
    #[error("of a sender that the definition here does not let emit it")]
    Sender,
    /// It does not fit the schema that its version names.
    #[error("not as its schema says")]
    Schema,
    /// A batch that is none.
    #[error("a batch that cannot be read")]
    Batch,
    /// An answer that was not asked for.
    #[error("not asked for")]
    Unasked,
    /// A question that is none.
    #[error("an ask that cannot be read")]
    Ask,
}

/// Whose events may come from where.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub(super) peer: NodeName,
    pub(super) feed: Feed,
    /// The nodes whose events a hub may bring: the siblings that are wanted here.
    pub(super) siblings: Vec<NodeName>,
}

/// Whether anybody here wants to hear of that node over this feed. What is merely not wanted is passed over in silence.
impl Expected {
    pub(super) fn wants(&self, node: &NodeName) -> bool {
        match self.feed {
            Feed::Own => true,
            Feed::Others => self.siblings.contains(node),
        }
    }
}

/// An event that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Admitted {
    /// Where it is published to be stored.
    pub(super) subject: String,
    pub(super) payload: bytes::Bytes,
}

/// Looks at one event of a batch that was read from `log`.
pub(super) fn admit(
    domain: &Domain,
    expected: &Expected,
    log: &str,
    item: &Item,
) -> Result<Admitted, Refused> {
    let Expected { peer, feed, .. } = expected;
    let origin = &item.origin;
    let is_of_peer = origin.node == *peer && origin.log == log && origin.sequence == item.at;
    if *feed == Feed::Own && !is_of_peer {
        return Err(Refused::Origin);
    }
    if item.payload.len() > MSG_BYTES_MAX {
        return Err(Refused::Size);
    }
    let subject: Subject = item.subject.parse().map_err(|_| Refused::Subject)?;
    let Subject::Event { domain: of, type_name, .. } = &subject else { return Err(Refused::Subject) };
    if *of != domain.name {
        return Err(Refused::Subject);
    }
    let mut msg = Msg::from_cbor(&item.payload).map_err(|_| Refused::Malformed)?;
    subject.check(&msg).map_err(|_| Refused::Mismatch)?;
    let Some(spec) = domain.events.get(type_name) else { return Err(Refused::Type) };
    let sender = msg.metadata.sender.as_ref().and_then(|sender| domain.service(sender));
    if !sender.is_some_and(|service| service.emits.contains(type_name)) {
        return Err(Refused::Sender);
    }
    let Some(DomainContent::Event(event)) = &msg.content else { return Err(Refused::Mismatch) };
    if event.previous.is_some() {
        return Err(Refused::Schema);
    }
    match &event.body {
        Body::Sealed(_) => return Err(Refused::Schema),
        Body::Inline(node) if event.version == spec.version => {
            Spec::Event(spec).fit(node).map_err(|_| Refused::Schema)?;
        }
        // Of another version there is no schema here; its listeners say whether they can read it.
        Body::Inline(_) | Body::Link(_) => {}
    }
    let subject = foreign_subject(&item.subject).ok_or(Refused::Subject)?;
    // As this version writes it: what is stored is canonical whatever came. What was meant for its hops stays behind.
    msg.hop = Hop { trace: msg.hop.trace.take(), ..Hop::default() };
    Ok(Admitted { subject, payload: msg.to_cbor().into() })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use comms_content::Node;
    use comms_msg::{Event, Metadata, MsgId, Owner, Timestamp};

    use super::*;
    use crate::bridge::wire::Origin;
    use crate::fixture::{LIBRARY, domain};

    const LOG: &str = "abcdefgh";
    const SUBJECT: &str = "library.event.documents.d-1.DocumentAdded";

    fn expected(feed: Feed) -> Expected {
        Expected { peer: "leafa".parse().unwrap(), feed, siblings: vec!["leafb".parse().unwrap()] }
    }

    fn event(type_name: &str, entity: &str, sender: Option<&str>) -> Msg {
        let id = MsgId::v7(1, 1);
        let mut metadata = Metadata::root(id, Owner::new("ada").unwrap(), Timestamp::from_unix_ms(1));
        metadata.sender = sender.map(|sender| sender.parse().unwrap());
        let body = Body::Inline(Node::encode(&std::collections::BTreeMap::from([("n", 1)])).unwrap());
        let (type_name, entity) = (type_name.parse().unwrap(), entity.parse().unwrap());
        let event = Event { type_name, entity, version: 1, previous: None, body };
        Msg { id, metadata, content: Some(DomainContent::Event(event)), hop: Hop::default() }
    }

    fn item(subject: &str, payload: impl Into<Bytes>) -> Item {
        let origin = Origin { node: "leafa".parse().unwrap(), log: LOG.into(), sequence: 3 };
        Item { at: 3, origin, subject: subject.into(), payload: payload.into() }
    }

    fn added() -> Item {
        item(SUBJECT, event("documents.DocumentAdded", "d-1", Some("archive")).to_cbor())
    }

    fn judged(item: &Item) -> Result<Admitted, Refused> {
        admit(&domain(LIBRARY), &expected(Feed::Own), LOG, item)
    }

    #[test]
    fn an_event_of_the_peer_is_stored_where_the_node_alone_publishes() {
        let admitted = judged(&added()).unwrap();
        assert_eq!(admitted.subject, "library.foreign.documents.d-1.DocumentAdded");
        assert_eq!(admitted.payload, added().payload);
    }

    #[test]
    fn what_is_not_an_event_of_this_domain_is_refused_by_name() {
        let of = |type_name, entity, sender| event(type_name, entity, sender).to_cbor();
        let right = || of("documents.DocumentAdded", "d-1", Some("archive"));
        let mut sealed = added();
        sealed.payload = right()[..20].to_vec().into();
        for (why, wrong) in [
            (Refused::Subject, item("library.command.documents.AddDocument.desk", right())),
            (Refused::Subject, item("library.live.event.documents.d-1.DocumentAdded", right())),
            (Refused::Subject, item("library.outcome.documents.AddDocument.x", right())),
            (Refused::Subject, item("$JS.API.STREAM.DELETE.EVENT_hub", right())),
            (Refused::Subject, item("library.event.documents.*.DocumentAdded", right())),
            (Refused::Subject, item("library.event.documents.d-1.DocumentAdded.x", right())),
            (Refused::Subject, item("other.event.documents.d-1.DocumentAdded", right())),
            (Refused::Subject, item("", right())),
            (Refused::Malformed, item(SUBJECT, "rubbish")),
            (Refused::Malformed, item(SUBJECT, "")),
            (Refused::Malformed, sealed),
            (Refused::Malformed, item(SUBJECT, [right(), right()].concat())),
            (Refused::Size, item(SUBJECT, vec![0; MSG_BYTES_MAX + 1])),
            (Refused::Mismatch, item(SUBJECT, of("documents.Other", "d-1", Some("archive")))),
            (Refused::Mismatch, item(SUBJECT, of("documents.DocumentAdded", "d-2", Some("archive")))),
            (Refused::Sender, item(SUBJECT, of("documents.DocumentAdded", "d-1", Some("desk")))),
            (Refused::Sender, item(SUBJECT, of("documents.DocumentAdded", "d-1", Some("nobody")))),
            (Refused::Sender, item(SUBJECT, of("documents.DocumentAdded", "d-1", None))),
            (
                Refused::Type,
                item("library.event.documents.d-1.Gone", of("documents.Gone", "d-1", Some("archive"))),
            ),
        ] {
            assert_eq!(judged(&wrong), Err(why), "{wrong:?}");
        }
    }

    #[test]
    fn a_leaf_brings_its_own_events_alone_and_a_hub_those_that_are_wanted() {
        for origin in [
            Origin { node: "leafb".parse().unwrap(), ..added().origin },
            Origin { node: "hub".parse().unwrap(), ..added().origin },
            Origin { log: "hgfedcba".into(), ..added().origin },
            Origin { sequence: 4, ..added().origin },
        ] {
            let wrong = Item { origin, ..added() };
            assert_eq!(judged(&wrong), Err(Refused::Origin), "{wrong:?}");
        }
        let others = expected(Feed::Others);
        let of_sibling =
            Item { origin: Origin { node: "leafb".parse().unwrap(), ..added().origin }, ..added() };
        assert!(admit(&domain(LIBRARY), &others, "hgfedcba", &of_sibling).is_ok());
        assert!(others.wants(&"leafb".parse().unwrap()) && !others.wants(&"hub".parse().unwrap()));
    }
}
