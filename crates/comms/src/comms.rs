//! The handle to a domain: everything else is reached from here.
//!
//! Cheap to clone; all clones share one connection. The tasks of the connection end with its last handle.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use async_nats::{Client, Subject as NatsSubject};
use comms_content::Cid;
use comms_msg::door::Hello;
use comms_msg::{DomainName, Door, MsgId, Owner, ServiceName, Subject, TypeName};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::ask::Ask;
use crate::commit::Commit;
use crate::connection::{self, Connection};
use crate::content::{self, Content, Put, Reader, Source};
use crate::context::{CommandContext, EventContext, QueryContext};
use crate::door::{self, Request};
use crate::error::{Error, ErrorKind, Result};
use crate::failure::Failure;
use crate::frames::Asker;
use crate::label::Label;
use crate::lane::Lane;
use crate::limits::{CONNECT_WITHIN, DOOR_WITHIN, FRAMES_QUESTIONS_MAX, SHARED_REMEMBERED_MAX};
use crate::message::{Command, Event, Query};
use crate::open::Opened;
use crate::options::{Options, Settings};
use crate::outcome::AwaitOutcome;
use crate::publish::Publish;
use crate::publisher::Publisher;
use crate::raw::Raw;
use crate::recorded::Recorded;
use crate::replies::Replies;
use crate::rights::{Right, Rights};
use crate::send::Send;
use crate::serve::Service;
use crate::serve::dropped::Dropped;
use crate::tasks::Tasks;
use crate::watch::WatchBuilder;

/// How old what the node told may be before a right that is missing is asked for again: `comms domain apply`
/// changes rights while services run.
const RIGHTS_AGE_MIN: Duration = Duration::from_secs(1);

/// A connection to a domain, as one of its services.
#[derive(Clone, Debug)]
pub struct Comms(Arc<Inner>);

/// As many as the definition has types that this service may use.
type Lanes = RwLock<HashMap<TypeName, Arc<Lane>>>;

/// What leaves on a lane.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LaneOf {
    /// A direct command.
    Command,
    /// A query.
    Query,
}

#[derive(Debug)]
struct Inner {
    service: ServiceName,
    domain: DomainName,
    owner: Option<Owner>,
    client: Client,
    replies: Arc<Replies>,
    publisher: Arc<Publisher>,
    commands: Lanes,
    queries: Lanes,
    rights: Mutex<(Instant, Arc<Rights>)>,
    content: content::Client,
    /// Content that messages of a type may carry already, as far as remembered.
    shared: Mutex<HashSet<(Cid, TypeName)>>,
    state: watch::Sender<Connection>,
    dropped: Arc<Dropped>,
    _tasks: Tasks,
}

impl Comms {
    /// Connects as the service `name`: the node is found through the `.comms` folder upwards from the working
    /// directory (or `COMMS_CREDENTIALS`), and so are the service's credentials.
    pub async fn connect(name: &str) -> Result<Self> {
        Self::options().connect(name).await
    }

    /// For connecting in another way.
    pub fn options() -> Options {
        Options::default()
    }

    pub(crate) async fn start(settings: Settings) -> Result<Self> {
        let replies = Replies::new(&settings.service);
        let state = watch::Sender::new(Connection::default());
        let client = connection::connect(&settings, Arc::clone(&replies), state.clone()).await?;
        let inbox = client.subscribe(replies.inbox()).await.map_err(closed)?;

        let tasks = Tasks::default();
        let publisher = Arc::new(Publisher::default());
        tasks.spawn("replies", Arc::clone(&replies).run(inbox, Arc::clone(&publisher)));
        let (busy, lanes) = mpsc::channel(FRAMES_QUESTIONS_MAX);
        tasks.spawn("publisher", Arc::clone(&publisher).run(client.clone(), Arc::clone(&replies), busy));
        let asker = Asker {
            client: client.clone(),
            replies: Arc::clone(&replies),
            domain: settings.domain.clone(),
            service: settings.service.clone(),
        };
        tasks.spawn("frames", asker.run(lanes));

        let hello = hello(&client, &replies, &settings.domain, &settings.service, CONNECT_WITHIN).await?;
        let content = content::Client::local(&settings.folder, &settings.service)?;
        Ok(Self(Arc::new(Inner {
            service: settings.service,
            domain: settings.domain,
            owner: settings.owner,
            client,
            replies,
            publisher,
            commands: Lanes::default(),
            queries: Lanes::default(),
            rights: Mutex::new((Instant::now(), Arc::new(Rights::new(hello)))),
            content,
            shared: Mutex::default(),
            state,
            dropped: Arc::default(),
            _tasks: tasks,
        })))
    }

