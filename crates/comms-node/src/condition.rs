//! How what the node stands on is: shared by the parts that find it out and those that must say so.
//!
//! Writers of the log find out that nothing is acknowledged, the watch over the disks that there is no room
//! ([`Room`]), and the probe (`health.rs`) everything else. Doors and gateway tell their callers; the probe decides what
//! is done about it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::room::Room;

/// Handle to what is known. Clones are handles to the same.
#[derive(Debug, Clone)]
pub(crate) struct Condition(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    room: Room,
    is_stalled: AtomicBool,
    ill: Mutex<Option<String>>,
}

impl Condition {
    /// All is well, but for what the watch over the disks says.
    pub(crate) fn new(room: Room) -> Condition {
        Condition(Arc::new(Shared { room, is_stalled: AtomicBool::new(false), ill: Mutex::new(None) }))
    }

    /// Whether there is room.
    pub(crate) fn room(&self) -> &Room {
        &self.0.room
    }

    /// Writes have been waiting in vain for too long, although the connection is there.
    pub(crate) fn stalled(&self) {
        self.0.is_stalled.store(true, Ordering::Relaxed);
    }

    /// A write was answered. Cheap enough to be called for every one.
    pub(crate) fn stored(&self) {
        if self.is_stalled() {
            self.0.is_stalled.store(false, Ordering::Relaxed);
        }
    }

    /// Whether writes stalled and none was answered since.
    pub(crate) fn is_stalled(&self) -> bool {
        self.0.is_stalled.load(Ordering::Relaxed)
    }

    /// What is wrong, in words for everybody; none where all is well.
    pub(crate) fn ill(&self) -> Option<String> {
        self.lock().clone()
    }

    /// Says what is wrong, or that nothing is.
    pub(crate) fn tell(&self, ill: Option<String>) {
        let mut told = self.lock();
        match (&*told, &ill) {
            (None, Some(why)) => tracing::error!(why, "the node is not well"),
            (Some(_), None) => tracing::info!("the node is well again"),
            _ => {}
        }
        *told = ill;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.0.ill.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
