//! Why somebody may read a content: who put it, and which messages carry it.
//!
//! A grant is an empty file whose name says everything: `<shard>/<cid>/by-archive`,
//! `<shard>/<cid>/in-documents.AddDocument`. Nothing is rewritten, so nothing can be half-written, and a folder
//! is read by listing it.
//!
//! Unlike blocks, grants are kept per CID and not per multihash. Whoever puts *raw* bytes may read those bytes,
//! but if they happen to be a node of a file, the grant must not open the file: its links may name content of
//! somebody else.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use comms_content::Cid;
use comms_msg::{ServiceName, TypeName};
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::cache::Cache;
use crate::folder::{Folder, name, storable};
use crate::limits::{GRANTS_CACHED_MAX, GRANTS_PER_CONTENT_MAX};
use crate::{Error, Result};

/// Counters of writes, so that what was listed before a write is not remembered after it. More than one, so
/// that a write of one content rarely spoils the listing of another.
const STRIPES: usize = 64;

/// One reason to be allowed to read a content. Says nothing about who may; that depends on the definition of
/// the day.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grant {
    /// The service put it.
    PutBy(ServiceName),
    /// Messages of this type carry it.
    CarriedBy(TypeName),
    /// What answers messages of this type carries it.
    InReplyTo(TypeName),
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PutBy(service) => write!(f, "by-{service}"),
            Self::CarriedBy(name) => write!(f, "in-{name}"),
            Self::InReplyTo(name) => write!(f, "re-{name}"),
        }
    }
}

impl Grant {
    /// The grant that a file's name stands for; none for names that are not ours.
    fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once('-')?;
        match kind {
            "by" => rest.parse().ok().map(Self::PutBy),
            "in" => rest.parse().ok().map(Self::CarriedBy),
            "re" => rest.parse().ok().map(Self::InReplyTo),
            _ => None,
        }
    }
}

/// Grants in one folder, with those used lately in memory. Clones share it.
#[derive(Debug, Clone)]
pub struct Grants(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: Folder,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    grants: Cache<Cid, Entry>,
    writes: [u64; STRIPES],
}

/// All grants of one content.
#[derive(Debug, Clone)]
struct Entry {
    grants: Arc<BTreeSet<Grant>>,
    /// Whether the files of all of them are known to be synced, and not merely seen.
    durable: bool,
}

impl Grants {
    /// Opens the records in `root`, which is made if it is not there.
    ///
    /// Blocks the thread for milliseconds. Only one process at a time may have a folder open.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Full`].
    pub fn open(root: &Path) -> Result<Self> {
        let known = Known { grants: Cache::new(GRANTS_CACHED_MAX), writes: [0; STRIPES] };
        Ok(Self(Arc::new(Inner { folder: Folder::open(root)?, known: Mutex::new(known) })))
    }

    /// Records a grant; answers whether it is new. When this returns, it is on the disk. Recording one again
    /// costs nothing.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Io`], [`Error::TooLarge`] for a content with too many grants.
    pub async fn add(&self, cid: &Cid, grant: Grant) -> Result<bool> {
        let cid = &normal(cid);
        storable(cid)?;
        let name = name(cid);
        let entry = self.entry(cid).await?;
        if entry.grants.contains(&grant) {
            if !entry.durable {
                self.0.folder.sync_within(&name).await?;
                if let Some(entry) = self.known().grants.get(cid) {
                    entry.durable = true;
                }
            }
            return Ok(false);
        }
        if entry.grants.len() >= GRANTS_PER_CONTENT_MAX {
            return Err(too_many(entry.grants.len()));
        }
        let location = self.0.folder.location(&name).join(grant.to_string());
        self.0.folder.prepare_within(&name).await?;
        self.0
            .folder
            .objects
            .put(&location, Bytes::new().into())
            .await
            .map_err(|source| Error::io("record a grant", source))?;
        // The file is synced into the folder of this content by now, and that folder by this.
        self.0.folder.sync(&name).await?;
        let mut known = self.known();
        known.writes[stripe(cid)] += 1;
        if let Some(entry) = known.grants.get(cid) {
            Arc::make_mut(&mut entry.grants).insert(grant);
        }
        Ok(true)
    }

    /// All grants of a content; none if it is unknown, which looks and costs the same.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::TooLarge`] for a folder that cannot be ours.
    pub async fn of(&self, cid: &Cid) -> Result<Arc<BTreeSet<Grant>>> {
        Ok(self.entry(&normal(cid)).await?.grants)
    }

    async fn entry(&self, cid: &Cid) -> Result<Entry> {
        if storable(cid).is_err() {
            return Ok(Entry { grants: Arc::default(), durable: true });
        }
        let writes = {
            let mut known = self.known();
            if let Some(entry) = known.grants.get(cid) {
                return Ok(entry.clone());
            }
            known.writes[stripe(cid)]
        };
        let entry = Entry { grants: Arc::new(self.list(cid).await?), durable: false };
        let mut known = self.known();
        if known.writes[stripe(cid)] == writes {
            known.grants.insert(*cid, entry.clone());
        }
        Ok(entry)
    }

