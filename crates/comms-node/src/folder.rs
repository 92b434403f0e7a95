//! The folder `.comms` beside a `domain.toml`: where things are in it, who holds it, and how its files are written.
//!
//! One node holds a folder at a time, by a lock that the system takes back when the node dies, however it dies. Files
//! that others read are replaced as a whole, so that nobody sees half of one. What is secret is readable for its owner
//! alone: the folder is made with 0700 and secrets with 0600. Git is told to leave all of it alone.
//!
//! What the files mean is not known here, except for `node.json`, by which clients find the node.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use comms::local::{SOCKET, SocketPath};
use comms_domain::NodeName;
use comms_store::make_folder;
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;

use crate::secret::Secret;
use crate::{Error, identity, planted};

/// Name of the folder beside `domain.toml`.
pub const FOLDER: &str = ".comms";
/// What the small files of the folder may hold at most; the largest is `node.json`.
const SMALL_FILE_BYTES_MAX: u64 = 64 << 10;
/// What git reads: nothing here is for a repository.
const IGNORE_ALL: &str = "*\n";
/// For the owner alone.
const PRIVATE_FOLDER: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;

/// Where things are. Holding one says nothing about who uses the folder: see [`Folder::hold`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    root: PathBuf,
}

/// How clients find a running node; written once everything listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeFile {
    /// The domain it serves.
    pub domain: String,
    /// Its name.
    pub node: String,
    /// Its process.
    pub pid: u32,
    /// Where nats-server listens.
    pub nats: String,
    /// Where the node's own HTTP listens.
    pub http: String,
    /// Digest of the definition in force.
    pub definition: String,
}

impl Folder {
    /// The folder of the domain whose `domain.toml` lies in `beside`.
    ///
    /// The path becomes absolute, so that it stays true when the process changes its working folder, and so that a
    /// nats-server of a dead node can be recognised by it. One that is not UTF-8 is refused, since it goes into the
    /// configuration of nats-server.
    pub fn beside(beside: &Path) -> Result<Folder, Error> {
        let home = fs::canonicalize(beside).map_err(|source| file_error("find", beside, source))?;
        if home.to_str().is_none() {
            return Err(Error::NotText { path: home });
        }
        Ok(Folder { root: home.join(FOLDER) })
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder that holds `domain.toml` and this folder.
    pub fn home(&self) -> &Path {
        self.root.parent().unwrap_or(&self.root)
    }

    /// Keys and tokens of services, `dev` and `operator`.
    pub fn credentials(&self) -> PathBuf {
        self.root.join("credentials")
    }

    /// The node's own name, secret and keys.
    pub fn node(&self) -> PathBuf {
        self.root.join("node")
    }

    /// What nats-server uses: configuration, store, log.
    pub fn nats(&self) -> PathBuf {
        self.root.join("nats")
    }

    /// What the node knows of its log beside nats-server's store.
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// The lists of ledgers, which say the same.
    pub(crate) fn lists(&self) -> [PathBuf; 2] {
        ["ledgers.json", "witnessed.json"].map(|file| self.node().join(file))
    }

    /// Where a managed nats-server keeps the streams of the domain, each in a folder of its name.
    pub(crate) fn streams(&self) -> PathBuf {
        self.nats().join("store/jetstream/DOMAIN/streams")
    }

    /// Blocks.
    pub fn content(&self) -> PathBuf {
        self.root.join("content")
    }

    /// The definition as applied.
    pub fn applied(&self) -> PathBuf {
        self.root.join("applied")
    }

    /// How clients find the node.
    pub fn node_file(&self) -> PathBuf {
        self.root.join("node.json")
    }

    /// Where the node's HTTP is reached by whoever may read this folder, and where nobody else can listen.
    pub fn socket(&self) -> PathBuf {
        self.root.join(SOCKET)
    }

    /// Who holds it holds this file.
    fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// The process that held the folder last, which may have ended; none where it cannot be told.
    pub(crate) fn holder(&self) -> Option<u32> {
        read_small(&self.lock()).ok()??.trim().parse().ok()
    }

    /// Makes the folder where it is missing and holds it for this process.
    ///
    /// Refused with [`Error::Held`] while another process holds it; the error names that process where it can be
    /// told. The hold ends when the value is dropped or the process ends, kill -9 included. A folder in which somebody
    /// else may have put something is refused with [`Error::Planted`] before anything in it is read.
    pub fn hold(&self) -> Result<Held, Error> {
        planted::refuse(&self.root)?;
        make_private(&self.root)?;
        self.ignore()?;
        for part in [self.credentials(), self.node(), self.nats(), self.log(), self.content(), self.applied()]
        {
            make_private(&part)?;
        }
        // Removing the file that is locked would let a second node in, and with it a second server onto the store. What
        // the node works in cannot be removed without the node noticing.
        let folders = [lock_folder(&self.root)?, lock_folder(&self.nats())?];
        let path = self.lock();
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(PRIVATE_FILE)
            .open(&path)
            .map_err(|source| file_error("open", &path, source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Held { folder: self.root.clone(), holder: self.holder() });
            }
            Err(TryLockError::Error(source)) => return Err(file_error("lock", &path, source)),
        }
        if folders.iter().any(Option::is_none) {
            let holder = self.read_node_file().ok().flatten().map(|file| file.pid);
            return Err(Error::Held { folder: self.root.clone(), holder });
        }
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(|source| file_error("write", &path, source))?;
        Ok(Held { folder: self.clone(), _locks: folders.into_iter().flatten().chain([lock]).collect() })
    }

