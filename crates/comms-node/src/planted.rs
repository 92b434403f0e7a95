//! What lies in `.comms` before a node uses it: made by this user, or planted by somebody else.
//!
//! A folder can exist before the node's first start, in a place where others write. What another user put there, and
//! every link and pipe, is refused by name before anything is started; what is only open to others is closed. The
//! folder's own entries and those one level below are looked at, and of content the shards and uploads one level deeper:
//! they are all that is read before it is verified. Blocks of content prove themselves, and the store of nats-server is compared
//! with what was acknowledged. What is the owner's own and of another kind than the node's file of that name is refused too, before
//! it fails somewhere.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use comms::local::SOCKET;
use comms::trust::{Doubt, Marks, Me, What};

use crate::Error;
use crate::folder::file_error;

/// What a node has in its folder under these names.
const ENTRIES: [(&str, What); 10] = [
    ("credentials", What::Folder),
    ("node", What::Folder),
    ("nats", What::Folder),
    ("log", What::Folder),
    (CONTENT, What::Folder),
    ("applied", What::Folder),
    (".gitignore", What::File),
    ("lock", What::File),
    ("node.json", What::File),
    (SOCKET, What::Socket),
];
/// Folders with files alone in them, as far as the node has made them.
const OF_FILES: [&str; 3] = ["credentials", "node", "applied"];
const CONTENT: &str = "content";

/// Refuses what was planted and closes what is open. A folder that is not there yet is in order.
pub(crate) fn refuse(root: &Path) -> Result<(), Error> {
    let me = Me::here();
    let Some(is_open) = check(root, me)? else { return Ok(()) };
    let mut is_empty = true;
    for path in entries(root)? {
        is_empty = false;
        if check(&path, me)?.is_none() {
            continue;
        }
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some((_, expected)) = ENTRIES.iter().find(|(known, _)| *known == name) {
            is_of_kind(&path, *expected)?;
        }
        for below in entries(&path)? {
            check(&below, me)?;
            if OF_FILES.contains(&name) {
                is_of_kind(&below, What::File)?;
            }
            if name == CONTENT {
                for shard in entries(&below)? {
                    check(&shard, me)?;
                }
            }
        }
    }
    if is_open && !is_empty {
        tracing::warn!(
            folder = %root.display(),
            "other users could write there until now; if they are not to be trusted, begin with a new folder"
        );
    }
    Ok(())
}

/// Whether others could write there until now; `None` if there is nothing.
fn check(path: &Path, me: Me) -> Result<Option<bool>, Error> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(file_error("look at", path, source)),
    };
    let marks = Marks::of(&metadata);
    match marks.doubt(me) {
        None => Ok(Some(false)),
        Some(Doubt::Open { mode }) => {
            // A socket is made anew by whoever listens there.
            if marks.is != What::Socket {
                fs::set_permissions(path, Permissions::from_mode(mode & 0o700))
                    .map_err(|source| file_error("close to others", path, source))?;
            }
            Ok(Some(true))
        }
        Some(doubt) => Err(Error::Planted { path: path.to_owned(), doubt }),
    }
}

/// Whether it is what the node has there.
fn is_of_kind(path: &Path, expected: What) -> Result<(), Error> {
    let called = |what| match what {
        What::Folder => "a folder",
        What::File => "a file",
        What::Socket => "a socket",
        What::Link => "a link",
        What::Device => "a pipe or a device",
    };
    let metadata = fs::symlink_metadata(path).map_err(|source| file_error("look at", path, source))?;
    let is = Marks::of(&metadata).is;
    if is == expected {
        return Ok(());
    }
    Err(Error::Misplaced { path: path.to_owned(), is: called(is), expected: called(expected) })
}

