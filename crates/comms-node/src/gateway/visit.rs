//! One connection: who came, what it is waiting for, and until when.
//!
//! A head must be whole within a bound, however its bytes drip. Between requests a connection may rest, longer if it has
//! shown an accepted token. While a request is answered its handler bounds its own waits, and what is written must be
//! taken at a pace. The state changes inside the connection's own task only; it decides, `connection` acts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use comms_msg::ServiceName;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::auth::Caller;
use super::error::Result;
use super::limits::{HEAD_WITHIN, REST_MAX, TAKEN_PACE};
use super::lobby::Guest;
use super::progress::Progress;
use crate::share::{OverShare, Share, Shares};

/// A connection's state, shared by what reads and writes it, what answers its requests and what watches the clock.
#[derive(Debug, Clone)]
pub(super) struct Visit {
    state: Arc<Mutex<Now>>,
    connections: Shares,
    turned_out: CancellationToken,
}

#[derive(Debug)]
struct Now {
    standing: Standing,
    waits: Waits,
    /// Since when the client is waited for to take what is written.
    blocked: Option<Instant>,
    taken: Progress,
}

/// In whose account the connection is.
#[derive(Debug)]
enum Standing {
    Stranger(Guest),
    Caller { service: ServiceName, _share: Share },
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// The first byte of a head.
    Idle(Instant),
    /// The rest of it.
    Head(Instant),
    /// The end of the answer.
    Answer,
}

impl Visit {
    pub(super) fn new(guest: Guest, connections: Shares) -> Self {
        let turned_out = guest.turned_out();
        let state = Now {
            standing: Standing::Stranger(guest),
            waits: Waits::Head(Instant::now()),
            blocked: None,
            taken: Progress::new(TAKEN_PACE),
        };
        Self { state: Arc::new(Mutex::new(state)), connections, turned_out }
    }

    /// When the connection is to be closed if nothing changes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let state = self.lock();
        if let Some(since) = state.blocked {
            return Some(since + state.taken.left());
        }
        match (state.waits, &state.standing) {
            (Waits::Idle(since), Standing::Caller { .. }) => Some(since + REST_MAX),
            (Waits::Idle(since), Standing::Stranger(_)) | (Waits::Head(since), _) => {
                Some(since + HEAD_WITHIN)
            }
            (Waits::Answer, _) => None,
        }
    }

    /// Whether no request is being answered.
    pub(super) fn is_idle(&self) -> bool {
        self.lock().waits != Waits::Answer
    }

    /// Done when a stranger has to give way to another.
    pub(super) async fn turned_out(&self) {
        self.turned_out.cancelled().await;
    }

    /// Bytes came.
    pub(super) fn read(&self) {
        let mut state = self.lock();
        if matches!(state.waits, Waits::Idle(_)) {
            state.waits = Waits::Head(Instant::now());
        }
    }

    /// The client takes nothing at the moment.
    pub(super) fn blocked(&self) {
        self.lock().blocked.get_or_insert_with(Instant::now);
    }

    /// It took so many bytes.
    pub(super) fn wrote(&self, bytes: usize) {
        let mut state = self.lock();
        let waited = state.blocked.take().map_or(Duration::ZERO, |since| since.elapsed());
        state.taken.came(bytes as u64, waited);
    }

    /// A whole head came: a request is being answered until what this returns is dropped.
    pub(super) fn hear(&self) -> Answering {
        let mut state = self.lock();
        state.waits = Waits::Answer;
        if let Standing::Stranger(guest) = &state.standing {
            guest.is_heard(true);
        }
        drop(state);
        Answering(self.clone())
    }

    /// From now on the connection counts for this service, whose token it has shown.
    fn admit(&self, service: &ServiceName) -> Result<(), OverShare> {
        let mut state = self.lock();
        let is_his = matches!(&state.standing, Standing::Caller { service: known, .. } if known == service);
        if !is_his {
            let _share = self.connections.take(service, 1)?;
            state.standing = Standing::Caller { service: service.clone(), _share };
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        // Every statement under this lock leaves the state right, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in hand, until its answer's last byte was handed over.
#[derive(Debug)]
pub(super) struct Answering(Visit);

impl Drop for Answering {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.waits = Waits::Idle(Instant::now());
        if let Standing::Stranger(guest) = &state.standing {
            guest.is_heard(false);
        }
    }
}

/// Moves the connection of whoever has shown an accepted token out of the lobby, into the service's share.
pub(super) async fn admit(
    Extension(visit): Extension<Visit>,
    Extension(Caller(service)): Extension<Caller>,
    request: Request,
    next: Next,
) -> Result<Response> {
    visit.admit(&service)?;
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use comms_domain::Bound;

    use super::super::lobby::Lobby;
    use super::*;
    use crate::share::Limit;

    fn visit(lobby: &Lobby, connections: &Shares) -> Visit {
        Visit::new(lobby.enter(), connections.clone())
    }

    fn name(text: &str) -> ServiceName {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_one_deadline_however_it_drips() {
        let visit = visit(&Lobby::new(2), &Shares::new(Limit::of(Bound::Connections), 10, 1));
        let deadline = visit.deadline();
        assert_eq!(deadline, Some(Instant::now() + HEAD_WITHIN));
        for _ in 0..5 {
            tokio::time::advance(HEAD_WITHIN / 10).await;
            visit.read();
            assert_eq!(visit.deadline(), deadline);
        }
        let answering = visit.hear();
        assert_eq!(visit.deadline(), None);
        assert!(!visit.is_idle());
        drop(answering);
        assert_eq!(
            visit.deadline(),
            Some(Instant::now() + HEAD_WITHIN),
            "a stranger rests no longer than that"
        );
        visit.admit(&name("desk")).unwrap();
        assert_eq!(visit.deadline(), Some(Instant::now() + REST_MAX));
        tokio::time::advance(REST_MAX / 2).await;
        visit.read();
        assert_eq!(visit.deadline(), Some(Instant::now() + HEAD_WITHIN), "the next head has begun");
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_a_byte_now_and_then_is_not_waited_for() {
        let visit = visit(&Lobby::new(2), &Shares::new(Limit::of(Bound::Connections), 10, 1));
        let _answering = visit.hear();
        visit.blocked();
        let deadline = Instant::now() + TAKEN_PACE.within;
        assert_eq!(visit.deadline(), Some(deadline));
        for _ in 0..3 {
            tokio::time::advance(TAKEN_PACE.within / 4).await;
            visit.wrote(1);
            assert_eq!(visit.deadline(), None);
            visit.blocked();
            visit.blocked();
            assert_eq!(visit.deadline(), Some(deadline));
        }
        visit.wrote(usize::try_from(TAKEN_PACE.bytes).unwrap());
        visit.blocked();
        assert_eq!(visit.deadline(), Some(Instant::now() + TAKEN_PACE.within));
    }

    #[tokio::test]
    async fn a_connection_counts_for_whom_it_shows_the_token_of() {
        let (lobby, shares) = (Lobby::new(2), Shares::new(Limit::of(Bound::Connections), 2, 1));
        let visits: Vec<_> = (0..3).map(|_| visit(&lobby, &shares)).collect();
        visits[0].admit(&name("desk")).unwrap();
        visits[0].admit(&name("desk")).unwrap();
        assert_eq!(shares.held(&name("desk")), 1);
        visits[0].admit(&name("archive")).unwrap();
        assert_eq!((shares.held(&name("desk")), shares.held(&name("archive"))), (0, 1));
        drop(visits);
        assert_eq!(shares.in_use(), 0);
    }
}
