//! What stands in the log, read by eyes of its own: every message that ever came in, and how commands ended. Nothing of the
//! code under test but the decoder of messages.

use std::collections::{BTreeMap, BTreeSet};

use comms_content::Node;
use comms_msg::door::OutcomeAsk;
use comms_msg::{DomainContent, Door, Expect, Form, Kind, Msg, MsgId, ServiceName, TypeName};
use serde_json::Value;

use super::request::Request;
use super::scene::{Messages, Scene, domain};
use crate::log::commit::StoredMessage;

/// See the header.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// Every event that is stored, by its sequence.
    pub(super) events: BTreeMap<u64, Msg>,
    /// Every command that was ever stored, by its place in the queue.
    pub(super) commands: BTreeMap<u64, Msg>,
    /// The commands that ended, by their place in the queue.
    pub(super) ended: BTreeMap<u64, Ended>,
    /// Messages of the log that were looked at.
    looked: u64,
    names: BTreeSet<(&'static str, ServiceName, TypeName, MsgId)>,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// With so many events from there on.
    Events { first: u64, count: u64 },
    /// With none, in this state.
    Record { state: String },
}

/// What came and went with one request.
#[derive(Debug, Default)]
pub(super) struct New {
    pub(super) events: Vec<u64>,
    /// Commands that ended without events, by their place in the queue.
    pub(super) endings: Vec<u64>,
    pub(super) commands: Vec<u64>,
    /// Commands that left the queue.
    pub(super) gone: Vec<u64>,
}

impl New {
    pub(super) fn is_nothing(&self) -> bool {
        self.events.is_empty() && self.endings.is_empty() && self.commands.is_empty() && self.gone.is_empty()
    }
}

impl Model {
    /// Takes in what `request` did to the streams. What holds for every stored message is checked here.
    pub(super) fn take(&mut self, request: &Request, before: &[Messages; 2], after: &[Messages; 2]) -> New {
        let mut new = New::default();
        for (sequence, message) in &before[0] {
            let now = after[0].get(sequence);
            assert!(
                now.is_some_and(|now| is_same(message, now)),
                "{request:?} changed the event at {sequence}"
            );
        }
        for (sequence, message) in &before[1] {
            match after[1].get(sequence) {
                Some(now) => assert!(is_same(message, now), "{request:?} changed the command at {sequence}"),
                None => new.gone.push(*sequence),
            }
        }
        for (sequence, message) in &after[1] {
            if self.commands.contains_key(sequence) {
                continue;
            }
            self.command(request, *sequence, message);
            new.commands.push(*sequence);
        }
        for (sequence, message) in after[0].range(self.looked + 1..) {
            self.looked += 1;
            assert_eq!(*sequence, self.looked, "{request:?} left a gap");
            if message.subject.starts_with("works.outcome.") {
                new.endings.push(self.record(request, message));
            } else {
                self.event(request, *sequence, message);
                new.events.push(*sequence);
            }
        }
        for sequence in &new.gone {
            assert!(
                self.ended.contains_key(sequence),
                "{request:?} took the command at {sequence} out without an end"
            );
        }
        new
    }

    fn command(&mut self, request: &Request, sequence: u64, stored: &StoredMessage) {
        let msg = self.message(request, Kind::Command, stored);
        let Door::Command(type_name) = &request.door else {
            panic!("{request:?} stored a command");
        };
        let subject = format!("works.command.{type_name}.{}", request.sender);
        assert_eq!(stored.subject, subject, "{request:?}");
        assert_eq!((msg.hop.commit, &msg.hop.command), (None, &None), "{request:?}");
        self.commands.insert(sequence, msg);
    }

    fn event(&mut self, request: &Request, sequence: u64, stored: &StoredMessage) {
        let msg = self.message(request, Kind::Event, stored);
        let Some(DomainContent::Event(event)) = &msg.content else { unreachable!("the kind was looked at") };
        let (context, name) = (event.type_name.context(), event.type_name.name());
        assert_eq!(stored.subject, format!("works.event.{context}.{}.{name}", event.entity), "{request:?}");
        assert_eq!(msg.hop.expect, Expect::Any, "{request:?}: an expectation is stored");
        match (&request.door, msg.hop.commit) {
            (Door::Event(type_name), None) => {
                assert_eq!(&event.type_name, type_name, "{request:?}");
                assert_eq!(
                    msg.hop.command, None,
                    "{request:?}: it ends a command that it does not answer for"
                );
            }
            (Door::Commit(_), Some(place)) => {
                let emits =
                    domain().service(&request.sender).is_some_and(|s| s.emits.contains(&event.type_name));
                assert!(emits, "{request:?} stored {}", event.type_name);
                let is_first = place.ordinal() == 0;
                assert_eq!(
                    msg.hop.command.is_some(),
                    is_first,
                    "{request:?}: the first alone says what it ends"
                );
                if let Some(of) = &msg.hop.command {
                    self.ends(request, of.sequence, &of.sender, &of.type_name, msg.metadata.causation);
                    let (first, count) = (sequence, u64::from(place.count()));
                    self.ended.insert(of.sequence, Ended::Events { first, count });
                }
            }
            _ => panic!("{request:?} stored an event in the place {:?} of a commit", msg.hop.commit),
        }
        self.events.insert(sequence, msg);
    }

