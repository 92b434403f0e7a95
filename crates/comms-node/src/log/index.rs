//! What stands in the log, by key: where each event is, and how each command ended. Durable, and exact for as long as
//! the log is: whatever an id looks like and whenever it comes again.
//!
//! The log is the truth; this is rebuilt from it where it is missing, damaged or of another log. What was stored since
//! the last write to disk is in memory, and is read back from the log after a crash: with the entries stands how far
//! of the log they tell. So an append costs no second sync.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use comms_content::Node;
use comms_msg::MsgKey;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::ending::EndedCommand;
use super::progress::Progress;
use crate::Error;

/// Entries in memory from which on they are written to disk at once: a few megabytes.
pub(crate) const RECENT_WRITE: usize = 16_384;
/// Entries in memory at most. With a disk that takes none of them the log takes no more either.
pub(crate) const RECENT_MAX: usize = 262_144;
/// Memory for pages of the file. The newest entries stand side by side, since ids begin with their time.
const CACHE_BYTES: usize = 32 << 20;
/// The form of the file. Another one is rebuilt from the log.
const FORM: u64 = 1;

const ENTRIES: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("entries");
const ABOUT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("about");

/// What is known of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// An event stands at this sequence.
    Event(u64),
    /// A command ended.
    Ended(EndedCommand),
}

impl Entry {
    /// Eight bytes are a sequence; everything else is longer, and DAG-CBOR.
    fn to_bytes(&self) -> Vec<u8> {
        match self {
            Entry::Event(sequence) => sequence.to_be_bytes().to_vec(),
            Entry::Ended(ended) => {
                Node::encode(ended).expect("an ending has only text, numbers and a CID").into_bytes().into()
            }
        }
    }

    fn from_bytes(bytes: &[u8]) -> Option<Entry> {
        match <[u8; 8]>::try_from(bytes) {
            Ok(sequence) => Some(Entry::Event(u64::from_be_bytes(sequence))),
            Err(_) => Node::from_cbor(bytes.to_vec().into()).ok()?.decode().ok().map(Entry::Ended),
        }
    }
}

/// See the header. Its methods read and write files: few and small, and mostly in memory.
#[derive(Debug)]
pub(crate) struct Index {
    database: Database,
    path: PathBuf,
    log: String,
    recent: Mutex<Recent>,
    /// Endings of commands that caused no event are known from this time on, in milliseconds since the epoch.
    known_since_ms: u64,
}

/// What is not in the file yet.
#[derive(Debug, Default)]
struct Recent {
    fresh: HashMap<MsgKey, Entry>,
    /// What is being written right now.
    leaving: HashMap<MsgKey, Entry>,
    progress: Progress,
}

