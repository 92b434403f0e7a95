//! Whether there is room for what is to be kept, and who may still have it.
//!
//! Room runs out at three places: the disk of the event log, the disk of content (mostly the same), and the bound that an
//! operator sets for the log. At each there are two lines. Above the first everything is taken. Between the two only what
//! *ends* something is: outcomes, commits of handlers, dead letters; so that commands do not pile up because nobody can
//! say that they are done. Below the second nothing is, since a write that meets a full disk makes nats-server refuse
//! every later one until it is started again.
//!
//! The disks are looked at from time to time; what is written in between is counted, so that a burst between two
//! looks does not pass a line.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// What is kept free of a disk where nobody said otherwise: the least of this many bytes and this part of the disk. The
/// first is some minutes of a busy node, in which somebody can be told; the second lets small disks be used.
const FREE_BYTES_MIN: u64 = 512 << 20;
/// See [`FREE_BYTES_MIN`].
const FREE_PART_MIN: u64 = 16;
/// The part of what is kept free that is not even given for endings: what nats-server needs to write its own files.
const LAST_PART: u64 = 4;
/// What is kept above the operator's bound of the log for endings: this part of the bound, within these bytes.
const ENDING_PART: u64 = 16;
const ENDING_BYTES: std::ops::RangeInclusive<u64> = (8 << 20)..=(1 << 30);
/// Free entries (inodes) of a disk that are kept as the bytes are; content takes one for each block.
const FREE_ENTRIES_MIN: u64 = 1_024;
/// What a message costs on the disk at most: a batch is staged before it is stored, and each has its envelope there.
const COST_FACTOR: u64 = 2;
const COST_EACH: u64 = 1_024;
/// Pause between two looks at the disks: long while there is plenty, short near the lines.
const LOOK_FAR: Duration = Duration::from_secs(1);
const LOOK_NEAR: Duration = Duration::from_millis(200);

/// What an operator may say about room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoomLimits {
    /// Bytes of the event log and of waiting commands together; none lets the disk decide.
    pub log_bytes_max: Option<u64>,
    /// Bytes that are kept free of each disk; none takes 512 MiB, or a sixteenth of a
    /// smaller disk.
    pub free_bytes_min: Option<u64>,
}

impl RoomLimits {
    /// What nats-server may take for all streams: beyond the operator's bound and what is kept for endings, so that it is the
    /// node that refuses, and says why.
    pub fn server_bytes_max(&self) -> Option<u64> {
        self.log_bytes_max.map(|max| max.saturating_add(ending_bytes(max).saturating_mul(2)))
    }
}

fn ending_bytes(log_bytes_max: u64) -> u64 {
    (log_bytes_max / ENDING_PART).clamp(*ENDING_BYTES.start(), *ENDING_BYTES.end())
}

/// Why something is not taken, in words for who sent it. No paths of this machine: services read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// A disk is full, but for what is kept.
    Disk { of: &'static str, free: u64, kept: u64 },
    /// A disk has no entries left for files.
    Entries { of: &'static str, free: u64, kept: u64 },
    /// The log has reached the operator's bound.
    Log { bytes: u64, max: u64 },
    /// nats-server met an error when it wrote, and stores nothing until it is started again.
    Frozen { why: Arc<str> },
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shortage::Disk { of, free, kept } => write!(
                f,
                "the disk of {of} is full: {} free, {} are kept so that commands can be ended; make room on that disk",
                Bytes(*free),
                Bytes(*kept)
            ),
            Shortage::Entries { of, free, kept } => write!(
                f,
                "the disk of {of} has only {free} entries for files left, {kept} are kept; remove files there"
            ),
            Shortage::Log { bytes, max } => write!(
                f,
                "the log has reached its bound: {} of {}; raise log_bytes_max and start the node again",
                Bytes(*bytes),
                Bytes(*max)
            ),
            Shortage::Frozen { why } => write!(f, "nats-server cannot write: {why}"),
        }
    }
}

