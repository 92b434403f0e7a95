//! The gateway on a real loopback socket, with the real client.

mod access;
mod conditions;
mod content;
mod crowd;
mod hostile;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use comms::ContentClient;
use comms_content::Cid;
use comms_domain::Domain;
use comms_msg::{ServiceName, TypeName};
use comms_store::{Blocks, Grants};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Admin, Definition, Gateway, Tokens};
use crate::access::Access;
use crate::current::{Current, InForce};
use crate::fixture::{domain, in_force};

pub(super) const MIB: usize = 1024 * 1024;

const SERVICES: [&str; 7] = ["archive", "desk", "indexer", "auditor", "stranger", "dev", "operator"];

pub(super) const LIBRARY: &str = r#"
name = "library"

[command."documents.AddDocument"]
delivery = "durable"

[command."documents.Ping"]
delivery = "direct"

[query."documents.FindDocuments"]

[event."documents.DocumentAdded"]
entity = "document"

[service.archive]
handles = ["documents.AddDocument", "documents.Ping"]
answers = ["documents.FindDocuments"]
emits = ["documents.DocumentAdded"]

[service.desk]
sends = ["documents.AddDocument", "documents.Ping"]
asks = ["documents.FindDocuments"]

[service.indexer]
observes = ["documents.DocumentAdded"]

[service.stranger]
sends = ["documents.Ping"]

[service.auditor]
rights = ["content.read"]
"#;

/// The definition in force, with the tokens of all services.
pub(super) fn admitting(domain: Domain) -> InForce {
    let tokens = Tokens::of(SERVICES.map(|name| (name.parse().unwrap(), token(name))));
    InForce { tokens, ..in_force(domain) }
}

/// A gateway with everything behind it.
pub(super) struct Bench {
    pub(super) access: Arc<Access>,
    pub(super) blocks: Blocks,
    pub(super) current: Current,
    pub(super) port: u16,
    folder: TempDir,
    stop: CancellationToken,
    served: JoinHandle<std::io::Result<()>>,
}

/// What came back from a request written by hand.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Bench {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let blocks = Blocks::open(&folder.path().join("blocks")).unwrap();
        let grants = Grants::open(&folder.path().join("grants")).unwrap();
        let current = Current::new(admitting(Arc::unwrap_or_clone(domain(LIBRARY))));
        let access = Arc::new(Access::new(blocks.clone(), grants));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = CancellationToken::new();
        let served = tokio::spawn(Gateway::serve(
            current.clone(),
            Arc::clone(&access),
            blocks.clone(),
            admin(),
            listener,
            UnixListener::bind(folder.path().join("http.sock")).unwrap(),
            stop.clone().cancelled_owned(),
        ));
        Self { access, blocks, current, port, folder, stop, served }
    }

    pub(super) fn client(&self, service: &str) -> ContentClient {
        ContentClient::new(&format!("http://127.0.0.1:{}", self.port), &token(service)).unwrap()
    }

    pub(super) async fn may_read(&self, name: &str, cid: &Cid) -> bool {
        self.access.may_read(&self.current.get().domain, &service(name), cid).await.unwrap()
    }

    pub(super) async fn may_link(&self, name: &str, cid: &Cid) -> bool {
        self.access.may_link(&self.current.get().domain, &service(name), cid).await.unwrap()
    }

    /// Where the block of this CID is on the disk.
    pub(super) fn file(&self, cid: &Cid) -> PathBuf {
        let name = cid.with_codec(comms_content::RAW).to_string();
        self.folder.path().join("blocks").join(&name[name.len() - 3..name.len() - 1]).join(name)
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    /// The head of a request of a service; further lines and the end of the head are the caller's.
    pub(super) fn head(&self, service: &str, line: &str) -> String {
        let token = token(service);
        let port = self.port;
        format!(
            "{line} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n"
        )
    }

    /// Sends what stands there and reads until the gateway closes.
    pub(super) async fn raw(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(request.as_ref()).await.unwrap();
        answer(stream).await
    }

    /// A request without a body.
    pub(super) async fn ask(&self, service: &str, line: &str, headers: &str) -> Answer {
        self.raw(self.head(service, line) + headers + "\r\n").await
    }

    pub(super) async fn get(&self, service: &str, cid: &Cid, headers: &str) -> Answer {
        self.ask(service, &format!("GET /content/{cid}"), headers).await
    }

    /// Stops in order, and is sure that nothing went wrong.
    pub(super) async fn close(self) {
        self.stop.cancel();
        self.served.await.unwrap().unwrap();
    }
}

/// What comes until the gateway closes.
pub(super) async fn answer(mut stream: TcpStream) -> Answer {
    let mut all = Vec::new();
    // A gateway that cuts may do so with a reset; what came before counts.
    let _ = stream.read_to_end(&mut all).await;
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(all[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: all.split_off(end + 4) }
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// The kind of the refusal that this must be.
    pub(super) fn refusal(&self) -> String {
        let json = self.json();
        assert!(!json["error"]["message"].as_str().unwrap().is_empty());
        json["error"]["kind"].as_str().unwrap().to_owned()
    }
}

fn token(service: &str) -> String {
    format!("{service:x<64}")
}

fn admin() -> Admin {
    Admin {
        plan: Box::new(|definition: Definition| {
            Box::pin(async move { Ok(json!({ "file": definition.file })) })
        }),
        apply: Box::new(|(by, definition): (ServiceName, Definition)| {
            Box::pin(async move {
                assert_ne!(definition.file, "panic", "a mistake of the node's own");
                Ok(json!({ "by": by.to_string() }))
            })
        }),
        who: Box::new(|()| Box::pin(async { Ok(json!({ "node": "n" })) })),
        health: Box::new(|()| Box::pin(async { Ok(json!({ "ok": true })) })),
        room: crate::room::Room::endless(),
    }
}

/// Bytes in which no two chunks are alike.
pub(super) fn bytes(length: usize) -> Bytes {
    (0..length).map(|at| (at * 31 + at / 251 + at / 65_521) as u8).collect::<Vec<_>>().into()
}

pub(super) fn type_name(name: &str) -> TypeName {
    name.parse().unwrap()
}

pub(super) fn service(name: &str) -> ServiceName {
    name.parse().unwrap()
}

/// The CID that is its own content.
pub(super) fn inline(codec: u64, data: &[u8]) -> Cid {
    let length = u8::try_from(data.len()).unwrap();
    assert!(length < 0x80 && codec < 0x80, "one byte each");
    Cid::from_bytes(&[&[1, u8::try_from(codec).unwrap(), 0, length], data].concat()).unwrap()
}
