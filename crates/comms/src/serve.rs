//! A service: its handlers, and the loop that runs them until it is stopped.
//!
//! Handlers of durable commands and of events get what the node's consumers push to this service (`intake.rs`, then
//! `commands.rs` and `events.rs`); those of direct commands and queries subscribe themselves, in the service's queue
//! group, so that instances share the work (`direct.rs`, `queries.rs`). When stopped, a service takes nothing new,
//! finishes what it has, and gives back what has not begun.

mod arrivals;
pub(crate) mod commands;
pub(crate) mod delivery;
mod direct;
pub(crate) mod dropped;
pub(crate) mod events;
mod gate;
mod handler;
mod intake;
mod lease;
mod notices;
mod queries;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use comms_msg::door::{Arrival, ListenAsk, Listening};
use comms_msg::{Door, Filter, Kind, TypeName};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::commit::Commit;
use crate::comms::Comms;
use crate::context::{CommandContext, EventContext, QueryContext};
use crate::door::Request;
use crate::error::{Error, ErrorKind, Result};
use crate::failure::Failure;
use crate::limits::{COMMANDS_AT_ONCE, DOOR_WITHIN, ENTITIES_AT_ONCE};
use crate::message::{Command, Delivery, Event, Query};
use crate::recorded::Recorded;
use crate::rights::Right;
use arrivals::Arrivals;
use commands::Commands;
use direct::Direct;
use events::Events;
use gate::Gate;
use handler::{CommandHandler, EventHandler, QueryHandler};
use intake::Intake;
use notices::Notices;
use queries::{Answers, Queries};

/// The handlers of a service, before it runs. From [`Comms::handle`], [`Comms::answer`] or [`Comms::listen`].
#[derive(Debug)]
#[must_use = "handlers run when the service does: .run().await"]
pub struct Service {
    comms: Comms,
    durable: HashMap<TypeName, CommandHandler>,
    direct: HashMap<TypeName, CommandHandler>,
    queries: HashMap<TypeName, QueryHandler>,
    /// `None`: events of this type are let pass.
    events: HashMap<TypeName, Option<EventHandler>>,
    at_once: usize,
    /// The first thing that is wrong with the handlers; told when the service is started.
    problem: Option<Error>,
}

impl Service {
    pub(crate) fn new(comms: Comms) -> Self {
        Self {
            comms,
            durable: HashMap::new(),
            direct: HashMap::new(),
            queries: HashMap::new(),
            events: HashMap::new(),
            at_once: COMMANDS_AT_ONCE,
            problem: None,
        }
    }

