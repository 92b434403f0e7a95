//! The doors: where services hand the node what is to be kept, and ask for what the node knows.
//!
//! A door is an operation: [`Doors::perform`] takes who asks and what ([`Ask`]), checks kind, sender, schema, rights and
//! links, and only then writes to the log. Who asks is vouched for by what carries the request (`transport.rs` over
//! NATS). One definition judges a request from its beginning to its end.
//!
//! Requests are performed concurrently, up to a limit; order is promised per entity between requests that waited for
//! each other's answers.

mod ask;
mod check;
mod command;
mod commit;
mod complete;
mod ending;
mod entrances;
mod event;
mod hello;
mod line;
mod offload;
mod outcome;
mod reception;
mod request;
mod tally;
#[cfg(test)]
mod tests;
mod transport;
mod watch;
mod watches;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use comms_msg::ServiceName;
use comms_msg::door::{Refusal, RefusalKind};
use comms_store::Blocks;
use futures::FutureExt;
use tokio_util::sync::CancellationToken;

pub(crate) use self::ask::{Answer, Ask};
pub(crate) use self::entrances::Entrances;
pub(crate) use self::tally::Tallies;
pub(crate) use self::transport::Transport;
pub(crate) use self::watches::Watches;
use crate::access::Access;
use crate::condition::Condition;
use crate::current::Current;
use crate::log::EventLog;

/// All doors of a node.
#[derive(Debug)]
pub(crate) struct Doors {
    pub(crate) current: Current,
    pub(crate) log: EventLog,
    pub(crate) watches: Watches,
    pub(crate) tallies: Tallies,
    pub(crate) access: Arc<Access>,
    pub(crate) blocks: Blocks,
    /// How what it stands on is, for who must be told why something is not done.
    pub(crate) condition: Condition,
    pub(crate) node: String,
    pub(crate) http: String,
    pub(crate) counts: Counts,
}

/// What the doors saw.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) answered: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// Requests that got no answer: they named no reply subject in their sender's inbox, or more was to be refused than
    /// could be said.
    pub(crate) dropped: AtomicU64,
    /// Requests whose work ended in a mistake of the node's own.
    pub(crate) broken: AtomicU64,
    /// Tries of commands that failed and are followed by another.
    pub(crate) failed: AtomicU64,
    /// Commands that were given up.
    pub(crate) dead: AtomicU64,
}

impl Doors {
    /// Does what `sender` asks, or says why not. A mistake of the node's own ends this request alone.
    pub(crate) async fn perform(&self, sender: &ServiceName, ask: Ask) -> Result<Answer, Refusal> {
        // What a broken request held is given back by its guards; nothing else of it is seen again.
        let answer = AssertUnwindSafe(self.act(sender, ask))
            .catch_unwind()
            .await
            .unwrap_or_else(|panic| Err(broken(&self.counts, sender, &*panic)));
        match &answer {
            Ok(_) => self.counts.answered.fetch_add(1, Ordering::Relaxed),
            Err(_) => self.counts.refused.fetch_add(1, Ordering::Relaxed),
        };
        answer
    }

    async fn act(&self, sender: &ServiceName, ask: Ask) -> Result<Answer, Refusal> {
        // What a service is told of where it is stays true, and who reads is told what is missing; nothing else can be
        // answered from a log that lost messages.
        let stays_true = matches!(ask, Ask::Hello | Ask::Listen | Ask::Watch(_) | Ask::Tally(_));
        if let (Some(reason), false) = (self.log.witness.trouble(), stays_true) {
            return Err(lost(&reason));
        }
        let in_force = self.current.get();
        match ask {
            Ask::Command { type_name, message } => {
                self.command(&in_force.domain, sender, type_name, &message).await.map(Answer::Command)
            }
            Ask::Event { type_name, messages } => {
                self.event(&in_force.domain, sender, &type_name, messages).await.map(Answer::Event)
            }
            Ask::Commit { type_name, commit } => {
                self.commit(&in_force, sender, &type_name, commit).await.map(Answer::Commit)
            }
            Ask::Outcome { type_name, ask } => {
                self.outcome(&in_force.domain, sender, &type_name, ask).await.map(Answer::Outcome)
            }
            Ask::Hello => self.hello(&in_force.domain, sender).map(Answer::Hello),
            Ask::Listen => self.listen(&in_force, sender).map(Answer::Listen),
            Ask::Watch(ask) => self.watch(&in_force.domain, sender, ask).await.map(Answer::Watch),
            Ask::Tally(ask) => self.tally(&in_force.domain, sender, ask).await.map(Answer::Tally),
            #[cfg(test)]
            Ask::Break => panic!("a planted mistake"),
        }
    }

    /// Keeps the log up, until `stop`.
    pub(crate) async fn hear(self: Arc<Doors>, confirmed: async_nats::Subscriber, stop: CancellationToken) {
        self.log.keep_up(confirmed, stop).await;
    }
}

/// What is said where acknowledged messages are lost.
pub(crate) fn lost(reason: &str) -> Refusal {
    let message = format!("acknowledged messages are lost; the node has to be started again: {reason}");
    Refusal::new(RefusalKind::Lost, message)
}

/// What is said of a request whose work panicked.
fn broken(counts: &Counts, sender: &ServiceName, panic: &(dyn std::any::Any + Send)) -> Refusal {
    counts.broken.fetch_add(1, Ordering::Relaxed);
    let said = panic.downcast_ref::<&str>().copied();
    let why = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words");
    tracing::error!(%sender, why, "a request ended in a mistake of the node's own");
    Refusal::new(RefusalKind::Internal, "a mistake of the node's own; the operator's log says more")
        .perhaps_done()
}
