//! A node's doors without a server: a small domain in force, a log on streams in memory, an index, ledgers and content in
//! a folder that goes with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use comms_content::{Block, Cid, DAG_CBOR, Node, RAW};
use comms_domain::{Bound, Domain, Layout, NodeId, Purpose, Role};
use comms_msg::{ServiceName, TypeName};
use comms_store::{Blocks, Grants};
use serde_json::json;
use tempfile::TempDir;

use crate::access::Access;
use crate::condition::Condition;
use crate::current::{Current, InForce};
use crate::door::{Counts, Doors, Tallies, Watches};
use crate::folder::Folder;
use crate::gateway::Tokens;
use crate::log::commit::StoredMessage;
use crate::log::journal::memory::MemoryStream;
use crate::log::{EventLog, LogNames};
use crate::node::waiting;
use crate::room::Room;
use crate::witness::{Manner, Witness};

/// Two handlers of durable commands, one of which is a sender too; versions, byte fields, links, owners.
const WORKS: &str = r#"
name = "works"

[content]
threshold = 1024

[command."parts.Order"]
delivery = "durable"
version = 2

[command."parts.Scrap"]
delivery = "durable"

[command."parts.Ping"]
delivery = "direct"

[query."parts.Find"]
deadline = "2 s"

[event."parts.Made"]
entity = "part"
version = 3

[event."parts.Moved"]
entity = "part"

[service.shop]
sends = ["parts.Order", "parts.Scrap", "parts.Ping"]
asks = ["parts.Find"]
observes = ["parts.Made"]
owners = ["ada", "bob"]

[service.mill]
handles = ["parts.Order", "parts.Ping"]
emits = ["parts.Made", "parts.Moved"]

[service.yard]
handles = ["parts.Scrap"]
answers = ["parts.Find"]
sends = ["parts.Order"]
emits = ["parts.Moved"]
observes = ["parts.Made", "parts.Moved"]

[service.eye]
observes = ["parts.Moved"]
"#;

const BODY: &str = r#"{
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "part": { "type": "string", "maxLength": 64 },
        "count": { "type": "integer" },
        "weight": { "type": "number" },
        "note": { "type": "string" },
        "drawing": { "$ref": "comms:bytes" },
        "plan": { "$ref": "comms:link" },
        "tags": { "type": "array", "items": { "type": "string" } },
        "more": {}
    },
    "required": ["part"]
}"#;

const EVENTS: &str = "EVENT_n1";
const COMMANDS: &str = "COMMAND_n1";

/// What stands in a stream, by its sequence.
pub(super) type Messages = BTreeMap<u64, StoredMessage>;

/// See the header.
pub(super) struct Scene {
    doors: Option<Arc<Doors>>,
    /// Events, and the queue of commands.
    streams: [MemoryStream; 2],
    witness: Witness,
    /// Content that is there, the last one apart, which is nowhere.
    pub(super) contents: Vec<Cid>,
    folder: TempDir,
}

impl Scene {
    pub(super) async fn open() -> Scene {
        let folder = tempfile::Builder::new().prefix("comms-doors-").tempdir_in(scratch());
        let folder = folder.expect("a folder for temporary files");
        let beside = Folder::beside(folder.path()).expect("the folder was just made");
        std::fs::create_dir(beside.root()).expect("the folder is empty");
        let streams = [(EVENTS, Manner::Log), (COMMANDS, Manner::Queue)];
        let witness = Witness::begin(&beside, &streams).expect("ledgers in an empty folder");
        let streams = [MemoryStream::default(), MemoryStream::default()];
        let mut scene = Scene { doors: None, streams, witness, contents: Vec::new(), folder };
        scene.doors = Some(scene.doors_over_the_streams().await);
        scene.put_contents().await;
        scene
    }