    /// Handles commands of one type.
    ///
    /// The events that the handler returns are stored together, once, with the command's outcome. An error is a retry
    /// with back-off, and after some tries a dead letter, as is a panic; see [`Failure`] for the handler's own
    /// decision. Several instances of a service share its commands.
    pub fn handle<C, R, F, Fut>(mut self, handler: F) -> Self
    where
        C: Command,
        R: Into<Commit>,
        F: Fn(C, CommandContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, Failure>> + Send + 'static,
    {
        if let Some(type_name) = self.name(C::TYPE) {
            let handlers = if C::Delivery::DURABLE { &mut self.durable } else { &mut self.direct };
            let second = handlers.insert(type_name.clone(), CommandHandler::of(type_name, handler)).is_some();
            self.once(second, C::TYPE);
        }
        self
    }

    /// Answers queries of one type. An error is told to the asker.
    pub fn answer<Q, F, Fut>(mut self, handler: F) -> Self
    where
        Q: Query,
        F: Fn(Q, QueryContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Q::Answer, Failure>> + Send + 'static,
    {
        if let Some(type_name) = self.name(Q::TYPE) {
            let second =
                self.queries.insert(type_name.clone(), QueryHandler::of(type_name, handler)).is_some();
            self.once(second, Q::TYPE);
        }
        self
    }

    /// Listens to the events of one type, from where this service stopped listening.
    ///
    /// `Ok` acknowledges. An error is a retry with back-off; later events of the same entity wait meanwhile, so that this
    /// instance listens to each entity in order. Other entities go on, until as many events as the node gives a service
    /// without an acknowledgement (1024) wait behind entities that fail: then nothing new is heard. Several instances share
    /// the events.
    ///
    /// An event that the handler rejects ([`Failure::reject`]), or whose body does not decode as `E`, is acknowledged: it
    /// is logged as a warning, counted as `rejected` in [`Comms::dropped`], and not heard again; the next event of its
    /// entity is heard. It stays in the log, where a [`watch`](Comms::watch) finds it.
    pub fn listen<E, F, Fut>(mut self, handler: F) -> Self
    where
        E: Event,
        F: Fn(Recorded<E>, EventContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        if let Some(type_name) = self.name(E::TYPE) {
            let handler = Some(EventHandler::of(type_name.clone(), handler));
            let second = self.events.insert(type_name, handler).is_some();
            self.once(second, E::TYPE);
        }
        self
    }

    /// Lets the events of one type pass: for a service that observes a type only to watch it.
    pub fn ignore<E: Event>(mut self) -> Self {
        if let Some(type_name) = self.name(E::TYPE) {
            let second = self.events.insert(type_name, None).is_some();
            self.once(second, E::TYPE);
        }
        self
    }

    /// How many durable commands this process handles at the same time; 64 if it is not said.
    pub fn at_once(mut self, commands: usize) -> Self {
        self.at_once = commands.max(1);
        self
    }

    /// Runs until Ctrl-C or SIGTERM.
    pub async fn run(self) -> Result<()> {
        self.run_until(interrupted()).await
    }

    /// Runs until `stop` is ready; then takes nothing new, finishes what it has, and returns.
    pub async fn run_until(self, stop: impl Future<Output = ()> + Send) -> Result<()> {
        let mut running = self.start().await?;
        tokio::select! {
            () = stop => {}
            () = running.ended() => {}
        }
        running.stop().await
    }

    /// Starts, and returns when everything is subscribed: what is sent from now on is handled.
    pub async fn start(self) -> Result<Running> {
        let Self { comms, durable, direct, queries, events, at_once, problem } = self;
        if let Some(problem) = problem {
            return Err(problem);
        }
        check(&comms, &durable, &direct, &queries, &events).await?;
        let stop = CancellationToken::new();
        let mut loops = JoinSet::new();
        if !durable.is_empty() || !events.is_empty() {
            let listening: Listening =
                comms.request(Request::of(comms.door(Door::Listen), &ListenAsk {}, DOOR_WITHIN)?).await?;
            if let Some(subject) = listening.notices {
                let notices = Notices::subscribe(&comms, subject).await?;
                loops.spawn(notices.run(comms.state().clone(), stop.clone()));
            }
            if !durable.is_empty() {
                let intake = intake(&comms, listening.commands, "durable commands", at_once, &stop).await?;
                let intake = Intake { commands_of: Some(comms.service().clone()), ..intake };
                let commands =
                    Arc::new(Commands { comms: comms.clone(), handlers: durable, stop: stop.clone() });
                loops.spawn(intake.run(|_| None, move |work| Arc::clone(&commands).handle(work)));
            }
            if !events.is_empty() {
                let here = (listening.events, Arc::clone(&comms.rights().log));
                let elsewhere = listening.foreign_log.map(|log| (listening.foreign, Arc::from(log)));
                let handlers = Arc::new(events);
                for (arrival, log) in std::iter::once(here).chain(elsewhere) {
                    let intake = intake(&comms, arrival, "events", ENTITIES_AT_ONCE, &stop).await?;
                    let handlers = Arc::clone(&handlers);
                    let events = Arc::new(Events { comms: comms.clone(), handlers, log });
                    loops.spawn(intake.run(events::line, move |work| Arc::clone(&events).handle(work)));
                }
            }
        }
        for (type_name, handler) in direct {
            let alone = Filter::commands(comms.domain(), &type_name);
            let frames = Filter::command_frames(comms.domain(), &type_name);
            let source =
                Arrivals::subscribe(comms.client(), &alone, &frames, comms.service().as_str()).await?;
            let gate = Gate::new(Kind::Command, type_name, &alone, &frames, Arc::clone(comms.drops()));
            loops.spawn(Direct { comms: comms.clone(), gate, handler, source, stop: stop.clone() }.run());
        }
        for (type_name, handler) in queries {
            let alone = Filter::queries(comms.domain(), &type_name);
            let frames = Filter::query_frames(comms.domain(), &type_name);
            let source =
                Arrivals::subscribe(comms.client(), &alone, &frames, comms.service().as_str()).await?;
            let gate = Gate::new(Kind::Query, type_name, &alone, &frames, Arc::clone(comms.drops()));
            let answers = Arc::new(Answers { comms: comms.clone(), gate, handler });
            loops.spawn(Queries { answers, source, stop: stop.clone() }.run());
        }
        // The server takes what a connection says in order: when it answers this, it has the subscriptions.
        comms.flush().await?;
        tracing::info!(service = %comms.service(), domain = %comms.domain(), "ready");
        Ok(Running { comms, loops, stop })
    }

    fn name(&mut self, name: &str) -> Option<TypeName> {
        match name.parse() {
            Ok(type_name) => Some(type_name),
            Err(error) => {
                self.problem.get_or_insert(Error::from(error));
                None
            }
        }
    }

    fn once(&mut self, second: bool, name: &str) {
        if second {
            let error = Error::new(
                ErrorKind::Config,
                format!("{name} has two handlers in this program; it may have one"),
            );
            self.problem.get_or_insert(error);
        }
    }
}

/// A service that runs. Dropping it stops it at once; [`Running::stop`] stops it in order.
#[derive(Debug)]
#[must_use = "dropping a running service stops it at once"]
pub struct Running {
    comms: Comms,
    loops: JoinSet<()>,
    stop: CancellationToken,
}

impl Running {
    /// Takes nothing new, finishes what it has, gives back what has not begun; returns when the server knows.
    pub async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        while let Some(ended) = self.loops.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a part of the service ended badly");
            }
        }
        // Acknowledgements and answers are still on their way; a connection that is gone has lost them already.
        if self.comms.connection().borrow().connected {
            self.comms.flush().await?;
        }
        Ok(())
    }

    /// Waits for a part that ends by itself, which happens only when the connection is closed for good.
    async fn ended(&mut self) {
        if self.loops.join_next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// Whether the definition lets the service do what it has handlers for, and what it has none for.
async fn check(
    comms: &Comms,
    durable: &HashMap<TypeName, CommandHandler>,
    direct: &HashMap<TypeName, CommandHandler>,
    queries: &HashMap<TypeName, QueryHandler>,
    events: &HashMap<TypeName, Option<EventHandler>>,
) -> Result<()> {
    for type_name in durable.keys() {
        comms.check(Right::Handle { durable: true }, type_name).await?;
    }
    for type_name in direct.keys() {
        comms.check(Right::Handle { durable: false }, type_name).await?;
    }
    for type_name in queries.keys() {
        comms.check(Right::Answer, type_name).await?;
    }
    for type_name in events.keys() {
        comms.check(Right::Observe, type_name).await?;
    }
    let rights = comms.rights();
    if !durable.is_empty() {
        warn_unhandled(rights.durable_handles(), &durable.keys().collect(), "handles");
    }
    if !events.is_empty() {
        warn_unhandled(rights.observed(), &events.keys().collect(), "observes");
    }
    Ok(())
}

/// Deliveries of these come here too, and are left to other instances; without one that takes them they pile up.
fn warn_unhandled<'a>(all: impl Iterator<Item = &'a TypeName>, own: &HashSet<&TypeName>, verb: &str) {
    for type_name in all.filter(|type_name| !own.contains(type_name)) {
        tracing::warn!(%type_name, "the service {verb} this type, and this program has no handler for it");
    }
}

