//! The consumers of one stream.
//!
//! On a work queue the server refuses two consumers for one subject. So first whoever loses a subject lets go of it,
//! and only then whoever gains it takes it; a command that changes hands in between waits in the stream.
//!
//! The server does not take a consumer back when it gives it another subject, so that what waits before its place is
//! never delivered. A consumer of commands that gains a subject is therefore made anew and begins with the first command
//! that waits. What it had delivered and was not ended yet is delivered again, which is safe: a command ends once. A
//! consumer of events keeps its place instead, since making it anew would deliver all that was heard before again.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, Config, DeliverPolicy, ReplayPolicy};
use comms_domain::{Consumer, Purpose};
use futures::TryStreamExt as _;

use super::{Done, each, failed};
use crate::Error;

/// The metadata by which a consumer of a layout is known from those made for watchers.
const MARK: &str = "comms.layout";

/// A change of one consumer.
pub(super) enum Change<'a> {
    Remove(&'a str),
    Put(Box<Config>),
}

pub(super) async fn apply(
    jetstream: &jetstream::Context,
    stream: &str,
    wanted: Vec<&Consumer>,
    is_new: bool,
) -> Result<Vec<(String, Done)>, Error> {
    // A stream that was just created has none, and asking costs a round trip of the start of every new domain.
    let existing = if is_new { BTreeMap::new() } else { existing(jetstream, stream).await? };
    let mut done: HashMap<String, Done> = HashMap::new();
    let mut releases = Vec::new();
    let mut takes = Vec::new();

    for wanted in &wanted {
        let Some(found) = existing.get(&wanted.name) else {
            takes.push(Change::Put(Box::new(shaped(Config::default(), wanted))));
            done.insert(wanted.name.clone(), Done::Created);
            continue;
        };
        let config = shaped(found.clone(), wanted);
        if config == *found {
            done.insert(wanted.name.clone(), Done::Unchanged);
            continue;
        }
        done.insert(wanted.name.clone(), Done::Updated);
        let had = subjects(found);
        let keeps: Vec<String> =
            had.iter().filter(|subject| config.filter_subjects.contains(subject)).cloned().collect();
        let gains = config.filter_subjects.iter().any(|subject| !had.contains(subject));
        if keeps.is_empty() || (gains && matches!(wanted.purpose, Purpose::Command(_))) {
            // Without a filter, which is all that it would keep, it would take everything; and what it gains may wait
            // before its place. Removed before anything is taken: an apply that ends in between is mended by the next,
            // which finds it missing.
            releases.push(Change::Remove(&wanted.name));
        } else if keeps.len() < had.len() {
            let kept = Config { filter_subject: String::new(), filter_subjects: keeps, ..found.clone() };
            releases.push(Change::Put(Box::new(kept)));
        }
        takes.push(Change::Put(Box::new(config)));
    }
    for (name, config) in &existing {
        if config.metadata.contains_key(MARK) && !wanted.iter().any(|wanted| wanted.name == *name) {
            releases.push(Change::Remove(name));
            done.insert(name.clone(), Done::Removed);
        }
    }

    each(&releases, |change| make(jetstream, stream, change)).await?;
    each(&takes, |change| make(jetstream, stream, change)).await?;
    Ok(done.into_iter().collect())
}

pub(super) async fn existing(
    jetstream: &jetstream::Context,
    stream: &str,
) -> Result<BTreeMap<String, Config>, Error> {
    let doing = || format!("list the consumers of {stream}");
    let handle = jetstream.get_stream_no_info(stream).await.map_err(|error| failed(doing(), error))?;
    let listed = handle.consumers().map_ok(|info| (info.name, info.config)).try_collect().await;
    listed.map_err(|error| failed(doing(), error))
}

pub(super) async fn make(
    jetstream: &jetstream::Context,
    stream: &str,
    change: &Change<'_>,
) -> Result<(), Error> {
    match change {
        Change::Remove(name) => {
            let removed = jetstream.delete_consumer_from_stream(name, stream).await;
            removed
                .map(drop)
                .map_err(|error| failed(format!("remove the consumer {name} of {stream}"), error))
        }
        Change::Put(config) => {
            let name = config.durable_name.as_deref().unwrap_or_default();
            let put = jetstream.create_consumer_on_stream(Config::clone(config), stream).await;
            put.map(drop).map_err(|error| failed(format!("put the consumer {name} of {stream}"), error))
        }
    }
}

/// `config` with everything that a layout decides.
fn shaped(config: Config, wanted: &Consumer) -> Config {
    let mut metadata = config.metadata;
    let whose = wanted.purpose.service();
    metadata.insert(MARK.to_owned(), format!("{} {whose}", wanted.purpose.word()));
    Config {
        name: Some(wanted.name.clone()),
        durable_name: Some(wanted.name.clone()),
        deliver_subject: Some(wanted.deliver_subject.clone()),
        deliver_group: Some(wanted.deliver_group.clone()),
        // From the first message on: a service that begins to listen learns what was before. A type that it observes
        // besides later is heard from the consumer's place on.
        deliver_policy: DeliverPolicy::All,
        replay_policy: ReplayPolicy::Instant,
        filter_subject: String::new(),
        filter_subjects: wanted.filter_subjects.clone(),
        ack_policy: AckPolicy::Explicit,
        ack_wait: wanted.ack_wait,
        max_ack_pending: wanted.ack_pending_max,
        // Without end: what cannot be handled is put aside by the node, never dropped by the server.
        max_deliver: -1,
        flow_control: false,
        idle_heartbeat: Duration::ZERO,
        metadata,
        ..config
    }
}

pub(super) fn subjects(config: &Config) -> Vec<String> {
    if config.filter_subject.is_empty() {
        config.filter_subjects.clone()
    } else {
        vec![config.filter_subject.clone()]
    }
}