    /// Keeps git from taking seeds and tokens along, in folders of every origin.
    fn ignore(&self) -> Result<(), Error> {
        let path = self.root.join(".gitignore");
        if read_small(&path).is_ok_and(|text| text.as_deref() == Some(IGNORE_ALL)) {
            return Ok(());
        }
        replace(&path, IGNORE_ALL.as_bytes(), Durability::Cached)
    }

    /// The node's name and secret, if it has them: for whoever reads beside a node that holds the folder.
    pub fn identity(&self) -> Result<Option<(NodeName, Secret)>, Error> {
        Ok(self.kept_name()?.zip(self.kept_secret()?))
    }

    /// Where the node's name is written.
    pub(crate) fn name_file(&self) -> PathBuf {
        self.node().join("name")
    }

    pub(crate) fn kept_name(&self) -> Result<Option<NodeName>, Error> {
        let path = self.name_file();
        let Some(text) = read_small(&path)? else { return Ok(None) };
        let name = text.trim().parse().map_err(|error: comms_domain::NodeNameError| Error::Malformed {
            path,
            expected: "the name of this node",
            why: error.to_string(),
        })?;
        Ok(Some(name))
    }

    fn kept_secret(&self) -> Result<Option<Secret>, Error> {
        let path = self.node().join("secret");
        let Some(text) = read_small(&path)? else { return Ok(None) };
        let secret = Secret::from_hex(text.trim()).ok_or(Error::Malformed {
            path,
            expected: "32 bytes in hexadecimal digits",
            why: String::from("it is something else"),
        })?;
        Ok(Some(secret))
    }

    /// What `node.json` says; `None` where there is none, that is, while no node serves here.
    pub fn read_node_file(&self) -> Result<Option<NodeFile>, Error> {
        let path = self.node_file();
        let Some(text) = read_small(&path)? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|error| Error::Malformed {
            path,
            expected: "what a node writes when it is ready",
            why: error.to_string(),
        })
    }
}

/// A folder that this process alone uses until this value is dropped.
#[derive(Debug)]
pub struct Held {
    folder: Folder,
    _locks: Vec<File>,
}

impl Held {
    /// Where things are.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The node's name and secret, made at the first call and the same ever after.
    ///
    /// `given` is the name the operator asks for. A folder that already has another name refuses it, since the names
    /// of the streams that hold its log come from it; so does one whose name was lost or changed, where the log of one
    /// node lies.
    pub fn identity(&self, given: Option<&NodeName>) -> Result<(NodeName, Secret), Error> {
        let named = identity::name(&self.folder, given)?;
        self.keep_name(&named.name)?;
        Ok((named.name, self.secret()?))
    }

    /// Writes the node's name where it is not written yet.
    pub(crate) fn keep_name(&self, name: &NodeName) -> Result<(), Error> {
        if self.folder.kept_name().is_ok_and(|kept| kept.as_ref() == Some(name)) {
            return Ok(());
        }
        replace(&self.folder.name_file(), format!("{name}\n").as_bytes(), Durability::Synced)
    }

    pub(crate) fn secret(&self) -> Result<Secret, Error> {
        if let Some(kept) = self.folder.kept_secret()? {
            return Ok(kept);
        }
        let path = self.folder.node().join("secret");
        let secret = Secret::random();
        // Synced, because the names of consumers, and with them their places in the log, come from it.
        replace(&path, format!("{}\n", secret.to_hex().as_str()).as_bytes(), Durability::Synced)?;
        Ok(secret)
    }

