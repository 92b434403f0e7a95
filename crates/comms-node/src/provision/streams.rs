//! One stream: created, left alone, or changed in what may be changed.

use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, Republish, RetentionPolicy, StorageType, SubjectTransform,
};
use async_nats::jetstream::{self, ErrorCode};
use comms_domain::{Retention, Stream};
use std::time::Duration;

use super::{Done, failed};
use crate::Error;

/// How JetStream writes "no limit".
const NO_LIMIT: i64 = -1;

pub(super) async fn apply(
    jetstream: &jetstream::Context,
    wanted: &Stream,
    is_known: bool,
) -> Result<(String, Done), Error> {
    let name = &wanted.name;
    let existing = match jetstream.get_stream(name).await {
        Ok(stream) => Some(stream.cached_info().config.clone()),
        Err(error) if is_missing(&error.kind()) => None,
        Err(error) => return Err(failed(format!("look at the stream {name}"), error)),
    };
    let Some(existing) = existing else {
        if is_known {
            return Err(Error::StreamGone { name: name.clone() });
        }
        let config = shaped(Config { name: name.clone(), num_replicas: 1, ..Config::default() }, wanted);
        let created = jetstream.create_stream(config).await;
        created.map_err(|error| failed(format!("create the stream {name}"), error))?;
        return Ok((name.clone(), Done::Created));
    };
    if let Some(difference) = unchangeable(&existing, wanted) {
        return Err(Error::Unchangeable { what: format!("the stream {name}"), difference });
    }
    let config = shaped(existing.clone(), wanted);
    if config == existing {
        return Ok((name.clone(), Done::Unchanged));
    }
    let updated = jetstream.update_stream(config).await;
    updated.map_err(|error| failed(format!("update the stream {name}"), error))?;
    Ok((name.clone(), Done::Updated))
}

/// Whether the server says that there is no such stream.
pub(crate) fn is_missing(kind: &GetStreamErrorKind) -> bool {
    matches!(kind, GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// `config` with everything that a layout decides.
fn shaped(config: Config, wanted: &Stream) -> Config {
    Config {
        subjects: wanted.subjects.clone(),
        retention: retention(wanted),
        storage: StorageType::File,
        discard: if wanted.discard_new { DiscardPolicy::New } else { DiscardPolicy::Old },
        // Nothing goes by age, number or size: the log is for good, and a command waits until it is handled.
        max_messages: NO_LIMIT,
        max_bytes: NO_LIMIT,
        max_messages_per_subject: NO_LIMIT,
        discard_new_per_subject: false,
        max_age: Duration::ZERO,
        max_message_size: wanted.message_bytes_max,
        max_consumers: wanted.consumers_max,
        no_ack: false,
        duplicate_window: wanted.duplicate_window,
        deny_delete: wanted.deny_delete,
        deny_purge: wanted.deny_purge,
        allow_rollup: false,
        allow_direct: wanted.allow_direct,
        allow_atomic_publish: wanted.allow_atomic,
        allow_message_ttl: wanted.allow_msg_ttl,
        republish: wanted.republish.as_ref().map(|republish| Republish {
            source: republish.source.clone(),
            destination: republish.destination.clone(),
            headers_only: false,
        }),
        subject_transform: wanted.transform.as_ref().map(|transform| SubjectTransform {
            source: transform.source.clone(),
            destination: transform.destination.clone(),
        }),
        // Nothing flows into a stream but what this node puts there.
        sources: None,
        ..config
    }
}

fn retention(wanted: &Stream) -> RetentionPolicy {
    match wanted.retention {
        Retention::WorkQueue => RetentionPolicy::WorkQueue,
        Retention::Limits => RetentionPolicy::Limits,
    }
}

/// What keeps `existing` from ever becoming `wanted`.
fn unchangeable(existing: &Config, wanted: &Stream) -> Option<String> {
    let held = |what: &str| Some(format!("{what}, which cannot be undone"));
    if existing.retention != retention(wanted) {
        return Some(format!("its retention is {:?}", existing.retention));
    }
    if existing.storage != StorageType::File {
        return Some(String::from("it lives in memory and would not outlive the server"));
    }
    if existing.mirror.is_some() {
        return Some(String::from("it is a mirror of another stream"));
    }
    match existing {
        config if config.sealed => held("it is sealed"),
        config if config.deny_delete && !wanted.deny_delete => held("it denies deletes"),
        config if config.deny_purge && !wanted.deny_purge => held("it denies purges"),
        config if config.allow_message_ttl && !wanted.allow_msg_ttl => held("its messages may expire"),
        _ => None,
    }
}