    async fn doors_over_the_streams(&self) -> Arc<Doors> {
        let domain = domain().clone();
        let id = NodeId { name: "n1".parse().expect("a name"), secret: [7; 32], role: Role::Standalone };
        let layout = Layout::of(&domain, &id);
        let names = LogNames {
            domain: domain.name.to_string(),
            event_stream: EVENTS.to_owned(),
            command_stream: COMMANDS.to_owned(),
            foreign_stream: None,
            index: self.folder.path().join("index.redb"),
            waiting: waiting(&domain),
        };
        let log = EventLog::in_memory(self.streams.clone(), names, self.witness.clone()).await;
        let blocks = Blocks::open(&self.folder.path().join("blocks")).expect("blocks in a folder of our own");
        let grants = Grants::open(&self.folder.path().join("grants")).expect("grants in a folder of our own");
        let current = Current::new(InForce { domain, layout, tokens: Tokens::default() });
        Arc::new(Doors {
            watches: Watches::new(current.shares(Bound::Watches).clone()),
            tallies: Tallies::new(current.get().domain.services.len()),
            current,
            log: log.expect("a log over streams in memory"),
            access: Arc::new(Access::new(blocks.clone(), grants)),
            blocks,
            condition: Condition::new(Room::endless()),
            node: "n1".to_owned(),
            http: "http://127.0.0.1:1".to_owned(),
            counts: Counts::default(),
        })
    }

    /// A body of its own, a file of each sender, and one that nobody has.
    async fn put_contents(&mut self) {
        let body = Node::encode(&json!({ "part": "linked" })).expect("text has a form").into_bytes();
        for (codec, bytes, by) in [
            (DAG_CBOR, body, "shop"),
            (RAW, Bytes::from_static(b"a drawing"), "shop"),
            (RAW, Bytes::from_static(b"another"), "mill"),
        ] {
            let block = Block::new(codec, bytes).expect("a small block");
            let (doors, cid) = (self.doors(), *block.cid());
            let staged = doors.blocks.stage_block(block).await.expect("a block in a folder of our own");
            let by: ServiceName = by.parse().expect("a name");
            doors.access.grant_put(&cid, &by).await.expect("a grant in a folder of our own");
            staged.keep().await.expect("a block in a folder of our own");
            self.contents.push(cid);
        }
        self.contents.push(Cid::raw(b"nowhere"));
    }

    /// As after a crash: what the doors held in memory is gone.
    pub(super) async fn restart(&mut self) {
        let doors = self.doors.take().map(Arc::into_inner);
        assert!(matches!(doors, Some(Some(_))), "somebody still holds the doors");
        drop(doors);
        self.doors = Some(self.doors_over_the_streams().await);
    }

    /// What a log does by itself, now and again.
    pub(super) async fn keep_up(&self) {
        let doors = self.doors();
        doors.log.find_doubtful().await.expect("streams in memory answer");
        doors.log.flush().await;
    }

    pub(super) fn doors(&self) -> Arc<Doors> {
        self.doors.clone().expect("they are there but while they are made again")
    }

    /// What stands in the streams: events, and the queue of commands.
    pub(super) fn all(&self) -> [Messages; 2] {
        [self.streams[0].all(), self.streams[1].all()]
    }

    pub(super) fn lose_answers(&self, loses: bool) {
        for stream in &self.streams {
            stream.lose_answers(loses);
        }
    }

    /// The consumer of a watch.
    pub(super) fn consumer(&self, name: &str) -> Option<async_nats::jetstream::consumer::push::Config> {
        self.streams[0].consumer(name)
    }

    /// The consumer that delivers commands to `handler`, by its name.
    pub(super) fn delivers_to(&self, handler: &ServiceName) -> Option<String> {
        let in_force = self.doors().current.get();
        let mut consumers = in_force.layout.consumers.iter();
        let wanted = Purpose::Command(handler.clone());
        consumers.find(|consumer| consumer.purpose == wanted).map(|consumer| consumer.name.clone())
    }

    /// How positions of the log end, and those of the queue.
    pub(super) fn incarnations(&self) -> [String; 2] {
        let log = &self.doors().log;
        [log.incarnation().to_owned(), log.queue_position(0).log().to_owned()]
    }
}

/// The domain in force.
pub(super) fn domain() -> &'static Domain {
    static DOMAIN: OnceLock<Domain> = OnceLock::new();
    DOMAIN.get_or_init(|| {
        let typed = ["Order", "Made"].map(|name| (format!("parts/{name}.json"), BODY.to_owned()));
        Domain::parse("domain.toml", WORKS, &typed.into()).unwrap_or_else(|problems| panic!("{problems}"))
    })
}

/// Who handles a command.
pub(super) fn handler(command: &TypeName) -> Option<&'static ServiceName> {
    domain().handler(command)
}

/// Where files cost no disk, if there is such a place: nothing here is about what a disk keeps.
fn scratch() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}
