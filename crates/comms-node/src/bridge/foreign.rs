//! The stream of foreign events and its single writer.
//!
//! Each message says by its id where it was logged first, so the stream itself is the durable place of every peer: what is
//! in it is not stored again, and what is not in it is asked for again. Each write expects the stream to end where the
//! writer knows it to end, and with the message before it, so nothing is stored twice or out of order, however late a lost write arrives; after any
//! doubt the end of the stream is read again. A checkpoint beside it bounds how much a start has to read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::{self, message::PublishMessage};
use comms_domain::NodeName;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::admit::Admitted;
use super::places::{Place, Places};
use super::read;
use super::wire::{Feed, ITEMS_MAX, Origin};
use crate::folder::{Durability, read_lossy, replace};
use crate::pace::Pace;

/// Batches that wait for the writer. Each peer has one at a time, and gets its turn in the order in which they came.
const BATCHES_WAITING_MAX: usize = 16;
/// Writes on their way at once.
const WINDOW: usize = 64;
/// How long a write waits for its acknowledgement. A sync of a loaded disk can take a second.
const ACK_WAIT: Duration = Duration::from_secs(5);
/// Pauses before another try.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_LONGEST: Duration = Duration::from_secs(5);
/// Events after which the checkpoint is written: a start reads fewer than these again.
const CHECKPOINT_EVERY: u64 = 1_024;
/// Bytes of one read of the stream's end.
const READ_BYTES: u64 = 4 << 20;

/// Handle to the writer.
#[derive(Debug, Clone)]
pub(super) struct Foreign {
    places: Arc<Mutex<Places>>,
    batches: mpsc::Sender<Stored>,
}

/// A batch to be stored.
#[derive(Debug)]
struct Stored {
    peer: NodeName,
    feed: Feed,
    through: Place,
    events: Vec<(Origin, Admitted)>,
    done: oneshot::Sender<()>,
}

/// What is kept beside the stream.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Checkpoint {
    /// The incarnation of the stream of foreign events.
    stream: String,
    /// Everything in it up to here is in `places`.
    through: u64,
    places: Places,
}

/// The task behind the handle.
#[derive(Debug)]
pub(super) struct Writer {
    client: Client,
    jetstream: jetstream::Context,
    stream: String,
    /// All events in it.
    filter: String,
    incarnation: String,
    checkpoint: PathBuf,
    places: Arc<Mutex<Places>>,
    batches: mpsc::Receiver<Stored>,
    /// The last sequence in the stream that is in `places`.
    last: u64,
    /// Whether the stream may hold more than that.
    is_doubtful: bool,
    checkpointed: u64,
}

/// Where the stream of foreign events is, and what it is called.
#[derive(Debug)]
pub(super) struct At {
    pub(super) client: Client,
    pub(super) stream: String,
    pub(super) filter: String,
    pub(super) incarnation: String,
    pub(super) checkpoint: PathBuf,
}

impl Foreign {
    /// Reads back how far each peer is stored.
    pub(super) async fn open(at: At) -> Result<(Foreign, Writer), String> {
        let At { client, stream, filter, incarnation, checkpoint } = at;
        let jetstream = jetstream::context::ContextBuilder::new()
            .ack_timeout(ACK_WAIT)
            .timeout(ACK_WAIT)
            .build(client.clone());
        let kept = read_lossy(&checkpoint).map_err(|e| e.to_string())?;
        // A checkpoint that cannot be read, or is of another stream, only means to read the stream.
        let kept = kept.and_then(|text| serde_json::from_str::<Checkpoint>(&text).ok());
        let kept = kept.filter(|kept| kept.stream == incarnation);
        let (last, places) = kept.map_or((0, Places::default()), |kept| (kept.through, kept.places));
        let places = Arc::new(Mutex::new(places));
        let (sender, batches) = mpsc::channel(BATCHES_WAITING_MAX);
        let foreign = Foreign { places: places.clone(), batches: sender };
        let mut writer = Writer {
            client,
            jetstream,
            stream,
            filter,
            incarnation,
            checkpoint,
            places,
            batches,
            last,
            is_doubtful: true,
            checkpointed: last,
        };
        writer.catch_up().await?;
        Ok((foreign, writer))
    }

    /// Behind what to ask.
    pub(super) fn place(&self, peer: &NodeName, feed: Feed) -> Place {
        lock(&self.places).ask(peer.as_str(), feed)
    }