impl Index {
    /// Opens the index at `path` of the log that is called `log`. One that cannot be used is put aside and begun anew.
    ///
    /// `begins_ms` is the time from which on a rebuilt index knows the endings of commands that caused no event.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn open(path: &Path, log: &str, begins_ms: u64) -> Result<Index, Error> {
        match Self::existing(path, log) {
            Ok(Some(index)) => return Ok(index),
            Ok(None) => {}
            Err(why) => {
                tracing::warn!(path = %path.display(), why, "the index of the log cannot be used and is made again");
                let aside = path.with_extension("broken");
                std::fs::rename(path, &aside)
                    .map_err(|source| crate::folder::file_error("put aside", path, source))?;
            }
        }
        let database = Self::builder().create(path).map_err(|error| failed(path, error))?;
        let index = Index {
            database,
            path: path.to_owned(),
            log: log.to_owned(),
            recent: Mutex::default(),
            known_since_ms: begins_ms,
        };
        index.write(Vec::new(), 0)?;
        Ok(index)
    }

    fn builder() -> redb::Builder {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        builder
    }

    /// The index as it is on disk; `None` where there is none, the reason where it cannot be used.
    fn existing(path: &Path, log: &str) -> Result<Option<Index>, String> {
        if !path.exists() {
            return Ok(None);
        }
        // Every page is held against its checksum: a key that was damaged would be one that never came.
        let database = Self::builder()
            .set_check_integrity_on_open(true)
            .open(path)
            .map_err(|error| error.to_string())?;
        let about = |name: &str| -> Result<Option<Vec<u8>>, redb::Error> {
            let read = database.begin_read()?;
            let about = read.open_table(ABOUT)?;
            Ok(about.get(name)?.map(|value| value.value().to_vec()))
        };
        let text = |name| about(name).map_err(|error| error.to_string());
        let number = |name| -> Result<u64, String> {
            let bytes = text(name)?.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
            bytes.map(u64::from_be_bytes).ok_or_else(|| format!("it does not say its {name}"))
        };
        let form = number("form")?;
        if form != FORM {
            return Err(format!("it has the form {form}, and {FORM} is the one in use"));
        }
        if text("log")?.as_deref() != Some(log.as_bytes()) {
            return Err("it is of another log".to_owned());
        }
        let progress = Progress::through_to(number("through")?);
        let known_since_ms = number("known_since")?;
        Ok(Some(Index {
            database,
            path: path.to_owned(),
            log: log.to_owned(),
            recent: Mutex::new(Recent { progress, ..Recent::default() }),
            known_since_ms,
        }))
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything of the log up to this sequence is in the index.
    pub(crate) fn through(&self) -> u64 {
        self.recent().progress.through()
    }

    /// The last sequence of the log that is in the index.
    pub(crate) fn high(&self) -> u64 {
        self.recent().progress.high()
    }

    /// Whether something of the log before [`Index::high`] is missing.
    pub(crate) fn has_gap(&self) -> bool {
        self.recent().progress.has_gap()
    }

    /// From when on it is known of every command whether it ended, in milliseconds since the epoch.
    pub(crate) fn known_since_ms(&self) -> u64 {
        self.known_since_ms
    }

    /// Whether as many entries wait to be written as may.
    pub(crate) fn is_full(&self) -> bool {
        let recent = self.recent();
        recent.fresh.len() + recent.leaving.len() >= RECENT_MAX
    }

    /// Whether entries should be written now.
    pub(crate) fn is_due(&self) -> bool {
        self.recent().fresh.len() >= RECENT_WRITE
    }

    /// What is known under `key`.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn get(&self, key: &MsgKey) -> Result<Option<Entry>, Error> {
        {
            let recent = self.recent();
            if let Some(entry) = recent.fresh.get(key).or_else(|| recent.leaving.get(key)) {
                return Ok(Some(entry.clone()));
            }
        }
        let read = || -> Result<Option<Vec<u8>>, redb::Error> {
            let read = self.database.begin_read()?;
            let entries = read.open_table(ENTRIES)?;
            Ok(entries.get(key.as_bytes())?.map(|value| value.value().to_vec()))
        };
        let Some(bytes) = read().map_err(|error| failed(&self.path, error))? else { return Ok(None) };
        match Entry::from_bytes(&bytes) {
            Some(entry) => Ok(Some(entry)),
            None => Err(failed(&self.path, format!("the entry {key} cannot be read"))),
        }
    }

    /// The messages `first` to `last` of the log stand there, with `entries` for all that is to be known of them. The
    /// first entry under a key stays: an id names one message, and a command ends once.
    pub(crate) fn note(&self, entries: impl IntoIterator<Item = (MsgKey, Entry)>, first: u64, last: u64) {
        let mut recent = self.recent();
        let Recent { fresh, leaving, progress } = &mut *recent;
        for (key, entry) in entries {
            if !leaving.contains_key(&key) {
                fresh.entry(key).or_insert(entry);
            }
        }
        progress.note(first, last);
    }

    /// The log has been read up to `last`: what is not known by now is not there.
    pub(crate) fn note_through(&self, last: u64) {
        self.recent().progress.note_through(last);
    }

    /// Writes to disk what is in memory. One caller at a time.
    ///
    /// # Errors
    /// What the disk says; nothing is forgotten then.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        let (mut entries, through) = {
            let mut recent = self.recent();
            let fresh = std::mem::take(&mut recent.fresh);
            // Left over where the last write failed.
            recent.leaving.extend(fresh);
            let entries: Vec<(MsgKey, Entry)> =
                recent.leaving.iter().map(|(key, entry)| (*key, entry.clone())).collect();
            (entries, recent.progress.through())
        };
        if entries.is_empty() {
            return Ok(());
        }
        entries.sort_unstable_by_key(|(key, _)| *key);
        self.write(entries, through)?;
        self.recent().leaving.clear();
        Ok(())
    }

    fn write(&self, entries: Vec<(MsgKey, Entry)>, through: u64) -> Result<(), Error> {
        let write = || -> Result<(), redb::Error> {
            let mut write = self.database.begin_write()?;
            // A start after a crash must not have to look at every page.
            write.set_quick_repair(true);
            {
                let mut table = write.open_table(ENTRIES)?;
                for (key, entry) in &entries {
                    if table.get(key.as_bytes())?.is_none() {
                        table.insert(key.as_bytes(), entry.to_bytes().as_slice())?;
                    }
                }
                let mut about = write.open_table(ABOUT)?;
                about.insert("form", FORM.to_be_bytes().as_slice())?;
                about.insert("log", self.log.as_bytes())?;
                about.insert("through", through.to_be_bytes().as_slice())?;
                about.insert("known_since", self.known_since_ms.to_be_bytes().as_slice())?;
            }
            write.commit()?;
            Ok(())
        };
        write().map_err(|error| failed(&self.path, error))
    }
}

fn failed(path: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Request { doing: format!("keep the index of the log in {}", path.display()), source: error.into() }
}

#[cfg(test)]
mod tests;
