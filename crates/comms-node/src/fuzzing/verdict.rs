//! What an answer may say, held against what stands in the streams: nothing is granted that the definition does not give,
//! nothing is told that is not stored, nothing is stored that is not told.

use async_nats::jetstream::consumer::DeliverPolicy;
use comms_domain::Service;
use comms_msg::door::{
    Accepted, Appended, AppendedEvent, Commit, Committed, Completion, Outcome, OutcomeAsk, OutcomeState,
    Refusal, RefusalKind, Tally, TallyAsk, WatchAsk, WatchFrom, Watching,
};
use comms_msg::{Body, DomainContent, Door, Draft, Expect, Form, Msg, MsgId, MsgKey, Position, wire};
use serde_json::Value;

use super::model::{Ended, Model, New};
use super::request::Request;
use super::scene::{Scene, domain};
use crate::door::Answer;

/// Under what a request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judged {
    /// Alone, and all was heard.
    Heard,
    /// Alone, and no answer of the streams came.
    Lost,
    /// Beside another: what is new may be the other's.
    Beside,
}

/// What must hold of one answer.
pub(super) fn judge(
    scene: &Scene,
    model: &Model,
    request: &Request,
    answer: &Result<Answer, Refusal>,
    new: &New,
    judged: Judged,
) {
    let verdict = Verdict { scene, model, request, new, judged };
    match answer {
        Err(refusal) => verdict.refused(refusal),
        Ok(answer) => {
            verdict.may();
            match answer {
                Answer::Command(accepted) => verdict.command(accepted),
                Answer::Event(appended) => verdict.events(appended),
                Answer::Commit(committed) => verdict.commit(committed),
                Answer::Outcome(outcome) => verdict.outcome(outcome),
                Answer::Hello(hello) => {
                    assert_eq!(hello.service, request.sender, "{request:?}");
                    verdict.stored_nothing();
                }
                Answer::Listen(_) => verdict.stored_nothing(),
                Answer::Watch(watching) => verdict.watch(watching),
                Answer::Tally(tally) => verdict.tally(tally),
            }
        }
    }
}

/// What must hold of the answer to the same request again.
pub(super) fn same(request: &Request, first: &Answer, second: &Result<Answer, Refusal>) {
    let places = |events: &[AppendedEvent]| events.iter().map(|e| (e.position, e.cid)).collect::<Vec<_>>();
    match (first, second) {
        (Answer::Command(first), Ok(Answer::Command(second))) if first.retry_safe => {
            assert_eq!((first.position, first.cid), (second.position, second.cid), "{request:?} again");
            assert!(second.note.is_some(), "{request:?} again, and nobody says so");
        }
        (Answer::Event(first), Ok(Answer::Event(second))) if first.retry_safe => {
            assert_eq!(places(&first.events), places(&second.events), "{request:?} again");
        }
        (Answer::Commit(first), Ok(Answer::Commit(second))) => {
            let ends = matches!(
                completion(request),
                Some(Completion::Done | Completion::Dead { .. } | Completion::Reject { .. })
            );
            assert!(second.already || !(ends || first.already), "{request:?} again, and it is open again");
            if ends || first.already {
                assert_eq!(places(&first.events), places(&second.events), "{request:?} again");
            }
        }
        (
            Answer::Command(Accepted { retry_safe: false, .. })
            | Answer::Event(Appended { retry_safe: false, .. }),
            _,
        ) => {}
        (
            Answer::Outcome(_) | Answer::Hello(_) | Answer::Listen(_) | Answer::Watch(_) | Answer::Tally(_),
            Ok(_),
        ) => {}
        (first, second) => panic!("{request:?} was answered {first:?}, and again {second:?}"),
    }
}

/// The question of its sender how a command ended that `request` ended.
pub(super) fn outcome_of(model: &Model, request: &Request, answer: &Answer) -> Option<Request> {
    let (Door::Commit(type_name), Answer::Commit(_)) = (&request.door, answer) else { return None };
    let sequence = delivered(request)?;
    let command = model.commands.get(&sequence).filter(|_| model.ended.contains_key(&sequence))?;
    let ask = OutcomeAsk { command: command.id, wait_ms: 0 };
    let payload = Form::Cbor.encode(&ask).expect("an id and a number have a form");
    Some(Request {
        sender: command.metadata.sender.clone()?,
        door: Door::Outcome(type_name.clone()),
        payload,
    })
}