    /// Listens at the socket, in the place of a node that has ended.
    pub(crate) fn listen(&self) -> Result<UnixListener, Error> {
        let path = self.folder.socket();
        let listened = (|| {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = UnixListener::bind(SocketPath::new(&self.folder.root, SOCKET)?.as_path())?;
            fs::set_permissions(&path, Permissions::from_mode(PRIVATE_FILE))?;
            Ok(listener)
        })();
        listened.map_err(|source| file_error("listen for HTTP at", &path, source))
    }

    /// Tells clients where the node is. Call it when everything listens.
    pub fn announce(&self, node: &NodeFile) -> Result<(), Error> {
        let mut text = serde_json::to_string_pretty(node).expect("a struct of text and numbers is JSON");
        text.push('\n');
        // Not synced: it is about this run of the node, which a power failure ends.
        replace(&self.folder.node_file(), text.as_bytes(), Durability::Cached)
    }

    /// Takes back [`Held::announce`]; nothing happens where nothing was announced.
    pub fn withdraw(&self) -> Result<(), Error> {
        remove(&self.folder.node_file())
    }

    /// Takes away the socket, at which nobody listens any more.
    pub(crate) fn unlisten(&self) -> Result<(), Error> {
        remove(&self.folder.socket())
    }
}

/// Whether a written file must outlive a power failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Synced before the call returns.
    Synced,
    /// The system writes it out when it likes. A power failure may leave it missing or empty, never mixed.
    Cached,
}

/// Puts `bytes` at `path` as a whole, readable for the owner alone.
pub(crate) fn replace(path: &Path, bytes: &[u8], durability: Durability) -> Result<(), Error> {
    // One holder per folder and one writer per file: the name of the next version needs to be unique no further.
    let mut next = path.as_os_str().to_owned();
    next.push(".new");
    let next = PathBuf::from(next);
    let written = (|| {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(PRIVATE_FILE).open(&next)?;
        file.set_permissions(Permissions::from_mode(PRIVATE_FILE))?;
        file.write_all(bytes)?;
        if durability == Durability::Synced {
            file.sync_all()?;
        }
        fs::rename(&next, path)?;
        if durability == Durability::Synced
            && let Some(parent) = path.parent()
        {
            File::open(parent)?.sync_all()?;
        }
        Ok(())
    })();
    written.map_err(|source| file_error("write", path, source))
}

/// Removes a file; one that is not there is removed already.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file_error("remove", path, error)),
        _ => Ok(()),
    }
}

/// The text of a small file; `None` where there is none or where a power failure left it empty.
pub(crate) fn read_small(path: &Path) -> Result<Option<String>, Error> {
    let Some(bytes) = read_bytes(path)? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|_| Error::Malformed {
        path: path.to_owned(),
        expected: "text",
        why: "it is not UTF-8".to_owned(),
    })?;
    Ok((!is_blank(&text)).then_some(text))
}

/// The same of a file that is worth nothing where it is damaged, since it is made again.
pub(crate) fn read_lossy(path: &Path) -> Result<Option<String>, Error> {
    let text = read_bytes(path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(text.filter(|text| !is_blank(text)))
}

fn read_bytes(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(SMALL_FILE_BYTES_MAX).read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(file_error("read", path, source)),
    }
}

fn is_blank(text: &str) -> bool {
    text.trim_matches(['\0', '\n', ' ']).is_empty()
}

/// Makes a folder for the owner alone, with those above it; an existing one is closed to others.
///
/// Its entry in the folder above is durable afterwards: a file that was synced in it would be lost with the folder.
pub(crate) fn make_private(path: &Path) -> Result<(), Error> {
    make_folder(path, PRIVATE_FOLDER)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(PRIVATE_FOLDER)))
        .map_err(|source| file_error("make", path, source))
}

/// Closes a secret file to others if it is open to them. True if it was.
pub(crate) fn close_to_others(path: &Path) -> Result<bool, Error> {
    let mode = fs::metadata(path).map_err(|source| file_error("read", path, source))?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(false);
    }
    fs::set_permissions(path, Permissions::from_mode(PRIVATE_FILE))
        .map_err(|source| file_error("close to others", path, source))?;
    Ok(true)
}