async fn intake(
    comms: &Comms,
    arrival: Option<Arrival>,
    what: &str,
    at_once: usize,
    stop: &CancellationToken,
) -> Result<Intake> {
    let Some(Arrival { subject, queue, ack_wait_ms, max_ack_pending }) = arrival else {
        return Err(Error::new(ErrorKind::Internal, format!("the node names no place where {what} arrive")));
    };
    Ok(Intake {
        client: comms.client().clone(),
        commands_of: None,
        deliver: subscribe(comms, &subject, &queue).await?,
        // A node that said zero would have leases kept without a pause.
        ack_wait: Duration::from_millis(ack_wait_ms.max(LEASE_MS_MIN)),
        held_max: usize::try_from(max_ack_pending).unwrap_or(usize::MAX).clamp(1, HELD_MAX),
        at_once,
        dropped: Arc::clone(comms.drops()),
        stop: stop.clone(),
    })
}

/// The shortest lease that can be kept over a loaded connection.
const LEASE_MS_MIN: u64 = 300;
/// Deliveries held at most, whatever the node says.
const HELD_MAX: usize = 16 * 1024;

async fn subscribe(comms: &Comms, subject: &str, queue: &str) -> Result<async_nats::Subscriber> {
    comms
        .client()
        .queue_subscribe(subject.to_owned(), queue.to_owned())
        .await
        .map_err(|error| Error::new(ErrorKind::Unavailable, "the connection is closed").because(error))
}

async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut terminate) = signal(SignalKind::terminate()) else {
            return interrupt().await;
        };
        tokio::select! {
            () = interrupt() => {}
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    interrupt().await;
}

async fn interrupt() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::warn!(%error, "Ctrl-C cannot be noticed; the service runs until its process ends");
        std::future::pending::<()>().await;
    }
}
