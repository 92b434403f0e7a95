//! Whether there is room for what is to be kept, and who may still have it.
//!
//! Room runs out at three places: the disk of the event log, the disk of content (mostly the same), and the bound that an
//! operator sets for the log. At each there are two lines. Above the first everything is taken. Between the two only what
//! *ends* something is: outcomes, commits of handlers, dead letters; so that commands do not pile up because nobody can
//! say that they are done. Below the second nothing is, since a write that meets a full disk makes nats-server refuse
//! every later one until it is started again.
//!
//! The disks are looked at from time to time; what is on its way to them, and what was written since the last look, is
//! counted ([`Taken`]), so that a burst between two looks does not pass a line. Before something is refused for that count,
//! the disks are looked at again: only what is being written at that moment counts then.

mod shortage;
mod taken;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

pub(crate) use self::shortage::Shortage;
use self::taken::Taken;

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
/// What a message takes of the disk at most while it is being stored, in times of its bytes: a batch is staged before.
const COST_FACTOR: u64 = 2;
/// What a message takes beside its bytes: its envelope, its line in the index, its record.
const COST_EACH: u64 = 1_024;
/// Bytes of one upload that have come and are not on the disk: a batch that is collected, one that is hashed, and the blocks
/// that are being written.
const UPLOAD_AHEAD_MAX: u64 = 8 << 20;
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

/// What is left of the disks above each of the two lines, and what is short where nothing is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Left {
    for_new: i64,
    for_ending: i64,
    /// The place where room runs out first, as it would be told.
    first: Option<Shortage>,
}

/// What follows from what was seen of the disks. Pure.
fn left(limits: &RoomLimits, looks: &[Look]) -> Left {
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
        let shortage = Shortage::Disk { of: look.of, free, kept, coming: 0 };
        narrow(above(kept), above(kept / LAST_PART), shortage);
        let kept = look.entries_kept();
        if kept > 0 && look.entries_free <= kept {
            let for_ending = if look.entries_free > kept / LAST_PART { i128::from(i64::MAX) } else { 0 };
            narrow(0, for_ending, Shortage::Entries { of: look.of, free: look.entries_free, kept });
        }
    }
    left
}

/// What is to be written: something new, or what ends something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    New,
    Ending,
}

/// Whether a log of `held` bytes with `bytes` more is beyond the operator's bound. Pure.
fn log_shortage(limits: &RoomLimits, line: Line, held: u64, bytes: u64) -> Option<Shortage> {
    let max = limits.log_bytes_max?;
    let bound = match line {
        Line::New => max,
        Line::Ending => max.saturating_add(ending_bytes(max)),
    };
    (held.saturating_add(bytes) > bound).then_some(Shortage::Log { bytes: held, max })
}

/// Handle to what is known of room. Clones are handles to the same.
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: RoomLimits,
    /// What is stored at each path, in the words of a refusal.
    disks: Vec<(PathBuf, &'static str)>,
    /// What the disks had left when they were looked at.
    for_new: AtomicI64,
    for_ending: AtomicI64,
    /// What does not show at the disks yet, wherever it goes: mostly they are one.
    disk: Taken,
    /// What the log takes, as nats-server said last, and what does not show there yet.
    log_bytes: AtomicU64,
    log: Taken,
    /// Whether somebody looks at the disks now. One that hangs must hold up nobody else.
    is_looking: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    first: Option<Shortage>,
    /// Whether it was said that nothing new is taken.
    is_short: bool,
    frozen: Option<Frozen>,
}

/// A server that stores nothing, in the life of the node's connection in which that was found.
#[derive(Debug, Clone)]
struct Frozen {
    why: Arc<str>,
    connects: u64,
}

/// A commit on its way into the log. What it leaves there is counted when this is dropped.
#[derive(Debug)]
#[must_use = "what is dropped is not on its way any more"]
pub(crate) struct OnItsWay {
    room: Room,
    begun: u64,
    leaves: u64,
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.room.0.disk.end(self.begun, self.leaves);
        self.room.0.log.end(self.leaves, self.leaves);
    }
}

