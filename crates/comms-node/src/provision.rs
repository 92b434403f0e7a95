//! Makes the streams and consumers on nats-server match a [`Layout`].
//!
//! Applying the same layout again changes nothing. What exists is only ever changed in ways that lose no message: a
//! stream is never deleted, and one that differs in what no update may change is an error that says so. What a layout
//! does not speak of (replicas, placement, somebody's description) stays as the operator set it.
//!
//! Of consumers, only those are touched that a layout made; the ones that the doors make for watchers are not marked
//! and live their own lives. A consumer that the layout no longer names is deleted, and with it its place in the log.

mod consumers;
mod streams;
mod watches;

pub(crate) use self::streams::is_missing;

pub(crate) use self::watches::{revoke, watch_mark};

use std::fmt;

use async_nats::jetstream;
use comms_domain::Layout;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::Error;

/// Requests to the server at once. Each waits for its own write to disk, and the server takes them in turn for one
/// stream.
const REQUESTS_MAX: usize = 16;

/// What was done. Names, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Streams and consumers that were missing.
    pub created: Vec<String>,
    /// Those that were different.
    pub updated: Vec<String>,
    /// Consumers that the layout no longer names.
    pub removed: Vec<String>,
    /// Those that were right.
    pub unchanged: Vec<String>,
}

/// What was done to one stream or consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Created,
    Updated,
    Removed,
    Unchanged,
}

/// Applies `layout` through a context of the node's user in DOMAIN. Of the streams named in `known` none is made: one that is
/// missing is lost.
///
/// Not atomic: what was done before an error stays, and the next call goes on from there.
pub async fn apply(
    jetstream: &jetstream::Context,
    layout: &Layout,
    known: &[String],
) -> Result<Report, Error> {
    let streams =
        each(&layout.streams, |wanted| streams::apply(jetstream, wanted, known.contains(&wanted.name)))
            .await?;
    let mut report = Report::default();
    for (stream, done) in &streams {
        report.note(stream.clone(), *done);
    }
    let changes = each(&streams, |(stream, done)| {
        let wanted: Vec<_> = layout.consumers.iter().filter(|consumer| consumer.stream == *stream).collect();
        consumers::apply(jetstream, stream, wanted, *done == Done::Created)
    })
    .await?;
    for (consumer, done) in changes.into_iter().flatten() {
        report.note(consumer, done);
    }
    for names in [&mut report.created, &mut report.updated, &mut report.removed, &mut report.unchanged] {
        names.sort();
    }
    Ok(report)
}

impl Report {
    /// Whether nothing had to be done.
    pub fn is_unchanged(&self) -> bool {
        self.created.is_empty() && self.updated.is_empty() && self.removed.is_empty()
    }

