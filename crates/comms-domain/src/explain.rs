//! One type explained: where it travels, who is concerned, and what becomes of its bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use comms_msg::{Kind, ServiceName, TypeName};
use serde::Serialize;

use crate::bound::Bound;
use crate::domain::{CommandSpec, Domain, Service, Spec};
use crate::layout::{command_name, event_name};
use crate::words;
use comms_msg::door::Delivery;

/// Everything the definition implies for one type. `Display` is for people, `Serialize` for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The type.
    #[serde(rename = "type")]
    pub type_name: TypeName,
    /// What it is.
    pub kind: Kind,
    /// Its schema version.
    pub version: u32,
    /// For commands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
    /// For events: the kind of thing they happen to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// Where it travels; `{…}` stands for one token.
    pub subjects: Vec<Route>,
    /// The stream that keeps it; `{node}` stands for the name of a node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// Services that may send it (a command).
    pub sends: Vec<ServiceName>,
    /// Services that may ask it (a query).
    pub asks: Vec<ServiceName>,
    /// Services that receive it (a command).
    pub handles: Vec<ServiceName>,
    /// Services that answer it (a query).
    pub answers: Vec<ServiceName>,
    /// Services that may append it (an event).
    pub emits: Vec<ServiceName>,
    /// Services that may read it (an event).
    pub observes: Vec<ServiceName>,
    /// Events that handling it may cause (a command).
    pub causes: Vec<TypeName>,
    /// Durable and direct commands whose handlers may append it (an event).
    pub caused_by: Vec<TypeName>,
    /// The schema file, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Fields that the schema names as bytes, by path, one within itself once; none if there is no schema. Bytes that
    /// are allowed elsewhere count as they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub byte_fields: Option<Vec<String>>,
    /// Bytes of more than this become a link, wherever they are in the body.
    pub threshold: u64,
    /// How long a sender or asker waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// The bounds of `[limits]` that its messages run into, by key, as they are in force.
    pub limits: BTreeMap<&'static str, u64>,
}

/// One subject and what it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Route {
    /// What happens there.
    pub what: &'static str,
    /// The subject.
    pub subject: String,
}

impl Domain {
    /// Explains a type of this domain.
    pub fn explain(&self, name: &TypeName) -> Option<Explanation> {
        let spec = self.spec(name)?;
        let handlers = self.names(|service| service.handles.contains(name));
        let emitters = self.names(|service| service.emits.contains(name));
        let causes: BTreeSet<&TypeName> = handlers.iter().flat_map(|s| &self.services[s].emits).collect();
        let caused_by: BTreeSet<&TypeName> =
            emitters.iter().flat_map(|s| &self.services[s].handles).collect();
        let deadline = match spec {
            Spec::Command(CommandSpec { delivery: Delivery::Durable, deadline, .. }) => Some(*deadline),
            Spec::Query(query) => Some(query.deadline),
            Spec::Command(_) | Spec::Event(_) => None,
        };
        Some(Explanation {
            type_name: name.clone(),
            kind: spec.kind(),
            version: spec.version(),
            delivery: match spec {
                Spec::Command(command) => Some(command.delivery),
                Spec::Query(_) | Spec::Event(_) => None,
            },
            entity: match spec {
                Spec::Event(event) => Some(event.entity.clone()),
                Spec::Command(_) | Spec::Query(_) => None,
            },
            subjects: self.routes(name, spec),
            stream: match spec {
                Spec::Command(command) if command.delivery == Delivery::Durable => {
                    Some(command_name("{node}"))
                }
                Spec::Event(_) => Some(event_name("{node}")),
                Spec::Command(_) | Spec::Query(_) => None,
            },
            sends: self.names(|service| service.sends.contains(name)),
            asks: self.names(|service| service.asks.contains(name)),
            handles: handlers,
            answers: self.names(|service| service.answers.contains(name)),
            emits: emitters,
            observes: self.names(|service| service.observes.contains(name)),
            causes: causes.into_iter().cloned().collect(),
            caused_by: caused_by.into_iter().cloned().collect(),
            schema: spec.schema().map(|_| format!("schemas/{}/{}.json", name.context(), name.name())),
            byte_fields: spec.schema().map(crate::Schema::byte_fields),
            threshold: self.content.threshold,
            deadline_ms: deadline.map(|deadline| u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX)),
            limits: met(spec).iter().map(|bound| (bound.key(), self.limits.of(*bound))).collect(),
        })
    }

    fn names(&self, is: impl Fn(&Service) -> bool) -> Vec<ServiceName> {
        self.services_that(is).cloned().collect()
    }

    fn routes(&self, name: &TypeName, spec: Spec<'_>) -> Vec<Route> {
        let d = &self.name;
        let (context, short) = (name.context(), name.name());
        let route = |what, subject| Route { what, subject };
        match spec {
            Spec::Command(command) => match command.delivery {
                Delivery::Durable => vec![
                    route("sent to", format!("{d}.door.command.{context}.{short}.{{sender}}")),
                    route("stored as", format!("{d}.command.{context}.{short}.{{sender}}")),
                    route("outcome", format!("{d}.outcome.{context}.{short}.{{sender}}.{{command id}}")),
                ],
                Delivery::Direct => {
                    vec![route("sent to", format!("{d}.command.{context}.{short}.{{sender}}"))]
                }
            },
            Spec::Query(_) => vec![route("asked on", format!("{d}.query.{context}.{short}.{{sender}}"))],
            Spec::Event(_) => vec![
                route("sent to", format!("{d}.door.event.{context}.{short}.{{sender}}")),
                route("stored as", format!("{d}.event.{context}.{{entity}}.{short}")),
                route("watched on", format!("{d}.live.event.{context}.{{entity}}.{short}")),
            ],
        }
    }
}