/// A number of bytes as people read it.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
        match units.into_iter().find(|(_, shift)| self.0 >> shift > 0) {
            // A double holds every size of a disk closely enough to be read.
            #[expect(clippy::cast_precision_loss, reason = "one digit behind the point is printed")]
            Some((unit, shift)) => write!(f, "{:.1} {unit}", self.0 as f64 / (1u64 << shift) as f64),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

/// What a file system says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    of: &'static str,
    capacity: u64,
    free: u64,
    entries: u64,
    entries_free: u64,
}

impl Look {
    fn at(path: &Path, of: &'static str) -> Option<Look> {
        let told = rustix::fs::statvfs(path).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(told.f_frsize);
        Some(Look {
            of,
            capacity: bytes(told.f_blocks),
            free: bytes(told.f_bavail),
            entries: told.f_files,
            entries_free: told.f_favail,
        })
    }

    /// What is kept free.
    fn kept(&self, wanted: Option<u64>) -> u64 {
        wanted.unwrap_or((self.capacity / FREE_PART_MIN).min(FREE_BYTES_MIN))
    }

    /// Entries that are kept; none where the file system does not count them.
    fn entries_kept(&self) -> u64 {
        (self.entries / FREE_PART_MIN).min(FREE_ENTRIES_MIN)
    }
}

/// What is left above each of the two lines, and what is short where nothing is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Left {
    for_new: i64,
    for_ending: i64,
    /// The place where room runs out first, as it would be told.
    first: Option<Shortage>,
}

/// What follows from what was seen. Pure.
fn left(limits: &RoomLimits, looks: &[Look], log_bytes: u64) -> Left {
    let mut left = Left { for_new: i64::MAX, for_ending: i64::MAX, first: None };
    let mut narrow = |for_new: i128, for_ending: i128, shortage: Shortage| {
        let fits = |value: i128| i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX });
        left.for_ending = left.for_ending.min(fits(for_ending));
        if fits(for_new) < left.for_new {
            left.for_new = fits(for_new);
            left.first = Some(shortage);
        }
    };
    for look in looks {
        let (free, kept) = (look.free, look.kept(limits.free_bytes_min));
        let above = |line: u64| i128::from(free) - i128::from(line);
        narrow(above(kept), above(kept / LAST_PART), Shortage::Disk { of: look.of, free, kept });
        let kept = look.entries_kept();
        if kept > 0 && look.entries_free <= kept {
            let for_ending = if look.entries_free > kept / LAST_PART { i128::from(i64::MAX) } else { 0 };
            narrow(0, for_ending, Shortage::Entries { of: look.of, free: look.entries_free, kept });
        }
    }
    if let Some(max) = limits.log_bytes_max {
        let above = i128::from(max) - i128::from(log_bytes);
        let shortage = Shortage::Log { bytes: log_bytes, max };
        narrow(above, above + i128::from(ending_bytes(max)), shortage);
    }
    left
}

/// Handle to what is known of room. Clones are handles to the same.
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: RoomLimits,
    /// What is stored at each path, in the words of a refusal.
    disks: Vec<(PathBuf, &'static str)>,
    for_new: AtomicI64,
    for_ending: AtomicI64,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    log_bytes: u64,
    first: Option<Shortage>,
    frozen: Option<Frozen>,
}

/// A server that stores nothing, in the life of the node's connection in which that was found.
#[derive(Debug, Clone)]
struct Frozen {
    why: Arc<str>,
    connects: u64,
}

impl Room {
    /// Looks after these folders, each with the name of what is stored there.
    pub(crate) fn new(limits: RoomLimits, disks: Vec<(PathBuf, &'static str)>) -> Room {
        let room = Room(Arc::new(Shared {
            limits,
            disks,
            for_new: AtomicI64::new(i64::MAX),
            for_ending: AtomicI64::new(i64::MAX),
            known: Mutex::default(),
        }));
        room.look();
        room
    }

    /// Without any bound: for tests of what does not care.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn endless() -> Room {
        Room::new(RoomLimits::default(), Vec::new())
    }

    /// Whether something new may be kept.
    pub(crate) fn admit_new(&self) -> Result<(), Shortage> {
        self.admit(&self.0.for_new, 1)
    }

