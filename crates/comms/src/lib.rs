//! The library a service uses to talk in its domain: it sends commands and asks queries to localhost, and reacts to
//! what happens.
//!
//! A service knows no address and no database of anybody else: a node (`comms up`) runs beside it, and the domain's
//! definition (`domain.toml`) says who may say what. This library finds the node, proves who the service is, and keeps
//! the connection.
//!
//! # A service
//! ```no_run
//! use comms::{CommandContext, Comms, Content, EventContext, QueryContext, Recorded};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct AddDocument { title: String, file: Content }
//! comms::command!(AddDocument = "documents.AddDocument");
//!
//! #[derive(Serialize, Deserialize)]
//! struct DocumentAdded { title: String, file: Content }
//! comms::event!(DocumentAdded = "documents.DocumentAdded");
//!
//! #[derive(Serialize, Deserialize)]
//! struct FindDocuments { words: String }
//! #[derive(Serialize, Deserialize)]
//! struct Documents { titles: Vec<String> }
//! comms::query!(FindDocuments = "documents.FindDocuments" -> Documents);
//!
//! #[tokio::main]
//! async fn main() -> comms::Result<()> {
//!     let comms = Comms::connect("archive").await?;
//!     comms
//!         .handle(async |add: AddDocument, cx: CommandContext| {
//!             let document = cx.new_entity("document"); // the same on every redelivery
//!             Ok(document.emit(DocumentAdded { title: add.title, file: add.file }))
//!         })
//!         .answer(async |find: FindDocuments, _: QueryContext| Ok(Documents { titles: vec![find.words] }))
//!         .run() // until Ctrl-C: takes nothing new, finishes what it has, leaves
//!         .await
//! }
//! ```
//!
//! # Whoever uses it
//! ```no_run
//! # use comms::{Comms, Content};
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize)] struct AddDocument { title: String, file: Content }
//! # comms::command!(AddDocument = "documents.AddDocument");
//! # #[derive(Serialize, Deserialize)] struct FindDocuments { words: String }
//! # #[derive(Serialize, Deserialize)] struct Documents { titles: Vec<String> }
//! # comms::query!(FindDocuments = "documents.FindDocuments" -> Documents);
//! # #[derive(Serialize, Deserialize)] struct DocumentAdded { title: String, file: Content }
//! # comms::event!(DocumentAdded = "documents.DocumentAdded");
//! # async fn run() -> comms::Result<()> {
//! use std::time::Duration;
//! use comms::WatchFrom;
//!
//! let comms = Comms::connect("desk").await?;
//! let file = Content::from_path("report.pdf").await?; // large: leaves the message, becomes a CID
//! let sent = comms.send(AddDocument { title: "Annual report".into(), file }).owner("ada").await?; // on disk
//! let outcome = sent.outcome().await?.done()?; // handled, and its events stored
//! let found = comms.ask(FindDocuments { words: "report".into() }).owner("ada").within(Duration::from_millis(500)).await?;
//!
//! let mut watch = comms.watch::<DocumentAdded>().from(WatchFrom::Start).await?;
//! while let Some(event) = watch.next().await {
//!     let event = event?;
//!     println!("{} {} {}", event.position(), event.entity(), event.title);
//! }
//! # Ok(()) }
//! ```
//!
//! # What holds
//! - A durable command is acknowledged when it is on disk, and handled at least once; its events count once.
//! - Direct commands and queries are kept by nobody: fast, and gone if nobody takes them.
//! - Every error says what a caller can do ([`ErrorKind`]) and whether the thing may have happened
//!   ([`Error::may_have_happened`]).
//! - Byte fields over the domain's threshold leave the message and are linked by their CID; what comes back is verified
//!   block by block.
//! - Nothing waits without a bound; what is dropped is counted ([`Comms::dropped`], [`Connection`]).

mod ask;
mod commit;
mod comms;
mod connection;
mod content;
mod context;
mod door;
mod error;
mod failure;
mod folder;
mod frame;
mod frames;
mod ids;
mod label;
mod lane;
mod limits;
pub mod local;
mod message;
mod offload;
mod open;
mod options;
mod outcome;
pub mod proof;
mod publish;
mod publisher;
mod raw;
mod recorded;
mod replies;
mod rights;
mod send;
mod serve;
mod tasks;
pub mod trust;
mod watch;

pub use ask::Ask;
pub use commit::{Commit, Entity};
pub use comms::Comms;
pub use comms_content::{Cid, Node};
pub use comms_msg::door::FieldProblem;
pub use comms_msg::{EntityId, Expect, MsgId, Owner, Position, ServiceName, Timestamp, TypeName};
pub use connection::Connection;
pub use content::{Client as ContentClient, Content, Put, Reader, Source};
pub use context::{CommandContext, EventContext, QueryContext};
pub use error::{Error, ErrorKind, Result};
pub use failure::Failure;
pub use message::{Command, Delivery, Direct, Durable, Event, Message, Query};
pub use open::Opened;
pub use options::Options;
pub use outcome::{AwaitOutcome, Caused, End, Outcome};
pub use publish::{Publish, Published};
pub use raw::{Raw, RawAsk, RawPublish, RawSend, RawSent};
pub use recorded::Recorded;
pub use send::{Send, Sent, Told};
pub use serve::{Running, Service};
pub use watch::{Watch, WatchBuilder, WatchFrom, Watched};
