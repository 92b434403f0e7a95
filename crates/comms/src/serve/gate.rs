//! What may pass to a handler of direct messages: only messages of its subject's kind, type and sender, that answer to
//! their sender's own inbox. The attacks behind each rule are in `dropped.rs`.

use std::sync::Arc;

use async_nats::Message;
use comms_msg::{DomainContent, Filter, Kind, Msg, ServiceName, TypeName, View, inbox};

use super::dropped::{Dropped, Why};

/// The gate of one kind and type.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    kind: Kind,
    type_name: TypeName,
    /// The subjects up to the sender: `{domain}.{kind}.{context}.{Type}.`, and that of frames.
    prefixes: [Arc<str>; 2],
    dropped: Arc<Dropped>,
}

impl Gate {
    /// `alone` and `frames` are what was subscribed to: the subjects up to the sender and a `*`.
    pub(crate) fn new(
        kind: Kind,
        type_name: TypeName,
        alone: &Filter,
        frames: &Filter,
        dropped: Arc<Dropped>,
    ) -> Self {
        let prefixes = [alone, frames].map(|filter| filter.as_str().trim_end_matches('*').into());
        Self { kind, type_name, prefixes, dropped }
    }

    /// Whether somebody only wanted to know if frames are read here.
    pub(crate) fn is_question(&self, message: &Message) -> bool {
        message.payload.is_empty() && message.subject.starts_with(&*self.prefixes[1])
    }

    /// Who sent what arrived, if it may be looked at.
    pub(crate) fn sender(&self, message: &Message) -> Option<ServiceName> {
        self.looked_at(message).map_err(|why| self.dropped.count(why, &message.subject)).ok()
    }

    fn looked_at(&self, message: &Message) -> Result<ServiceName, Why> {
        if message.status.is_some() {
            return Err(Why::Status);
        }
        let sender = self.prefixes.iter().find_map(|prefix| message.subject.strip_prefix(&**prefix));
        let sender = sender.ok_or(Why::Subject)?;
        let sender = ServiceName::new(sender).map_err(|_| Why::Subject)?;
        let is_right = match (&message.reply, self.kind) {
            // Elsewhere the broker lets no service answer.
            (Some(reply), Kind::Query) => inbox::is_asked(reply, sender.as_str()),
            (None, Kind::Query) => false,
            (Some(reply), _) => inbox::is_of(reply, sender.as_str()),
            (None, _) => true,
        };
        if is_right { Ok(sender) } else { Err(Why::Reply) }
    }

    /// A message of what arrived, if it is one of this gate's and its sender's.
    pub(crate) fn admit(
        &self,
        view: comms_msg::Result<View<'_>>,
        sender: &ServiceName,
        subject: &str,
    ) -> Option<Msg> {
        let admitted = view
            .map_err(|_| Why::Malformed)
            .and_then(|view| self.fits(&view, sender).map(|()| Msg::from(view)));
        admitted.map_err(|why| self.dropped.count(why, subject)).ok()
    }

    /// A payload that is not even messages.
    pub(crate) fn malformed(&self, subject: &str) {
        self.dropped.count(Why::Malformed, subject);
    }

    /// A message whose sender has stopped waiting.
    pub(crate) fn expired(&self, subject: &str) {
        self.dropped.count(Why::Expired, subject);
    }

    fn fits(&self, view: &View<'_>, sender: &ServiceName) -> Result<(), Why> {
        if !view.carries(self.kind, &self.type_name) {
            return Err(Why::Type);
        }
        match view.sender() {
            Some(named) if named != sender.as_str() => Err(Why::Sender),
            _ => Ok(()),
        }
    }
}

