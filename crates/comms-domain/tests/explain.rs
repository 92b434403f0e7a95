//! What `comms domain explain` says, to the letter.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use comms_domain::Domain;

fn explain(name: &str) -> comms_domain::Explanation {
    let schemas = BTreeMap::from([(
        "documents/AddDocument.json".to_owned(),
        include_str!("library/schemas/documents/AddDocument.json").to_owned(),
    )]);
    let domain = Domain::parse("domain.toml", include_str!("library/domain.toml"), &schemas).unwrap();
    domain.explain(&name.parse().unwrap()).unwrap()
}

#[test]
fn a_durable_command() {
    let expected = "\
documents.AddDocument   command, durable: kept until handled
  sent to      library.door.command.documents.AddDocument.{sender}
  stored as    library.command.documents.AddDocument.{sender}
  outcome      library.outcome.documents.AddDocument.{sender}.{command id}
  stream       COMMAND_{node}
  sent by      desk, dev
  handled by   archive
  may cause    documents.DocumentAdded
  deadline     30 s
  schema       schemas/documents/AddDocument.json, version 1
  limits       requests 16384, request_bytes 256 MiB, commands 500000, outcomes 16384
  offloaded    bytes over 64 KiB: /file, and wherever else bytes fit";
    assert_eq!(explain("documents.AddDocument").to_string(), expected);
}

#[test]
fn a_query() {
    let expected = "\
documents.FindDocuments   query
  asked on     library.query.documents.FindDocuments.{sender}
  asked by     desk, dev
  answered by  archive
  deadline     2 s
  schema       none: any object, version 1
  limits       nats_connections 2048, subscriptions 262144
  offloaded    bytes over 64 KiB, wherever bytes fit";
    assert_eq!(explain("documents.FindDocuments").to_string(), expected);
}

#[test]
fn an_event() {
    let expected = "\
documents.DocumentAdded   event, one history per document
  sent to      library.door.event.documents.DocumentAdded.{sender}
  stored as    library.event.documents.{entity}.DocumentAdded
  watched on   library.live.event.documents.{entity}.DocumentAdded
  stream       EVENT_{node}
  emitted by   archive
  caused by    documents.AddDocument
  observed by  dev, indexer
  schema       none: any object, version 1
  limits       requests 16384, request_bytes 256 MiB, watches 512
  offloaded    bytes over 64 KiB, wherever bytes fit";
    assert_eq!(explain("documents.DocumentAdded").to_string(), expected);
}

#[test]
fn programs_get_the_same_as_json() {
    let json = serde_json::to_value(explain("documents.AddDocument")).unwrap();
    assert_eq!(json["type"], "documents.AddDocument");
    assert_eq!(json["kind"], "command");
    assert_eq!(json["delivery"], "durable");
    assert_eq!(json["handles"][0], "archive");
    assert_eq!(json["byte_fields"][0], "/file");
    assert_eq!(json["deadline_ms"], 30_000);
    assert_eq!(json["limits"]["commands"], 500_000);
    assert!(json.get("entity").is_none());
}
