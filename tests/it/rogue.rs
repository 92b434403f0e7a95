//! A malicious leaf: somebody with a leaf's key and a nats-server of their own, in every account of it. It says on every
//! subject what it likes, with the replies that it likes; the hub's streams stay as they are, nobody hears what it forged,
//! and what others say to each other goes on.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream::stream::Config;
use async_nats::{Client, Subscriber};
use bytes::Bytes;
use comms::{CommandContext, End, EventContext, Failure, Recorded, Running};
use comms_content::Node;
use comms_content::cbor::Writer;
use comms_msg::{Body, DomainContent, Event, Hop, Metadata, Msg, MsgId, Owner, Timestamp};
use comms_tests::{Process, TestNode, fixture, port, tools, wait_until};
use futures::{FutureExt as _, StreamExt as _};
use tempfile::TempDir;

use crate::memory::highest;
use crate::vocabulary::{Lend, Lent};

/// How long the others may take to hear each other beside the attack.
const HEARD_WITHIN: Duration = Duration::from_secs(60);
/// What the flood sends, in messages of 1 MiB, and what the hub may hold at its highest meanwhile, in MiB.
const FLOOD: usize = 400;
const HELD_MIB_MAX: u64 = 320;
/// The incarnation that the malicious leaf claims its log to have.
const LOG: &str = "evilevil";
/// In each payload of its own, to know it from what others say.
const MARK: &str = "said-by-the-malicious-leaf";
/// Requests that would undo the hub, should its own server ever publish them in the name of an answer.
const REPLIES: [&str; 10] = [
    "$JS.API.STREAM.PURGE.COMMAND_hub",
    "$JS.API.STREAM.DELETE.EVENT_hub",
    "$JS.API.STREAM.DELETE.FOREIGN_hub",
    "$JS.hub.API.STREAM.DELETE.EVENT_hub",
    "$JS.hub.API.STREAM.PURGE.COMMAND_hub",
    "library.event.lending.forged.Lent",
    "library.foreign.lending.forged.Lent",
    "library.live.event.lending.forged.Lent",
    "_INBOX.reader.x",
    "$SYS.REQ.SERVER.PING",
];

/// A hub with two leafs, one honest, and what is heard on both.
struct Scene {
    hub: TestNode,
    leaf: TestNode,
    listen: String,
    heard: [Arc<Mutex<Vec<u64>>>; 2],
    _running: Vec<Running>,
}

impl Scene {
    async fn begin() -> Scene {
        let listen = format!("127.0.0.1:{}", port::lasting());
        let leafs = ["--name", "hub", "--leaf-listen", &listen, "--leaf", "leafa", "--leaf", "leafb"];
        let hub = TestNode::start_with(fixture::DOMAIN, &leafs).await;
        let key = hub.comms_folder().join("node/domain.leaf-leafa.nk").to_string_lossy().into_owned();
        let url = format!("nats-leaf://{listen}");
        let joins =
            ["--name", "leafa", "--join", &url, "--join-key", &key, "--hub", "hub", "--sibling", "leafb"];
        let leaf = TestNode::start_with(fixture::DOMAIN, &joins).await;
        let mut running = Vec::new();
        let heard = [Arc::default(), Arc::default()];
        for (node, heard) in [&hub, &leaf].into_iter().zip(&heard) {
            let lender = node.connect("lender").await.handle(|lend: Lend, cx: CommandContext| async move {
                Ok::<_, Failure>(cx.new_entity("loan").emit(Lent { n: lend.n }))
            });
            running.push(lender.start().await.unwrap());
            let heard: Arc<Mutex<Vec<u64>>> = Arc::clone(heard);
            let reader = node.connect("reader").await.listen(move |lent: Recorded<Lent>, _: EventContext| {
                heard.lock().unwrap().push(lent.event().n);
                async { Ok(()) }
            });
            running.push(reader.start().await.unwrap());
        }
        Scene { hub, leaf, listen, heard, _running: running }
    }

