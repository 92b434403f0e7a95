//! Hostile input on a real node, at every door and at the gateway: each is refused with the reason that fits, the node
//! and its server live on, and honest services are answered meanwhile.
//!
//! What is tried: what cannot be read (`unreadable`), what can be read and lies (`meaning`), links that lie (`links`),
//! answers of a handler (`commit`), what a domain rules (`rules`), taking all there is of something (`hoarders`), sending without end (`floods`), bytes below
//! the messages (`protocol`), and HTTP (`http`).

mod commit;
mod floods;
mod hoarders;
mod http;
mod links;
mod meaning;
mod protocol;
mod rules;
mod unreadable;

use std::time::Duration;

use async_nats::{Client, Request, RequestErrorKind};
use bytes::Bytes;
use comms_msg::door::{Answer, Form, Refusal, RefusalKind};
use comms_tests::node::alive;
use comms_tests::wait::SOON;
use comms_tests::{TestNode, fixture};
use serde::de::IgnoredAny;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::vocabulary::DocumentRetitled;

/// How long an honest service waits at most for each of its answers while others attack. A machine of two cores that
/// runs all tests at once needs a second.
const HONEST_WITHIN: Duration = Duration::from_secs(10);

/// A node under attack, with honest services that use it all the time.
struct Siege {
    // Ends before the node does, whatever the test comes to.
    honest: AbortOnDropHandle<u64>,
    node: TestNode,
    nats: u32,
    stop: CancellationToken,
}

impl Siege {
    async fn begin() -> Siege {
        Siege::begin_with("").await
    }

    /// The same with more in the definition.
    async fn begin_with(more: &str) -> Siege {
        let node = TestNode::start_with(&format!("{}\n{more}", fixture::DOMAIN), &[]).await;
        let stop = CancellationToken::new();
        let honest = honest(node.connect("archive").await, node.connect("desk").await, stop.clone());
        let honest = AbortOnDropHandle::new(tokio::spawn(honest));
        Siege { honest, nats: node.nats_pid(), node, stop }
    }

    /// What must hold after the attack.
    async fn end(self) {
        assert!(alive(self.node.pid()), "the node died");
        assert_eq!(self.node.nats_pid(), self.nats, "nats-server was started again");
        assert!(alive(self.nats), "nats-server died");
        self.stop.cancel();
        let rounds = self.honest.await.expect("the honest services were answered in time");
        assert!(rounds > 0);
        assert!(!self.node.output().contains("panicked"), "{}", self.node.output());
    }

    /// A connection that has the key of a service.
    async fn attacker(&self, service: &str) -> Attacker {
        Attacker { client: self.node.raw(service).await.0, service: service.to_owned() }
    }

    /// A connection that may speak at every door, under every name: it shows what the doors check behind the broker,
    /// as for a service whose rights the broker has not yet forgotten.
    async fn with_the_nodes_key(&self, sender: &str) -> Attacker {
        let seed = self.node.comms_folder().join("node/services.node.nk");
        let seed = std::fs::read_to_string(seed).expect("the node has a key").trim().to_owned();
        let client = async_nats::ConnectOptions::with_nkey(seed)
            .connect(self.node.nats_url())
            .await
            .expect("it is let in");
        Attacker { client, service: sender.to_owned() }
    }
}

/// Appends an event, puts a file and reads it back, again and again until `stop`, and returns how often.
async fn honest(archive: comms::Comms, desk: comms::Comms, stop: CancellationToken) -> u64 {
    let mut rounds = 0;
    loop {
        let is_last = stop.is_cancelled();
        let round = async {
            let title = format!("round {rounds}");
            archive
                .publish(DocumentRetitled { title: title.clone() })
                .entity("honest")
                .owner("ada")
                .await
                .unwrap();
            let cid = desk.put(title.clone().into_bytes()).await.unwrap().cid;
            let bytes = desk.get(&cid).await.unwrap().into_bytes(1 << 20).await.unwrap();
            assert_eq!(bytes, title.as_bytes());
        };
        let answered = tokio::time::timeout(HONEST_WITHIN, round).await;
        assert!(answered.is_ok(), "round {rounds} of the honest services was not over in {HONEST_WITHIN:?}");
        rounds += 1;
        if is_last {
            return rounds;
        }
    }
}

/// Somebody who sends what nobody should.
struct Attacker {
    client: Client,
    service: String,
}

impl Attacker {
    /// Asks a door and returns what it answers; `door` as in `command.lending.Lend`.
    async fn ask(&self, door: &str, payload: impl Into<Bytes>) -> Answer<IgnoredAny> {
        let (payload, subject) = (payload.into(), format!("library.door.{door}.{}", self.service));
        let form = Form::of(&payload);
        let inbox = format!("_INBOX.{}.{:032x}", self.service, rand::random::<u128>());
        let request = Request::new().payload(payload).inbox(inbox).timeout(Some(SOON));
        let reply = self.client.send_request(subject, request).await;
        let reply = reply.unwrap_or_else(|e| panic!("no answer at door {door}: {e}"));
        form.decode(&reply.payload).expect("an answer has the form of its request")
    }

    /// Asks where nobody listens.
    async fn finds_nobody(&self, door: &str) {
        let subject = format!("library.door.{door}.{}", self.service);
        let answer = self.client.request(subject, Bytes::from_static(b"{}")).await;
        let error = answer.expect_err("nobody listens there");
        assert_eq!(error.kind(), RequestErrorKind::NoResponders, "{door}: {error}");
    }

    /// Asks a door that must refuse.
    async fn refused(&self, door: &str, payload: impl Into<Bytes>) -> Refusal {
        match self.ask(door, payload).await {
            Answer::Error(refusal) => refusal,
            Answer::Ok(_) => panic!("door {door} took it"),
        }
    }

    /// The same in JSON, with what the refusal must be: its kind, and words that name the problem.
    async fn must(&self, door: &str, payload: Value, kind: RefusalKind, names: &str) {
        let refusal = self.refused(door, payload.to_string()).await;
        assert_eq!(refusal.kind, kind, "{refusal} for {payload:.300}");
        assert!(refusal.to_string().contains(names), "{refusal} does not name {names}");
        assert!(!refusal.may_have_happened, "{refusal}");
    }
}
