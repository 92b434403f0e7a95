//! What a command's handler returns: the events that its command caused.
//!
//! They are stored together with the command's outcome, once, or not at all. Their ids derive from the command, so
//! that a redelivered command cannot cause them twice. How they are stored is the node's business; how they are
//! handed in, that of `serve/commands.rs`.

use std::collections::HashSet;

use comms_content::Node;
use comms_msg::{EntityId, Expect, TypeName};

use crate::error::{Error, ErrorKind, Result};
use crate::limits::COMMIT_EVENTS_MAX;
use crate::message::Event;

/// The events that a command caused: none, one or several.
#[derive(Debug, Default)]
#[must_use = "a commit counts only if the handler returns it"]
pub struct Commit {
    pub(crate) events: Vec<Emitted>,
    /// The first thing that is wrong with it; it is told when the handler returns the commit.
    problem: Option<Error>,
}

/// One event of a commit.
#[derive(Debug)]
pub(crate) struct Emitted {
    pub(crate) type_name: TypeName,
    pub(crate) version: u32,
    pub(crate) entity: EntityId,
    pub(crate) expect: Expect,
    pub(crate) body: Node,
}

impl Commit {
    /// No events.
    pub fn none() -> Self {
        Self::default()
    }

    /// These events, then those.
    pub fn and(mut self, other: Commit) -> Self {
        self.events.extend(other.events);
        self.problem = self.problem.or(other.problem);
        if self.problem.is_none() && self.events.len() > COMMIT_EVENTS_MAX {
            let message = format!("a commit has at most {COMMIT_EVENTS_MAX} events");
            self.problem = Some(Error::new(ErrorKind::TooLarge, message));
        }
        self
    }

    /// How many events.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Its events, if nothing is wrong with it.
    pub(crate) fn checked(self) -> Result<Vec<Emitted>> {
        let Self { events, problem } = self;
        match problem.or_else(|| expects_late(&events)) {
            Some(problem) => Err(problem),
            None => Ok(events),
        }
    }

    fn of<E: Event>(entity: Result<EntityId>, expect: Expect, event: &E) -> Self {
        let emitted = || {
            let type_name: TypeName = E::TYPE.parse()?;
            let body = Node::encode(event).map_err(|error| {
                Error::new(ErrorKind::Invalid, format!("this {type_name} cannot be written as DAG-CBOR"))
                    .because(error)
            })?;
            Ok(Emitted { type_name, version: E::VERSION, entity: entity?, expect, body })
        };
        match emitted() {
            Ok(event) => Self { events: vec![event], problem: None },
            Err(error) => Self { events: Vec::new(), problem: Some(error) },
        }
    }
}

/// An expectation that nobody would look at: an entity's history is compared with what its first event in the commit
/// expects, and what follows is written behind that event whatever it says.
fn expects_late(events: &[Emitted]) -> Option<Error> {
    let mut begun = HashSet::new();
    let late = events.iter().find(|event| !begun.insert(&event.entity) && event.expect != Expect::Any)?;
    let message = format!(
        "the {} of {} expects something of its entity's history, and is not the first event of that entity in its commit: \
         put .expect(…) on the first one",
        late.type_name, late.entity
    );
    Some(Error::new(ErrorKind::Invalid, message))
}

impl From<()> for Commit {
    fn from((): ()) -> Self {
        Self::none()
    }
}

impl Extend<Commit> for Commit {
    fn extend<T: IntoIterator<Item = Commit>>(&mut self, commits: T) {
        for commit in commits {
            *self = std::mem::take(self).and(commit);
        }
    }
}

impl FromIterator<Commit> for Commit {
    fn from_iter<T: IntoIterator<Item = Commit>>(commits: T) -> Self {
        let mut all = Self::none();
        all.extend(commits);
        all
    }
}

/// An entity that a handler makes events for. From [`CommandContext`](crate::CommandContext).
#[derive(Debug)]
#[must_use = "an entity is for emitting events"]
pub struct Entity {
    id: Result<EntityId>,
    expect: Expect,
}