    async fn list(&self, cid: &Cid) -> Result<BTreeSet<Grant>> {
        let prefix = self.0.folder.location(&name(cid));
        let mut files = self.0.folder.objects.list(Some(&prefix));
        let mut grants = BTreeSet::new();
        while let Some(file) =
            files.try_next().await.map_err(|source| Error::io("list the grants of a content", source))?
        {
            if grants.len() >= GRANTS_PER_CONTENT_MAX {
                return Err(too_many(grants.len()));
            }
            grants.extend(file.location.filename().and_then(Grant::parse));
        }
        Ok(grants)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Every statement under this lock leaves it right, so a panic elsewhere does not spoil it.
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_many(actual: usize) -> Error {
    Error::TooLarge {
        what: "the list of grants of one content",
        actual: actual as u64,
        max: GRANTS_PER_CONTENT_MAX as u64,
    }
}

fn stripe(cid: &Cid) -> usize {
    cid.digest().last().map_or(0, |byte| usize::from(*byte) % STRIPES)
}

/// One key for version 0 and version 1 of the same CID.
fn normal(cid: &Cid) -> Cid {
    cid.with_codec(cid.codec())
}

#[cfg(test)]
mod tests {
    use comms_content::{DAG_PB, RAW};

    use super::*;

    fn by(name: &str) -> Grant {
        Grant::PutBy(name.parse().unwrap())
    }

    fn carried(name: &str) -> Grant {
        Grant::CarriedBy(name.parse().unwrap())
    }

    #[tokio::test]
    async fn grants_are_kept_once_and_found_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let cid = Cid::raw(b"content");
        let all = [
            by("archive"),
            carried("documents.AddDocument"),
            Grant::InReplyTo("documents.FindDocuments".parse().unwrap()),
        ];
        {
            let grants = Grants::open(folder.path()).unwrap();
            assert!(grants.of(&cid).await.unwrap().is_empty());
            for grant in &all {
                assert!(grants.add(&cid, grant.clone()).await.unwrap());
                assert!(!grants.add(&cid, grant.clone()).await.unwrap());
            }
            assert_eq!(*grants.of(&cid).await.unwrap(), BTreeSet::from(all.clone()));
        }
        let grants = Grants::open(folder.path()).unwrap();
        assert_eq!(*grants.of(&cid).await.unwrap(), BTreeSet::from(all.clone()));
        assert!(!grants.add(&cid, all[0].clone()).await.unwrap());
    }

    #[tokio::test]
    async fn raw_bytes_do_not_open_the_file_whose_node_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let grants = Grants::open(folder.path()).unwrap();
        let raw = Cid::of(RAW, b"");
        grants.add(&raw, by("archive")).await.unwrap();
        assert!(grants.of(&raw.with_codec(DAG_PB)).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn both_versions_of_a_cid_are_one() {
        let folder = tempfile::tempdir().unwrap();
        let grants = Grants::open(folder.path()).unwrap();
        let old: Cid = "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH".parse().unwrap();
        grants.add(&old, by("archive")).await.unwrap();
        assert_eq!(*grants.of(&old.with_codec(DAG_PB)).await.unwrap(), BTreeSet::from([by("archive")]));
    }

    #[tokio::test]
    async fn names_of_files_that_are_not_ours_grant_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let grants = Grants::open(folder.path()).unwrap();
        let cid = Cid::raw(b"content");
        grants.add(&cid, by("archive")).await.unwrap();
        let name = name(&cid);
        let path = folder.path().join(grants.0.folder.location(&name).to_string());
        for file in ["by-", "by-Archive!", "in-documents", "xx-archive", "archive", "by-search#1"] {
            std::fs::write(path.join(file), b"").unwrap();
        }
        let grants = Grants::open(folder.path()).unwrap();
        assert_eq!(*grants.of(&cid).await.unwrap(), BTreeSet::from([by("archive")]));
    }

    #[tokio::test]
    async fn writers_and_readers_at_once_end_with_everything() {
        let folder = tempfile::tempdir().unwrap();
        let grants = Grants::open(folder.path()).unwrap();
        let cid = Cid::raw(b"content");
        let all: BTreeSet<Grant> = (0..24).map(|at| by(&format!("service-{at}"))).collect();
        let writers = all.iter().map(|grant| async {
            grants.add(&cid, grant.clone()).await.unwrap();
            assert!(grants.of(&cid).await.unwrap().contains(grant));
        });
        futures::future::join_all(writers).await;
        assert_eq!(*grants.of(&cid).await.unwrap(), all);
    }

    #[tokio::test]
    async fn content_that_cannot_be_here_takes_no_grant() {
        let folder = tempfile::tempdir().unwrap();
        let grants = Grants::open(folder.path()).unwrap();
        let identity: Cid = "bafkqaaa".parse().unwrap();
        assert!(matches!(grants.add(&identity, by("archive")).await, Err(Error::Content(_))));
        assert!(grants.of(&identity).await.unwrap().is_empty());
    }
}
