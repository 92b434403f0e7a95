//! Who may read what, as the definition says it, and that nobody learns what he may not read.

use std::collections::BTreeMap;

use comms::ErrorKind;
use comms_content::{Cid, DAG_PB, Node};
use comms_domain::Domain;
use serde_json::json;

use crate::access::Budget;

use super::{Bench, LIBRARY, MIB, admitting, bytes, service, type_name};

async fn may(bench: &Bench, name: &str, cid: &Cid) -> bool {
    let client = bench.client(name).get(cid).await;
    let read = client.is_ok();
    if let Err(error) = client {
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    assert_eq!(bench.access.may_read(&bench.current.get().domain, &service(name), cid).await.unwrap(), read);
    assert_eq!(bench.access.may_link(&bench.current.get().domain, &service(name), cid).await.unwrap(), read);
    read
}

/// Messages of this type, sent by `sender`, carry the content.
pub(super) async fn carry(bench: &Bench, sender: &str, cid: Cid, name: &str) {
    let (domain, mut budget) = (bench.current.get(), Budget::of_request());
    let followed = bench.access.follow(&domain.domain, &service(sender), &[cid], &mut budget).await.unwrap();
    bench.access.grant_carried(&followed.expect("it is the sender's"), &type_name(name)).await.unwrap();
}

#[tokio::test]
async fn knowing_a_cid_grants_nothing() {
    let bench = Bench::new().await;
    let cid = bench.client("desk").put(bytes(2 * MIB)).await.unwrap().cid;
    assert!(may(&bench, "desk", &cid).await);
    assert!(may(&bench, "auditor", &cid).await, "content.read");
    for other in ["archive", "indexer", "stranger"] {
        assert!(!may(&bench, other, &cid).await, "{other}");
    }
    bench.close().await;
}

#[tokio::test]
async fn denied_and_absent_are_one_answer() {
    let bench = Bench::new().await;
    let there = bench.client("desk").put(bytes(100)).await.unwrap().cid;
    let absent = Cid::raw(b"nobody put this");
    let words = |answer: super::Answer, cid: &Cid| {
        assert_eq!((answer.status, answer.refusal().as_str()), (404, "not_found"));
        let head: Vec<_> =
            answer.head.lines().filter(|line| !line.starts_with("date")).map(str::to_owned).collect();
        (head, String::from_utf8(answer.body).unwrap().replace(&cid.to_string(), "CID"))
    };
    for headers in ["", "Accept: application/vnd.ipld.car\r\n", "Range: bytes=0-0\r\n"] {
        let denied = words(bench.get("stranger", &there, headers).await, &there);
        let nothing = words(bench.get("stranger", &absent, headers).await, &absent);
        assert_eq!(denied, nothing);
        // Whoever may read everything hears no other words either.
        assert_eq!(words(bench.get("auditor", &absent, headers).await, &absent), nothing);
    }
    let line = |cid: &Cid| format!("POST /content/{cid}?for=documents.Ping");
    let denied = words(bench.ask("stranger", &line(&there), "Content-Length: 0\r\n").await, &there);
    let nothing = words(bench.ask("stranger", &line(&absent), "Content-Length: 0\r\n").await, &absent);
    assert_eq!(denied, nothing);
    bench.close().await;
}

#[tokio::test]
async fn what_messages_carry_is_read_by_whom_they_reach() {
    let bench = Bench::new().await;
    let cid = bench.client("desk").put(bytes(MIB + 1)).await.unwrap().cid;
    carry(&bench, "desk", cid, "documents.AddDocument").await;
    assert!(may(&bench, "archive", &cid).await, "handles the command");
    assert!(!may(&bench, "indexer", &cid).await);
    carry(&bench, "desk", cid, "documents.DocumentAdded").await;
    assert!(may(&bench, "indexer", &cid).await, "observes the event");
    assert!(!may(&bench, "stranger", &cid).await);
    bench.close().await;
}

#[tokio::test]
async fn another_definition_is_another_answer_at_once() {
    let bench = Bench::new().await;
    let cid = bench.client("desk").put(bytes(10)).await.unwrap().cid;
    carry(&bench, "desk", cid, "documents.DocumentAdded").await;
    assert!(may(&bench, "indexer", &cid).await);
    let less = LIBRARY.replace("observes = [\"documents.DocumentAdded\"]", "");
    bench.current.replace(admitting(Domain::parse("domain.toml", &less, &BTreeMap::new()).unwrap()));
    assert!(!may(&bench, "indexer", &cid).await);
    let gone = LIBRARY.replace("[service.auditor]\nrights = [\"content.read\"]", "");
    bench.current.replace(admitting(Domain::parse("domain.toml", &gone, &BTreeMap::new()).unwrap()));
    assert!(may(&bench, "indexer", &cid).await);
    assert!(!may(&bench, "auditor", &cid).await, "a service that is no more");
    bench.close().await;
}

#[tokio::test]
async fn what_is_put_for_direct_messages_and_answers_opens_to_the_other_side() {
    let bench = Bench::new().await;
    let question =
        bench.client("desk").put_for(&type_name("documents.FindDocuments"), bytes(10)).await.unwrap().cid;
    assert!(may(&bench, "archive", &question).await, "answers the query");
    assert!(!may(&bench, "stranger", &question).await);
    let reply =
        bench.client("archive").put_for(&type_name("documents.FindDocuments"), bytes(11)).await.unwrap().cid;
    assert!(may(&bench, "desk", &reply).await, "asked the query");
    assert!(!may(&bench, "indexer", &reply).await);

    let handed_on = bench.client("archive").put(bytes(12)).await.unwrap().cid;
    assert!(!may(&bench, "desk", &handed_on).await);
    bench.client("archive").share(&handed_on, &type_name("documents.FindDocuments")).await.unwrap();
    assert!(may(&bench, "desk", &handed_on).await);
    bench.close().await;
}

#[tokio::test]
async fn only_who_has_a_part_in_a_type_puts_for_it() {
    let bench = Bench::new().await;
    for (name, type_text) in [
        ("stranger", "documents.AddDocument"),
        ("indexer", "documents.DocumentAdded"),
        ("desk", "documents.DocumentAdded"),
        ("desk", "documents.Unknown"),
    ] {
        let error = bench.client(name).put_for(&type_name(type_text), bytes(10)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{name} {type_text}");
        assert!(!may(&bench, name, &Cid::raw(&bytes(10))).await);
    }
    let answer = bench.ask("desk", "POST /content?for=nonsense", "Content-Length: 0\r\n").await;
    assert_eq!((answer.status, answer.refusal().as_str()), (400, "malformed"));
    bench.close().await;
}

#[tokio::test]
async fn a_foreign_link_in_a_block_opens_nothing() {
    let bench = Bench::new().await;
    let secret = bench.client("archive").put(bytes(5000)).await.unwrap().cid;
    let mine = bench.client("desk").put(bytes(6000)).await.unwrap().cid;
    let block = |cid: &Cid| {
        Node::from_value(&json!({ "file": { "/": cid.to_string() } })).unwrap().as_bytes().clone()
    };
    let add = type_name("documents.AddDocument");

    let error = bench.client("desk").put_block(&add, block(&secret)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let wrapped = Cid::dag_cbor(&block(&secret));
    assert!(!bench.access.may_link(&bench.current.get().domain, &service("desk"), &wrapped).await.unwrap());
    assert!(!may(&bench, "desk", &secret).await);
    // Nor two levels down.
    let error = bench.client("desk").put_block(&add, block(&wrapped)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    // Nor does an absent one look different.
    let absent = bench.client("desk").put_block(&add, block(&Cid::raw(b"absent"))).await.unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::NotFound);

    let own = bench.client("desk").put_block(&add, block(&mine)).await.unwrap().cid;
    assert!(
        may(&bench, "archive", &own).await && may(&bench, "archive", &mine).await,
        "carried with its links"
    );
    bench.close().await;
}

#[tokio::test]
async fn a_node_of_a_file_put_as_bytes_does_not_open_the_file() {
    let bench = Bench::new().await;
    let secret = bench.client("archive").put(bytes(2 * MIB)).await.unwrap().cid;
    let node = bench.client("archive").get_block(&secret).await.unwrap();
    // Somebody who knows the node knows the CIDs of its leaves, and must still read none of them.
    let put = bench.client("desk").put(node).await.unwrap().cid;
    assert_eq!(put.with_codec(DAG_PB), secret);
    assert!(may(&bench, "desk", &put).await);
    assert!(!may(&bench, "desk", &secret).await);
    bench.close().await;
}

#[tokio::test]
async fn the_definition_is_for_those_who_hold_the_right() {
    let bench = Bench::new().await;
    let definition = json!({ "file": "domain.toml", "toml": LIBRARY }).to_string();
    let post = async |name: &str, path: &str, body: &str| {
        let head = bench.head(name, &format!("POST {path}"));
        bench.raw(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())).await
    };
    assert_eq!(post("operator", "/domain/plan", &definition).await.json(), json!({ "file": "domain.toml" }));
    assert_eq!(post("operator", "/domain/apply", &definition).await.json(), json!({ "by": "operator" }));
    for path in ["/domain/plan", "/domain/apply"] {
        let refused = post("stranger", path, &definition).await;
        assert_eq!((refused.status, refused.refusal().as_str()), (403, "denied"));
        let wrong = post("operator", path, "{}").await;
        assert_eq!((wrong.status, wrong.refusal().as_str()), (400, "malformed"));
    }
    let health = bench
        .raw(format!("GET /health HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\r\n\r\n", bench.port));
    assert_eq!(health.await.json(), json!({ "ok": true }));
    bench.close().await;
}