    /// Whether `bytes` may be written that end something; what is new was admitted before.
    pub(crate) fn admit_ending(&self, bytes: u64) -> Result<(), Shortage> {
        self.admit(&self.0.for_ending, bytes)
    }

    fn admit(&self, left: &AtomicI64, bytes: u64) -> Result<(), Shortage> {
        if left.load(Ordering::Relaxed) >= i64::try_from(bytes).unwrap_or(i64::MAX) {
            return Ok(());
        }
        // Nothing can be short where nothing was ever looked at.
        self.known().first.clone().map_or(Ok(()), Err)
    }

    /// Counts what is about to be written, until the next look sees it.
    pub(crate) fn spend(&self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        for left in [&self.0.for_new, &self.0.for_ending] {
            // No update is ever refused, so there is no error.
            let _ = left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| Some(now.saturating_sub(bytes)));
        }
    }

    /// What a commit of that many messages and bytes may cost on the disk.
    pub(crate) fn cost(messages: usize, bytes: usize) -> u64 {
        let each = COST_EACH.saturating_mul(messages as u64);
        COST_FACTOR.saturating_mul(bytes as u64).saturating_add(each)
    }

    /// What the log takes now, as nats-server says.
    pub(crate) fn log_takes(&self, bytes: u64) {
        self.known().log_bytes = bytes;
    }

    /// nats-server stores nothing any more, found out in that life of the node's connection.
    pub(crate) fn freeze(&self, why: &str, connects: u64) {
        self.known().frozen = Some(Frozen { why: why.into(), connects });
    }

    /// nats-server stores.
    pub(crate) fn thaw(&self) {
        self.known().frozen = None;
    }

    /// Why the server stores nothing, if it is still the one of that life of the connection. What it was sent in that life
    /// and has not stored yet it never will.
    pub(crate) fn frozen(&self, connects: u64) -> Option<Shortage> {
        let known = self.known();
        let frozen = known.frozen.as_ref().filter(|frozen| frozen.connects == connects)?;
        Some(Shortage::Frozen { why: frozen.why.clone() })
    }

    /// Looks at the disks now.
    pub(crate) fn look(&self) {
        let shared = &*self.0;
        let looks: Vec<Look> = shared.disks.iter().filter_map(|(path, of)| Look::at(path, of)).collect();
        let mut known = self.known();
        let left = left(&shared.limits, &looks, known.log_bytes);
        let was_short = shared.for_new.load(Ordering::Relaxed) <= 0;
        match (&left.first, left.for_new <= 0, was_short) {
            (Some(shortage), true, false) => tracing::error!(%shortage, "nothing new is taken"),
            (_, false, true) => tracing::info!("there is room again"),
            _ => {}
        }
        known.first = left.first;
        shared.for_new.store(left.for_new, Ordering::Relaxed);
        shared.for_ending.store(left.for_ending, Ordering::Relaxed);
    }

    /// Looks at the disks again and again, until `stop`.
    pub(crate) async fn watch(self, stop: CancellationToken) {
        loop {
            let near = i64::try_from(FREE_BYTES_MIN).unwrap_or(i64::MAX);
            let is_near = self.0.for_new.load(Ordering::Relaxed) < near;
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(if is_near { LOOK_NEAR } else { LOOK_FAR }) => {}
            }
            let room = self.clone();
            // A disk that hangs must hold up nobody else.
            if tokio::task::spawn_blocking(move || room.look()).await.is_err() {
                tracing::error!("a look at the disks failed");
            }
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn disk(capacity: u64, free: u64) -> Look {
        Look { of: "the event log", capacity, free, entries: 0, entries_free: 0 }
    }

    /// What is taken of new things and of endings, on such a disk and with such a log.
    fn taken(limits: &RoomLimits, look: Look, log_bytes: u64) -> (bool, bool) {
        let left = left(limits, &[look], log_bytes);
        (left.for_new > 0, left.for_ending > 0)
    }

    #[test]
    fn a_small_disk_is_used_and_a_large_one_keeps_half_a_gibibyte() {
        let none = RoomLimits::default();
        assert_eq!(taken(&none, disk(100 * MIB, 33 * MIB), 0), (true, true));
        assert_eq!(taken(&none, disk(64 * MIB, 4 * MIB), 0), (false, true));
        assert_eq!(taken(&none, disk(64 * MIB, MIB), 0), (false, false));
        assert_eq!(taken(&none, disk(64 * MIB, 0), 0), (false, false));
        assert_eq!(taken(&none, disk(1 << 40, FREE_BYTES_MIN), 0), (false, true));
        assert_eq!(taken(&none, disk(1 << 40, FREE_BYTES_MIN + 1), 0), (true, true));
    }

    #[test]
    fn an_operators_bounds_hold_and_keep_room_for_endings() {
        let limits = RoomLimits { log_bytes_max: Some(64 * MIB), free_bytes_min: Some(MIB) };
        let disk = disk(1 << 40, 1 << 40);
        assert_eq!(taken(&limits, disk, 64 * MIB - 1), (true, true));
        assert_eq!(taken(&limits, disk, 64 * MIB), (false, true));
        assert_eq!(taken(&limits, disk, 72 * MIB - 1), (false, true));
        assert_eq!(taken(&limits, disk, 72 * MIB), (false, false));
        assert_eq!(limits.server_bytes_max(), Some(80 * MIB));
        assert_eq!(RoomLimits::default().server_bytes_max(), None);
    }

    #[test]
    fn files_need_entries_too() {
        let look = |entries_free| Look { entries: 1 << 20, entries_free, ..disk(1 << 40, 1 << 40) };
        let none = RoomLimits::default();
        assert_eq!(taken(&none, look(FREE_ENTRIES_MIN + 1), 0), (true, true));
        assert_eq!(taken(&none, look(FREE_ENTRIES_MIN), 0), (false, true));
        assert_eq!(taken(&none, look(FREE_ENTRIES_MIN / LAST_PART), 0), (false, false));
    }

    #[test]
    fn what_is_written_between_two_looks_counts() {
        let room = Room::endless();
        room.known().first = Some(Shortage::Disk { of: "content", free: 3 * MIB, kept: 2 * MIB });
        room.0.for_new.store(100, Ordering::Relaxed);
        room.0.for_ending.store(300, Ordering::Relaxed);
        room.admit_new().unwrap();
        room.spend(100);
        let told = room.admit_new().unwrap_err().to_string();
        assert!(told.contains("the disk of content is full: 3.0 MiB free, 2.0 MiB are kept"), "{told}");
        room.admit_ending(200).unwrap();
        room.admit_ending(201).unwrap_err();
        room.spend(u64::MAX);
        room.spend(u64::MAX);
        room.admit_ending(0).unwrap_err();
    }

    #[test]
    fn a_server_is_frozen_for_the_life_of_the_connection_in_which_that_was_seen() {
        let room = Room::endless();
        room.freeze("its disk is full", 3);
        assert_eq!(room.frozen(3).unwrap().to_string(), "nats-server cannot write: its disk is full");
        assert_eq!(room.frozen(4), None);
        room.thaw();
        assert_eq!(room.frozen(3), None);
    }

    #[test]
    fn the_disk_of_this_test_can_be_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let look = Look::at(folder.path(), "content").unwrap();
        assert!(look.capacity > 0 && look.free <= look.capacity);
        assert_eq!(Look::at(&folder.path().join("none"), "content"), None);
    }

    proptest! {
        /// Whatever the numbers: who may end has at least the room of who brings something new, and what is refused has words.
        #[test]
        fn endings_have_more_room(
            looks in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>()), 0..3),
            log_bytes in any::<u64>(), log_bytes_max in any::<Option<u64>>(), free_bytes_min in any::<Option<u64>>(),
        ) {
            let looks: Vec<Look> = looks.into_iter().map(|(capacity, free, entries, entries_free)| {
                Look { of: "content", capacity, free, entries, entries_free }
            }).collect();
            let left = left(&RoomLimits { log_bytes_max, free_bytes_min }, &looks, log_bytes);
            prop_assert!(left.for_ending >= left.for_new);
            prop_assert!(left.for_new > 0 || left.first.is_some());
        }
    }
}