pub(crate) fn file_error(doing: &'static str, path: &Path, source: io::Error) -> Error {
    Error::File { doing, path: path.to_owned(), source }
}

/// Locks a folder itself; `None` where somebody else holds it.
fn lock_folder(path: &Path) -> Result<Option<File>, Error> {
    let folder = File::open(path).map_err(|source| file_error("open", path, source))?;
    match folder.try_lock() {
        Ok(()) => Ok(Some(folder)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(file_error("lock", path, source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::beside(home.path()).unwrap();
        (home, folder)
    }

    #[test]
    fn a_second_holder_is_refused_and_told_who_holds_it() {
        let (_home, folder) = folder();
        let held = folder.hold().unwrap();
        match folder.hold() {
            Err(Error::Held { holder, .. }) => assert_eq!(holder, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(held);
        folder.hold().unwrap();
    }

    #[test]
    fn a_second_holder_is_refused_although_the_lock_was_removed() {
        let (_home, folder) = folder();
        let held = folder.hold().unwrap();
        fs::remove_file(folder.root().join("lock")).unwrap();
        assert!(matches!(folder.hold(), Err(Error::Held { .. })));
        drop(held);
        folder.hold().unwrap();
    }

    #[test]
    fn the_folder_is_closed_to_others_even_if_it_was_open() {
        let (_home, folder) = folder();
        fs::create_dir(folder.root()).unwrap();
        fs::set_permissions(folder.root(), Permissions::from_mode(0o755)).unwrap();
        let _held = folder.hold().unwrap();
        assert_eq!(fs::metadata(folder.root()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(folder.nats()).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn git_leaves_all_of_it_alone_in_old_folders_too() {
        let (_home, folder) = folder();
        let ignore = folder.root().join(".gitignore");
        for before in [None, Some(""), Some("nats\n")] {
            if let Some(before) = before {
                fs::write(&ignore, before).unwrap();
            }
            folder.hold().unwrap();
            assert_eq!(fs::read_to_string(&ignore).unwrap(), "*\n", "{before:?}");
        }
    }

    #[test]
    fn a_folder_that_no_configuration_can_name_is_refused() {
        use std::os::unix::ffi::OsStrExt as _;
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
        fs::create_dir(&path).unwrap();
        assert!(matches!(Folder::beside(&path), Err(Error::NotText { .. })));
    }

    #[test]
    fn name_and_secret_stay() {
        let (_home, folder) = folder();
        let held = folder.hold().unwrap();
        let (name, secret) = held.identity(None).unwrap();
        assert!(name.as_str().starts_with("n-") && name.as_str().len() == 8, "{name}");
        let (again, secret_again) = held.identity(Some(&name)).unwrap();
        assert_eq!((again, secret_again.bytes()), (name.clone(), secret.bytes()));
        let other: NodeName = "other".parse().unwrap();
        assert!(matches!(held.identity(Some(&other)), Err(Error::NameKept { .. })));
        assert_eq!(fs::metadata(folder.node().join("secret")).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_given_name_is_kept() {
        let (_home, folder) = folder();
        let held = folder.hold().unwrap();
        let hub: NodeName = "hub".parse().unwrap();
        assert_eq!(held.identity(Some(&hub)).unwrap().0, hub);
        assert_eq!(held.identity(None).unwrap().0, hub);
    }

    #[test]
    fn a_damaged_secret_is_an_error_and_not_replaced() {
        let (_home, folder) = folder();
        let held = folder.hold().unwrap();
        fs::write(folder.node().join("secret"), "abc").unwrap();
        assert!(matches!(held.identity(None), Err(Error::Malformed { .. })));
        assert_eq!(fs::read_to_string(folder.node().join("secret")).unwrap(), "abc");
    }

    #[test]
    fn clients_read_what_was_announced_until_it_is_withdrawn() {
        let (_home, folder) = folder();
        let held = folder.hold().unwrap();
        assert_eq!(folder.read_node_file().unwrap(), None);
        let node = NodeFile {
            domain: "library".into(),
            node: "n-000000".into(),
            pid: 1,
            nats: "nats://127.0.0.1:4222".into(),
            http: "http://127.0.0.1:7180".into(),
            definition: "00".into(),
        };
        held.announce(&node).unwrap();
        assert_eq!(folder.read_node_file().unwrap(), Some(node));
        held.withdraw().unwrap();
        held.withdraw().unwrap();
        assert_eq!(folder.read_node_file().unwrap(), None);
    }
}
