//! The client of the node's doors: a request, its answer, and what is known when no answer comes.
//!
//! Every request carries an id of its own (or changes nothing), so repeating it is safe: it is repeated with
//! back-off, the same bytes, until the door answers or the time is over. Only then does an error come back, and it
//! says whether the thing may have happened.

use std::time::Duration;

use async_nats::{Client, Subject};
use bytes::Bytes;
use comms_msg::door::{Answer, Form, RefusalKind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::ids;
use crate::limits::{DOOR_ATTEMPT, DOOR_PAUSE_MAX, DOOR_PAUSE_MIN};
use crate::replies::Replies;

/// One request to a door.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) subject: Subject,
    pub(crate) payload: Bytes,
    /// When the asker stops waiting.
    pub(crate) until: Instant,
    /// How long the door itself may wait before it answers.
    pub(crate) hold: Duration,
    /// Whether the door only tells something: then nothing may have happened.
    pub(crate) tells_only: bool,
}

impl Request {
    /// A request that a door answers at once.
    pub(crate) fn new(subject: impl ToString, payload: impl Into<Bytes>, within: Duration) -> Self {
        Self {
            subject: Subject::from(subject.to_string()),
            payload: payload.into(),
            until: ids::moment_after(within),
            hold: Duration::ZERO,
            tells_only: false,
        }
    }

    /// A request with a value as its payload.
    pub(crate) fn of(subject: impl ToString, value: &impl Serialize, within: Duration) -> Result<Self> {
        Ok(Self::new(subject, Form::Cbor.encode(value)?, within))
    }
}

/// Asks until the door answers.
pub(crate) async fn ask<T: DeserializeOwned>(
    client: &Client,
    replies: &Replies,
    request: Request,
) -> Result<T> {
    let mut pause = DOOR_PAUSE_MIN;
    let mut may_have_happened = false;
    let perhaps = |error: Error, happened: bool| match happened && !request.tells_only {
        true => error.perhaps_done(),
        false => error,
    };
    loop {
        let error = match attempt(client, replies, &request).await {
            Ok(payload) => match read(&payload)? {
                Answer::Ok(answer) => return Ok(answer),
                Answer::Error(refusal) => {
                    may_have_happened |= refusal.may_have_happened;
                    let again = matches!(refusal.kind, RefusalKind::Busy | RefusalKind::Unavailable);
                    let error = Error::from(refusal);
                    if !again {
                        return Err(perhaps(error, may_have_happened));
                    }
                    error
                }
            },
            Err(error) => {
                may_have_happened |= error.may_have_happened();
                if !error.is_retryable() {
                    return Err(perhaps(error, may_have_happened));
                }
                error
            }
        };
        if Instant::now() + pause >= request.until {
            return Err(perhaps(error, may_have_happened));
        }
        tracing::debug!(subject = %request.subject, %error, "asking the door again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(DOOR_PAUSE_MAX);
    }
}

async fn attempt(client: &Client, replies: &Replies, request: &Request) -> Result<Bytes> {
    let until = request.until.min(ids::moment_after(request.hold.saturating_add(DOOR_ATTEMPT)));
    let answered = tokio::time::timeout_at(until, async {
        let (reply, mut answer) = replies.expect_one(request.subject.clone()).await;
        client
            .publish_with_reply(request.subject.clone(), reply, request.payload.clone())
            .await
            .map_err(|error| Error::new(ErrorKind::Unavailable, "the connection is closed").because(error))?;
        answer.answer().await
    });
    answered.await.unwrap_or_else(|_| {
        let message = format!("the node did not answer in time on {}", request.subject);
        let error = Error::new(ErrorKind::Timeout, message);
        Err(if request.tells_only { error } else { error.perhaps_done() })
    })
}

fn read<T: DeserializeOwned>(payload: &Bytes) -> Result<Answer<T>> {
    Form::Cbor.decode(payload).map_err(|error| {
        Error::new(ErrorKind::Internal, "the node's answer cannot be read").because(error).perhaps_done()
    })
}