    /// The service that this connection is of.
    pub fn service(&self) -> &ServiceName {
        &self.0.service
    }

    /// The domain that this connection is to.
    pub fn domain(&self) -> &DomainName {
        &self.0.domain
    }

    /// How the connection is, and every change of it.
    pub fn connection(&self) -> watch::Receiver<Connection> {
        self.0.state.subscribe()
    }

    /// Messages that handlers of this connection dropped, by reason. `rejected` are events that a listener rejected or
    /// that did not decode.
    pub fn dropped(&self) -> Vec<(&'static str, u64)> {
        let late = ("late answer", self.0.replies.late());
        self.0.dropped.counts().chain([late]).collect()
    }

    /// Sends a command.
    ///
    /// Of a durable command, awaiting this gives a [`Sent`](crate::Sent) once it is kept on disk; of a direct one a
    /// [`Told`](crate::Told) once it stands in line to leave.
    ///
    /// ```no_run
    /// # use serde::{Serialize, Deserialize};
    /// # #[derive(Serialize, Deserialize)] struct AddDocument { title: String }
    /// # comms::command!(AddDocument = "documents.AddDocument");
    /// # async fn run(comms: comms::Comms) -> comms::Result<()> {
    /// let sent = comms.send(AddDocument { title: "Annual report".into() }).owner("ada").await?;
    /// let outcome = sent.outcome().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// A query is asked, and cannot be sent:
    /// ```no_run
    /// # use serde::{Serialize, Deserialize};
    /// # #[derive(Serialize, Deserialize)] struct FindDocuments { words: String }
    /// # comms::query!(FindDocuments = "documents.FindDocuments" -> Vec<String>);
    /// # fn run(comms: comms::Comms) {
    /// let _ = comms.ask(FindDocuments { words: "report".into() });
    /// # }
    /// ```
    /// ```compile_fail,E0277
    /// # use serde::{Serialize, Deserialize};
    /// # #[derive(Serialize, Deserialize)] struct FindDocuments { words: String }
    /// # comms::query!(FindDocuments = "documents.FindDocuments" -> Vec<String>);
    /// # fn run(comms: comms::Comms) {
    /// let _ = comms.send(FindDocuments { words: "report".into() });
    /// # }
    /// ```
    /// An event is published, and cannot be sent:
    /// ```no_run
    /// # use serde::{Serialize, Deserialize};
    /// # #[derive(Serialize, Deserialize)] struct DocumentAdded { title: String }
    /// # comms::event!(DocumentAdded = "documents.DocumentAdded");
    /// # fn run(comms: comms::Comms) {
    /// let _ = comms.publish(DocumentAdded { title: "report".into() });
    /// # }
    /// ```
    /// ```compile_fail,E0277
    /// # use serde::{Serialize, Deserialize};
    /// # #[derive(Serialize, Deserialize)] struct DocumentAdded { title: String }
    /// # comms::event!(DocumentAdded = "documents.DocumentAdded");
    /// # fn run(comms: comms::Comms) {
    /// let _ = comms.send(DocumentAdded { title: "report".into() });
    /// # }
    /// ```
    pub fn send<C: Command>(&self, command: C) -> Send<C> {
        Send::new(self.clone(), command, Label::default())
    }