    /// The honest sides exchange one event each, and hear both.
    async fn goes_on(&self, n: u64) {
        for (node, n) in [(&self.hub, n), (&self.leaf, n + 1)] {
            let sent = node.connect("evil").await.send(Lend { n }).owner("ada").await.unwrap();
            assert_eq!(sent.outcome().await.unwrap().end, End::Done);
        }
        self.hears(n).await;
        self.hears(n + 1).await;
    }

    /// Both hear it once.
    async fn hears(&self, n: u64) {
        wait_until(&format!("loan {n} to be heard on both sides"), HEARD_WITHIN, async || {
            let times =
                self.heard.each_ref().map(|heard| heard.lock().unwrap().iter().filter(|h| **h == n).count());
            if times == [1, 1] { Ok(()) } else { Err(format!("{times:?}\n{}", self.hub.logs())) }
        })
        .await;
    }

    async fn streams(&self) -> Vec<Config> {
        let mut configs = Vec::new();
        for stream in ["EVENT_hub", "COMMAND_hub", "FOREIGN_hub"] {
            let found = self.hub.jetstream().await.get_stream(stream).await;
            configs.push(found.unwrap().cached_info().config.clone());
        }
        configs
    }
}

/// The attacker's server, joined from one of its accounts, and a client in each.
struct Rogue {
    joined: Client,
    clients: Vec<Client>,
    asks: Subscriber,
    everything: Vec<Subscriber>,
    _server: Process,
    _folder: TempDir,
}

impl Rogue {
    async fn join(scene: &Scene, account: &str) -> Rogue {
        let folder = tempfile::tempdir().unwrap();
        let seed =
            std::fs::read_to_string(scene.hub.comms_folder().join("node/domain.leaf-leafb.nk")).unwrap();
        let (port, listen, seed) = (port::lasting(), &scene.listen, seed.trim());
        let store = folder.path().join("store").display().to_string();
        let mut file = std::fs::File::create(folder.path().join("rogue.conf")).unwrap();
        write!(
            file,
            r#"server_name: "rogue-{account}"
listen: "127.0.0.1:{port}"
max_payload: 8388608
jetstream {{ store_dir: "{store}", domain: "leafb" }}
accounts {{
  DOMAIN {{ jetstream: enabled, users: [ {{ user: DOMAIN, password: x }} ] }}
  SYS {{ users: [ {{ user: SYS, password: x }} ] }}
}}
system_account: SYS
leafnodes {{ reconnect: 1s, remotes: [ {{ url: "nats-leaf://{listen}", account: {account}, nkey: "{seed}" }} ] }}
"#
        )
        .unwrap();
        let mut command = std::process::Command::new(tools::nats_server());
        command.arg("-c").arg(folder.path().join("rogue.conf"));
        let mut server = Process::start(command);
        server.line_with("Server is ready").await;
        server.line_with("Leafnode connection created").await;
        let mut clients = Vec::new();
        for user in ["DOMAIN", "SYS"] {
            let options = async_nats::ConnectOptions::with_user_and_password(user.into(), "x".into());
            clients.push(options.connect(format!("nats://127.0.0.1:{port}")).await.unwrap());
        }
        let mut everything = Vec::new();
        for client in &clients {
            everything.push(client.subscribe(">").await.unwrap());
        }
        let joined = clients[usize::from(account == "SYS")].clone();
        let asks = joined.subscribe("library.bridge.leafb.hub.own.ask.*").await.unwrap();
        Rogue { joined, clients, asks, everything, _server: server, _folder: folder }
    }