/// The bounds that messages of a type run into.
fn met(spec: Spec<'_>) -> &'static [Bound] {
    match spec {
        Spec::Command(CommandSpec { delivery: Delivery::Durable, .. }) => {
            &[Bound::Requests, Bound::RequestBytes, Bound::Commands, Bound::Outcomes]
        }
        Spec::Event(_) => &[Bound::Requests, Bound::RequestBytes, Bound::Watches],
        Spec::Command(_) | Spec::Query(_) => &[Bound::NatsConnections, Bound::Subscriptions],
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut head = self.kind.as_str().to_owned();
        if let Some(delivery) = self.delivery {
            head.push_str(match delivery {
                Delivery::Durable => ", durable: kept until handled",
                Delivery::Direct => ", direct: nobody keeps it",
            });
        }
        if let Some(entity) = &self.entity {
            head.push_str(&format!(", one history per {entity}"));
        }
        write!(f, "{}   {head}", self.type_name)?;
        for Route { what, subject } in &self.subjects {
            row(f, what, subject)?;
        }
        if let Some(stream) = &self.stream {
            row(f, "stream", stream)?;
        }
        match self.kind {
            Kind::Command => {
                row(f, "sent by", &list(&self.sends))?;
                row(f, "handled by", &list(&self.handles))?;
                row(f, "may cause", &types(&self.causes))?;
            }
            Kind::Query => {
                row(f, "asked by", &list(&self.asks))?;
                row(f, "answered by", &list(&self.answers))?;
            }
            Kind::Event => {
                row(f, "emitted by", &list(&self.emits))?;
                row(f, "caused by", &types(&self.caused_by))?;
                row(f, "observed by", &list(&self.observes))?;
            }
        }
        if let Some(milliseconds) = self.deadline_ms {
            row(f, "deadline", &words::duration(Duration::from_millis(milliseconds)))?;
        }
        let version = self.version;
        match &self.schema {
            Some(schema) => row(f, "schema", &format!("{schema}, version {version}"))?,
            None => row(f, "schema", &format!("none: any object, version {version}"))?,
        }
        let known = Bound::ALL.into_iter().filter_map(|bound| Some((bound, self.limits.get(bound.key())?)));
        let limits: Vec<String> =
            known.map(|(bound, of)| format!("{} {}", bound.key(), bound.amount(*of))).collect();
        row(f, "limits", &limits.join(", "))?;
        let threshold = words::bytes(self.threshold);
        match &self.byte_fields {
            Some(fields) if !fields.is_empty() => {
                let named = fields.join(", ");
                row(f, "offloaded", &format!("bytes over {threshold}: {named}, and wherever else bytes fit"))
            }
            Some(_) | None => row(f, "offloaded", &format!("bytes over {threshold}, wherever bytes fit")),
        }
    }
}

/// Two columns; the first is as wide as the longest name in it.
fn row(f: &mut fmt::Formatter<'_>, name: &str, text: &str) -> fmt::Result {
    write!(f, "\n  {name:<11}  {text}")
}

fn list(names: &[ServiceName]) -> String {
    joined(names.iter().map(ServiceName::as_str), "nobody")
}

fn types(names: &[TypeName]) -> String {
    joined(names.iter().map(TypeName::as_str), "nothing")
}

fn joined<'a>(names: impl Iterator<Item = &'a str>, none: &str) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { none.to_owned() } else { names.join(", ") }
}
