//! Watches of the log that a new definition no longer allows. Nobody but the server knows which there are.

use std::collections::HashMap;

use async_nats::jetstream;
use async_nats::jetstream::consumer::Config;
use comms_domain::Domain;
use comms_msg::{ServiceName, TypeName};

use super::consumers::{self, Change};
use crate::Error;

/// The key in a consumer's metadata under which its watcher stands.
const WATCHER: &str = "comms.watcher";

/// Metadata of the watch of `service`.
pub(crate) fn watch_mark(service: &ServiceName) -> HashMap<String, String> {
    HashMap::from([(WATCHER.to_owned(), service.to_string())])
}

/// Ends every watch of `stream` in which its watcher hears a type that `domain` does not let it observe. The watcher opens
/// another, and is told at the door what it may not.
pub(crate) async fn revoke(
    jetstream: &jetstream::Context,
    stream: &str,
    domain: &Domain,
) -> Result<(), Error> {
    for (name, config) in consumers::existing(jetstream, stream).await? {
        let Some(watcher) = config.metadata.get(WATCHER) else { continue };
        if !may_watch(domain, watcher, &config) {
            consumers::make(jetstream, stream, &Change::Remove(&name)).await?;
        }
    }
    Ok(())
}

fn may_watch(domain: &Domain, watcher: &str, config: &Config) -> bool {
    let service = watcher.parse().ok().and_then(|name: ServiceName| domain.service(&name).cloned());
    let Some(service) = service else { return false };
    consumers::subjects(config)
        .iter()
        .all(|subject| type_of(subject).is_some_and(|type_name| service.may_observe(&type_name)))
}

/// The type in `{domain}.event.{context}.{entity}.{Type}`.
fn type_of(subject: &str) -> Option<TypeName> {
    let mut tokens = subject.split('.').skip(2);
    let (context, name) = (tokens.next()?, tokens.nth(1)?);
    format!("{context}.{name}").parse().ok()
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::consumer::push;

    use super::*;
    use crate::connections::Connections;
    use crate::fixture::{Fixture, LIBRARY, domain};

    #[tokio::test]
    async fn a_watch_of_what_may_no_longer_be_observed_is_ended() {
        let fixture = Fixture::new();
        let server = fixture.serve().await;
        let connections = Connections::open(&[server.url()], &fixture.keys()).await.unwrap();
        let jetstream = jetstream::new(connections.domain);
        crate::provision::apply(&jetstream, fixture.layout(), &[]).await.unwrap();
        let stream = fixture.layout().streams.iter().find(|s| s.name.starts_with("EVENT")).unwrap();
        let handle = jetstream.get_stream(&stream.name).await.unwrap();
        for watcher in ["indexer", "archive"] {
            let watch = push::Config {
                name: Some(format!("{watcher}-watch-1")),
                deliver_subject: format!("library.deliver.{watcher}.watch-1"),
                filter_subjects: vec!["library.event.documents.*.DocumentAdded".into()],
                metadata: watch_mark(&watcher.parse().unwrap()),
                inactive_threshold: std::time::Duration::from_secs(60),
                ..Default::default()
            };
            handle.create_consumer(watch).await.unwrap();
        }
        // Only the indexer observes the event.
        revoke(&jetstream, &stream.name, &domain(LIBRARY)).await.unwrap();
        handle.consumer_info("indexer-watch-1").await.unwrap();
        assert!(handle.consumer_info("archive-watch-1").await.is_err(), "it goes on hearing");
        revoke(&jetstream, &stream.name, &domain("name = \"library\"")).await.unwrap();
        assert!(handle.consumer_info("indexer-watch-1").await.is_err(), "its service is gone");
        for consumer in fixture.layout().consumers.iter().filter(|c| c.stream == stream.name) {
            handle.consumer_info(&consumer.name).await.unwrap();
        }
    }
}