/// Whether a command that was stored and delivered is one of its subject's type and sender.
pub(crate) fn stored_fits(msg: &Msg, type_name: &TypeName, sender: &ServiceName) -> Result<(), Why> {
    match &msg.content {
        Some(DomainContent::Command(command)) if command.type_name == *type_name => {}
        _ => return Err(Why::Type),
    }
    match &msg.metadata.sender {
        Some(named) if named != sender => Err(Why::Sender),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_nats::StatusCode;
    use comms_content::Node;
    use comms_msg::{Body, Hop, Metadata, MsgId, Owner, Timestamp};

    const SUBJECT: &str = "library.query.documents.Find.desk";

    fn gate() -> Gate {
        let type_name = "documents.Find".parse().expect("a type");
        let domain = "library".parse().expect("a domain");
        let (alone, frames) =
            (Filter::queries(&domain, &type_name), Filter::query_frames(&domain, &type_name));
        Gate::new(Kind::Query, type_name, &alone, &frames, Arc::default())
    }

    fn message(subject: &str, reply: Option<&str>) -> Message {
        Message {
            subject: subject.into(),
            reply: reply.map(Into::into),
            payload: bytes::Bytes::new(),
            headers: None,
            status: None,
            description: None,
            length: 0,
        }
    }

    fn query(type_name: &str, sender: Option<&str>) -> Msg {
        let id = MsgId::v7(1, 1);
        let mut metadata =
            Metadata::root(id, Owner::new("ada").expect("an owner"), Timestamp::from_unix_ms(1));
        metadata.sender = sender.map(|sender| sender.parse().expect("a service"));
        let body = Body::Inline(Node::encode(&()).expect("null"));
        let content = comms_msg::Query { type_name: type_name.parse().expect("a type"), version: 1, body };
        Msg { id, metadata, content: Some(DomainContent::Query(content)), hop: Hop::default() }
    }

    #[test]
    fn only_the_senders_own_inbox_is_answered() {
        let gate = gate();
        assert_eq!(
            gate.looked_at(&message(SUBJECT, Some("_INBOX.desk.ask.b"))).map(|s| s.to_string()),
            Ok("desk".into())
        );
        for reply in [
            "_INBOX.other.ask.a",
            "_INBOX.desk.a",
            "_INBOX.desk",
            "_INBOX.desk.",
            "_INBOX.desktop.a",
            "library.event.documents.a.Added",
            "$JS.ACK.S.c.1.2.3.4.5",
        ] {
            assert_eq!(gate.looked_at(&message(SUBJECT, Some(reply))), Err(Why::Reply), "{reply}");
        }
        assert_eq!(gate.looked_at(&message(SUBJECT, None)), Err(Why::Reply));
    }

    #[test]
    fn statuses_and_foreign_subjects_are_dropped() {
        let gate = gate();
        let mut status = message(SUBJECT, Some("_INBOX.desk.ask.a"));
        status.status = Some(StatusCode::NOT_FOUND);
        assert_eq!(gate.looked_at(&status), Err(Why::Status));
        for subject in ["library.command.documents.Find.desk", "library.query.documents.Find.desk.x", "x"] {
            assert_eq!(
                gate.looked_at(&message(subject, Some("_INBOX.desk.ask.a"))),
                Err(Why::Subject),
                "{subject}"
            );
        }
    }

    #[test]
    fn a_message_must_be_of_its_subject() {
        let gate = gate();
        let desk: ServiceName = "desk".parse().expect("a service");
        let fits = |msg: Msg| {
            let payload = msg.to_wire().expect("a message");
            let mut msgs = comms_msg::wire::read(&payload).expect("a payload");
            gate.fits(&msgs.next_view().expect("one message").expect("it is one"), &desk)
        };
        assert_eq!(fits(query("documents.Find", Some("desk"))), Ok(()));
        assert_eq!(fits(query("documents.Find", None)), Ok(()));
        assert_eq!(fits(query("documents.Find", Some("other"))), Err(Why::Sender));
        assert_eq!(fits(query("documents.Other", Some("desk"))), Err(Why::Type));
        let mut empty = query("documents.Find", None);
        empty.content = None;
        assert_eq!(fits(empty), Err(Why::Type));
    }
}
