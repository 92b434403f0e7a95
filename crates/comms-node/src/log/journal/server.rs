//! A stream of nats-server: how each operation of a journal is asked there. What an append comes to is `appender.rs`.

use std::collections::HashSet;
use std::ops::ControlFlow;

use async_nats::Subscriber;
use async_nats::jetstream;
use async_nats::jetstream::consumer::push;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{DirectGetErrorKind, RawMessageErrorKind, State, Stream};
use bytes::Bytes;
use futures::TryStreamExt as _;

use super::super::appender::{Appender, Writer};
use super::super::commit::{AppendError, Commit, Stored};
use super::super::direct_read::{self, Found};
use super::Consumed;
use crate::Error;
use crate::condition::Condition;
use crate::witness::Witness;

/// See the header.
#[derive(Debug)]
pub(super) struct Server {
    client: async_nats::Client,
    stream: Stream,
    appender: Appender,
    /// Where the stream confirms what was taken out of it.
    confirmations: String,
}

impl Server {
    /// The stream called `name`, which must exist, and its writer.
    pub(super) async fn open(
        client: &async_nats::Client,
        name: &str,
        condition: Condition,
        witness: &Witness,
    ) -> Result<(Server, Writer), Error> {
        let stream = jetstream::new(client.clone())
            .get_stream(name)
            .await
            .map_err(|e| Error::Stream { name: name.to_owned(), source: Box::new(e) })?;
        let (appender, writer) = Appender::open(client.clone(), name, condition, witness).await?;
        let confirmations = client.new_inbox();
        Ok((Server { client: client.clone(), stream, appender, confirmations }, writer))
    }

    /// Hears what the stream confirms; the last token is the sequence that is gone.
    pub(super) async fn confirmed(&self) -> Result<Subscriber, Error> {
        self.client.subscribe(format!("{}.*", self.confirmations)).await.map_err(|e| Error::Request {
            doing: "hear of commands that ended".to_owned(),
            source: Box::new(e),
        })
    }

    pub(super) async fn append(&self, commit: Commit) -> Result<Stored, AppendError> {
        self.appender.append(commit).await
    }

    pub(super) async fn payload(&self, sequence: u64) -> Result<Option<Bytes>, AppendError> {
        Ok(self.message(sequence).await?.map(|message| message.payload))
    }

    pub(super) async fn subject(&self, sequence: u64) -> Result<Option<String>, AppendError> {
        Ok(self.message(sequence).await?.map(|message| message.subject.to_string()))
    }

    async fn message(&self, sequence: u64) -> Result<Option<StreamMessage>, AppendError> {
        match self.stream.direct_get(sequence).await {
            Ok(message) => Ok(Some(message)),
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
            Err(error) => Err(silent(error)),
        }
    }

    pub(super) async fn last(&self, subject: &str) -> Result<Option<(u64, Bytes)>, AppendError> {
        match self.stream.get_last_raw_message_by_subject(subject).await {
            Ok(message) => Ok(Some((message.sequence, message.payload))),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(silent(error)),
        }
    }

    pub(super) async fn read(
        &self,
        name: &str,
        from: u64,
        each: impl FnMut(Found<'_>) -> ControlFlow<()>,
    ) -> Result<(), AppendError> {
        direct_read::read(&self.client, name, ">", from, each)
            .await
            .map_err(|reason| AppendError::Unavailable { reason, may_have_happened: false })
    }

    pub(super) async fn state(&self) -> Result<State, AppendError> {
        self.stream.get_info().await.map(|info| info.state).map_err(silent)
    }

    pub(super) async fn tell(&self, delivery: &str, what: Bytes) {
        // Of a connection that is closed for good the next start of the node takes care.
        let _ = self.client.publish(delivery.to_owned(), what).await;
    }

    pub(super) async fn take_out(&self, delivery: &str, sequence: u64) {
        let confirmation = format!("{}.{sequence}", self.confirmations);
        let ack = Bytes::from_static(b"+ACK");
        // As above.
        let _ = self.client.publish_with_reply(delivery.to_owned(), confirmation, ack).await;
    }

    pub(super) async fn consume(&self, name: &str, consumer: push::Config) -> Result<Consumed, String> {
        let made = jetstream::new(self.client.clone()).create_consumer_on_stream(consumer, name).await;
        let made = made.map_err(|error| error.to_string())?;
        let info = made.cached_info();
        Ok(Consumed { waiting: info.num_pending, after: info.delivered.stream_sequence })
    }

    pub(super) async fn consumers(&self, name: &str) -> Result<HashSet<String>, String> {
        let handle = jetstream::new(self.client.clone()).get_stream_no_info(name).await;
        let names = handle.map_err(|error| error.to_string())?.consumer_names().try_collect().await;
        names.map_err(|error| error.to_string())
    }
}

fn silent(error: impl std::fmt::Display) -> AppendError {
    AppendError::Unavailable { reason: error.to_string(), may_have_happened: false }
}
