//! What lies in `.comms` before a node uses it: made by this user, or planted by somebody else.
//!
//! A folder can exist before the node's first start, in a place where others write. What another user put there, and
//! every link and pipe, is refused by name before anything is started; what is only open to others is closed. The
//! folder's own entries and those one level below are looked at: they are all that is read before it is verified.
//! Blocks of content prove themselves, and the store of nats-server is compared with what was acknowledged.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use comms::trust::{Doubt, Marks, Me, What};

use crate::Error;
use crate::folder::file_error;

/// Refuses what was planted and closes what is open. A folder that is not there yet is in order.
pub(crate) fn refuse(root: &Path) -> Result<(), Error> {
    let me = Me::here();
    let Some(is_open) = check(root, me)? else { return Ok(()) };
    let mut is_empty = true;
    for path in entries(root)? {
        is_empty = false;
        if check(&path, me)?.is_some() && path.is_dir() {
            for below in entries(&path)? {
                check(&below, me)?;
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

fn entries(folder: &Path) -> Result<Vec<std::path::PathBuf>, Error> {
    let unread = |source| file_error("read", folder, source);
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

    type Plant = fn(&Path);

    /// Puts in the place of what is there.
    fn replace(path: &Path, with: impl Fn(&Path)) {
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap()
        } else {
            let _ = fs::remove_file(path);
        }
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
