//! Which files may be believed: those that only their owner, who is this user or root, can have put where they are.
//!
//! Credentials, addresses and programs are found by walking folders upwards, so that anybody who may write in one of
//! these folders could plant some. A file is believed if it is no symbolic link, belongs to this user or to root, and
//! nobody else can write to it. A group may write if it is this process's own: on many systems every user has a group
//! of their own, and makes files that it may write to.

use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// The superuser, who can do everything anyway.
const ROOT: u32 = 0;
/// Who may write, in a file's mode.
const OTHERS_WRITE: u32 = 0o002;
const GROUP_WRITES: u32 = 0o020;
/// In a folder with this bit, entries can be renamed or removed by their owners only: `/tmp`.
const STICKY: u32 = 0o1000;

/// Who this process is to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Me {
    /// The user.
    pub user: u32,
    /// The group of what it makes.
    pub group: u32,
}

impl Me {
    /// This process.
    pub fn here() -> Me {
        Me { user: rustix::process::geteuid().as_raw(), group: rustix::process::getegid().as_raw() }
    }
}

/// What is looked at of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// What it is.
    pub is: What,
    /// Whose it is.
    pub user: u32,
    /// Its group.
    pub group: u32,
    /// Its permission bits.
    pub mode: u32,
}

/// What a path leads to, without following it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A folder.
    Folder,
    /// A file with bytes in it.
    File,
    /// A link to somewhere else.
    Link,
    /// A socket.
    Socket,
    /// A pipe or a device, which may keep a reader for ever.
    Device,
}

impl Marks {
    /// Of the file itself, also if it is a link.
    pub fn of(metadata: &Metadata) -> Marks {
        let kind = metadata.file_type();
        let is = if kind.is_symlink() {
            What::Link
        } else if kind.is_dir() {
            What::Folder
        } else if kind.is_file() {
            What::File
        } else if kind.is_socket() {
            What::Socket
        } else {
            What::Device
        };
        Marks { is, user: metadata.uid(), group: metadata.gid(), mode: metadata.mode() }
    }

    /// Why it is not believed; `None` if it is.
    pub fn doubt(self, me: Me) -> Option<Doubt> {
        match self.is {
            What::Link => return Some(Doubt::Link),
            What::Device => return Some(Doubt::Device),
            What::Folder | What::File | What::Socket => {}
        }
        self.stranger(me).or_else(|| self.is_open(me).then_some(Doubt::Open { mode: self.mode & 0o7777 }))
    }

    /// Why its owner is not believed.
    pub fn stranger(self, me: Me) -> Option<Doubt> {
        (self.user != me.user && self.user != ROOT).then_some(Doubt::Owner { owner: self.user, me: me.user })
    }

    /// Whether somebody else can write to it.
    pub fn is_open(self, me: Me) -> bool {
        self.mode & OTHERS_WRITE != 0 || (self.mode & GROUP_WRITES != 0 && self.group != me.group)
    }
}

/// Why a file is not believed. Says what would be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// It leads somewhere else.
    Link,
    /// It is neither a file nor a folder.
    Device,
    /// Somebody else has made it.
    Owner {
        /// Who.
        owner: u32,
        /// Who asks.
        me: u32,
    },
    /// Somebody else can change it.
    Open {
        /// Its permission bits.
        mode: u32,
    },
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::Link => f.write_str("it is a symbolic link; put the file or folder itself there"),
            Doubt::Device => f.write_str("it is neither a file nor a folder; remove it"),
            Doubt::Owner { owner, me } => write!(
                f,
                "it belongs to user {owner}, and this is user {me}; run this as its owner, or remove it if it was planted"
            ),
            Doubt::Open { mode } => {
                write!(f, "others can write to it (mode {mode:04o}); look what it holds, then: chmod go-w")
            }
        }
    }
}

/// Looks at one file or folder. Of what is not there, `NotFound`.
pub fn look(path: &Path) -> io::Result<Option<Doubt>> {
    Ok(Marks::of(&fs::symlink_metadata(path)?).doubt(Me::here()))
}

/// Why a program that was found, and not named, must not be run; `None` if it may.
///
/// Looks at the program and at every folder above it, both as found and as links lead: whoever can write in one of
/// them could have put another one there. Links may be made by this user or root.
pub fn program(path: &Path) -> io::Result<Option<(PathBuf, Doubt)>> {
    let me = Me::here();
    for start in [std::path::absolute(path)?, fs::canonicalize(path)?] {
        for place in start.ancestors() {
            let marks = Marks::of(&fs::symlink_metadata(place)?);
            let doubt = match marks.is {
                What::Link => marks.stranger(me),
                What::Folder if marks.mode & STICKY != 0 => marks.stranger(me),
                What::Folder | What::File | What::Socket | What::Device => marks.doubt(me),
            };
            if let Some(doubt) = doubt {
                return Ok(Some((place.to_owned(), doubt)));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    const ME: Me = Me { user: 1000, group: 1000 };

    #[test]
    fn what_others_could_have_put_there_is_not_believed() {
        let file = Marks { is: What::File, user: 1000, group: 1000, mode: 0o100_600 };
        let folder = Marks { is: What::Folder, mode: 0o040_755, ..file };
        let table = [
            (file, None),
            (folder, None),
            (Marks { user: ROOT, ..file }, None),
            (Marks { mode: 0o664, ..file }, None),
            (Marks { is: What::Socket, ..file }, None),
            (Marks { is: What::Link, ..file }, Some(Doubt::Link)),
            (Marks { is: What::Link, user: 7, ..file }, Some(Doubt::Link)),
            (Marks { is: What::Device, ..file }, Some(Doubt::Device)),
            (Marks { user: 1001, ..file }, Some(Doubt::Owner { owner: 1001, me: 1000 })),
            (Marks { user: 1001, ..folder }, Some(Doubt::Owner { owner: 1001, me: 1000 })),
            (Marks { mode: 0o606, ..file }, Some(Doubt::Open { mode: 0o606 })),
            (Marks { mode: 0o040_777, ..folder }, Some(Doubt::Open { mode: 0o777 })),
            (Marks { mode: 0o041_777, ..folder }, Some(Doubt::Open { mode: 0o1777 })),
            (Marks { mode: 0o660, group: 7, ..file }, Some(Doubt::Open { mode: 0o660 })),
        ];
        for (marks, wanted) in table {
            assert_eq!(marks.doubt(ME), wanted, "{marks:?}");
        }
        // Root believes nobody but itself.
        let root = Me { user: ROOT, group: 0 };
        assert_eq!(file.doubt(root), Some(Doubt::Owner { owner: 1000, me: 0 }));
    }

    #[test]
    fn a_program_is_as_good_as_the_folders_that_lead_to_it() {
        let place = tempfile::tempdir().unwrap();
        let tools = place.path().join(".tools/bin");
        fs::create_dir_all(&tools).unwrap();
        let path = tools.join("nats-server");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(program(&path).unwrap(), None, "a temporary folder is sticky");
        let link = place.path().join("link");
        symlink(&path, &link).unwrap();
        assert_eq!(program(&link).unwrap(), None, "a link of this user's own");
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        for open in [&path, &tools, &place.path().join(".tools")] {
            let before = fs::metadata(open).unwrap().permissions().mode();
            mode(open, 0o777);
            for found in [&path, &link] {
                let doubt = program(found).unwrap().expect("somebody else could have put it there");
                assert_eq!(doubt, (fs::canonicalize(open).unwrap(), Doubt::Open { mode: 0o777 }));
            }
            mode(open, before);
        }
        assert_eq!(program(&path).unwrap(), None);
    }
}
