//! What crosses between the accounts, and what must not.

use std::fmt::Display;

use async_nats::{Client, HeaderMap, Subscriber};
use comms_domain::{Layout, Share};
use futures::{FutureExt as _, StreamExt as _};
use tokio::time::timeout;

use super::{ANSWER_WITHIN, Finding, INCLUDE, TOKEN};
use crate::connections::Connections;

pub(super) async fn look(connections: &Connections, domain: &str, layout: &Layout) -> Vec<Finding> {
    let Connections { domain: inner, services, .. } = connections;
    let untold = |error: String| {
        Finding::open(format!("what crosses between the accounts cannot be told: {error}"), INCLUDE)
    };
    let mut found = Vec::new();
    found.push(stored(inner, services, domain, layout).await.unwrap_or_else(untold));
    for import in layout.imports.iter().filter(|import| import.share == Share::Stream) {
        let subject = import.subject.replace('>', TOKEN);
        found.push(delivered(inner, services, &subject).await.unwrap_or_else(untold));
    }
    found.push(match async_nats::jetstream::new(inner.clone()).query_account().await {
        Ok(_) => Finding::holds("the account DOMAIN has JetStream"),
        Err(error) => Finding::open(
            format!("the account DOMAIN has no JetStream: {error}"),
            "enable JetStream on the server: a `jetstream` block in its configuration",
        ),
    });
    found
}

/// What somebody in SERVICES publishes on a stored subject must not reach DOMAIN.
async fn stored(inner: &Client, services: &Client, domain: &str, layout: &Layout) -> Result<Finding, String> {
    let subjects: Vec<String> = layout
        .streams
        .iter()
        .flat_map(|stream| &stream.subjects)
        .map(|subject| subject.replace('>', TOKEN))
        .collect();
    let mut heard = inner.subscribe(format!("{domain}.*.{TOKEN}")).await.map_err(said)?;
    settled(inner).await?;
    for subject in subjects {
        let mut nowhere = HeaderMap::new();
        nowhere.insert(async_nats::header::NATS_EXPECTED_STREAM, TOKEN);
        services.publish_with_headers(subject, nowhere, "".into()).await.map_err(said)?;
    }
    // The server hands on in the order it takes: what crosses has crossed when both have seen their own message.
    settled(services).await?;
    settled(inner).await?;
    Ok(match heard.next().now_or_never().flatten() {
        Some(message) => Finding::open(
            format!("{} crosses from SERVICES to DOMAIN: any service could store there", message.subject),
            INCLUDE,
        ),
        None => Finding::holds("what is stored can be published in DOMAIN alone"),
    })
}

/// What the node publishes in DOMAIN for services must reach SERVICES.
async fn delivered(inner: &Client, services: &Client, subject: &str) -> Result<Finding, String> {
    let mut heard = services.subscribe(subject.to_owned()).await.map_err(said)?;
    settled(services).await?;
    inner.publish(subject.to_owned(), "".into()).await.map_err(said)?;
    Ok(match arrives(&mut heard).await {
        true => Finding::holds(format!("{subject} reaches SERVICES")),
        false => {
            Finding::open(format!("{subject} does not reach SERVICES: nothing would be delivered"), INCLUDE)
        }
    })
}

/// Returns when the server has taken everything this connection said before: `flush` tells of the socket alone.
async fn settled(client: &Client) -> Result<(), String> {
    let inbox = client.new_inbox();
    let mut own = client.subscribe(inbox.clone()).await.map_err(said)?;
    client.publish(inbox, "".into()).await.map_err(said)?;
    match arrives(&mut own).await {
        true => Ok(()),
        false => Err(String::from("the server does not answer")),
    }
}

async fn arrives(heard: &mut Subscriber) -> bool {
    matches!(timeout(ANSWER_WITHIN, heard.next()).await, Ok(Some(_)))
}

fn said(error: impl Display) -> String {
    error.to_string()
}
