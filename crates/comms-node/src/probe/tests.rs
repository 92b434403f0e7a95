//! Servers that enforce the definition, and servers that do not.

use std::fs;

use super::*;
use crate::fixture::{Fixture, LIBRARY, domain};
use crate::server::Managed;

async fn probe(fixture: &Fixture, server: &Managed) -> Findings {
    run(&[server.url()], &domain(LIBRARY), fixture.layout(), &fixture.keys()).await
}

async fn probe_configured(change: impl Fn(String) -> String) -> Findings {
    let fixture = Fixture::new();
    let mut spec = fixture.spec();
    spec.configuration = change(spec.configuration);
    let server = Managed::start(spec, &fixture.keys()).await.unwrap();
    probe(&fixture, &server).await
}

fn failures(findings: &Findings) -> Vec<String> {
    findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Open)
        .map(|finding| finding.what.clone())
        .collect()
}

#[tokio::test]
async fn the_generated_configuration_holds() {
    let begun = std::time::Instant::now();
    let findings = probe_configured(|configuration| configuration).await;
    println!("{findings}\nafter {:?}", begun.elapsed());
    assert!(findings.are_enforced(), "{findings}");
    let warned: Vec<_> = findings.iter().filter(|finding| finding.verdict == Verdict::NotPromised).collect();
    assert_eq!(warned.len(), 1, "only that the node does not start it again: {findings}");
}

/// The probe must find a hole that is there, or its silence means nothing.
#[tokio::test]
async fn a_right_too_many_is_found() {
    let planted = |configuration: String| {
        let inbox = "\"_INBOX.desk.>\"";
        assert!(configuration.contains(inbox));
        configuration.replace(inbox, &format!("{inbox}\n            \"library.>\"")).replace(
            "\"library.door.hello.desk\"",
            "\"library.door.hello.desk\"\n            \"library.event.>\"",
        )
    };
    let findings = probe_configured(planted).await;
    assert!(!findings.are_enforced());
    let found = failures(&findings);
    assert!(found.iter().any(|what| what.contains("desk may publish on library.event.PROBE")), "{findings}");
    assert!(found.iter().any(|what| what.contains("desk may subscribe to library.>")), "{findings}");
    assert!(found.iter().all(|what| what.starts_with("desk ")), "{findings}");
}

#[tokio::test]
async fn a_stored_subject_that_crosses_is_found_and_nothing_is_stored() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec();
    spec.configuration = spec
        .configuration
        .replace("{ service: \"$JS.ACK.>\" }", "{ service: \"$JS.ACK.>\" }\n      { service: \"library.event.>\" }")
        .replace(
            "{ service: { account: DOMAIN, subject: \"$JS.ACK.>\" } }",
            "{ service: { account: DOMAIN, subject: \"$JS.ACK.>\" } }\n      { service: { account: DOMAIN, subject: \"library.event.>\" } }",
        );
    let server = Managed::start(spec, &fixture.keys()).await.unwrap();
    let connections = Connections::open(&[server.url()], &fixture.keys()).await.unwrap();
    let jetstream = async_nats::jetstream::new(connections.domain);
    crate::provision::apply(&jetstream, fixture.layout(), &[]).await.unwrap();
    let findings = probe(&fixture, &server).await;
    assert!(failures(&findings).iter().any(|what| what.contains("crosses from SERVICES")), "{findings}");
    for stream in &fixture.layout().streams {
        assert_eq!(jetstream.get_stream(&stream.name).await.unwrap().cached_info().state.messages, 0);
    }
}

#[tokio::test]
async fn missing_imports_are_found() {
    let without = |configuration: String| {
        configuration.replace("{ stream: { account: DOMAIN, subject: \"library.live.>\" } }", "")
    };
    let found = failures(&probe_configured(without).await);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("library.live.PROBE does not reach SERVICES"), "{found:?}");
}

#[tokio::test]
async fn a_server_that_lets_anyone_in_is_found() {
    let key = |configuration: &str| {
        let user = configuration.split("# desk").nth(1).unwrap();
        user.split("nkey: \"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    let open = |configuration: String| format!("{configuration}no_auth_user: {}\n", key(&configuration));
    let found = failures(&probe_configured(open).await);
    assert!(found.iter().any(|what| what.contains("without credentials is let in")), "{found:?}");
}

#[tokio::test]
async fn what_a_lax_server_cannot_promise_is_said() {
    let lax = |configuration: String| {
        let configuration = configuration.replace("sync_interval: always", "sync_interval: \"1m\"");
        format!(
            "{configuration}http: \"127.0.0.1:-1\"\nwebsocket {{\n  listen: \"127.0.0.1:-1\"\n  no_tls: true\n}}\n"
        )
    };
    let findings = probe_configured(lax).await;
    assert!(findings.are_enforced(), "{findings}");
    let warned = |word: &str| {
        findings.iter().any(|finding| finding.verdict == Verdict::NotPromised && finding.what.contains(word))
    };
    assert!(warned("not yet on the disk") && warned("monitor port") && warned("websocket"), "{findings}");
}

#[tokio::test]
async fn a_server_that_keeps_its_system_account_to_itself_cannot_be_asked() {
    let fixture = Fixture::new();
    let server = fixture.serve().await;
    // Made again at the next look, and then unknown to this server.
    fs::remove_file(crate::keys::seed_path(fixture.folder(), Account::Sys, NODE)).unwrap();
    let findings = probe(&fixture, &server).await;
    assert!(findings.are_enforced(), "{findings}");
    let said = |finding: &Finding| {
        finding.verdict == Verdict::NotPromised && finding.what.contains("cannot be asked")
    };
    assert!(findings.iter().any(said), "{findings}");
}

#[tokio::test]
async fn a_server_that_does_not_know_the_domain_says_what_to_do() {
    let fixture = Fixture::new();
    let server = fixture.serve().await;
    let other = Fixture::new();
    let findings = run(&[server.url()], &domain(LIBRARY), other.layout(), &other.keys()).await;
    let found: Vec<_> = findings.iter().filter(|finding| finding.verdict == Verdict::Open).collect();
    assert_eq!(found.len(), 1, "{findings}");
    assert!(found[0].what.contains("does not let the node in") && found[0].mend.as_deref() == Some(INCLUDE));
}

#[tokio::test]
async fn the_wait_ends_when_the_operator_has_included_the_accounts() {
    let fixture = Fixture::new();
    let right = fixture.configuration(fixture.layout());
    let mut spec = fixture.spec();
    spec.configuration = right.replace("\"library.door.hello.desk\"", "\"library.event.>\"");
    let server = Managed::start(spec, &fixture.keys()).await.unwrap();
    let (told, mut heard) = tokio::sync::mpsc::channel(4);
    let (urls, domain, keys) = ([server.url()], domain(LIBRARY), fixture.keys());
    let waiting = until_enforced(&urls, &domain, fixture.layout(), &keys, |findings| {
        told.try_send(findings.are_enforced()).unwrap();
    });
    let operator = async {
        assert_eq!(heard.recv().await, Some(false));
        server.reload(&right).await.unwrap();
    };
    let (findings, ()) = tokio::join!(waiting, operator);
    assert!(findings.are_enforced());
    assert_eq!(heard.recv().await, Some(true));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_no_success() {
    let fixture = Fixture::new();
    let url = "nats://127.0.0.1:1".to_owned();
    let findings = run(&[url], &domain(LIBRARY), fixture.layout(), &fixture.keys()).await;
    assert!(!findings.are_enforced(), "{findings}");
    assert!(fs::exists(fixture.folder().root()).unwrap());
}
