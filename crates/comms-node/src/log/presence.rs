//! Whether a commit stands in its stream already: asked before anything is sent a second time.
//!
//! The server recognises a repeat for two minutes, by the key of a message. That is enough for an answer that got lost,
//! and too little for a server that was away, or a sender that comes back later; so the stream itself is read.

use std::ops::ControlFlow;

use async_nats::jetstream::stream::{DirectGetErrorKind, Stream};

use super::commit::{Commit, Guard, Stored};
use super::direct_read;

/// Messages of one subject that are read to find a commit. Who comes back after so many cannot be told.
const LOOK_MAX: usize = 10_000;

/// What the stream says of a commit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It stands there, or at least one of its messages does: in one place of them all, if it is this commit.
    Stored(Stored),
    /// Somebody else wrote where it expects nobody to have written; the last message there is `actual`, 0 for none.
    Overtaken { actual: u64 },
    /// It does not stand there. `last` is the last message under the subject of its first, 0 for none: as long as that
    /// stays so, nothing sent before has arrived late. None where the commit's own expectation says as much.
    Absent { last: Option<u64> },
    /// Too much was written since it may have been stored.
    Lost,
}

impl Presence {
    /// Asks the stream. `Err` where it does not answer.
    pub(crate) async fn of(
        client: &async_nats::Client,
        stream: &Stream<()>,
        name: &str,
        commit: &Commit,
    ) -> Result<Presence, String> {
        match commit.guards.first() {
            Some((n, guard)) => guarded(stream, commit, *n, guard).await,
            None => unguarded(client, stream, name, commit).await,
        }
    }
}

/// If it is stored, its message stands directly behind the position that it expects.
async fn guarded(stream: &Stream<()>, commit: &Commit, n: usize, guard: &Guard) -> Result<Presence, String> {
    match stream
        .direct_get_next_for_subject(guard.subject.as_str(), Some(guard.sequence.saturating_add(1)))
        .await
    {
        Ok(next) => {
            let key = next.headers.get(async_nats::header::NATS_MESSAGE_ID);
            if key.is_some_and(|key| key.as_str() == commit.messages[n].key) {
                return Ok(Presence::Stored(Stored { first: next.sequence - n as u64, duplicate: true }));
            }
        }
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => {}
        Err(error) => return Err(error.to_string()),
    }
    for (_, guard) in &commit.guards {
        let actual = last_of(stream, &guard.subject).await?;
        if actual != guard.sequence {
            return Ok(Presence::Overtaken { actual });
        }
    }
    Ok(Presence::Absent { last: None })
}

async fn unguarded(
    client: &async_nats::Client,
    stream: &Stream<()>,
    name: &str,
    commit: &Commit,
) -> Result<Presence, String> {
    let first = &commit.messages[0];
    // Before the read: what arrives after this shows by moving it.
    let last = last_of(stream, &first.subject).await?;
    let (mut looked, mut found) = (0, None);
    let from = commit.after.saturating_add(1);
    direct_read::read(client, name, &first.subject, from, |message| {
        looked += 1;
        // Any of them: the one before may have been drawn anew where the whole is said again.
        if let Some(n) = commit.messages.iter().position(|one| message.key == Some(one.key.as_str())) {
            found = Some(message.sequence.saturating_sub(n as u64).max(1));
        }
        if found.is_some() || looked >= LOOK_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .await?;
    Ok(match found {
        Some(first) => Presence::Stored(Stored { first, duplicate: true }),
        None if looked >= LOOK_MAX => Presence::Lost,
        None => Presence::Absent { last: Some(last) },
    })
}

async fn last_of(stream: &Stream<()>, subject: &str) -> Result<u64, String> {
    match stream.direct_get_last_for_subject(subject).await {
        Ok(last) => Ok(last.sequence),
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(0),
        Err(error) => Err(error.to_string()),
    }
}
