//! A disk that can run full: a small tmpfs of a test's own.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A mounted tmpfs, unmounted when the test ends.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
    /// Removed when it is unmounted, where it was made for it.
    _folder: Option<TempDir>,
}

impl SmallDisk {
    /// Mounts one of so many mebibytes. Fails the test where that is not allowed: what it shows can be shown in no other
    /// way.
    pub fn mount(mebibytes: u64) -> SmallDisk {
        let folder = TempDir::with_prefix("comms-disk-").expect("a temporary folder can be made");
        let mut disk = SmallDisk::mount_at(folder.path(), mebibytes);
        disk._folder = Some(folder);
        disk
    }

    /// Mounts it over a folder that somebody else made and removes.
    pub fn mount_at(path: &Path, mebibytes: u64) -> SmallDisk {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m,mode=0700"), "tmpfs"])
            .arg(path)
            .output();
        let why = match mounted {
            Ok(output) if output.status.success() => {
                return SmallDisk { path: path.to_owned(), _folder: None };
            }
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        panic!("this test needs a small disk, and mounts a tmpfs for it: run it as root ({why})");
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that are free.
    pub fn free(&self) -> u64 {
        let told = rustix::fs::statvfs(self.path()).expect("a mounted disk tells its size");
        told.f_bavail * told.f_frsize
    }

    /// Fills it with one file until no more than so many bytes are free; to the last one for 0.
    pub fn fill(&self, free: u64) {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(self.filling());
        let mut file = file.expect("a file can be made");
        let zeros = vec![0; 64 << 10];
        while self.free() > free {
            let wanted = (self.free() - free).min(zeros.len() as u64);
            match file.write_all(&zeros[..usize::try_from(wanted).expect("at most 64 KiB")]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("the disk cannot be filled: {error}"),
            }
        }
    }

    /// Takes that file away again.
    pub fn empty(&self) {
        std::fs::remove_file(self.filling()).expect("it was filled before");
    }

    fn filling(&self) -> PathBuf {
        self.path().join("filling")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a node that is being ended may still hold a file there.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
