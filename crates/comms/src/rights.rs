//! What the definition lets this service do, as the node told it: for answers in words before the broker refuses
//! without any.
//!
//! Advice only: the broker and the doors enforce. Pure.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use comms_msg::door::{CommandInfo, Delivery, Hello};
use comms_msg::{ServiceName, TypeName};

use crate::error::{Error, ErrorKind, Result};

/// How long somebody waits if the node does not say: only for types that it does not know.
const DEADLINE: Duration = Duration::from_secs(10);

/// A right that a service has on a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// `None`: however it is delivered.
    Send {
        durable: Option<bool>,
    },
    Ask,
    Emit,
    Observe,
    Handle {
        durable: bool,
    },
    Answer,
}

impl Right {
    fn verb(self) -> &'static str {
        match self {
            Right::Send { .. } => "send",
            Right::Ask => "ask",
            Right::Emit => "emit",
            Right::Observe => "observe",
            Right::Handle { .. } => "handle",
            Right::Answer => "answer",
        }
    }
}

/// The rights of one service, and the domain's figures that a client needs.
#[derive(Debug)]
pub(crate) struct Rights {
    service: ServiceName,
    sends: HashMap<TypeName, Terms>,
    handles: HashMap<TypeName, Terms>,
    asks: HashSet<TypeName>,
    answers: HashSet<TypeName>,
    emits: HashSet<TypeName>,
    observes: HashSet<TypeName>,
    queries: HashMap<TypeName, Duration>,
    /// The incarnation of the event log, which positions carry.
    pub(crate) log: Arc<str>,
    /// Bytes above which a byte field leaves the message.
    pub(crate) threshold: usize,
}

/// How a command is delivered, and how long its sender waits.
#[derive(Clone, Copy, Debug)]
struct Terms {
    durable: bool,
    deadline: Duration,
}

fn terms(commands: Vec<CommandInfo>) -> HashMap<TypeName, Terms> {
    let one = |info: CommandInfo| {
        let durable = match info.delivery {
            Delivery::Durable => true,
            Delivery::Direct => false,
        };
        (info.type_name, Terms { durable, deadline: Duration::from_millis(info.deadline_ms) })
    };
    commands.into_iter().map(one).collect()
}

impl Rights {
    pub(crate) fn new(hello: Hello) -> Self {
        Self {
            service: hello.service,
            sends: terms(hello.sends),
            handles: terms(hello.handles),
            asks: hello.asks.into_iter().collect(),
            answers: hello.answers.into_iter().collect(),
            emits: hello.emits.into_iter().collect(),
            observes: hello.observes.into_iter().collect(),
            queries: hello
                .queries
                .into_iter()
                .map(|query| (query.type_name, Duration::from_millis(query.deadline_ms)))
                .collect(),
            log: hello.log.into(),
            threshold: usize::try_from(hello.threshold).unwrap_or(usize::MAX),
        }
    }

    /// Whether the service has the right; else what is wrong and how to mend it.
    pub(crate) fn check(&self, right: Right, type_name: &TypeName) -> Result<()> {
        let (allowed, list) = match right {
            Right::Send { durable: Some(durable) } => {
                (self.delivery(&self.sends, type_name, durable)?, "sends")
            }
            Right::Send { durable: None } => (self.sends.contains_key(type_name), "sends"),
            Right::Handle { durable } => (self.delivery(&self.handles, type_name, durable)?, "handles"),
            Right::Ask => (self.asks.contains(type_name), "asks"),
            Right::Answer => (self.answers.contains(type_name), "answers"),
            Right::Emit => (self.emits.contains(type_name), "emits"),
            Right::Observe => (self.observes.contains(type_name), "observes"),
        };
        if allowed {
            return Ok(());
        }
        let (service, verb) = (&self.service, right.verb());
        Err(Error::new(
            ErrorKind::Denied,
            format!(
                "{service} may not {verb} {type_name}; to allow it, add it to `{list}` of [service.{service}] in \
                 domain.toml and run: comms domain apply"
            ),
        ))
    }

    fn delivery(&self, list: &HashMap<TypeName, Terms>, type_name: &TypeName, wanted: bool) -> Result<bool> {
        let words = |durable| if durable { "durable" } else { "direct" };
        match list.get(type_name) {
            None => Ok(false),
            Some(terms) if terms.durable == wanted => Ok(true),
            Some(terms) => Err(Error::new(
                ErrorKind::Config,
                format!(
                    "{type_name} is {} in the domain and {} in this program",
                    words(terms.durable),
                    words(wanted)
                ),
            )),
        }
    }

    /// Whether a command that may be sent is durable.
    pub(crate) fn is_durable(&self, type_name: &TypeName) -> Option<bool> {
        self.sends.get(type_name).map(|terms| terms.durable)
    }

    /// How long the sender of a command waits for its outcome, unless it says otherwise.
    pub(crate) fn command_deadline(&self, type_name: &TypeName) -> Duration {
        self.sends.get(type_name).map_or(DEADLINE, |terms| terms.deadline)
    }

    /// How long the asker of a query waits, unless it says otherwise.
    pub(crate) fn query_deadline(&self, type_name: &TypeName) -> Duration {
        self.queries.get(type_name).copied().unwrap_or(DEADLINE)
    }

    /// Durable commands that are this service's to handle.
    pub(crate) fn durable_handles(&self) -> impl Iterator<Item = &TypeName> {
        self.handles.iter().filter(|(_, terms)| terms.durable).map(|(type_name, _)| type_name)
    }

    /// Events that are delivered to this service.
    pub(crate) fn observed(&self) -> impl Iterator<Item = &TypeName> {
        self.observes.iter()
    }
}