    /// Stores those events that are not stored yet, and remembers that the feed is dealt with up to `through`. False where
    /// the node stops before that.
    pub(super) async fn store(
        &self,
        peer: &NodeName,
        feed: Feed,
        through: Place,
        events: Vec<(Origin, Admitted)>,
    ) -> bool {
        let (done, stored) = oneshot::channel();
        let batch = Stored { peer: peer.clone(), feed, through, events, done };
        self.batches.send(batch).await.is_ok() && stored.await.is_ok()
    }
}

impl Writer {
    /// Writes until `stop` is cancelled. What is on its way then is found by the next start.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                batch = self.batches.recv() => match batch {
                    Some(batch) => {
                        if self.store(batch, &stop).await.is_none() {
                            break;
                        }
                    }
                    None => break,
                },
            }
            if self.last.saturating_sub(self.checkpointed) >= CHECKPOINT_EVERY {
                self.keep();
            }
        }
        self.keep();
    }

    /// `None` where it was told to stop.
    async fn store(&mut self, batch: Stored, stop: &CancellationToken) -> Option<()> {
        let Stored { peer, feed, through, mut events, done } = batch;
        let mut pace = Pace::new(PAUSE_FIRST, PAUSE_LONGEST);
        loop {
            if !self.is_doubtful {
                self.retain_new(&mut events);
                if events.is_empty() {
                    break;
                }
                let (stored, failed) = self.write(&events).await;
                let mut places = lock(&self.places);
                for (origin, _) in events.drain(..stored) {
                    places.stored(&origin);
                }
                drop(places);
                self.last += stored as u64;
                if stored > 0 {
                    pace = Pace::new(PAUSE_FIRST, PAUSE_LONGEST);
                }
                let Some(error) = failed else { continue };
                self.is_doubtful = true;
                tracing::warn!(error, "an event of another node is tried again");
            } else {
                let Err(error) = self.catch_up().await else { continue };
                tracing::warn!(error, "events of other nodes wait to be stored");
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(pace.next_pause()) => {}
            }
        }
        lock(&self.places).dealt_with(peer.as_str(), feed, through);
        // Who asked may be gone; it is stored.
        let _ = done.send(());
        Some(())
    }

    /// Leaves what is not stored, each once.
    fn retain_new(&self, events: &mut Vec<(Origin, Admitted)>) {
        let places = lock(&self.places);
        let mut seen: BTreeMap<(NodeName, String), u64> = BTreeMap::new();
        events.retain(|(origin, _)| {
            let last = seen.entry((origin.node.clone(), origin.log.clone())).or_default();
            let is_new = origin.sequence > *last && places.is_new(origin);
            *last = (*last).max(origin.sequence);
            is_new
        });
    }

    /// Writes the first of them, behind each other; says how many stand there for certain, and why it is not known of more.
    async fn write(&self, events: &[(Origin, Admitted)]) -> (usize, Option<String>) {
        let mut failed = None;
        let mut sent = Vec::with_capacity(WINDOW);
        let mut before: Option<String> = None;
        for ((origin, event), last) in events.iter().take(WINDOW).zip(self.last..) {
            let key = origin.key();
            let mut publish = PublishMessage::build()
                .payload(event.payload.clone())
                .message_id(&key)
                .expected_last_sequence(last);
            // Where the stream ends elsewhere than is known here, the first is refused; without this, one of those behind it
            // could meet the sequence that it expects, and leave a gap.
            if let Some(before) = before.replace(key) {
                publish = publish.expected_last_message_id(before);
            }
            match self.jetstream.send_publish(event.subject.clone(), publish).await {
                Ok(acknowledgement) => sent.push((acknowledgement, last + 1)),
                Err(error) => {
                    failed = Some(error.to_string());
                    break;
                }
            }
        }
        let mut stored = 0;
        for (acknowledgement, sequence) in sent {
            match acknowledgement.await {
                Ok(ack) if ack.sequence == sequence && !ack.duplicate => stored += 1,
                Ok(ack) => return (stored, Some(format!("it stands at {}", ack.sequence))),
                Err(error) => return (stored, Some(error.to_string())),
            }
        }
        (stored, failed)
    }

    /// Reads what the stream holds behind what is known of it.
    async fn catch_up(&mut self) -> Result<(), String> {
        let stream = self.jetstream.get_stream(&self.stream).await.map_err(|e| e.to_string())?;
        let end = stream.cached_info().state.last_sequence;
        if end < self.last {
            // It lost its end; what is missing comes again from where it was logged.
            tracing::warn!(end, known = self.last, "the stream of foreign events is shorter than it was");
            *lock(&self.places) = Places::default();
            self.last = 0;
        }
        while self.last < end {
            let found =
                read::behind(&self.client, &self.stream, &self.filter, self.last, ITEMS_MAX, READ_BYTES);
            let found = found.await?;
            let Some(last) = found.last().map(|found| found.sequence) else { break };
            let mut places = lock(&self.places);
            for found in &found {
                if let Some(origin) = Origin::of_stored(found.key.as_deref(), found.source.as_deref()) {
                    places.stored(&origin);
                }
            }
            self.last = last;
        }
        self.last = self.last.max(end);
        self.is_doubtful = false;
        Ok(())
    }

    /// Writes the checkpoint. Without it a start reads more.
    fn keep(&mut self) {
        let (stream, through) = (self.incarnation.clone(), self.last);
        let checkpoint = Checkpoint { stream, through, places: lock(&self.places).clone() };
        let text = serde_json::to_vec(&checkpoint).expect("names and numbers have a form");
        match replace(&self.checkpoint, &text, Durability::Cached) {
            Ok(()) => self.checkpointed = through,
            Err(error) => tracing::warn!(%error, "the place in the logs of other nodes is not kept"),
        }
    }
}

