//! Connections that have not shown an accepted token yet, of which there are never too many.
//!
//! Anybody on this machine can connect. When every place is taken, the next one gets the place of whoever has been
//! there longest without a whole head, so half-open connections keep nobody out. The newest are spared for a moment: a
//! flood must not drop a connection whose head is on its way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::limits::LOBBY_SPARED;

/// The places. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Lobby(Arc<Mutex<Places>>);

/// In the order in which they came.
#[derive(Debug)]
struct Places {
    max: usize,
    next: u64,
    taken: BTreeMap<u64, Place>,
}

#[derive(Debug)]
struct Place {
    came: Instant,
    /// Whether a whole head came and is being answered.
    is_heard: bool,
    turned_out: CancellationToken,
}

impl Places {
    /// Who gives way to the next: who came first of those that are not being answered, or of all.
    fn first(&self) -> Option<(u64, &Place)> {
        let waiting = self.taken.iter().find(|(_, place)| !place.is_heard);
        waiting.or_else(|| self.taken.first_key_value()).map(|(number, place)| (*number, place))
    }
}

impl Lobby {
    /// With so many places.
    pub(super) fn new(max: usize) -> Lobby {
        Lobby(Arc::new(Mutex::new(Places { max, next: 0, taken: BTreeMap::new() })))
    }

    /// From when on there is a place for one more; none if there is one already.
    pub(super) fn free_at(&self) -> Option<Instant> {
        let places = self.lock();
        if places.taken.len() < places.max {
            return None;
        }
        let (_, first) = places.first()?;
        let at = first.came + LOBBY_SPARED;
        (at > Instant::now()).then_some(at)
    }

    /// Lets somebody in, and turns somebody else out where there is no place.
    pub(super) fn enter(&self) -> Guest {
        let turned_out = CancellationToken::new();
        let mut places = self.lock();
        if places.taken.len() >= places.max
            && let Some((number, _)) = places.first()
            && let Some(first) = places.taken.remove(&number)
        {
            first.turned_out.cancel();
        }
        let number = places.next;
        places.next += 1;
        let place = Place { came: Instant::now(), is_heard: false, turned_out: turned_out.clone() };
        places.taken.insert(number, place);
        Guest { lobby: self.clone(), number, turned_out }
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        // Every statement under this lock leaves the places right, so a panic elsewhere does not spoil them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the lobby; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Guest {
    lobby: Lobby,
    number: u64,
    turned_out: CancellationToken,
}

impl Guest {
    /// Notes whether a request of this one is being answered.
    pub(super) fn is_heard(&self, is_heard: bool) {
        if let Some(place) = self.lobby.lock().taken.get_mut(&self.number) {
            place.is_heard = is_heard;
        }
    }

    /// Is cancelled when somebody else got the place.
    pub(super) fn turned_out(&self) -> CancellationToken {
        self.turned_out.clone()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.lobby.lock().taken.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::STRANGERS_MAX;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_came_first_and_said_nothing_gives_way() {
        let lobby = Lobby::new(STRANGERS_MAX);
        let mut guests: Vec<_> = (0..STRANGERS_MAX).map(|_| lobby.enter()).collect();
        guests[0].is_heard(true);
        assert!(lobby.free_at().is_some(), "nobody is turned out at once");
        tokio::time::advance(LOBBY_SPARED).await;
        assert_eq!(lobby.free_at(), None);
        let next = lobby.enter();
        let out: Vec<_> = guests.iter().map(|guest| guest.turned_out().is_cancelled()).collect();
        assert!(out[1] && out.iter().filter(|out| **out).count() == 1);
        drop(next);
        assert_eq!(lobby.free_at(), None, "a place is free");
        // Where all are being answered, the first of them gives way.
        guests.remove(1);
        guests.push(lobby.enter());
        guests.iter().for_each(|guest| guest.is_heard(true));
        tokio::time::advance(LOBBY_SPARED).await;
        let _next = lobby.enter();
        assert!(guests[0].turned_out().is_cancelled());
        drop(guests);
        assert_eq!(lobby.lock().taken.len(), 1);
    }
}