    /// Says something on every kind of subject, with every reply that would do harm.
    async fn says_everything(&self) {
        let forged = lent(66, "lender").to_cbor();
        let payloads: [Bytes; 3] =
            [Bytes::new(), format!(r#"{{"name":"EVENT_hub","{MARK}":1}}"#).into(), forged.into()];
        for client in &self.clients {
            for subject in subjects() {
                for reply in REPLIES {
                    for payload in &payloads {
                        let said = client.publish_with_reply(subject.clone(), reply, payload.clone());
                        said.await.unwrap();
                    }
                }
            }
            client.flush().await.unwrap();
        }
    }

    /// Answers the next ask of the hub.
    async fn answers(&mut self, log: &str, through: u64, items: &[Item]) {
        let ask = tokio::time::timeout(HEARD_WITHIN, self.asks.next()).await.expect("the hub asks");
        let mut ask = ask.unwrap();
        // An ask that was not answered for long was asked again.
        while let Some(Some(newer)) = self.asks.next().now_or_never() {
            ask = newer;
        }
        let nonce = ask.subject.rsplit('.').next().unwrap();
        let mut payload = Vec::new();
        let mut writer = Writer::new(&mut payload);
        writer.array(4);
        writer.unsigned(1);
        writer.text(log);
        writer.unsigned(through);
        writer.array(items.len());
        for (at, node, subject, payload) in items {
            writer.array(6);
            writer.unsigned(*at);
            writer.text(node);
            writer.text(log);
            writer.unsigned(*at);
            writer.text(subject);
            writer.bytes(payload);
        }
        let answer = format!("library.bridge.hub.leafb.own.tell.batch.{nonce}");
        self.joined.publish_with_reply(answer, REPLIES[1], payload.into()).await.unwrap();
        self.joined.flush().await.unwrap();
    }

    /// What of the domain came out of the hub that is not said to this leaf.
    fn overheard(&mut self) -> BTreeSet<String> {
        let mut overheard = BTreeSet::new();
        for subscriber in &mut self.everything {
            while let Some(Some(message)) = subscriber.next().now_or_never() {
                // Its own server, too, answers where it is told to.
                let mut own = [Some(&message.subject), message.reply.as_ref()].into_iter().flatten();
                let is_own = own.any(|subject| REPLIES.contains(&subject.as_str()));
                let is_for_it = message.subject.starts_with("library.bridge.leafb.hub.");
                let is_of_domain = message.subject.contains("library") || message.subject.contains("_hub");
                if is_of_domain && !is_own && !is_for_it {
                    overheard.insert(message.subject.to_string());
                }
            }
        }
        overheard
    }
}

/// Place, node, subject and payload of one event that the malicious leaf tells.
type Item = (u64, &'static str, String, Bytes);

fn lent(n: u64, sender: &str) -> Msg {
    let id: MsgId = uuid(n).parse().unwrap();
    let mut metadata = Metadata::root(id, Owner::new("ada").unwrap(), Timestamp::from_unix_ms(n));
    metadata.sender = Some(sender.parse().unwrap());
    let body = Body::Inline(Node::encode(&std::collections::BTreeMap::from([("n", n)])).unwrap());
    let (type_name, entity) = ("lending.Lent".parse().unwrap(), format!("loan-{n}").parse().unwrap());
    let event = Event { type_name, entity, version: 1, previous: None, body };
    Msg { id, metadata, content: Some(DomainContent::Event(event)), hop: Hop::default() }
}

fn uuid(n: u64) -> String {
    format!("0190a000-0000-7000-8000-{n:012x}")
}

fn good(at: u64, n: u64) -> Item {
    (at, "leafb", format!("library.event.lending.loan-{n}.Lent"), lent(n, "lender").to_cbor().into())
}

/// Everything that is no event of `leafb`, with n from 60 on, behind `at`.
fn forged(at: u64) -> Vec<Item> {
    let subject = |n: u64| format!("library.event.lending.loan-{n}.Lent");
    let of = |n: u64, sender: &str| Bytes::from(lent(n, sender).to_cbor());
    let items: Vec<(&'static str, String, Bytes)> = vec![
        ("hub", subject(60), of(60, "lender")),
        ("leafa", subject(60), of(60, "lender")),
        ("leafb", subject(60), of(61, "lender")),
        ("leafb", subject(60), of(60, "evil")),
        ("leafb", subject(60), of(60, "nobody")),
        ("leafb", subject(60), Bytes::from_static(b"rubbish")),
        ("leafb", subject(60), Bytes::new()),
        ("leafb", subject(60), Bytes::from(vec![0xa0; 1_100_000])),
        ("leafb", "other.event.lending.loan-60.Lent".into(), of(60, "lender")),
        ("leafb", "library.event.lending.loan-60.Noted".into(), of(60, "lender")),
        ("leafb", "library.event.lending.loan-60.Unknown".into(), of(60, "lender")),
        ("leafb", "library.event.lending.*.Lent".into(), of(60, "lender")),
        ("leafb", "library.command.lending.Lend.evil".into(), of(60, "lender")),
        ("leafb", "library.outcome.lending.Lend.x".into(), of(60, "lender")),
        ("leafb", "library.live.event.lending.loan-60.Lent".into(), of(60, "lender")),
        ("leafb", "$JS.API.STREAM.DELETE.EVENT_hub".into(), of(60, "lender")),
        ("leafb", String::new(), of(60, "lender")),
        ("leafb", "x".repeat(70_000), of(60, "lender")),
    ];
    (at + 1..).zip(items).map(|(at, (node, subject, payload))| (at, node, subject, payload)).collect()
}

fn subjects() -> Vec<String> {
    let nonce = "0123456789abcdef";
    let mut subjects: Vec<String> = [
        "$JS.FC.EVENT_hub.x.y",
        "$JS.FC.FOREIGN_hub.source-leafb.x",
        "$JS.ACK.COMMAND_hub.c.1.1.1.1.0",
        "$JS.ACK.EVENT_hub.c.1.1.1.1.0",
        "$JSC.R.x",
        "$KV.bucket.key",
        "$O.bucket.C.x",
        "_INBOX.reader.x",
        "_INBOX.node.x",
        "_R_.x",
        "_GR_.x.y",
        "$SRV.PING",
        "$SYS.REQ.SERVER.PING",
        "$SYS.REQ.SERVER.PING.VARZ",
        "$SYS.REQ.USER.INFO",
        "$SYS.REQ.ACCOUNT.DOMAIN.CONNZ",
        "$SYS.REQ.CLAIMS.UPDATE",
        "$SYS.SERVER.x.SHUTDOWN",
        "library.command.lending.Lend.evil",
        "library.command.documents.Ping.desk",
        "library.query.documents.FindDocuments.desk",
        "library.event.lending.forged.Lent",
        "library.foreign.lending.forged.Lent",
        "library.live.event.lending.forged.Lent",
        "library.outcome.lending.Lend.x",
        "library.deliver.reader.event-x",
        "library.door.hello.desk",
        "library.door.command.lending.Lend.evil",
        "library.door.event.lending.Lent.lender",
        "library.node.hub.source.leafb",
    ]
    .map(str::to_owned)
    .to_vec();
    for verb in [
        "STREAM.DELETE.EVENT_hub",
        "STREAM.PURGE.COMMAND_hub",
        "STREAM.UPDATE.FOREIGN_hub",
        "STREAM.MSG.GET.EVENT_hub",
        "DIRECT.GET.EVENT_hub",
        "CONSUMER.RESET.EVENT_hub.source-leafb",
        "CONSUMER.CREATE.EVENT_hub.c",
        "CONSUMER.MSG.NEXT.COMMAND_hub.c",
        "CONSUMER.LIST.EVENT_hub",
        "INFO",
    ] {
        subjects.extend([format!("$JS.API.{verb}"), format!("$JS.hub.API.{verb}")]);
    }
    // The talk of the bridge: its own with rubbish, and that of everybody else.
    for (to, from) in
        [("hub", "leafb"), ("hub", "leafa"), ("leafa", "hub"), ("leafa", "leafb"), ("hub", "hub")]
    {
        for words in ["own.ask", "others.ask", "own.tell.beat", "own.tell.batch", "others.tell.batch", "x"] {
            subjects.push(format!("library.bridge.{to}.{from}.{words}.{nonce}"));
        }
    }
    subjects
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malicious_leaf_reaches_no_stream_and_forges_nobody() {
    let scene = Scene::begin().await;
    scene.goes_on(1).await;
    let before = scene.streams().await;
    let mut n = 100;
    let mut told = Vec::new();
    for account in ["DOMAIN", "SYS"] {
        let mut rogue = Rogue::join(&scene, account).await;
        rogue.says_everything().await;
        // Behind it on the same connection comes what is good, and so shows that it was all heard.
        let at = n;
        let mut items = forged(at);
        let last = items.last().unwrap().0 + 1;
        items.push(good(last, n));
        rogue.answers(LOG, last, &items).await;
        scene.hears(n).await;
        told.push(n);
        // Told again, from the start, and as if of other places.
        rogue.answers(LOG, last, &items).await;
        rogue.answers(LOG, u64::MAX, &[]).await;
        rogue.answers("evilevi2", 1, &forged(0)[..1]).await;
        rogue.answers("not a log", 1, &[good(1, 62)]).await;
        rogue.answers(LOG, 0, &[good(2, 62), good(1, 63)]).await;
        rogue.answers("evilevi3", n + 1, &[good(n + 1, n + 1)]).await;
        scene.hears(n + 1).await;
        told.push(n + 1);
        scene.goes_on(n + 2).await;
        n += 10;
        assert_eq!(rogue.overheard(), BTreeSet::new());
    }
    assert_eq!(scene.streams().await, before, "the streams are as they were");
    let expected: BTreeSet<u64> = [1, 2, 102, 103, 112, 113].into_iter().chain(told.clone()).collect();
    for heard in &scene.heard {
        let heard = heard.lock().unwrap();
        assert_eq!(heard.iter().copied().collect::<BTreeSet<u64>>(), expected);
        assert_eq!(heard.len(), expected.len(), "nothing is heard twice: {heard:?}");
    }
    let stored = scene.hub.stored("EVENT").await;
    assert_eq!((stored.messages, stored.last), (3, 3));
    assert_eq!(scene.hub.stored("COMMAND").await.last, 3);
    // What it told of itself, and what the honest leaf logged.
    assert_eq!(scene.hub.stored("FOREIGN").await.last, told.len() as u64 + 3);
    assert_eq!(scene.leaf.stored("FOREIGN").await.last, told.len() as u64 + 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_that_floods_takes_its_own_part_only() {
    let scene = Scene::begin().await;
    scene.goes_on(1).await;
    let mut rogue = Rogue::join(&scene, "DOMAIN").await;
    // It is heard: the hub asks it.
    rogue.asks.next().await.unwrap();
    let flood = tokio::spawn(async move {
        let (rubbish, ask) =
            (Bytes::from(vec![7; 1 << 20]), Bytes::from(r#"{"v":1,"log":"","after":0,"bytes":1}"#));
        for n in 0..FLOOD {
            for word in ["own.tell.batch", "others.tell.beat", "own.ask", "others.ask"] {
                let subject = format!("library.bridge.hub.leafb.{word}.{n:016x}");
                let payload = if word.ends_with("ask") { &ask } else { &rubbish };
                rogue.joined.publish(subject, payload.clone()).await.unwrap();
            }
        }
        rogue.joined.flush().await.unwrap();
        rogue
    });
    for n in [10, 20, 30] {
        scene.goes_on(n).await;
    }
    let mut rogue = flood.await.unwrap();
    // It is not shut out: when it has finished, it is asked again, and heard.
    wait_until("the hub to ask it again", HEARD_WITHIN, async || {
        rogue.answers(LOG, 1, &[good(1, 40)]).await;
        let heard = scene.heard[0].lock().unwrap();
        if heard.contains(&40) { Ok(()) } else { Err(heard.clone()) }
    })
    .await;
    let (node, server) = (scene.hub.pid(), scene.hub.nats_pid());
    for (what, pid) in [("the hub's node", node), ("the hub's nats-server", server)] {
        let held = highest(pid).unwrap();
        assert!(held <= HELD_MIB_MAX, "{what} held {held} MiB");
    }
}