    /// Asks a query; awaiting this gives its answer.
    ///
    /// A command is sent, and cannot be asked:
    /// ```no_run
    /// # use serde::{Serialize, Deserialize};
    /// # #[derive(Serialize, Deserialize)] struct AddDocument { title: String }
    /// # comms::command!(AddDocument = "documents.AddDocument");
    /// # fn run(comms: comms::Comms) {
    /// let _ = comms.send(AddDocument { title: "report".into() });
    /// # }
    /// ```
    /// ```compile_fail,E0277
    /// # use serde::{Serialize, Deserialize};
    /// # #[derive(Serialize, Deserialize)] struct AddDocument { title: String }
    /// # comms::command!(AddDocument = "documents.AddDocument");
    /// # fn run(comms: comms::Comms) {
    /// let _ = comms.ask(AddDocument { title: "report".into() });
    /// # }
    /// ```
    pub fn ask<Q: Query>(&self, query: Q) -> Ask<Q> {
        Ask::new(self.clone(), query, Label::default(), None)
    }

    /// Publishes an event of an entity; awaiting this gives its place in the log once it is on disk.
    ///
    /// A command is sent, and cannot be published:
    /// ```no_run
    /// # use serde::{Serialize, Deserialize};
    /// # #[derive(Serialize, Deserialize)] struct AddDocument { title: String }
    /// # comms::command!(AddDocument = "documents.AddDocument");
    /// # fn run(comms: comms::Comms) {
    /// let _ = comms.send(AddDocument { title: "report".into() });
    /// # }
    /// ```
    /// ```compile_fail,E0277
    /// # use serde::{Serialize, Deserialize};
    /// # #[derive(Serialize, Deserialize)] struct AddDocument { title: String }
    /// # comms::command!(AddDocument = "documents.AddDocument");
    /// # fn run(comms: comms::Comms) {
    /// let _ = comms.publish(AddDocument { title: "report".into() });
    /// # }
    /// ```
    pub fn publish<E: Event>(&self, event: E) -> Publish<E> {
        Publish::new(self.clone(), event, Label::default())
    }

    /// Watches the events of one type.
    ///
    /// Events are watched; a command cannot be:
    /// ```no_run
    /// # use serde::{Serialize, Deserialize};
    /// # #[derive(Serialize, Deserialize)] struct AddDocument { title: String }
    /// # comms::command!(AddDocument = "documents.AddDocument");
    /// # #[derive(Serialize, Deserialize)] struct DocumentAdded { title: String }
    /// # comms::event!(DocumentAdded = "documents.DocumentAdded");
    /// # fn run(comms: comms::Comms) {
    /// let _ = comms.watch::<DocumentAdded>();
    /// # }
    /// ```
    /// ```compile_fail,E0277
    /// # use serde::{Serialize, Deserialize};
    /// # #[derive(Serialize, Deserialize)] struct AddDocument { title: String }
    /// # comms::command!(AddDocument = "documents.AddDocument");
    /// # #[derive(Serialize, Deserialize)] struct DocumentAdded { title: String }
    /// # comms::event!(DocumentAdded = "documents.DocumentAdded");
    /// # fn run(comms: comms::Comms) {
    /// let _ = comms.watch::<AddDocument>();
    /// # }
    /// ```
    pub fn watch<E: Event>(&self) -> WatchBuilder<E> {
        WatchBuilder::typed(self.clone())
    }

    /// Watches the events of several types, without decoding their bodies.
    pub fn watch_types(&self, types: impl IntoIterator<Item = TypeName>) -> WatchBuilder<comms_msg::Body> {
        WatchBuilder::untyped(self.clone(), types.into_iter().collect())
    }

