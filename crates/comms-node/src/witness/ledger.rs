//! The ledger of one stream: a file with a record for each sequence, at an address that follows from the sequence.
//!
//! A record is written before its append is acknowledged, to the page cache: a crash of the process loses none. A
//! [`sync`](Ledger::sync) every moment makes them outlive a power failure. Places that stayed blank (a repeat whose first
//! answer got lost, a write that failed) are filled in from the stream later.
//!
//! The file begins with two slots of the size of a record: the header, which says of which life of which stream it is
//! and never changes, and the checkpoint, which says how far the ledger went when it was last synced.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use super::record::{RECORD_BYTES, Record, Slot, State};

const MAGIC: [u8; 8] = *b"CommsLg1";
const RECORD: u64 = RECORD_BYTES as u64;
/// Where the record of sequence 1 begins.
const RECORDS_AT: u64 = 2 * RECORD;
/// Records read at a time: 192 KiB.
const CHUNK: usize = 4_096;
/// Records below the floor whose room is given back at once.
const PUNCH_RECORDS: u64 = 65_536;

/// Which life of which stream a ledger is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// How often a loss was accepted. It is part of the incarnation in positions.
    pub(crate) generation: u64,
    /// When the stream was made, in nanoseconds since the epoch.
    pub(crate) created_ns: i64,
    /// Up to this sequence the ledger was written from a stream that nobody had witnessed: what was absent there
    /// then is no loss.
    pub(crate) adopted: u64,
}

/// Why a ledger cannot be used.
#[derive(Debug)]
pub(crate) enum Unusable {
    Absent,
    /// What stands at its beginning is not of a ledger of this stream.
    Damaged(String),
    Io(io::Error),
}

/// Why a message that is stored must not be acknowledged.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unwitnessed {
    /// Its sequence was handed out a second time: the stream is not what it was.
    Repeated(u64),
    /// Its record cannot be written.
    Unwritten(String),
}

/// What a stream can be held against at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    /// The highest sequence that is witnessed.
    pub(crate) extent: u64,
    /// Messages that stand there until somebody says otherwise.
    pub(crate) lasting: u64,
    /// Those that ceased to be lasting, counted since the ledger was opened.
    pub(crate) released: u64,
    /// Below this nothing is in the stream any more.
    pub(crate) floor: u64,
    /// From here on records may be blank.
    pub(crate) frontier: u64,
}

/// The ledger of one stream.
#[derive(Debug)]
pub(crate) struct Ledger {
    name: String,
    path: PathBuf,
    header: Header,
    file: File,
    book: Mutex<Book>,
}

#[derive(Debug)]
struct Book {
    tally: Tally,
    /// Whether the settled may be forgotten from the beginning on.
    is_queue: bool,
    is_dirty: bool,
    /// Whether something was written since the marks were moved on.
    may_advance: bool,
    punched: u64,
    /// How far it went at its last checkpoint, where the file is shorter than that.
    cut_at: Option<u64>,
    damaged: u64,
    /// Behind this sequence the file goes on with what is no record.
    rubbish_behind: Option<u64>,
    /// Why the last write failed.
    failing: Option<String>,
}

impl Ledger {
    /// Writes a ledger as a whole, in the place of a former one, and syncs it. `slots` are from sequence 1 on.
    ///
    /// # Errors
    /// What the system said; the former one is untouched then.
    pub(crate) fn create(
        path: &Path,
        name: &str,
        header: Header,
        slots: impl Iterator<Item = Slot>,
    ) -> io::Result<()> {
        let next = path.with_extension("new");
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
        let mut out = io::BufWriter::new(&file);
        out.write_all(&header.encode(name))?;
        out.write_all(&Checkpoint { extent: 0, floor: 1 }.encode())?;
        for (sequence, slot) in (1..).zip(slots) {
            match slot {
                Slot::Written(record) => out.write_all(&record.encode(sequence))?,
                Slot::Blank | Slot::Damaged => out.write_all(&[0; RECORD_BYTES])?,
            }
        }
        out.flush()?;
        drop(out);
        file.sync_all()?;
        std::fs::rename(&next, path)?;
        match path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }

