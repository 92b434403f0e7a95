//! The questions of one probe, each on the way that a real request takes. None of them stores anything.
//!
//! The log is asked by a message that names another stream than the one it would enter: it takes the way of every message
//! up to the store, and every stream refuses it.

use std::time::Duration;

use async_nats::{Client, HeaderMap, RequestErrorKind};
use bytes::Bytes;
use comms_domain::Account;
use comms_msg::ServiceName;
use serde::Deserialize;
use tokio::time::Instant;

use super::vitals::{Round, Sign};
use crate::connections::Connections;
use crate::current::Current;

/// How long one answer may take. It takes milliseconds; on a busy machine with a slow disk, longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// A stream that does not exist: names of ours have a node's name behind.
const NO_STREAM: &str = "PROBE";
/// What a stream says to a message that is meant for another one.
const NOT_THIS_STREAM: u64 = 10_060;
/// What it says where it stores nothing before it is started again.
const STORES_NOTHING: [&str; 2] = ["write error", "JetStream not enabled"];
/// What the system says where a disk is full, as nats-server repeats it.
const DISK_FULL: [&str; 2] = ["no space left", "quota exceeded"];

/// Where to ask.
#[derive(Debug)]
pub(super) struct Signs {
    pub(super) connections: Connections,
    pub(super) current: Current,
}

/// What nats-server says of its health.
#[derive(Deserialize)]
struct Healthz {
    data: Option<Told>,
}

#[derive(Deserialize)]
struct Told {
    status: String,
    error: Option<String>,
}

/// What a stream answers to a message.
#[derive(Deserialize)]
struct Answer {
    error: Option<StreamError>,
}

#[derive(Deserialize)]
struct StreamError {
    err_code: u64,
    #[serde(default)]
    description: String,
}

impl Signs {
    /// Asks everybody at once.
    pub(super) async fn round(&self) -> Round {
        let begun = Instant::now();
        let domain = self.current.get().domain.name.to_string();
        let (server, door, events, commands, store) = tokio::join!(
            self.server(),
            self.door(&domain),
            self.stream(format!("{domain}.outcome.{NO_STREAM}.{NO_STREAM}.{NO_STREAM}")),
            self.stream(format!("{domain}.command.{NO_STREAM}.{NO_STREAM}.{NO_STREAM}")),
            self.store(),
        );
        let log = if events == Sign::Well { commands } else { events };
        Round { begun, server, log, store, door }
    }

    /// A request that nobody answers: the server itself says so.
    async fn server(&self) -> Sign {
        let services = &self.connections.services;
        let subject = format!("{}.nobody", services.new_inbox());
        match ask(services, subject, HeaderMap::new(), Bytes::new(), None).await {
            Err(RequestErrorKind::TimedOut | RequestErrorKind::Other) => Sign::Silent,
            Ok(_) | Err(_) => Sign::Well,
        }
    }

    /// The way of every service to the node, as its operator. Any answer will do, also one that says that it is busy.
    async fn door(&self, domain: &str) -> Sign {
        let operator = ServiceName::OPERATOR;
        let subject = format!("{domain}.door.hello.{operator}");
        let services = &self.connections.services;
        let token = services.new_inbox();
        let token = token.rsplit('.').next().unwrap_or_default();
        let inbox = format!("_INBOX.{operator}.{token}");
        match ask(services, subject, HeaderMap::new(), Bytes::from_static(b"{}"), Some(inbox)).await {
            Ok(_) => Sign::Well,
            Err(RequestErrorKind::NoResponders) => Sign::Ill("nobody listens there".to_owned()),
            Err(_) => Sign::Silent,
        }
    }

    async fn stream(&self, subject: String) -> Sign {
        let mut headers = HeaderMap::new();
        headers.insert(async_nats::header::NATS_EXPECTED_STREAM, NO_STREAM);
        match ask(&self.connections.domain, subject, headers, Bytes::new(), None).await {
            Ok(answer) => refused(&answer),
            Err(RequestErrorKind::NoResponders) => Sign::Ill("no stream is there".to_owned()),
            Err(_) => Sign::Silent,
        }
    }