    /// How the command `id` of the type `C` ended, for a sender that comes back later.
    pub fn outcome<C: Command>(&self, id: MsgId) -> AwaitOutcome {
        AwaitOutcome::new(self.clone(), C::TYPE.parse().map_err(Error::from), id)
    }

    /// Handles commands of one type; more handlers follow on what comes back, then
    /// [`run`](Service::run).
    pub fn handle<C, R, F, Fut>(&self, handler: F) -> Service
    where
        C: Command,
        R: Into<Commit>,
        F: Fn(C, CommandContext) -> Fut + std::marker::Send + Sync + 'static,
        Fut: Future<Output = Result<R, Failure>> + std::marker::Send + 'static,
    {
        Service::new(self.clone()).handle(handler)
    }

    /// Answers queries of one type; more handlers follow on what comes back, then [`run`](Service::run).
    pub fn answer<Q, F, Fut>(&self, handler: F) -> Service
    where
        Q: Query,
        F: Fn(Q, QueryContext) -> Fut + std::marker::Send + Sync + 'static,
        Fut: Future<Output = Result<Q::Answer, Failure>> + std::marker::Send + 'static,
    {
        Service::new(self.clone()).answer(handler)
    }

    /// Listens to the events of one type; more handlers follow on what comes back, then [`run`](Service::run).
    pub fn listen<E, F, Fut>(&self, handler: F) -> Service
    where
        E: Event,
        F: Fn(Recorded<E>, EventContext) -> Fut + std::marker::Send + Sync + 'static,
        Fut: Future<Output = Result<(), Failure>> + std::marker::Send + 'static,
    {
        Service::new(self.clone()).listen(handler)
    }

    /// Puts bytes of any length, in constant memory. Durable when it returns.
    pub async fn put(&self, source: impl Into<Source>) -> Result<Put> {
        self.0.content.put(source).await
    }

    /// The bytes of a content: in constant memory, each block verified before a byte of it is handed on.
    pub async fn get(&self, cid: &Cid) -> Result<Reader> {
        self.0.content.get(cid).await
    }

    /// The bytes of a field that may be large, wherever they are.
    pub async fn open(&self, content: &Content) -> Result<Opened> {
        match content {
            Content::Bytes(bytes) => Ok(Opened::here(bytes.clone())),
            Content::Link(cid) => self.get(cid).await.map(Opened::there),
        }
    }

    /// Putting and getting with everything that it offers.
    pub fn content(&self) -> &content::Client {
        &self.0.content
    }

    /// The same without types: names and values, for tools.
    pub fn raw(&self) -> Raw {
        Raw::new(self.clone())
    }

    /// Waits until everything sent so far has reached the server, whatever is sent meanwhile.
    ///
    /// For direct commands, which nothing acknowledges; what the server does with them afterwards is not known. While the
    /// connection is being made anew this waits for it; once it is closed for good this is an error.
    pub async fn flush(&self) -> Result<()> {
        self.0.publisher.drained().await?;
        // A request on the same connection arrives after what was written before it; a socket flush proves nothing.
        self.refresh().await.map(drop)
    }

    pub(crate) fn owner(&self) -> Option<&Owner> {
        self.0.owner.as_ref()
    }

    pub(crate) fn client(&self) -> &Client {
        &self.0.client
    }

    pub(crate) fn replies(&self) -> &Replies {
        &self.0.replies
    }

    pub(crate) fn publisher(&self) -> &Publisher {
        &self.0.publisher
    }

    /// Lets messages of a type carry a content that is there already.
    pub(crate) async fn share(&self, cid: &Cid, type_name: &TypeName) -> Result<()> {
        let key = (*cid, type_name.clone());
        if self.0.shared.lock().unwrap_or_else(PoisonError::into_inner).contains(&key) {
            return Ok(());
        }
        self.0.content.share(cid, type_name).await?;
        let mut shared = self.0.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.len() >= SHARED_REMEMBERED_MAX {
            // Forgetting costs a request for each, and nothing else.
            shared.clear();
        }
        shared.insert(key);
        Ok(())
    }

