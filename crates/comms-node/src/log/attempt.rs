//! One attempt to store a commit: what was sent, and what became of it.

use std::future::IntoFuture;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::{self, publish::PublishAck};

use super::appender::ACK_WAIT;
use super::server_refusal::ServerRefusal;
use crate::room::Room;

/// How often a wait for an acknowledgement looks whether the connection was lost meanwhile.
const LOST_LOOK: Duration = Duration::from_millis(50);

/// Which life of the connection it is.
pub(super) fn connects(client: &async_nats::Client) -> u64 {
    client.statistics().connects.load(Ordering::Relaxed)
}

/// What has left, and on which life of the connection.
pub(super) struct Sent {
    pub(super) acknowledgement: PublishAckFuture,
    pub(super) client: async_nats::Client,
    pub(super) connects: u64,
}

/// What one attempt said.
pub(super) enum Attempt {
    Stored {
        last: u64,
        duplicate: bool,
    },
    Conflict,
    ContainsDuplicate,
    /// Not stored, and never will be as it is.
    Refused(String),
    /// Not stored, and never will be.
    TooLarge(String),
    /// A bound is reached; not stored.
    Full(String),
    /// The stream is not there, or not as the node made it; not stored.
    Gone(String),
    /// The server met an error when it wrote, and stores nothing any more: what it has not stored by now it never will.
    Frozen(String),
    /// Not stored, worth another attempt.
    NotNow(String),
    /// Perhaps stored.
    Unknown(String),
}

/// How a wait for an acknowledgement ended.
enum Wait {
    Answered(Result<PublishAck, PublishError>),
    /// There is another connection than the one it was asked for on: what was not answered there is not going to be.
    Lost,
    /// The server stores nothing any more.
    Frozen(String),
}

impl Sent {
    async fn wait(self, room: &Room) -> Wait {
        let mut acknowledgement = self.acknowledgement.into_future();
        loop {
            if let Ok(acknowledged) = tokio::time::timeout(LOST_LOOK, &mut acknowledgement).await {
                return Wait::Answered(acknowledged);
            }
            if connects(&self.client) != self.connects {
                return Wait::Lost;
            }
            if let Some(shortage) = room.frozen(self.connects) {
                return Wait::Frozen(shortage.to_string());
            }
        }
    }
}

impl Attempt {
    /// The attempt, and whether the server was silent although the connection stayed.
    pub(super) async fn of(started: Result<Sent, Attempt>, room: &Room) -> (Attempt, bool) {
        let waited = match started {
            Ok(sent) => sent.wait(room).await,
            Err(attempt) => return (attempt, false),
        };
        match waited {
            Wait::Lost => (Attempt::Unknown("the connection was lost meanwhile".to_owned()), false),
            Wait::Frozen(why) => (Attempt::Frozen(why), false),
            Wait::Answered(Ok(ack)) => {
                (Attempt::Stored { last: ack.sequence, duplicate: ack.duplicate }, false)
            }
            Wait::Answered(Err(error)) => {
                (Attempt::failed(&error), error.kind() == PublishErrorKind::TimedOut)
            }
        }
    }

    fn failed(error: &PublishError) -> Attempt {
        let server = std::error::Error::source(error)
            .and_then(|source| source.downcast_ref::<jetstream::Error>())
            .map(|server| (server.error_code(), server.to_string()));
        let Some((code, text)) = server else {
            return match error.kind() {
                PublishErrorKind::StreamNotFound => Attempt::NotNow(NO_STREAM.to_owned()),
                PublishErrorKind::TimedOut => {
                    Attempt::Unknown(format!("no acknowledgement within {} s", ACK_WAIT.as_secs()))
                }
                _ => Attempt::Unknown(error.to_string()),
            };
        };
        match ServerRefusal::of(code, &text) {
            ServerRefusal::Conflict => Attempt::Conflict,
            ServerRefusal::ContainsDuplicate => Attempt::ContainsDuplicate,
            ServerRefusal::Full => Attempt::Full(format!("nats-server says: {text}")),
            ServerRefusal::TooLarge => Attempt::TooLarge(text),
            ServerRefusal::NotNow => Attempt::NotNow(text),
            ServerRefusal::NoStream => Attempt::Gone(text),
            ServerRefusal::Refused => Attempt::Refused(text),
        }
    }
}

/// What is said where nobody takes a message to store.
const NO_STREAM: &str = "no stream takes it; nats-server is starting, or the stream is gone";
