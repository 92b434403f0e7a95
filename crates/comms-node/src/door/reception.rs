//! What comes in is taken off at once, whatever else the node does, and held only as far as its sender's shares go
//! (`limits.requests`, `limits.request_bytes`, `limits.outcomes`). Where they end it is refused.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use comms_domain::Bound;
use comms_msg::door::{Form, Refusal, RefusalKind};
use comms_msg::{Door, ServiceName, Subject};
use tokio::sync::mpsc;

use super::Doors;
use super::request::Request;
use crate::share::{OverShare, Share};

/// Bytes of a request at a door that keeps nothing: a watch of as many types as it may name takes half of it.
const SMALL_BYTES_MAX: usize = 16 << 10;
/// Requests on their way to the lines. They are taken from there as fast as they come in, between two turns of the readers.
const ARRIVALS_MAX: usize = 8_192;
/// Refusals that wait to be said. What finds no place here is not answered: its sender asks again, later.
const REFUSALS_WAITING_MAX: usize = 1_024;

/// A request that its sender had room for.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) sender: ServiceName,
    pub(super) door: Door,
    pub(super) form: Form,
    pub(super) payload: Bytes,
    pub(super) reply: async_nats::Subject,
    /// What it holds until it is answered.
    pub(super) held: Vec<Share>,
}

/// A refusal of what is not looked at.
pub(super) type Refused = (async_nats::Subject, Bytes);

/// Why something is not looked at, before it is put into words.
#[derive(Debug)]
enum Why {
    Said(Refusal),
    Over(OverShare),
    TooLarge { door: &'static str, bytes: usize },
    Crowd,
}

impl From<OverShare> for Why {
    fn from(over: OverShare) -> Why {
        Why::Over(over)
    }
}

impl From<Why> for Refusal {
    fn from(why: Why) -> Refusal {
        match why {
            Why::Said(refusal) => refusal,
            Why::Over(over) => over.into(),
            Why::TooLarge { door, bytes } => {
                let message =
                    format!("{bytes} bytes; a request at the door {door} has at most {SMALL_BYTES_MAX}");
                Refusal::new(RefusalKind::TooLarge, message)
            }
            Why::Crowd => Refusal::new(RefusalKind::Busy, "more requests come in than the node can look at"),
        }
    }
}

/// See the header. Clones hand on to the same.
#[derive(Debug, Clone)]
pub(super) struct Reception {
    doors: Arc<Doors>,
    arrivals: mpsc::Sender<Arrived>,
    refusals: mpsc::Sender<Refused>,
}

impl Reception {
    /// With where to take from what arrived and what was refused. Both end with the last clone.
    pub(super) fn new(doors: Arc<Doors>) -> (Reception, mpsc::Receiver<Arrived>, mpsc::Receiver<Refused>) {
        let (arrivals, arrived) = mpsc::channel(ARRIVALS_MAX);
        let (refusals, refused) = mpsc::channel(REFUSALS_WAITING_MAX);
        (Reception { doors, arrivals, refusals }, arrived, refused)
    }

    /// Takes in what was sent to a door, or has it refused.
    pub(super) fn take(&self, message: &async_nats::Message) {
        let counts = &self.doors.counts;
        let Some((Request { subject, form, payload }, reply)) = Request::read(message) else {
            counts.dropped.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(subject = %message.subject, "a door request without a reply subject in its sender's inbox");
            return;
        };
        let admitted = self.addressed(subject).and_then(|(sender, door)| {
            let held = self.held(&sender, &door, payload.len())?;
            // Also when the node stops; its sender asks again.
            let place = self.arrivals.try_reserve().map_err(|_| Why::Crowd)?;
            place.send(Arrived { sender, door, form, payload, reply: reply.clone(), held });
            Ok(())
        });
        if let Err(why) = admitted {
            counts.refused.fetch_add(1, Ordering::Relaxed);
            // In a flood most refusals find no place: nothing is made for those.
            if self.refusals.capacity() == 0 {
                counts.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
            let refusal = Refusal::from(why);
            tracing::debug!(%refusal, "refused");
            self.refuse(reply, form, &refusal);
        }
    }

    /// Has a refusal said, unless too many wait already. Never waits: the reader must not.
    pub(super) fn refuse(&self, reply: async_nats::Subject, form: Form, refusal: &Refusal) {
        if self.refusals.try_send((reply, form.refusal(refusal))).is_err() {
            self.doors.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Who asks at which door of this domain.
    fn addressed(&self, subject: Result<Subject, String>) -> Result<(ServiceName, Door), Why> {
        Err(Why::Said(match subject {
            Ok(Subject::Door { domain, door, sender }) if domain == self.doors.current.get().domain.name => {
                return Ok((sender, door));
            }
            Ok(Subject::Door { domain, .. }) => {
                Refusal::new(RefusalKind::Unknown, format!("this is not the domain {domain}"))
            }
            Ok(_) => Refusal::new(RefusalKind::Unknown, "there is no such door"),
            Err(reason) => Refusal::new(RefusalKind::Malformed, reason),
        }))
    }

    /// What a request of so many bytes takes of its sender's shares.
    fn held(&self, sender: &ServiceName, door: &Door, bytes: usize) -> Result<Vec<Share>, Why> {
        let keeps = matches!(door, Door::Command(_) | Door::Event(_) | Door::Commit(_));
        if !keeps && bytes > SMALL_BYTES_MAX {
            return Err(Why::TooLarge { door: door.word(), bytes });
        }
        let current = &self.doors.current;
        if matches!(door, Door::Outcome(_)) {
            return Ok(vec![current.shares(Bound::Outcomes).take(sender, 1)?]);
        }
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        Ok(vec![
            current.shares(Bound::Requests).take(sender, 1)?,
            current.shares(Bound::RequestBytes).take(sender, bytes)?,
        ])
    }
}