/// An upload on its way to the disk: its last bytes are, those before are written.
#[derive(Debug)]
pub(crate) struct Upload {
    room: Room,
    ahead: u64,
}

impl Upload {
    /// More of it came.
    ///
    /// # Errors
    /// Where there is no room for anything new.
    pub(crate) fn comes(&mut self, bytes: u64) -> Result<(), Shortage> {
        self.room.admit_new()?;
        let taken = &self.room.0.disk;
        taken.begin(bytes);
        let ahead = self.ahead.saturating_add(bytes);
        self.ahead = ahead.min(UPLOAD_AHEAD_MAX);
        taken.end(ahead - self.ahead, ahead - self.ahead);
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.room.0.disk.end(self.ahead, self.ahead);
    }
}

impl Room {
    /// Looks after these folders, each with the name of what is stored there.
    pub(crate) fn new(limits: RoomLimits, disks: Vec<(PathBuf, &'static str)>) -> Room {
        let room = Room(Arc::new(Shared {
            limits,
            disks,
            for_new: AtomicI64::new(i64::MAX),
            for_ending: AtomicI64::new(i64::MAX),
            disk: Taken::default(),
            log_bytes: AtomicU64::new(0),
            log: Taken::default(),
            is_looking: AtomicBool::new(false),
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
        self.admit(Line::New, 1)
    }

    /// Whether `bytes` may be written that end something; what is new was admitted before.
    pub(crate) fn admit_ending(&self, bytes: u64) -> Result<(), Shortage> {
        self.admit(Line::Ending, bytes)
    }

    /// A commit of so many messages and bytes goes into the log; what is new was admitted before.
    ///
    /// # Errors
    /// Where there is no room even for what ends something.
    pub(crate) fn append(&self, messages: usize, bytes: usize) -> Result<OnItsWay, Shortage> {
        let (each, bytes) = (COST_EACH.saturating_mul(messages as u64), bytes as u64);
        let begun = COST_FACTOR.saturating_mul(bytes).saturating_add(each);
        let leaves = bytes.saturating_add(each);
        self.admit(Line::Ending, begun)?;
        self.0.disk.begin(begun);
        self.0.log.begin(leaves);
        Ok(OnItsWay { room: self.clone(), begun, leaves })
    }

    /// An upload begins, of which nothing has come yet.
    pub(crate) fn upload(&self) -> Upload {
        Upload { room: self.clone(), ahead: 0 }
    }

    fn admit(&self, line: Line, bytes: u64) -> Result<(), Shortage> {
        let shared = &*self.0;
        let held = shared.log_bytes.load(Ordering::Relaxed).saturating_add(shared.log.sum());
        if let Some(shortage) = log_shortage(&shared.limits, line, held, bytes) {
            return Err(shortage);
        }
        if self.fits(line, bytes) {
            return Ok(());
        }
        // What was written since the last look may be gone again, or have taken the place of something.
        self.look();
        if self.fits(line, bytes) {
            return Ok(());
        }
        // Nothing can be short where nothing was ever looked at.
        let first = self.known().first.clone();
        first.map_or(Ok(()), |shortage| Err(shortage.beside(shared.disk.sum())))
    }

    fn fits(&self, line: Line, bytes: u64) -> bool {
        let left = match line {
            Line::New => &self.0.for_new,
            Line::Ending => &self.0.for_ending,
        };
        let fits = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        left.load(Ordering::Relaxed).saturating_sub(fits(self.0.disk.sum())) >= fits(bytes)
    }

    /// What was written to the log since [`log_takes`](Room::log_takes), to be handed to the next.
    pub(crate) fn log_written(&self) -> u64 {
        self.0.log.written()
    }

    /// What the log takes, as nats-server says; `written` was there when it was asked.
    pub(crate) fn log_takes(&self, bytes: u64, written: u64) {
        self.0.log_bytes.store(bytes, Ordering::Relaxed);
        self.0.log.seen(written);
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

    /// Looks at the disks now, unless somebody does already.
    pub(crate) fn look(&self) {
        let shared = &*self.0;
        if shared.is_looking.swap(true, Ordering::AcqRel) {
            return;
        }
        let written = shared.disk.written();
        let looks: Vec<Look> = shared.disks.iter().filter_map(|(path, of)| Look::at(path, of)).collect();
        let left = left(&shared.limits, &looks);
        self.known().first = left.first;
        shared.for_new.store(left.for_new, Ordering::Relaxed);
        shared.for_ending.store(left.for_ending, Ordering::Relaxed);
        shared.disk.seen(written);
        shared.is_looking.store(false, Ordering::Release);
    }

    /// Says when nothing new is taken any more, and when it is again.
    fn tell(&self) {
        let short = self.admit_new().err();
        let mut known = self.known();
        match (&short, known.is_short) {
            (Some(shortage), false) => tracing::error!(%shortage, "nothing new is taken"),
            (None, true) => tracing::info!("there is room again"),
            _ => {}
        }
        known.is_short = short.is_some();
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
            let looked = tokio::task::spawn_blocking(move || {
                room.look();
                room.tell();
            });
            if looked.await.is_err() {
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

    /// What is taken of new things and of endings, on such a disk.
    fn taken(limits: &RoomLimits, look: Look) -> (bool, bool) {
        let left = left(limits, &[look]);
        (left.for_new > 0, left.for_ending > 0)
    }

    #[test]
    fn a_small_disk_is_used_and_a_large_one_keeps_half_a_gibibyte() {
        let none = RoomLimits::default();
        assert_eq!(taken(&none, disk(100 * MIB, 33 * MIB)), (true, true));
        assert_eq!(taken(&none, disk(64 * MIB, 4 * MIB)), (false, true));
        assert_eq!(taken(&none, disk(64 * MIB, MIB)), (false, false));
        assert_eq!(taken(&none, disk(64 * MIB, 0)), (false, false));
        assert_eq!(taken(&none, disk(1 << 40, FREE_BYTES_MIN)), (false, true));
        assert_eq!(taken(&none, disk(1 << 40, FREE_BYTES_MIN + 1)), (true, true));
        let some = RoomLimits { free_bytes_min: Some(MIB), ..none };
        assert_eq!(taken(&some, disk(1 << 40, MIB)), (false, true));
        assert_eq!(taken(&some, disk(1 << 40, MIB + 1)), (true, true));
    }

    #[test]
    fn an_operators_bound_of_the_log_holds_and_keeps_room_for_endings() {
        let limits = RoomLimits { log_bytes_max: Some(64 * MIB), ..RoomLimits::default() };
        let is_short = |line, held| log_shortage(&limits, line, held, 1).is_some();
        assert!(!is_short(Line::New, 64 * MIB - 1) && is_short(Line::New, 64 * MIB));
        assert!(!is_short(Line::Ending, 72 * MIB - 1) && is_short(Line::Ending, 72 * MIB));
        assert!(is_short(Line::Ending, u64::MAX));
        assert_eq!(limits.server_bytes_max(), Some(80 * MIB));
        assert_eq!(log_shortage(&RoomLimits::default(), Line::New, u64::MAX, u64::MAX), None);
        assert_eq!(RoomLimits::default().server_bytes_max(), None);
    }

    #[test]
    fn what_goes_into_the_log_counts_until_the_server_tells_of_it() {
        let limits = RoomLimits { log_bytes_max: Some(64 * MIB), ..RoomLimits::default() };
        let room = Room::new(limits, Vec::new());
        room.log_takes(60 * MIB, 0);
        let commits: Vec<OnItsWay> = (0..4).map(|_| room.append(1, MIB as usize).unwrap()).collect();
        let told = room.admit_new().unwrap_err().to_string();
        assert!(told.contains("64.0 MiB of 64.0 MiB; raise log_max"), "{told}");
        let asked = room.log_written();
        drop(commits);
        room.log_takes(60 * MIB, asked);
        room.admit_new().expect_err("the server was asked before they were written");
        let asked = room.log_written();
        room.log_takes(62 * MIB, asked);
        room.admit_new().unwrap();
    }

    #[test]
    fn files_need_entries_too() {
        let look = |entries_free| Look { entries: 1 << 20, entries_free, ..disk(1 << 40, 1 << 40) };
        let none = RoomLimits::default();
        assert_eq!(taken(&none, look(FREE_ENTRIES_MIN + 1)), (true, true));
        assert_eq!(taken(&none, look(FREE_ENTRIES_MIN)), (false, true));
        assert_eq!(taken(&none, look(FREE_ENTRIES_MIN / LAST_PART)), (false, false));
    }

    /// A room with a disk that has so much left for what is new, and 200 bytes more for endings. Looks change nothing: as on
    /// a disk that hangs.
    fn narrow(for_new: i64) -> Room {
        let room = Room::endless();
        room.known().first = Some(Shortage::Disk { of: "content", free: 3 * MIB, kept: 2 * MIB, coming: 0 });
        room.0.for_new.store(for_new, Ordering::Relaxed);
        room.0.for_ending.store(for_new + 200, Ordering::Relaxed);
        room.0.is_looking.store(true, Ordering::Relaxed);
        room
    }

    #[test]
    fn what_is_on_its_way_counts_and_what_is_over_counts_once() {
        let room = narrow(6_000);
        room.admit_new().unwrap();
        let commit = room.append(1, 2_500).expect("two times its bytes, and its envelope");
        let told = room.admit_new().unwrap_err().to_string();
        assert!(
            told.contains("the disk of content is full: 3.0 MiB free, 2.0 MiB are kept"),
            "the disk and what is kept: {told}"
        );
        assert!(told.contains("5.9 KiB are being written"), "{told}");
        room.append(1, 1).expect_err("not even an ending");
        drop(commit);
        assert_eq!(room.0.disk.sum(), 2_500 + COST_EACH, "nothing is on its way");
        room.admit_new().unwrap();
        room.0.disk.seen(room.0.disk.written());
        assert_eq!(room.0.disk.sum(), 0);
    }

    #[test]
    fn of_an_upload_only_the_last_bytes_are_on_their_way() {
        let room = Room::endless();
        let mut upload = room.upload();
        for _ in 0..32 {
            upload.comes(MIB).unwrap();
        }
        assert_eq!((room.0.disk.sum(), room.0.disk.written()), (32 * MIB, 24 * MIB));
        room.look();
        assert_eq!(room.0.disk.sum(), UPLOAD_AHEAD_MAX, "the rest showed in the look");
        drop(upload);
        room.look();
        assert_eq!(room.0.disk.sum(), 0);
        let mut upload = narrow(100).upload();
        upload.comes(100).unwrap();
        assert_eq!(
            upload.comes(1).unwrap_err().to_string().matches("100 bytes are being written").count(),
            1
        );
    }

    #[test]
    fn the_disk_is_looked_at_before_something_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let limits = RoomLimits { free_bytes_min: Some(0), ..RoomLimits::default() };
        let room = Room::new(limits, vec![(folder.path().to_owned(), "content")]);
        room.0.disk.end(0, u64::MAX);
        room.admit_new().expect("nothing of it is on the disk");
        let _commit = room.append(1, usize::MAX).expect_err("more than any disk has");
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
            held in any::<u64>(), bytes in any::<u64>(), log_bytes_max in any::<Option<u64>>(),
            free_bytes_min in any::<Option<u64>>(),
        ) {
            let looks: Vec<Look> = looks.into_iter().map(|(capacity, free, entries, entries_free)| {
                Look { of: "content", capacity, free, entries, entries_free }
            }).collect();
            let limits = RoomLimits { log_bytes_max, free_bytes_min };
            let left = left(&limits, &looks);
            prop_assert!(left.for_ending >= left.for_new);
            prop_assert!(left.for_new > 0 || left.first.is_some());
            let is_short = |line| log_shortage(&limits, line, held, bytes).is_some();
            prop_assert!(is_short(Line::New) || !is_short(Line::Ending));
        }
    }
}
