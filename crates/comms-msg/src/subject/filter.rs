//! Subjects with wildcards: what is subscribed to, filtered by, permitted. Only the forms that Comms uses;
//! any other would be a right that nobody asked for.

use std::fmt;

use crate::{DomainName, EntityId, ServiceName, TypeName};

/// A subject in which tokens may be `*`, and the last may be `>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filter(String);

impl Filter {
    /// Commands of a type, from anybody: `{d}.command.{ctx}.{Type}.*`
    pub fn commands(domain: &DomainName, type_name: &TypeName) -> Filter {
        Filter(format!("{domain}.command.{type_name}.*"))
    }

    /// All commands: `{d}.command.>`
    pub fn all_commands(domain: &DomainName) -> Filter {
        Filter(format!("{domain}.command.>"))
    }

    /// Queries of a type, from anybody: `{d}.query.{ctx}.{Type}.*`
    pub fn queries(domain: &DomainName, type_name: &TypeName) -> Filter {
        Filter(format!("{domain}.query.{type_name}.*"))
    }

    /// Frames of direct commands of a type, from anybody: `{d}.frames.command.{ctx}.{Type}.*`
    pub fn command_frames(domain: &DomainName, type_name: &TypeName) -> Filter {
        Filter(format!("{domain}.frames.command.{type_name}.*"))
    }

    /// Frames of queries of a type, from anybody: `{d}.frames.query.{ctx}.{Type}.*`
    pub fn query_frames(domain: &DomainName, type_name: &TypeName) -> Filter {
        Filter(format!("{domain}.frames.query.{type_name}.*"))
    }

    /// Stored events of a type, of any entity: `{d}.event.{ctx}.*.{Type}`
    pub fn events(domain: &DomainName, type_name: &TypeName) -> Filter {
        Filter(format!("{domain}.event.{}.*.{}", type_name.context(), type_name.name()))
    }

    /// Stored events of a type, of one entity: `{d}.event.{ctx}.{entity}.{Type}`
    pub fn events_of(domain: &DomainName, type_name: &TypeName, entity: &EntityId) -> Filter {
        Filter(format!("{domain}.event.{}.{entity}.{}", type_name.context(), type_name.name()))
    }

    /// The whole history of one entity, which lives in the context of its types:
    /// `{d}.event.{ctx}.{entity}.*`
    pub fn history(domain: &DomainName, type_name: &TypeName, entity: &EntityId) -> Filter {
        Filter(format!("{domain}.event.{}.{entity}.*", type_name.context()))
    }

    /// All stored events: `{d}.event.>`
    pub fn all_events(domain: &DomainName) -> Filter {
        Filter(format!("{domain}.event.>"))
    }

    /// Live events of a type, of any entity: `{d}.live.event.{ctx}.*.{Type}`
    pub fn live(domain: &DomainName, type_name: &TypeName) -> Filter {
        Filter(format!("{domain}.live.event.{}.*.{}", type_name.context(), type_name.name()))
    }

    /// Live events of a type, of one entity: `{d}.live.event.{ctx}.{entity}.{Type}`
    pub fn live_of(domain: &DomainName, type_name: &TypeName, entity: &EntityId) -> Filter {
        Filter(format!("{domain}.live.event.{}.{entity}.{}", type_name.context(), type_name.name()))
    }

    /// All live events as the stream republishes them: `{d}.live.event.>`
    pub fn all_live(domain: &DomainName) -> Filter {
        Filter(format!("{domain}.live.event.>"))
    }

    /// Everything under `live`, as an account exports it: `{d}.live.>`
    pub fn live_root(domain: &DomainName) -> Filter {
        Filter(format!("{domain}.live.>"))
    }

    /// Outcomes of commands of a type: `{d}.outcome.{ctx}.{Type}.*.*`
    pub fn outcomes(domain: &DomainName, type_name: &TypeName) -> Filter {
        Filter(format!("{domain}.outcome.{type_name}.*.*"))
    }

    /// All outcomes: `{d}.outcome.>`
    pub fn all_outcomes(domain: &DomainName) -> Filter {
        Filter(format!("{domain}.outcome.>"))
    }

    /// Everything that is delivered to a service: `{d}.deliver.{service}.>`
    pub fn deliveries(domain: &DomainName, service: &ServiceName) -> Filter {
        Filter(format!("{domain}.deliver.{service}.>"))
    }

    /// Everything that is delivered: `{d}.deliver.>`
    pub fn all_deliveries(domain: &DomainName) -> Filter {
        Filter(format!("{domain}.deliver.>"))
    }

    /// All doors: `{d}.door.>`
    pub fn doors(domain: &DomainName) -> Filter {
        Filter(format!("{domain}.door.>"))
    }

    /// All doors as one service asks at them, without a type and with one: `{d}.door.*.{service}` and
    /// `{d}.door.*.*.*.{service}`
    pub fn doors_of(domain: &DomainName, service: &ServiceName) -> [Filter; 2] {
        [format!("{domain}.door.*.{service}"), format!("{domain}.door.*.*.*.{service}")].map(Filter)
    }

    /// The inboxes of a service: `_INBOX.{service}.>`
    pub fn inbox(service: &ServiceName) -> Filter {
        Filter(format!("_INBOX.{service}.>"))
    }

    /// Where the answers to queries come, in everybody's inbox: `_INBOX.*.ask.>`
    pub fn answers() -> Filter {
        Filter(format!("_INBOX.*.{}.>", crate::inbox::ASK))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a subject falls under this filter.
    pub fn matches(&self, subject: &str) -> bool {
        Filter::text_matches(&self.0, subject)
    }

    /// Whether a subject falls under a filter, as NATS matches them: a token may be `*`, and the last may be `>`.
    pub fn text_matches(filter: &str, subject: &str) -> bool {
        let mut tokens = subject.split('.');
        for wanted in filter.split('.') {
            match (wanted, tokens.next()) {
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (wanted, Some(token)) if wanted == token => {}
                _ => return false,
            }
        }
        tokens.next().is_none()
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<str> for Filter {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<Filter> for String {
    fn from(filter: Filter) -> String {
        filter.0
    }
}
