//! The users of a node and what each may publish and subscribe.
//!
//! Everything not listed is refused by the server. The last token of what a service publishes is its own name,
//! so that the server vouches for the sender. No service may publish on a subject that a stream stores: durable
//! commands and events go through the doors of the node.

use comms_msg::{Door, Filter, ServiceName, Subject};
use serde::Serialize;

use super::Account;
use super::bridge;
use super::consumer::{Consumer, Purpose};
use super::node::NodeId;
use super::stream::{event_name, foreign_name};
use crate::domain::{Domain, Service};

/// A user of nats-server, who proves itself by an nkey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// Unique in its account.
    pub name: String,
    /// Where its subjects live.
    pub account: Account,
    /// What it may publish; nothing else.
    pub publish: Vec<String>,
    /// What it may not publish although the list above says so.
    pub publish_deny: Vec<String>,
    /// What it may subscribe; nothing else. `subject queue` allows that queue group alone.
    pub subscribe: Vec<String>,
}

/// Name of the user of the node itself, in every account.
pub(crate) const NODE: &str = "node";

/// All users, sorted by account and name.
pub(super) fn all(domain: &Domain, node: &NodeId, consumers: &[Consumer]) -> Vec<User> {
    let mut users = vec![everything(Account::Domain), everything(Account::Sys)];
    // The imports give SERVICES a way to acknowledge. The node acknowledges nothing there.
    users.push(User { publish_deny: vec!["$JS.>".to_owned()], ..everything(Account::Services) });
    users.extend(bridge::users(domain, node));
    for (name, service) in &domain.services {
        let publish = publish(domain, node, name, service, consumers);
        let subscribe = subscribe(domain, name, service);
        users.push(User {
            name: name.to_string(),
            account: Account::Services,
            publish,
            publish_deny: Vec::new(),
            subscribe,
        });
    }
    users.sort_by(|a, b| (a.account, &a.name).cmp(&(b.account, &b.name)));
    users
}

fn everything(account: Account) -> User {
    User {
        name: NODE.to_owned(),
        account,
        publish: vec![">".to_owned()],
        publish_deny: Vec::new(),
        subscribe: vec![">".to_owned()],
    }
}

fn publish(
    domain: &Domain,
    node: &NodeId,
    name: &ServiceName,
    service: &Service,
    consumers: &[Consumer],
) -> Vec<String> {
    let door =
        |door: Door| Subject::Door { domain: domain.name.clone(), door, sender: name.clone() }.to_string();
    let handles_durable = domain.durable_handles(service).next().is_some();
    let observes = !service.observes.is_empty();

    let mut allowed = vec![door(Door::Hello)];
    if handles_durable || observes {
        allowed.push(door(Door::Listen));
    }
    if observes {
        allowed.push(door(Door::Watch));
        allowed.push(door(Door::Tally));
    }
    for command in &service.sends {
        if domain.is_durable(command) {
            allowed.push(door(Door::Command(command.clone())));
            allowed.push(door(Door::Outcome(command.clone())));
        } else {
            let (domain, type_name, sender) = (domain.name.clone(), command.clone(), name.clone());
            allowed.extend(alone_and_in_frames(Subject::Command { domain, type_name, sender }));
        }
    }
    for query in &service.asks {
        let (domain, type_name, sender) = (domain.name.clone(), query.clone(), name.clone());
        allowed.extend(alone_and_in_frames(Subject::Query { domain, type_name, sender }));
    }
    allowed.extend(service.emits.iter().map(|event| door(Door::Event(event.clone()))));
    allowed.extend(domain.durable_handles(service).map(|command| door(Door::Commit(command.clone()))));
    for consumer in consumers.iter().filter(|consumer| consumer.purpose.service() == name) {
        if matches!(consumer.purpose, Purpose::Command(_)) {
            // Whoever may acknowledge a command may take it out of the queue without an end. Its door renews, gives back
            // and ends for the service. An event is in the log: acknowledging it moves its listener's own place alone.
            continue;
        }
        // The second form is the one with the tokens of JetStream domain and account.
        allowed.push(format!("$JS.ACK.{}.{}.>", consumer.stream, consumer.name));
        allowed.push(format!("$JS.ACK.*.*.{}.{}.>", consumer.stream, consumer.name));
    }
    if observes {
        // A watch has a consumer of its own, whose name is not known yet.
        allowed.push(format!("$JS.FC.{}.>", event_name(node.name.as_str())));
        if !node.peers().is_empty() {
            allowed.push(format!("$JS.FC.{}.>", foreign_name(node.name.as_str())));
        }
    }
    if !service.answers.is_empty() {
        // Not `allow_responses`: that lets a reply subject of the asker's choice reach anything. And not where the node
        // answers, since who is asked can foretell the tokens of some clients.
        allowed.push(Filter::answers().to_string());
    }
    allowed
}

/// What goes without a door goes alone, or with others to handlers that read frames.
fn alone_and_in_frames(subject: Subject) -> impl Iterator<Item = String> {
    let frames = subject.frames();
    std::iter::once(subject).chain(frames).map(|subject| subject.to_string())
}

fn subscribe(domain: &Domain, name: &ServiceName, service: &Service) -> Vec<String> {
    let d = &domain.name;
    let mut allowed = vec![Filter::inbox(name).to_string()];
    for command in service.handles.iter().filter(|command| !domain.is_durable(command)) {
        allowed.push(format!("{} {name}", Filter::commands(d, command)));
        allowed.push(format!("{} {name}", Filter::command_frames(d, command)));
    }
    for query in &service.answers {
        allowed.push(format!("{} {name}", Filter::queries(d, query)));
        allowed.push(format!("{} {name}", Filter::query_frames(d, query)));
    }
    if domain.durable_handles(service).next().is_some() || !service.observes.is_empty() {
        allowed.push(Filter::deliveries(d, name).to_string());
    }
    allowed.extend(service.observes.iter().map(|event| Filter::live(d, event).to_string()));
    allowed
}