/// What is in a folder; nothing in what is none.
fn entries(folder: &Path) -> Result<Vec<std::path::PathBuf>, Error> {
    let unread = |source| file_error("read", folder, source);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    fs::read_dir(folder)
        .map_err(unread)?
        .map(|entry| entry.map(|entry| entry.path()).map_err(unread))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;
    use crate::folder::Folder;

    /// A folder that a node has used.
    fn used() -> (tempfile::TempDir, Folder) {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::beside(home.path()).unwrap();
        folder.hold().unwrap().identity(None).unwrap();
        (home, folder)
    }

    #[test]
    fn what_is_of_another_kind_is_refused_by_name() {
        for (below, is, expected) in [
            (".gitignore", "a folder", "a file"),
            ("lock", "a folder", "a file"),
            ("node.json", "a folder", "a file"),
            (SOCKET, "a folder", "a socket"),
            ("node/name", "a folder", "a file"),
            ("credentials/desk.nk", "a folder", "a file"),
            ("applied/definition.json", "a folder", "a file"),
            (SOCKET, "a file", "a socket"),
            ("content", "a file", "a folder"),
            ("node", "a file", "a folder"),
        ] {
            let (_home, folder) = used();
            let path = folder.root().join(below);
            replace(&path, |path| match is {
                "a folder" => fs::create_dir(path).unwrap(),
                _ => fs::write(path, "").unwrap(),
            });
            let said = folder.hold().unwrap_err().to_string();
            let wanted = format!("{} is {is}, and a node has {expected} there; ", path.display());
            assert!(said.starts_with(&wanted), "{below}: {said}");
        }
    }

    type Plant = fn(&Path);

    /// Puts in the place of what is there.
    fn replace(path: &Path, with: impl Fn(&Path)) {
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap()
        } else {
            let _ = fs::remove_file(path);
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        with(path);
    }

    #[test]
    fn what_leads_elsewhere_is_refused_by_name() {
        let plant: [(&str, Plant); 2] = [
            ("a link", |path| {
                let elsewhere = path.ancestors().find(|folder| folder.ends_with(".comms")).unwrap();
                let elsewhere = elsewhere.with_file_name("elsewhere");
                fs::create_dir_all(&elsewhere).unwrap();
                symlink(elsewhere, path).unwrap();
            }),
            ("a pipe, at which a reader would wait for ever", |path| {
                mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
            }),
        ];
        for below in [
            ".",
            "credentials",
            "node",
            "nats",
            "applied",
            "content",
            "lock",
            "node.json",
            "node/secret",
            "node/name",
            "credentials/desk.nk",
            "credentials/desk.token",
            "applied/definition.json",
            "nats/store",
            "content/blocks",
            "content/blocks/uploads",
            "content/blocks/ab",
            "content/grants/ab",
        ] {
            for (what, plant) in plant {
                let (_home, folder) = used();
                let path = match below {
                    "." => folder.root().to_owned(),
                    below => folder.root().join(below),
                };
                replace(&path, plant);
                match folder.hold() {
                    Err(Error::Planted { path: named, .. }) => assert_eq!(named, path, "{what} at {below}"),
                    other => panic!("{what} at {below}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn what_another_user_made_is_refused_by_name() {
        // Only root can give files away; elsewhere the table of `comms::trust` stands for this.
        if !rustix::process::geteuid().is_root() {
            return;
        }
        for below in ["", "credentials", "node", "node/secret", "node/name", "lock", "nats"] {
            let (_home, folder) = used();
            let path = folder.root().join(below);
            chown(&path, Some(12_345), None).unwrap();
            let said = folder.hold().unwrap_err().to_string();
            assert!(said.contains("it belongs to user 12345"), "{below}: {said}");
        }
    }

    #[test]
    fn what_is_open_to_others_is_closed() {
        let (_home, folder) = used();
        let paths =
            [folder.root().to_owned(), folder.node(), folder.credentials(), folder.node().join("secret")];
        for path in &paths {
            fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
        }
        folder.hold().unwrap();
        for path in &paths {
            let mode = fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}", path.display());
        }
    }
}