fn lock(places: &Mutex<Places>) -> MutexGuard<'_, Places> {
    // Nothing panics while it holds one; a poisoned one is as good.
    places.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use async_nats::jetstream::stream::{Config, Source};
    use comms_domain::{Layout, NodeId, Role};
    use futures::FutureExt as _;

    use super::*;
    use crate::connections::Connections;
    use crate::fixture::{Fixture, LIBRARY, domain};
    use crate::tasks::Tasks;

    const STREAM: &str = "FOREIGN_hub";
    const LOG: &str = "abcdefgh";

    /// A hub's streams on a server of its own.
    struct Hub {
        client: Client,
        jetstream: jetstream::Context,
        layout: Layout,
        folder: tempfile::TempDir,
        _server: crate::server::Managed,
        _fixture: Fixture,
    }

    impl Hub {
        async fn start() -> Hub {
            let fixture = Fixture::new();
            let server = fixture.serve().await;
            let connections = Connections::open(&[server.url()], &fixture.keys()).await.unwrap();
            let role = Role::Hub { leafs: vec!["leafa".parse().unwrap()] };
            let id = NodeId { name: "hub".parse().unwrap(), secret: [1; 32], role };
            let layout = Layout::of(&domain(LIBRARY), &id);
            Hub {
                jetstream: jetstream::new(connections.domain.clone()),
                client: connections.domain,
                layout,
                folder: tempfile::tempdir().unwrap(),
                _server: server,
                _fixture: fixture,
            }
        }

        fn checkpoint(&self) -> PathBuf {
            self.folder.path().join("foreign.json")
        }

        async fn open(&self, checkpoint: &Path) -> (Foreign, Tasks) {
            let at = At {
                client: self.client.clone(),
                stream: STREAM.into(),
                filter: "library.event.>".into(),
                incarnation: "hgfedcba".into(),
                checkpoint: checkpoint.to_owned(),
            };
            let (foreign, writer) = Foreign::open(at).await.unwrap();
            let tasks = Tasks::new();
            let stop = tasks.token();
            tasks.essential("foreign", writer.run(stop).map(Ok::<(), std::convert::Infallible>));
            (foreign, tasks)
        }

        async fn apply(&self) {
            crate::provision::apply(&self.jetstream, &self.layout, &[]).await.unwrap();
        }

        /// The payloads in the stream, in order.
        async fn stored(&self) -> Vec<String> {
            let found = read::behind(&self.client, STREAM, "library.event.>", 0, ITEMS_MAX, READ_BYTES).await;
            let payload = |found: read::Found| String::from_utf8(found.payload.to_vec()).unwrap();
            found.unwrap().into_iter().map(payload).collect()
        }
    }

    fn event(sequence: u64) -> (Origin, Admitted) {
        let origin = Origin { node: "leafa".parse().unwrap(), log: LOG.into(), sequence };
        let subject = "library.foreign.documents.d-1.DocumentAdded".to_owned();
        (origin, Admitted { subject, payload: sequence.to_string().into() })
    }

    fn place(sequence: u64) -> Place {
        Place { log: LOG.into(), sequence }
    }

    async fn store(foreign: &Foreign, events: impl IntoIterator<Item = u64>) {
        let events: Vec<_> = events.into_iter().map(event).collect();
        let through = place(events.last().unwrap().0.sequence);
        assert!(foreign.store(&"leafa".parse().unwrap(), Feed::Own, through, events).await);
    }

    fn numbers(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
        numbers.into_iter().map(|n| n.to_string()).collect()
    }

    #[tokio::test]
    async fn what_is_told_again_is_stored_once_and_in_order_whoever_wrote_it() {
        let hub = Hub::start().await;
        hub.apply().await;
        let leafa: NodeName = "leafa".parse().unwrap();
        let (one, tasks) = hub.open(&hub.checkpoint()).await;
        // A second writer that knows nothing of the first: what a write that arrives late looks like.
        let (two, others) = hub.open(&hub.folder.path().join("other.json")).await;
        store(&one, 1..=3).await;
        store(&two, 2..=5).await;
        store(&one, [1, 4, 4, 6]).await;
        store(&two, 1..=100).await;
        tokio::join!(store(&one, 101..=150), store(&two, 101..=150));
        assert_eq!(hub.stored().await, numbers(1..=150));
        assert_eq!(one.place(&leafa, Feed::Own), place(150));
        for tasks in [tasks, others] {
            assert_eq!(tasks.stop(Duration::from_secs(5)).await, [""; 0]);
        }
        // From the checkpoint, without it, and with one that is rubbish or of another stream.
        let kept = std::fs::read_to_string(hub.checkpoint()).unwrap();
        for text in [kept.as_str(), "", "rubbish", &kept.replace("hgfedcba", "aaaaaaaa")] {
            std::fs::write(hub.checkpoint(), text).unwrap();
            let (again, _tasks) = hub.open(&hub.checkpoint()).await;
            assert_eq!(again.place(&leafa, Feed::Own), place(150), "{text}");
            store(&again, 149..=150).await;
        }
        assert_eq!(hub.stored().await, numbers(1..=150));
    }

    #[tokio::test]
    async fn a_stream_that_nats_server_fed_keeps_its_content_and_its_place() {
        let hub = Hub::start().await;
        let event_log = Config {
            name: "EVENT_leafa".into(),
            subjects: vec!["library.event.>".into()],
            ..Config::default()
        };
        hub.jetstream.create_stream(event_log).await.unwrap();
        for n in 1..=4 {
            let subject = "library.event.documents.d-1.DocumentAdded";
            hub.jetstream.publish(subject, n.to_string().into()).await.unwrap().await.unwrap();
        }
        let former = Config {
            name: STREAM.into(),
            sources: Some(vec![Source { name: "EVENT_leafa".into(), ..Source::default() }]),
            deny_delete: true,
            deny_purge: true,
            allow_direct: true,
            ..Config::default()
        };
        let mut former = hub.jetstream.create_stream(former).await.unwrap();
        let brought = async { while former.info().await.unwrap().state.messages < 4 {} };
        tokio::time::timeout(Duration::from_secs(20), brought).await.expect("nats-server brings them over");
        let created = former.cached_info().created;
        hub.jetstream.delete_stream("EVENT_leafa").await.unwrap();
        hub.apply().await;
        let stream = hub.jetstream.get_stream(STREAM).await.unwrap();
        let config = &stream.cached_info().config;
        assert!(config.sources.as_ref().is_none_or(Vec::is_empty) && config.mirror.is_none(), "{config:?}");
        assert_eq!(stream.cached_info().created, created, "positions stay what they were");
        assert_eq!(hub.stored().await, numbers(1..=4));
        let (foreign, _tasks) = hub.open(&hub.checkpoint()).await;
        let known = Place { log: String::new(), sequence: 4 };
        assert_eq!(foreign.place(&"leafa".parse().unwrap(), Feed::Own), known);
        store(&foreign, 3..=6).await;
        assert_eq!(hub.stored().await, numbers(1..=6));
        assert!(crate::provision::apply(&hub.jetstream, &hub.layout, &[]).await.unwrap().is_unchanged());
    }
}