    pub(crate) fn state(&self) -> &watch::Sender<Connection> {
        &self.0.state
    }

    pub(crate) fn drops(&self) -> &Arc<Dropped> {
        &self.0.dropped
    }

    pub(crate) fn rights(&self) -> Arc<Rights> {
        Arc::clone(&self.0.rights.lock().unwrap_or_else(PoisonError::into_inner).1)
    }

    /// Whether the service has this right; the node is asked again before the answer is no.
    pub(crate) async fn check(&self, right: Right, type_name: &TypeName) -> Result<Arc<Rights>> {
        let (asked, rights) = self.0.rights.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match rights.check(right, type_name) {
            Ok(()) => Ok(rights),
            Err(error) if asked.elapsed() < RIGHTS_AGE_MIN => Err(error),
            Err(_) => {
                let rights = self.refresh().await?;
                rights.check(right, type_name).map(|()| rights)
            }
        }
    }

    async fn refresh(&self) -> Result<Arc<Rights>> {
        let Inner { client, replies, domain, service, .. } = &*self.0;
        let rights = Arc::new(Rights::new(hello(client, replies, domain, service, DOOR_WITHIN).await?));
        *self.0.rights.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), Arc::clone(&rights));
        Ok(rights)
    }

    /// The subject of one of this service's doors.
    pub(crate) fn door(&self, door: Door) -> Subject {
        Subject::Door { domain: self.0.domain.clone(), door, sender: self.0.service.clone() }
    }

    /// Asks a door.
    pub(crate) async fn request<T: DeserializeOwned>(&self, request: Request) -> Result<T> {
        door::ask(&self.0.client, &self.0.replies, request).await
    }

    /// The lane of a type that this service has the right to send or ask; made at first use.
    pub(crate) async fn lane(&self, of: LaneOf, type_name: &str) -> Result<Arc<Lane>> {
        let lanes = match of {
            LaneOf::Command => &self.0.commands,
            LaneOf::Query => &self.0.queries,
        };
        if let Some(lane) = lanes.read().unwrap_or_else(PoisonError::into_inner).get(type_name) {
            return Ok(Arc::clone(lane));
        }
        let type_name: TypeName = type_name.parse()?;
        let (domain, sender) = (self.0.domain.clone(), self.0.service.clone());
        let subject = match of {
            LaneOf::Command => {
                self.check(Right::Send { durable: Some(false) }, &type_name).await?;
                Subject::Command { domain, type_name: type_name.clone(), sender }
            }
            LaneOf::Query => {
                self.check(Right::Ask, &type_name).await?;
                Subject::Query { domain, type_name: type_name.clone(), sender }
            }
        };
        let frames = NatsSubject::from(subject.frames().expect("direct messages have one").to_string());
        let subject = NatsSubject::from(subject.to_string());
        let mut lanes = lanes.write().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.entry(type_name.clone()).or_insert_with(|| match of {
            LaneOf::Command => {
                let (token, reply) = self.0.replies.lane_reply();
                let lane = Lane::new(subject, frames.clone(), Some(reply), type_name);
                self.0.replies.expect_lane(token, frames, Arc::clone(&lane));
                lane
            }
            LaneOf::Query => Lane::new(subject, frames, None, type_name),
        });
        Ok(Arc::clone(lane))
    }
}

pub(crate) async fn hello(
    client: &Client,
    replies: &Replies,
    domain: &DomainName,
    service: &ServiceName,
    within: Duration,
) -> Result<Hello> {
    let subject = Subject::Door { domain: domain.clone(), door: Door::Hello, sender: service.clone() };
    let mut request = Request::of(subject, &comms_msg::door::HelloAsk {}, within)?;
    request.tells_only = true;
    door::ask(client, replies, request).await
}

fn closed(error: impl std::error::Error + std::marker::Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Unavailable, "the connection is closed").because(error)
}