    /// What the server says of its streams, where it lets the node ask. Somebody else's server may not.
    async fn store(&self) -> Sign {
        let Some(system) = &self.connections.sys else { return Sign::Well };
        let subject = format!("$SYS.REQ.SERVER.{}.HEALTHZ", system.server_info().server_id);
        let account = Bytes::from(format!("{{\"account\":\"{}\"}}", Account::Domain.as_str()));
        match ask(system, subject, HeaderMap::new(), account, None).await {
            Ok(answer) => told(&answer),
            Err(_) => Sign::Silent,
        }
    }
}

/// What a stream says to a message of the probe.
fn refused(answer: &[u8]) -> Sign {
    match serde_json::from_slice::<Answer>(answer) {
        Ok(Answer { error: Some(error) }) if error.err_code == NOT_THIS_STREAM => Sign::Well,
        Ok(Answer { error: Some(error) }) => Sign::Ill(error.description),
        // It cannot have been stored: the stream has another name.
        Ok(Answer { error: None }) | Err(_) => Sign::Ill("its answer cannot be read".to_owned()),
    }
}

/// What the server says of its store, without the paths in it: everybody may ask the node how it is.
fn told(answer: &[u8]) -> Sign {
    let Ok(Healthz { data: Some(told) }) = serde_json::from_slice::<Healthz>(answer) else {
        // A server that does not know the question.
        return Sign::Well;
    };
    if told.status == "ok" {
        return Sign::Well;
    }
    let why = told.error.unwrap_or(told.status);
    if !STORES_NOTHING.iter().any(|words| why.contains(words)) {
        // What is wrong with one stream shows where that is asked.
        tracing::debug!(why, "what nats-server says of its health");
        return Sign::Well;
    }
    tracing::warn!(why, "nats-server stores nothing");
    let is_full = DISK_FULL.iter().any(|words| why.contains(words));
    Sign::Ill(if is_full {
        "its disk is full".to_owned()
    } else {
        "its store failed; its log says more".to_owned()
    })
}

async fn ask(
    client: &Client,
    subject: String,
    headers: HeaderMap,
    payload: Bytes,
    inbox: Option<String>,
) -> Result<Bytes, RequestErrorKind> {
    let mut request =
        async_nats::Request::new().timeout(Some(ANSWER_WITHIN)).headers(headers).payload(payload);
    request = inbox.into_iter().fold(request, async_nats::Request::inbox);
    // The bound of a request begins when it has left, and a connection that is stuck lets nothing leave.
    match tokio::time::timeout(ANSWER_WITHIN, client.send_request(subject, request)).await {
        Ok(Ok(message)) => Ok(message.payload),
        Ok(Err(error)) => Err(error.kind()),
        Err(_) => Err(RequestErrorKind::TimedOut),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_refuses_is_well() {
        let refusal = |code: u64| {
            format!(r#"{{"error":{{"code":400,"err_code":{code},"description":"why"}},"stream":"E"}}"#)
        };
        assert_eq!(refused(refusal(10_060).as_bytes()), Sign::Well);
        assert_eq!(refused(refusal(10_076).as_bytes()), Sign::Ill("why".to_owned()));
        assert!(matches!(refused(b"{\"stream\":\"E\",\"seq\":1}"), Sign::Ill(_)));
        assert!(matches!(refused(b""), Sign::Ill(_)));
    }

    #[test]
    fn what_the_server_says_of_its_store_is_told_without_paths() {
        assert_eq!(told(br#"{"data":{"status":"ok","status_code":200}}"#), Sign::Well);
        assert_eq!(told(b"nonsense"), Sign::Well);
        let full = br#"{"data":{"status":"unavailable","error":"write error: write /srv/1.blk: no space left on device"}}"#;
        assert_eq!(told(full), Sign::Ill("its disk is full".to_owned()));
        let other = br#"{"data":{"status":"unavailable","error":"consumer could not be recovered"}}"#;
        assert_eq!(told(other), Sign::Well);
        let broken =
            br#"{"data":{"status":"unavailable","error":"write error: write /srv/1.blk: input/output"}}"#;
        assert!(matches!(told(broken), Sign::Ill(why) if !why.contains("/srv")));
    }
}