impl Entity {
    pub(crate) fn new(id: Result<EntityId>, expect: Expect) -> Self {
        Self { id, expect }
    }

    /// Its id, if what it was made from is one.
    pub fn id(&self) -> Option<&EntityId> {
        self.id.as_ref().ok()
    }

    /// What the entity's history must be when the commit is stored; otherwise the command is handled again. Only for the
    /// entity's first event in the commit: a commit that expects something on a later one is refused.
    pub fn expect(mut self, expect: Expect) -> Self {
        self.expect = expect;
        self
    }

    /// One event of this entity.
    pub fn emit<E: Event>(self, event: E) -> Commit {
        Commit::of(self.id, self.expect, &event)
    }

    /// Several events of this entity, in order.
    pub fn emit_all<E: Event>(self, events: impl IntoIterator<Item = E>) -> Commit {
        let Self { id, expect } = self;
        let id = match id {
            Ok(id) => id,
            Err(error) => return Commit { events: Vec::new(), problem: Some(error) },
        };
        // A commit carries its expectation of an entity on the first event of it.
        let mut expect = Some(expect);
        events
            .into_iter()
            .map(|event| Commit::of(Ok(id.clone()), expect.take().unwrap_or_default(), &event))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Added {
        title: String,
    }
    crate::event!(Added = "documents.DocumentAdded");

    #[derive(Serialize, Deserialize)]
    struct Odd {
        share: f64,
    }
    crate::event!(Odd = "documents.Odd");

    fn entity(id: &str) -> Entity {
        Entity::new(EntityId::new(id).map_err(Error::from), Expect::Any)
    }

    fn added(title: &str) -> Added {
        Added { title: title.to_owned() }
    }

    #[test]
    fn events_keep_their_order_and_expect_once_per_entity() {
        let commit = entity("a")
            .expect(Expect::Absent)
            .emit_all([added("1"), added("2")])
            .and(entity("b").emit(added("3")));
        let events = commit.checked().expect("nothing wrong");
        let seen: Vec<_> = events.iter().map(|e| (e.entity.as_str().to_owned(), e.expect)).collect();
        assert_eq!(
            seen,
            [("a".into(), Expect::Absent), ("a".into(), Expect::Any), ("b".into(), Expect::Any)]
        );
    }

    #[test]
    fn only_the_first_event_of_an_entity_may_expect() {
        let late = entity("a")
            .emit(added("1"))
            .and(entity("b").expect(Expect::Absent).emit(added("2")))
            .and(entity("a").expect(Expect::Absent).emit(added("3")));
        let error = late.checked().expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().starts_with("the documents.DocumentAdded of a expects"), "{error}");
        // The same expectation twice is one that would be ignored too.
        let twice = || entity("a").expect(Expect::Absent).emit(added("1"));
        assert_eq!(twice().and(twice()).checked().expect_err("refused").kind(), ErrorKind::Invalid);
        let first = twice().and(entity("a").emit(added("2"))).and(entity("b").emit(added("3")));
        assert_eq!(first.checked().expect("nothing wrong").len(), 3);
    }

    #[test]
    fn what_is_wrong_is_told_when_the_commit_is_returned() {
        let bad_entity = entity("no such id, with spaces").emit(added("1"));
        assert_eq!(bad_entity.checked().expect_err("refused").kind(), ErrorKind::Invalid);
        let bad_body = entity("a").emit(added("1")).and(entity("a").emit(Odd { share: f64::NAN }));
        assert_eq!(bad_body.checked().expect_err("refused").kind(), ErrorKind::Invalid);
    }

    #[test]
    fn bounded() {
        let all = |count: usize| entity("a").emit_all((0..count).map(|n| added(&n.to_string())));
        assert_eq!(all(COMMIT_EVENTS_MAX).checked().expect("as many as may be").len(), COMMIT_EVENTS_MAX);
        assert_eq!(all(COMMIT_EVENTS_MAX + 1).checked().expect_err("one more").kind(), ErrorKind::TooLarge);
    }

    #[test]
    fn nothing_is_a_commit_too() {
        assert!(Commit::from(()).is_empty());
    }
}