struct Verdict<'a> {
    scene: &'a Scene,
    model: &'a Model,
    request: &'a Request,
    new: &'a New,
    judged: Judged,
}

impl Verdict<'_> {
    fn stored_nothing(&self) {
        let Verdict { request, new, judged, .. } = self;
        assert!(*judged == Judged::Beside || new.is_nothing(), "{request:?} changed the log: {new:?}");
    }

    fn refused(&self, refusal: &Refusal) {
        let Verdict { request, judged, .. } = self;
        let is_own = match refusal.kind {
            RefusalKind::Internal | RefusalKind::Full => true,
            // Nothing is missing, and nobody else asks.
            RefusalKind::Unavailable => *judged == Judged::Heard,
            RefusalKind::Busy => *judged == Judged::Heard && !refusal.message.contains("limits."),
            _ => false,
        };
        assert!(!is_own, "{request:?} is refused for no reason of its own: {refusal}");
        if !refusal.may_have_happened || self.is_of_nothing(refusal) {
            self.stored_nothing();
        } else {
            assert_ne!(*judged, Judged::Heard, "{request:?}: all was heard, and {refusal}");
        }
        if self.model.asked_of(request).is_some() {
            panic!("{request:?} asks for a command that was kept, and hears {refusal}");
        }
        if let Some(position) = refusal.position {
            self.event_at(position);
        }
    }

    /// An answer for a command that does not wait at that place, and ended nowhere that is known: what became of one that
    /// did is not known either.
    fn is_of_nothing(&self, refusal: &Refusal) -> bool {
        let Verdict { scene, model, request, .. } = self;
        let Door::Commit(type_name) = &request.door else { return false };
        let Some(sequence) = delivered(request).filter(|_| refusal.kind == RefusalKind::NotFound) else {
            return false;
        };
        let is_it = |msg: &Msg| {
            Some(msg.id) == commit(request).map(|commit| commit.command)
                && msg.content.as_ref().map(DomainContent::type_name) == Some(type_name)
        };
        let has_ended =
            model.ended.contains_key(&sequence) && model.commands.get(&sequence).is_some_and(is_it);
        assert!(!has_ended, "{request:?}: that command ended, and its handler hears {refusal}");
        !scene.all()[1].contains_key(&sequence)
    }

    /// Whether the definition gives it, read without the code that judges requests.
    fn may(&self) {
        let Request { sender, door, .. } = self.request;
        let service: &Service = domain().service(sender).unwrap_or_else(|| panic!("{sender} is nobody"));
        let may = match door {
            Door::Command(name) | Door::Outcome(name) => service.sends.contains(name),
            Door::Event(name) => service.emits.contains(name),
            Door::Commit(name) => service.handles.contains(name),
            Door::Hello | Door::Listen | Door::Watch | Door::Tally => true,
        };
        assert!(may, "{:?} is granted", self.request);
    }

    fn command(&self, accepted: &Accepted) {
        let Verdict { scene, model, request, new, judged } = self;
        assert_eq!(accepted.position.log(), scene.incarnations()[1], "{request:?}");
        let sequence = accepted.position.sequence();
        let stored = model.commands.get(&sequence);
        let stored =
            stored.unwrap_or_else(|| panic!("{request:?} is told to be kept at {sequence}, and is not"));
        assert_eq!((accepted.id, accepted.cid), (stored.id, stored.cid()), "{request:?}");
        match (&accepted.note, judged) {
            (_, Judged::Beside) => {}
            (None, _) => assert_eq!(new.commands, [sequence], "{request:?}"),
            (Some(_), _) => assert!(new.commands.is_empty(), "{request:?} is told to be kept before"),
        }
        assert!(
            *judged == Judged::Beside || (new.events.is_empty() && new.endings.is_empty()),
            "{request:?}"
        );
        let draft = self.said(&request.payload, stored, &accepted.filled);
        assert_eq!(accepted.retry_safe, draft.id.is_some(), "{request:?}");
    }

    fn events(&self, appended: &Appended) {
        let Verdict { model, request, new, judged, .. } = self;
        let parts = wire::split(&request.payload, 100).expect("what was granted could be read");
        assert_eq!(parts.len(), appended.events.len(), "{request:?}");
        let places: Vec<u64> = appended.events.iter().map(|event| self.event(event)).collect();
        assert!(places.windows(2).all(|two| two[0] + 1 == two[1]), "{request:?} is stored apart: {places:?}");
        if *judged != Judged::Beside {
            assert!(new.events.is_empty() || new.events == places, "{request:?} stored {new:?}");
            assert!(new.endings.is_empty() && new.commands.is_empty() && new.gone.is_empty(), "{request:?}");
        }
        let drafts: Vec<Draft> = parts
            .iter()
            .zip(&places)
            .map(|(part, at)| self.said(part, &model.events[at], &appended.filled))
            .collect();
        assert_eq!(appended.retry_safe, drafts.iter().all(|draft| draft.id.is_some()), "{request:?}");
        if *judged == Judged::Heard && !new.events.is_empty() {
            self.expected(&drafts[0].hop.expect, places[0]);
        }
    }

    /// Whether the entity of the event at `sequence` was where it was expected to be.
    fn expected(&self, expect: &Expect, sequence: u64) {
        let of = |msg: &Msg| match &msg.content {
            Some(DomainContent::Event(event)) => (event.type_name.context().to_owned(), event.entity.clone()),
            _ => unreachable!("events alone are among events"),
        };
        let entity = of(&self.model.events[&sequence]);
        let mut before = self.model.events.range(..sequence).rev();
        let was = before.find(|(_, msg)| of(msg) == entity).map_or(0, |(at, _)| *at);
        let wanted = match expect {
            Expect::Any => return,
            Expect::Absent => 0,
            Expect::At(position) => {
                assert_eq!(position.log(), self.scene.incarnations()[0], "{:?}", self.request);
                position.sequence()
            }
        };
        assert_eq!(was, wanted, "{:?}: its entity was at another place", self.request);
    }

    fn commit(&self, committed: &Committed) {
        let Verdict { model, request, new, judged, .. } = self;
        let sequence = delivered(request).unwrap_or_else(|| panic!("{request:?} names no delivery"));
        let command = &model.commands[&sequence];
        let type_name = command.content.as_ref().map(DomainContent::type_name);
        assert_eq!(request.door.type_name(), type_name, "{request:?} is told of another's command");
        let ended = model.ended.get(&sequence);
        let places: Vec<u64> = committed.events.iter().map(|event| self.event(event)).collect();
        match ended {
            Some(Ended::Events { first, count }) => {
                assert_eq!(places, (*first..first + count).collect::<Vec<_>>(), "{request:?}");
                let (handler, key) = (&request.sender, key_of(command));
                for (event, ordinal) in committed.events.iter().zip(0..) {
                    assert_eq!(event.id, MsgId::derive(&key, handler, ordinal), "{request:?}");
                }
            }
            Some(Ended::Record { .. }) | None => assert!(places.is_empty(), "{request:?}: {places:?}"),
        }
        let ends = matches!(
            completion(request),
            Some(Completion::Done | Completion::Reject { .. } | Completion::Dead { .. })
        );
        assert!(ended.is_some() || !ends, "{request:?} is told to have ended a command that is open");
        assert!(ended.is_some() || !committed.already, "{request:?} is told of an end that is none");
        if *judged == Judged::Beside {
            return;
        }
        if committed.already {
            assert!(new.events.is_empty() && new.endings.is_empty(), "{request:?} ended again");
        } else if ends {
            assert!(
                new.events == places && new.endings.len() + new.events.len().min(1) == 1,
                "{request:?}: {new:?}"
            );
        } else {
            self.stored_or_ended_by_many_tries(sequence);
        }
        assert!(new.commands.is_empty(), "{request:?}");
        assert!(new.gone.is_empty() || new.gone == [sequence], "{request:?} took out {new:?}");
        let is_there = self.scene.all()[1].contains_key(&sequence);
        assert_eq!(
            is_there,
            ended.is_none(),
            "{request:?}: what ended leaves the queue, and nothing else does"
        );
    }

    /// A handler that asks for another try often enough gets a dead letter.
    fn stored_or_ended_by_many_tries(&self, sequence: u64) {
        if self.new.endings != [sequence] {
            return self.stored_nothing();
        }
        let Verdict { model, request, .. } = self;
        assert!(matches!(completion(request), Some(Completion::Retry { .. })), "{request:?} ended a command");
        assert_eq!(model.ended[&sequence], Ended::Record { state: "dead".to_owned() }, "{request:?}");
    }

    fn outcome(&self, outcome: &Outcome) {
        let Verdict { model, request, .. } = self;
        self.stored_nothing();
        let (sequence, _) =
            model.asked_of(request).unwrap_or_else(|| panic!("{request:?} asks of no command"));
        let places: Vec<u64> = outcome.events.iter().map(|event| self.event_at(event.position)).collect();
        let (state, wanted) = match model.ended.get(&sequence) {
            None => (OutcomeState::Pending, Vec::new()),
            Some(Ended::Events { first, count }) => (OutcomeState::Done, (*first..first + count).collect()),
            Some(Ended::Record { state }) => match state.as_str() {
                "done" => (OutcomeState::Done, Vec::new()),
                "rejected" => (OutcomeState::Rejected, Vec::new()),
                _ => (OutcomeState::Dead, Vec::new()),
            },
        };
        assert_eq!((outcome.state, &places), (state, &wanted), "{request:?}");
        let observes = |name| domain().service(&request.sender).is_some_and(|s| s.observes.contains(name));
        for (event, place) in outcome.events.iter().zip(places) {
            assert_eq!(event.cid, model.events[&place].cid(), "{request:?}");
            if let Some(msg) = &event.msg {
                assert!(observes(&event.type_name), "{request:?} reads what it does not observe");
                assert_eq!(msg, &model.events[&place], "{request:?}");
            }
        }
    }

    /// Nothing is lost here, so that nobody is told so; what is there and was not got is an event that the asker observes.
    fn tally(&self, tally: &Tally) {
        let Verdict { request, model, .. } = self;
        self.stored_nothing();
        let ask: TallyAsk = Form::of(&request.payload).decode(&request.payload).expect("it was granted");
        let own = domain().service(&request.sender).expect("it was granted");
        assert!(ask.types.iter().all(|name| own.may_observe(name)), "{request:?} is granted");
        assert!(tally.missing.is_empty() && tally.accepted.is_empty(), "{request:?}: {tally:?}");
        let Some(sequence) = tally.present else { return };
        let told = model.events.get(&sequence).and_then(|msg| msg.content.as_ref());
        let Some(DomainContent::Event(event)) = told else {
            panic!("{request:?}: no event is at {sequence}")
        };
        let is_meant = ask.types.contains(&event.type_name)
            && ask.entity.as_ref().is_none_or(|entity| *entity == event.entity);
        assert!(is_meant, "{request:?} hears of the event at {sequence}");
        let place =
            ask.after.sequence().checked_add(1).filter(|first| (*first..=ask.until).contains(&sequence));
        assert!(place.is_some() && tally.through == sequence - 1, "{request:?}: {tally:?}");
    }

    fn watch(&self, watching: &Watching) {
        let Verdict { scene, request, model, .. } = self;
        self.stored_nothing();
        let ask: WatchAsk = Form::of(&request.payload).decode(&request.payload).expect("it was granted");
        let own = domain().service(&request.sender).expect("it was granted");
        assert!(ask.types.iter().all(|name| own.may_observe(name)), "{request:?} is granted");
        let place = format!("works.deliver.{}.", request.sender);
        assert!(watching.subject.starts_with(&place), "{request:?}: it arrives at {}", watching.subject);
        let made = scene.consumer(&watching.consumer).unwrap_or_else(|| panic!("{request:?}: no consumer"));
        assert_eq!(made.deliver_subject, watching.subject, "{request:?}");
        if let WatchFrom::Position(position) = ask.from {
            let records = model.ended.values().filter(|ended| matches!(ended, Ended::Record { .. })).count();
            let last = (model.events.len() + records) as u64;
            assert_eq!(position.log(), scene.incarnations()[0], "{request:?}");
            assert!(position.sequence() <= last, "{request:?} begins behind the end");
            let DeliverPolicy::ByStartSequence { start_sequence } = made.deliver_policy else {
                panic!("{request:?} begins {:?}", made.deliver_policy);
            };
            assert_eq!(u128::from(start_sequence), u128::from(position.sequence()) + 1, "{request:?}");
        }
    }

    /// An event of an answer is the one that is stored there; answers where.
    fn event(&self, told: &AppendedEvent) -> u64 {
        let at = self.event_at(told.position);
        let stored = &self.model.events[&at];
        let Some(DomainContent::Event(event)) = &stored.content else {
            unreachable!("events alone are among events")
        };
        let is = (stored.id, stored.cid(), &event.type_name, &event.entity);
        assert_eq!((told.id, told.cid, &told.type_name, &told.entity), is, "{:?}", self.request);
        at
    }

    /// An event stands at that position; answers its sequence.
    fn event_at(&self, position: Position) -> u64 {
        let Verdict { scene, model, request, .. } = self;
        assert_eq!(position.log(), scene.incarnations()[0], "{request:?}");
        let sequence = position.sequence();
        assert!(model.events.contains_key(&sequence), "{request:?} is told of an event at {position}");
        sequence
    }

    /// What a sender said stands in what is stored; answers what it said.
    fn said(&self, payload: &bytes::Bytes, stored: &Msg, filled: &[String]) -> Draft {
        let request = self.request;
        let draft = Draft::read(payload).expect("what was granted could be read");
        let (said, kept) = (&draft.metadata, &stored.metadata);
        assert!(draft.id.is_none_or(|id| id == stored.id), "{request:?}");
        assert!(said.owner.as_ref().is_none_or(|owner| *owner == kept.owner), "{request:?}: another owner");
        // Of what was caused the first time stays.
        assert!(
            said.time.is_none_or(|time| time == kept.time || kept.causation.is_some()),
            "{request:?}: another time"
        );
        assert!(
            said.correlation.is_none_or(|id| id == kept.correlation),
            "{request:?}: another conversation"
        );
        assert_eq!(said.causation, kept.causation, "{request:?}: another cause");
        assert_eq!(said.user, kept.user, "{request:?}: other pairs");
        let body = draft.content.as_ref().and_then(|content| content.body.as_ref());
        let is_offloaded = filled.iter().any(|place| place.starts_with("/content/body/"));
        match (body, stored.content.as_ref().map(DomainContent::body)) {
            (Some(Body::Inline(said)), Some(Body::Inline(kept))) => {
                assert!(
                    is_offloaded || is_same(&said.to_value(), &kept.to_value()),
                    "{request:?}: another body"
                );
            }
            (None, Some(Body::Inline(kept))) => {
                assert_eq!(kept.as_bytes()[..], [0xa0], "{request:?}: a body")
            }
            (Some(Body::Link(said)), Some(Body::Link(kept))) => assert_eq!(said, kept, "{request:?}"),
            (said, kept) => panic!("{request:?}: {said:?} is kept as {kept:?}"),
        }
        draft
    }
}