    /// The end of a command that caused no event; answers which.
    fn record(&mut self, request: &Request, stored: &StoredMessage) -> u64 {
        let node =
            Node::from_cbor(stored.payload.clone()).unwrap_or_else(|e| panic!("{request:?} stored: {e}"));
        let record = node.to_value();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let of = &record["of"];
        let sequence = of["was"]["sequence"].as_u64().unwrap_or(0);
        let sender = text(&of["sender"]).parse().expect("a record names a sender");
        let type_name = text(&of["type"]).parse().expect("a record names a type");
        let id = text(&record["command"]).parse().ok();
        self.ends(request, sequence, &sender, &type_name, id);
        self.ended.insert(sequence, Ended::Record { state: text(&record["state"]) });
        sequence
    }

    /// Whether that command may end by this request: once, and by who handles it.
    fn ends(
        &self,
        request: &Request,
        sequence: u64,
        sender: &ServiceName,
        type_name: &TypeName,
        id: Option<MsgId>,
    ) {
        let command = self.commands.get(&sequence).unwrap_or_else(|| panic!("{request:?} ended no command"));
        let said = (command.metadata.sender.as_ref(), command.content.as_ref().map(DomainContent::type_name));
        assert_eq!(said, (Some(sender), Some(type_name)), "{request:?} ended another's command");
        assert_eq!(Some(command.id), id, "{request:?} ended another command");
        assert!(!self.ended.contains_key(&sequence), "{request:?} ended the command at {sequence} again");
        assert_eq!(request.door, Door::Commit(type_name.clone()), "another door ended a command");
        let handles = domain().service(&request.sender).is_some_and(|s| s.handles.contains(type_name));
        assert!(handles, "{request:?} ended a command of another handler");
    }

    /// A stored message: it can be read, is of who asked, and of no name that was stored before.
    fn message(&mut self, request: &Request, kind: Kind, stored: &StoredMessage) -> Msg {
        let msg = Msg::from_cbor(&stored.payload)
            .unwrap_or_else(|e| panic!("{request:?} stored what nobody can read: {e}"));
        let content = msg.content.as_ref().unwrap_or_else(|| panic!("{request:?} stored nothing"));
        assert_eq!(content.kind(), kind, "{request:?}");
        assert_eq!(msg.metadata.sender.as_ref(), Some(&request.sender), "{request:?} stored for another");
        let version = domain().spec(content.type_name()).map(|spec| spec.version());
        assert_eq!(Some(content.version()), version, "{request:?} stored another version");
        let name = (kind.as_str(), request.sender.clone(), content.type_name().clone(), msg.id);
        assert!(self.names.insert(name), "{request:?} stored {} a second time", msg.id);
        msg
    }

    /// The command that an outcome is asked of, by its place in the queue.
    pub(super) fn asked_of(&self, request: &Request) -> Option<(u64, OutcomeAsk)> {
        let Door::Outcome(type_name) = &request.door else { return None };
        let ask: OutcomeAsk = Form::of(&request.payload).decode(&request.payload).ok()?;
        let is_it = |msg: &Msg| {
            msg.id == ask.command
                && msg.metadata.sender.as_ref() == Some(&request.sender)
                && msg.content.as_ref().is_some_and(|content| content.type_name() == type_name)
        };
        let (sequence, _) = self.commands.iter().find(|(_, msg)| is_it(msg))?;
        Some((*sequence, ask))
    }

    pub(super) fn has_ended(&self, request: &Request) -> bool {
        self.asked_of(request).is_some_and(|(sequence, _)| self.ended.contains_key(&sequence))
    }

    /// Only a question for a command that is open may wait, and only if it asks to.
    pub(super) fn may_wait(&self, scene: &Scene, request: &Request) {
        let asked = self.asked_of(request);
        let Some((sequence, ask)) = asked else { panic!("{request:?} waits for nothing") };
        assert!(ask.wait_ms > 0, "{request:?} waits and did not ask to");
        assert!(!self.ended.contains_key(&sequence), "{request:?} waits for a command that ended");
        assert!(scene.all()[1].contains_key(&sequence), "{request:?} waits for a command that is gone");
    }
}

fn is_same(one: &StoredMessage, other: &StoredMessage) -> bool {
    (&one.subject, &one.key, &one.payload) == (&other.subject, &other.key, &other.payload)
}