    /// Opens a ledger and reads it through. `is_queue` says that settled messages leave the stream.
    pub(crate) fn open(path: &Path, name: &str, is_queue: bool) -> Result<Ledger, Unusable> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unusable::Absent),
            Err(error) => return Err(Unusable::Io(error)),
        };
        let mut head = [0; 2 * RECORD_BYTES];
        match file.read_exact_at(&mut head, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(Unusable::Damaged("it is shorter than its header".to_owned()));
            }
            Err(error) => return Err(Unusable::Io(error)),
        }
        let (header, checkpoint) = head.split_at(RECORD_BYTES);
        let header = Header::decode(header, name).map_err(|why| Unusable::Damaged(why.to_owned()))?;
        let length = file.metadata().map_err(Unusable::Io)?.len();
        let checkpoint = Checkpoint::decode(checkpoint);
        let floor = checkpoint.map_or(1, |checkpoint| checkpoint.floor.max(1));
        let extent = length.saturating_sub(RECORDS_AT).div_ceil(RECORD);
        let cut_at = checkpoint.map(|checkpoint| checkpoint.extent).filter(|before| *before > extent);
        let tally = Tally { extent: cut_at.unwrap_or(0), lasting: 0, released: 0, floor, frontier: floor };
        let book = Book {
            tally,
            is_queue,
            is_dirty: false,
            may_advance: true,
            punched: 0,
            cut_at,
            // One that was written and cannot be read.
            damaged: u64::from(checkpoint.is_none()),
            rubbish_behind: None,
            failing: None,
        };
        let ledger =
            Ledger { name: name.to_owned(), path: path.to_owned(), header, file, book: Mutex::new(book) };
        // Without a checkpoint nobody knows where the records end.
        let synced = checkpoint.map_or(u64::MAX, |checkpoint| checkpoint.extent);
        ledger.read_through(extent, synced).map_err(Unusable::Io)?;
        Ok(ledger)
    }

    /// What is no record behind all that are, and behind what was synced, is of nothing that was acknowledged: a
    /// record is written as a whole before its message is acknowledged, and only a power failure tears a write.
    fn read_through(&self, extent: u64, synced: u64) -> io::Result<()> {
        let mut book = self.lock();
        let mut is_filled = true;
        let (mut rubbish, mut last) = (0, synced);
        for at in self.walk(book.tally.floor, extent) {
            let (sequence, slot) = at?;
            match slot {
                Slot::Blank => is_filled = false,
                Slot::Damaged if sequence > synced => {
                    is_filled = false;
                    rubbish += 1;
                }
                Slot::Damaged => {
                    is_filled = false;
                    book.damaged += 1;
                    book.tally.extent = book.tally.extent.max(sequence);
                }
                Slot::Written(record) => {
                    // What seemed to be behind the last one is between two.
                    book.damaged += std::mem::take(&mut rubbish);
                    last = last.max(sequence);
                    book.tally.lasting += u64::from(record.is_lasting());
                    book.tally.extent = book.tally.extent.max(sequence);
                }
            }
            if is_filled {
                book.tally.frontier = sequence + 1;
            }
        }
        book.rubbish_behind = (rubbish > 0).then_some(last);
        Ok(())
    }

    /// Cuts off what stands behind the last record and is none.
    pub(crate) fn trim(&self) -> io::Result<()> {
        let mut book = self.lock();
        let Some(mut last) = book.rubbish_behind else { return Ok(()) };
        let length = self.file.metadata()?.len();
        let extent = length.saturating_sub(RECORDS_AT).div_ceil(RECORD);
        // Since it was opened records may have been filled in there.
        for at in self.walk(last + 1, extent) {
            match at? {
                (_, Slot::Blank) => {}
                (sequence, Slot::Damaged) => self.file.write_all_at(&[0; RECORD_BYTES], address(sequence))?,
                (sequence, Slot::Written(_)) => last = sequence,
            }
        }
        self.file.set_len(address(last + 1).min(length))?;
        self.file.sync_all()?;
        book.rubbish_behind = None;
        Ok(())
    }

    /// Whether the file is still where it was opened: removed or replaced, it would be missed at the next start only.
    pub(crate) fn is_in_place(&self) -> bool {
        let same = |there: std::fs::Metadata| {
            let here = self.file.metadata()?;
            Ok((here.dev(), here.ino()) == (there.dev(), there.ino()))
        };
        // One that cannot be looked at is no loss.
        match std::fs::metadata(&self.path).and_then(same) {
            Ok(is_same) => is_same,
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn header(&self) -> Header {
        self.header
    }

    pub(crate) fn tally(&self) -> Tally {
        self.lock().tally
    }

    /// What is wrong with the ledger itself, in words; none where it is whole.
    pub(crate) fn damage(&self) -> Option<String> {
        let book = self.lock();
        let cut = book.cut_at.map(|before| format!("it is cut off, and had {before} records"));
        let damaged =
            (book.damaged > 0).then(|| format!("{} of its records are not what was written", book.damaged));
        let rubbish = book.rubbish_behind.map(|last| {
            format!(
                "what stands behind the record of {last} is of nothing that was acknowledged, and is cut off"
            )
        });
        let all: Vec<String> = cut.into_iter().chain(damaged).chain(rubbish).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Why the last write to it failed, if it did.
    pub(crate) fn failing(&self) -> Option<String> {
        self.lock().failing.clone()
    }

    /// Witnesses messages that were stored from `first` on, next to each other.
    ///
    /// A write that fails is remembered and made good from the stream later, since the messages are stored.
    ///
    /// # Errors
    /// If one of the sequences is witnessed already with another message, or if the records cannot be written.
    pub(crate) fn stored(&self, first: u64, records: &[Record]) -> Result<(), Unwitnessed> {
        let mut book = self.lock();
        // Nothing was written behind the extent.
        let is_new = first > book.tally.extent;
        let known = match if is_new {
            Ok(vec![Slot::Blank; records.len()])
        } else {
            self.slots(first, records.len())
        } {
            Ok(known) => known,
            Err(error) => {
                self.failed(&mut book, &error);
                return Err(Unwitnessed::Unwritten(error.to_string()));
            }
        };
        let mut bytes = Vec::with_capacity(records.len() * RECORD_BYTES);
        let mut lasting = 0;
        for ((sequence, record), known) in (first..).zip(records).zip(known) {
            let record = match known {
                Slot::Blank | Slot::Damaged => *record,
                // Its end was stored before its own acknowledgement was heard.
                Slot::Written(known) if known.state == State::Settled => {
                    Record { state: State::Settled, ..*record }
                }
                Slot::Written(known) if known.state == State::Present && known.digest == record.digest => {
                    bytes.extend_from_slice(&known.encode(sequence));
                    continue;
                }
                Slot::Written(_) => return Err(Unwitnessed::Repeated(sequence)),
            };
            lasting += u64::from(record.is_lasting());
            bytes.extend_from_slice(&record.encode(sequence));
        }
        if let Err(error) = self.write(&mut book, first, &bytes) {
            return Err(Unwitnessed::Unwritten(error.to_string()));
        }
        book.tally.lasting += lasting;
        book.tally.extent = book.tally.extent.max(first + records.len() as u64 - 1);
        Ok(())
    }

    /// Says that the stream goes to `sequence`: records up to there that are blank are to be filled in.
    pub(crate) fn reach(&self, sequence: u64) {
        let mut book = self.lock();
        book.tally.extent = book.tally.extent.max(sequence);
    }

    /// Says what became of the message at `sequence`, where that is not known yet.
    pub(crate) fn mark(&self, sequence: u64, state: State, now_ms: u64) {
        let mut book = self.lock();
        let known = match self.slot(sequence) {
            Ok(known) => known,
            Err(error) => return self.failed(&mut book, &error),
        };
        let (record, was_lasting) = match known {
            Slot::Blank | Slot::Damaged => (Record::bare(state, now_ms), false),
            Slot::Written(record) if record.state == State::Present => {
                (Record { state, ..record }, record.is_lasting())
            }
            Slot::Written(_) => return,
        };
        if self.write(&mut book, sequence, &record.encode(sequence)).is_ok() {
            book.tally.lasting -= u64::from(was_lasting);
            book.tally.released += u64::from(was_lasting);
            book.tally.extent = book.tally.extent.max(sequence);
        }
    }

    /// Fills in what is blank or damaged at `sequence`; leaves alone what is written.
    pub(crate) fn fill(&self, sequence: u64, record: &Record) {
        let mut book = self.lock();
        match self.slot(sequence) {
            Ok(Slot::Written(_)) => {}
            Ok(Slot::Blank | Slot::Damaged) => {
                if self.write(&mut book, sequence, &record.encode(sequence)).is_ok() {
                    book.tally.lasting += u64::from(record.is_lasting());
                    book.tally.extent = book.tally.extent.max(sequence);
                }
            }
            Err(error) => self.failed(&mut book, &error),
        }
    }

    /// The places from `first` to `last`, in order, read some at a time. Nothing follows an error.
    pub(crate) fn walk(&self, first: u64, last: u64) -> impl Iterator<Item = io::Result<(u64, Slot)>> {
        let (mut next, mut last, mut read) = (first, Some(last), Vec::new().into_iter());
        std::iter::from_fn(move || {
            let count = last?.checked_sub(next)?.saturating_add(1);
            if read.len() == 0 {
                match self.slots(next, usize::try_from(count).unwrap_or(CHUNK).min(CHUNK)) {
                    Ok(slots) => read = slots.into_iter(),
                    Err(error) => {
                        last = None;
                        return Some(Err(error));
                    }
                }
            }
            let at = (next, read.next()?);
            next += 1;
            Some(Ok(at))
        })
    }

    /// The place of `sequence`.
    pub(crate) fn slot(&self, sequence: u64) -> io::Result<Slot> {
        Ok(self.slots(sequence, 1)?.first().copied().unwrap_or(Slot::Blank))
    }

    /// Makes durable what was written, and moves on the marks below which there is nothing to do.
    ///
    /// Blocks. The checkpoint is written behind what it speaks of, so that it never says more than there is.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let checkpoint = {
            let mut book = self.lock();
            if book.may_advance {
                self.advance(&mut book)?;
                book.may_advance = false;
            }
            if !std::mem::take(&mut book.is_dirty) {
                return Ok(());
            }
            Checkpoint { extent: book.tally.extent, floor: book.tally.floor }
        };
        let synced = self
            .file
            .sync_data()
            .and_then(|()| self.file.write_all_at(&checkpoint.encode(), RECORD))
            .and_then(|()| self.give_back(checkpoint.floor));
        if synced.is_err() {
            self.lock().is_dirty = true;
        }
        synced
    }

    fn advance(&self, book: &mut Book) -> io::Result<()> {
        while book.tally.frontier <= book.tally.extent {
            let slots = self.slots(book.tally.frontier, CHUNK)?;
            let filled = slots.iter().take_while(|slot| matches!(slot, Slot::Written(_))).count();
            book.tally.frontier += filled as u64;
            if filled < slots.len() {
                break;
            }
        }
        while book.is_queue && book.tally.floor < book.tally.frontier {
            let slots = self.slots(book.tally.floor, CHUNK)?;
            let left = |slot: &&Slot| matches!(slot, Slot::Written(record) if record.state != State::Present);
            let passed = slots.iter().take_while(left).count();
            book.tally.floor += passed as u64;
            if passed < slots.len() {
                break;
            }
        }
        Ok(())
    }

    /// Gives the room of what left the queue back to the disk. The file keeps its length and its addresses.
    fn give_back(&self, floor: u64) -> io::Result<()> {
        let from = self.lock().punched;
        if floor < from + PUNCH_RECORDS {
            return Ok(());
        }
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{FallocateFlags, fallocate};
            // Whole blocks are given back; the rest of the first and the last is set to zero, which is blank.
            let end = address(floor);
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            match fallocate(&self.file, flags, RECORDS_AT, end - RECORDS_AT) {
                Ok(()) => {}
                // Not every file system can; then the room stays taken.
                Err(rustix::io::Errno::OPNOTSUPP) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.lock().punched = floor;
        Ok(())
    }

    /// `count` places from `first` on. What lies behind the end of the file is blank.
    pub(crate) fn slots(&self, first: u64, count: usize) -> io::Result<Vec<Slot>> {
        let mut bytes = vec![0; count * RECORD_BYTES];
        let mut filled = 0;
        while filled < bytes.len() {
            match self.file.read_at(&mut bytes[filled..], address(first) + filled as u64) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let records = bytes.as_chunks::<RECORD_BYTES>().0;
        Ok((first..).zip(records).map(|(sequence, bytes)| Slot::decode(bytes, sequence)).collect())
    }

    fn write(&self, book: &mut Book, first: u64, bytes: &[u8]) -> io::Result<()> {
        book.may_advance = true;
        match self.file.write_all_at(bytes, address(first)) {
            Ok(()) => {
                book.is_dirty = true;
                book.failing = None;
                Ok(())
            }
            Err(error) => {
                self.failed(book, &error);
                // How far the stream went is known all the same, so that it is filled in.
                book.tally.extent = book.tally.extent.max(first + (bytes.len() / RECORD_BYTES) as u64 - 1);
                Err(error)
            }
        }
    }

    fn failed(&self, book: &mut Book, error: &io::Error) {
        if book.failing.is_none() {
            tracing::error!(path = %self.path.display(), %error, "the ledger of a stream cannot be used");
        }
        book.failing = Some(error.to_string());
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("no panic happens while a ledger is held")
    }
}

fn address(sequence: u64) -> u64 {
    RECORDS_AT + sequence.saturating_sub(1).saturating_mul(RECORD)
}

impl Header {
    fn encode(&self, name: &str) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.generation.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.created_ns.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.adopted.to_le_bytes());
        bytes[32..36].copy_from_slice(&crc32fast::hash(name.as_bytes()).to_le_bytes());
        seal(bytes)
    }

    fn decode(bytes: &[u8], name: &str) -> Result<Header, &'static str> {
        let sealed = is_sealed(bytes);
        if !sealed || bytes[..8] != MAGIC {
            return Err("its header is not what was written");
        }
        if bytes[32..36] != crc32fast::hash(name.as_bytes()).to_le_bytes() {
            return Err("it is of another stream");
        }
        Ok(Header {
            generation: number(bytes, 8),
            created_ns: number(bytes, 16).cast_signed(),
            adopted: number(bytes, 24),
        })
    }
}

/// How far a ledger went when it was last synced.
#[derive(Debug, Clone, Copy)]
struct Checkpoint {
    extent: u64,
    floor: u64,
}

impl Checkpoint {
    fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..8].copy_from_slice(&self.extent.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.floor.to_le_bytes());
        seal(bytes)
    }

    /// None where it was torn or damaged: then the ledger is read from its beginning.
    fn decode(bytes: &[u8]) -> Option<Checkpoint> {
        is_sealed(bytes).then(|| Checkpoint { extent: number(bytes, 0), floor: number(bytes, 8) })
    }
}

fn number(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

fn seal(mut bytes: [u8; RECORD_BYTES]) -> [u8; RECORD_BYTES] {
    let crc = crc32fast::hash(&bytes[..RECORD_BYTES - 4]);
    bytes[RECORD_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn is_sealed(bytes: &[u8]) -> bool {
    bytes[RECORD_BYTES - 4..] == crc32fast::hash(&bytes[..RECORD_BYTES - 4]).to_le_bytes()
}

#[cfg(test)]
mod tests;