fn key_of(command: &Msg) -> MsgKey {
    let sender = command.metadata.sender.as_ref().expect("every stored message has one");
    let content = command.content.as_ref().expect("every stored message has content");
    MsgKey::new(content.kind(), sender, content.type_name(), command.id)
}

fn commit(request: &Request) -> Option<Commit> {
    Form::of(&request.payload).decode(&request.payload).ok()
}

/// The place in the queue that a commit is about, as its delivery says.
fn delivered(request: &Request) -> Option<u64> {
    let delivery = commit(request)?.delivery;
    let tokens: Vec<&str> = delivery.split('.').collect();
    let stream = tokens.iter().position(|token| token.starts_with("COMMAND_"))?;
    tokens.get(stream + 3)?.parse().ok()
}

fn completion(request: &Request) -> Option<Completion> {
    commit(request).map(|commit| commit.completion)
}

/// Whether two bodies say the same: a number may be written as another kind of number, of exactly that value.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => match (one.as_i128(), other.as_i128()) {
            (Some(one), Some(other)) => one == other,
            (None, None) => one.as_f64() == other.as_f64(),
            (Some(whole), None) => other.as_f64().is_some_and(|float| is_whole(float, whole)),
            (None, Some(whole)) => one.as_f64().is_some_and(|float| is_whole(float, whole)),
        },
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| other.get(key).is_some_and(|other| is_same(value, other)))
        }
        _ => one == other,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a float without a fraction and below 2^100 is that number"
)]
fn is_whole(float: f64, whole: i128) -> bool {
    float.fract() == 0.0 && float.abs() < 1e30 && float as i128 == whole
}