    fn note(&mut self, name: String, done: Done) {
        match done {
            Done::Created => self.created.push(name),
            Done::Updated => self.updated.push(name),
            Done::Removed => self.removed.push(name),
            Done::Unchanged => self.unchanged.push(name),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { created, updated, removed, unchanged } = self;
        let (created, updated, removed) = (created.len(), updated.len(), removed.len());
        write!(f, "{created} created, {updated} updated, {removed} removed, {} as they were", unchanged.len())
    }
}

/// Does `act` to every item, several at once, and stops at the first error.
async fn each<'a, I, T, F>(items: &'a [I], act: impl FnMut(&'a I) -> F) -> Result<Vec<T>, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    // Collected first: the compiler cannot see that a future which holds the closure is `Send` for every lifetime.
    let acts: Vec<F> = items.iter().map(act).collect();
    stream::iter(acts).buffer_unordered(REQUESTS_MAX).try_collect().await
}

fn failed(doing: String, source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Request { doing, source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_nats::{Message, Subscriber};
    use comms_domain::{Account, Purpose};

    use super::*;
    use crate::connections::Connections;
    use crate::fixture::{Fixture, LIBRARY};
    use crate::log::delivery::DeliverySubject;

    async fn context(fixture: &Fixture, url: &str) -> jetstream::Context {
        let connections = Connections::open(&[url.to_owned()], &fixture.keys()).await.unwrap();
        jetstream::new(connections.domain)
    }

    async fn filters(jetstream: &jetstream::Context, layout: &Layout) -> Vec<(String, Vec<String>)> {
        let mut found = Vec::new();
        for consumer in &layout.consumers {
            let info: jetstream::consumer::PushConsumer =
                jetstream.get_consumer_from_stream(&consumer.name, &consumer.stream).await.unwrap();
            found.push((
                consumer.purpose.word().to_owned(),
                info.cached_info().config.filter_subjects.clone(),
            ));
        }
        found
    }

    #[tokio::test]
    async fn a_second_time_changes_nothing_and_others_consumers_stay() {
        let fixture = Fixture::new();
        let server = fixture.serve().await;
        let jetstream = context(&fixture, &server.url()).await;
        let report = apply(&jetstream, fixture.layout(), &[]).await.unwrap();
        assert_eq!(report.created.len(), fixture.layout().streams.len() + fixture.layout().consumers.len());

        let events = jetstream.get_stream(&fixture.layout().streams[0].name).await.unwrap();
        let watcher =
            jetstream::consumer::pull::Config { name: Some("a-watcher".into()), ..Default::default() };
        events.create_consumer(watcher).await.unwrap();

        let again = apply(&jetstream, fixture.layout(), &[]).await.unwrap();
        assert!(again.is_unchanged(), "{again:?}");
        assert_eq!(again.unchanged, report.created);
        events.consumer_info("a-watcher").await.unwrap();
    }

    #[tokio::test]
    async fn what_somebody_changed_is_mended_and_what_is_not_ours_stays() {
        let fixture = Fixture::new();
        let server = fixture.serve().await;
        let jetstream = context(&fixture, &server.url()).await;
        apply(&jetstream, fixture.layout(), &[]).await.unwrap();
        let name = &fixture.layout().streams[0].name;
        let mut config = jetstream.get_stream(name).await.unwrap().cached_info().config.clone();
        config.max_messages = 10;
        config.republish = None;
        config.description = Some("of the operator".into());
        jetstream.update_stream(config).await.unwrap();

        let report = apply(&jetstream, fixture.layout(), &[]).await.unwrap();
        assert_eq!(report.updated, std::slice::from_ref(name));
        let mended = jetstream.get_stream(name).await.unwrap().cached_info().config.clone();
        assert_eq!(mended.max_messages, -1);
        assert!(mended.republish.is_some());
        assert_eq!(mended.description.as_deref(), Some("of the operator"));
    }

    #[tokio::test]
    async fn a_stream_that_cannot_become_what_is_wanted_is_an_error() {
        let fixture = Fixture::new();
        let server = fixture.serve().await;
        let jetstream = context(&fixture, &server.url()).await;
        let name = fixture.layout().streams[0].name.clone();
        let other = jetstream::stream::Config {
            name: name.clone(),
            subjects: fixture.layout().streams[0].subjects.clone(),
            storage: jetstream::stream::StorageType::Memory,
            ..Default::default()
        };
        jetstream.create_stream(other).await.unwrap();
        match apply(&jetstream, fixture.layout(), &[]).await {
            Err(Error::Unchangeable { what, difference }) => {
                assert!(what.contains(&name) && difference.contains("memory"), "{what}: {difference}");
            }
            other => panic!("{other:?}"),
        }
    }

    /// On a work queue the server refuses two consumers for one subject, so the order of changes matters.
    #[tokio::test]
    async fn a_command_moves_between_services_with_its_messages() {
        let fixture = Fixture::new();
        let server = fixture.serve().await;
        let jetstream = context(&fixture, &server.url()).await;
        let toml = |first: &str, second: &str| {
            format!(
                "{LIBRARY}\n[command.\"documents.Move\"]\ndelivery = \"durable\"\n[service.first]\nhandles = [{first}]\n\
                 [service.second]\nhandles = [{second}]\n"
            )
            .replace("handles = [\"documents.AddDocument\", \"documents.Ping\"]", "handles = [\"documents.Ping\"]")
        };
        let (add, mv) = ("\"documents.AddDocument\"", "\"documents.Move\"");
        let one = fixture.layout_of(&toml(add, mv));
        apply(&jetstream, &one, &[]).await.unwrap();
        store(&jetstream, "library.command.documents.Move.desk").await;

        let swapped = fixture.layout_of(&toml(mv, add));
        let report = apply(&jetstream, &swapped, &[]).await.unwrap();
        assert_eq!(report.updated.len(), 2, "{report:?}");
        let found = filters(&jetstream, &swapped).await;
        assert!(
            found.contains(&("command".into(), vec!["library.command.documents.Move.*".into()])),
            "{found:?}"
        );

        let gathered = fixture.layout_of(&toml(&format!("{mv}, {add}"), ""));
        let report = apply(&jetstream, &gathered, &[]).await.unwrap();
        assert_eq!((report.updated.len(), report.removed.len()), (1, 1), "{report:?}");
        let commands = gathered.streams.iter().find(|stream| stream.name.starts_with("COMMAND")).unwrap();
        assert_eq!(jetstream.get_stream(&commands.name).await.unwrap().cached_info().state.messages, 1);
        let first = Purpose::Command("first".parse().unwrap());
        let moved = next(&mut deliveries(&jetstream, &gathered, &first).await).await;
        assert_eq!(moved.subject.as_str(), "library.command.documents.Move.desk");
    }

    /// Long enough for any delivery.
    const SOON: Duration = Duration::from_secs(20);

    async fn store(jetstream: &jetstream::Context, subject: &'static str) {
        jetstream.publish(subject, "x".into()).await.unwrap().await.unwrap();
    }

    /// What the layout delivers for that purpose.
    async fn deliveries(jetstream: &jetstream::Context, layout: &Layout, purpose: &Purpose) -> Subscriber {
        let consumer = layout.consumers.iter().find(|consumer| consumer.purpose == *purpose).unwrap();
        let group = consumer.deliver_group.clone();
        jetstream.client().queue_subscribe(consumer.deliver_subject.clone(), group).await.unwrap()
    }

    async fn next(deliveries: &mut Subscriber) -> Message {
        tokio::time::timeout(SOON, deliveries.next()).await.expect("a delivery comes").unwrap()
    }

    /// Acknowledges, and returns when the server has taken it.
    async fn acknowledge(jetstream: &jetstream::Context, message: Message) {
        jetstream.client().request(message.reply.unwrap(), "".into()).await.unwrap();
    }

    /// The server leaves a consumer where it is when it is given another subject.
    #[tokio::test]
    async fn a_command_that_waits_is_delivered_to_the_service_that_gains_it() {
        let fixture = Fixture::new();
        let server = fixture.serve().await;
        let jetstream = context(&fixture, &server.url()).await;
        let definition = |archive: &str, other: &str| {
            let archive = format!("handles = [\"documents.AddDocument\", \"documents.Ping\"{archive}]");
            format!(
                "{LIBRARY}\n[command.\"documents.Move\"]\ndelivery = \"durable\"\n[service.other]\n{other}\n"
            )
            .replace("handles = [\"documents.AddDocument\", \"documents.Ping\"]", &archive)
        };
        let before = fixture.layout_of(&definition("", "handles = [\"documents.Move\"]"));
        apply(&jetstream, &before, &[]).await.unwrap();
        store(&jetstream, "library.command.documents.Move.desk").await;
        store(&jetstream, "library.command.documents.AddDocument.desk").await;
        // The place of the consumer is now behind the command that waits for another service.
        let archive = Purpose::Command("archive".parse().unwrap());
        let mut delivered = deliveries(&jetstream, &before, &archive).await;
        let add = next(&mut delivered).await;
        assert_eq!(add.subject.as_str(), "library.command.documents.AddDocument.desk");
        acknowledge(&jetstream, add).await;

        let after = fixture.layout_of(&definition(", \"documents.Move\"", ""));
        let report = apply(&jetstream, &after, &[]).await.unwrap();
        assert_eq!((report.updated.len(), report.removed.len()), (1, 1), "{report:?}");
        let moved = next(&mut delivered).await;
        assert_eq!(moved.subject.as_str(), "library.command.documents.Move.desk");
        acknowledge(&jetstream, moved).await;
        assert!(apply(&jetstream, &after, &[]).await.unwrap().is_unchanged());
    }

    /// What a service heard before is not told to it again because it observes one more type.
    #[tokio::test]
    async fn a_type_that_is_observed_later_is_heard_from_there_on() {
        let fixture = Fixture::new();
        let server = fixture.serve().await;
        let jetstream = context(&fixture, &server.url()).await;
        let definition = |observes: &str| {
            format!("{LIBRARY}\n[event.\"documents.DocumentMoved\"]\nentity = \"document\"\n")
                .replace("emits = [", "emits = [\"documents.DocumentMoved\", ")
                .replace("observes = [", &format!("observes = [{observes}"))
        };
        let (added, moved) =
            ("library.event.documents.x.DocumentAdded", "library.event.documents.x.DocumentMoved");
        let narrow = fixture.layout_of(&definition(""));
        apply(&jetstream, &narrow, &[]).await.unwrap();
        let indexer = Purpose::Event("indexer".parse().unwrap());
        let mut delivered = deliveries(&jetstream, &narrow, &indexer).await;
        store(&jetstream, moved).await;
        store(&jetstream, added).await;
        let heard = next(&mut delivered).await;
        assert_eq!(heard.subject.as_str(), added);
        acknowledge(&jetstream, heard).await;

        apply(&jetstream, &fixture.layout_of(&definition("\"documents.DocumentMoved\", ")), &[])
            .await
            .unwrap();
        store(&jetstream, moved).await;
        let heard = next(&mut delivered).await;
        assert_eq!(heard.subject.as_str(), moved);
        let sequence = DeliverySubject::parse(heard.reply.as_ref().unwrap()).unwrap().stream_sequence;
        assert_eq!(sequence, 3, "not the one from before");
    }

    #[tokio::test]
    async fn streams_outlive_a_killed_server() {
        let fixture = Fixture::new();
        let server = fixture.serve().await;
        let connections = Connections::open(&[server.url()], &fixture.keys()).await.unwrap();
        assert!(connections.sys.is_some() && connections.are_up());
        let jetstream = jetstream::new(connections.domain.clone());
        apply(&jetstream, fixture.layout(), &[]).await.unwrap();
        drop(server);
        let server = fixture.serve().await;
        let jetstream = context(&fixture, &server.url()).await;
        assert!(apply(&jetstream, fixture.layout(), &[]).await.unwrap().is_unchanged());
        assert!(fixture.layout().user(Account::Domain, "node").is_some());
    }
}
