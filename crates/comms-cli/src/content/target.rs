//! Where `get -o` writes: as `cp` does, except that a file holds all of the content or is left as it was.
//!
//! A new file appears under its name when everything is there. A file that exists keeps its mode, owner and links, and
//! is written through a symbolic link: the content is gathered beside it first, and copied into it at the end. A pipe,
//! a device or a socket takes the bytes as they come; a terminal, under whatever name, those of text that it merely shows.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, IsTerminal, Seek};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::shown::Shown;
use crate::failure::Failure;

/// Bytes moved at a time.
pub(super) const PIECE_BYTES: usize = 256 << 10;
/// What a new file may be used for, before the process's own mask: as for any program that writes one.
const FILE_MODE: u32 = 0o666;

/// Where content is written, opened: what cannot be written is known before anything is fetched.
#[derive(Debug)]
pub(super) struct Target {
    path: PathBuf,
    /// The CID, for words.
    name: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Nothing is there: what is gathered gets the name.
    New(NamedTempFile),
    /// A file is there: what is gathered is copied into it.
    Existing { file: fs::File, gathered: fs::File },
    /// Not a file: it takes what comes.
    Stream(fs::File),
    /// It shows what comes.
    Terminal(fs::File),
}

impl Target {
    /// Opens it. A pipe opens when somebody reads it, so this may wait.
    pub(super) async fn open(path: &Path, name: &str) -> Result<Self, Failure> {
        let (path, name) = (path.to_owned(), name.to_owned());
        let opening = tokio::task::spawn_blocking(move || Self::open_now(path, name));
        opening.await.expect("opening does not panic")
    }

    fn open_now(path: PathBuf, name: String) -> Result<Self, Failure> {
        let kind = match fs::metadata(&path) {
            Ok(found) if found.is_dir() => {
                return Err(Failure::usage(format!("{} is a folder", path.display()))
                    .mend(format!("Name a file: -o {}", path.join(&name).display())));
            }
            Ok(found) => {
                let file = OpenOptions::new().write(true).open(&path);
                let file = file.map_err(|error| unwritable(&path, &error))?;
                if found.is_file() {
                    let gathered = gather_beside(&path).map_err(|error| unwritable(&path, &error))?;
                    Kind::Existing { file, gathered }
                } else if file.is_terminal() {
                    Kind::Terminal(file)
                } else {
                    Kind::Stream(file)
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if fs::symlink_metadata(&path).is_ok() {
                    return Err(Failure::failed(format!("{} is a link to nothing", path.display()))
                        .mend("Name the file itself, or remove the link"));
                }
                if path.as_os_str().to_string_lossy().ends_with('/') {
                    return Err(Failure::usage(format!("there is no folder {}", path.display())));
                }
                Kind::New(new_file(folder_of(&path)).map_err(|error| unwritable(&path, &error))?)
            }
            Err(error) => return Err(unwritable(&path, &error)),
        };
        Ok(Self { path, name, kind })
    }

    /// Writes everything, and returns how much that was. After an error a file is as it was, unless copying into it is
    /// what failed; what is no file has got what came before the error.
    pub(super) async fn write(self, mut reader: impl AsyncRead + Unpin) -> Result<u64, Failure> {
        let Self { path, name, kind } = self;
        let failed = |error: io::Error| unwritable(&path, &error);
        match kind {
            Kind::New(part) => {
                let size = copy(&mut reader, part.reopen().map_err(failed)?, &path, None).await?.0;
                part.persist(&path).map_err(|error| unwritable(&path, &error.error))?;
                Ok(size)
            }
            Kind::Existing { mut file, gathered } => {
                let (size, mut gathered) = copy(&mut reader, gathered, &path, None).await?;
                let copying = tokio::task::spawn_blocking(move || {
                    gathered.rewind()?;
                    file.set_len(0)?;
                    io::copy(&mut gathered, &mut file)
                });
                let copied = copying.await.expect("copying does not panic");
                copied.map_err(|error| failed(error).mend("It has a part of the content, or none."))?;
                Ok(size)
            }
            Kind::Stream(file) => Ok(copy(&mut reader, file, &path, None).await?.0),
            Kind::Terminal(file) => Ok(copy(&mut reader, file, &path, Some(&name)).await?.0),
        }
    }
}

/// Copies all of it, or as far as it is text where it is shown; the number of bytes, and the file.
async fn copy(
    reader: &mut (impl AsyncRead + Unpin),
    file: fs::File,
    path: &Path,
    shown: Option<&str>,
) -> Result<(u64, fs::File), Failure> {
    let mut screen = Shown::default();
    let mut out = tokio::fs::File::from_std(file);
    let mut size = 0;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = reader.read(&mut piece).await.map_err(super::broken)?;
        if let Some(name) = shown
            && !screen.is_text(&piece[..count], count == 0)
        {
            return Err(super::not_text(name, &path.display().to_string()));
        }
        if count == 0 {
            break;
        }
        out.write_all(&piece[..count]).await.map_err(|error| unwritable(path, &error))?;
        size += count as u64;
    }
    out.flush().await.map_err(|error| unwritable(path, &error))?;
    Ok((size, out.into_std().await))
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("{} cannot be written", path.display())).because(error)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn new_file(folder: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new()
        .prefix(".comms-get-")
        .permissions(Permissions::from_mode(FILE_MODE))
        .tempfile_in(folder)
}

/// A file without a name on the same file system, where there is most likely room for what belongs there; a folder in
/// which nothing can be made does not forbid writing a file that it holds.
fn gather_beside(path: &Path) -> io::Result<fs::File> {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    tempfile::tempfile_in(folder_of(&real)).or_else(|_| tempfile::tempfile())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    const CONTENT: &[u8] = b"every byte of it";

    async fn write(path: &Path) -> Result<u64, String> {
        let target = Target::open(path, "bafkrei").await.map_err(|failure| failure.to_string())?;
        target.write(CONTENT).await.map_err(|failure| failure.to_string())
    }

    /// Content that breaks off.
    struct Broken(bool);

    impl AsyncRead for Broken {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            out: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            if std::mem::replace(&mut self.0, true) {
                return std::task::Poll::Ready(Err(io::Error::other("the node went away")));
            }
            out.put_slice(b"every");
            std::task::Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_file_that_is_there_keeps_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link, hard) =
            (folder.path().join("file"), folder.path().join("link"), folder.path().join("hard"));
        fs::write(&file, "much longer than what will be in it afterwards").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        symlink("file", &link).unwrap();
        fs::hard_link(&file, &hard).unwrap();
        let before = fs::metadata(&file).unwrap();
        assert_eq!(write(&link).await, Ok(CONTENT.len() as u64));
        let after = fs::metadata(&file).unwrap();
        assert_eq!((before.ino(), before.mode()), (after.ino(), after.mode()));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&hard).unwrap(), CONTENT);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[tokio::test]
    async fn a_new_file_appears_when_all_of_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new");
        let target = Target::open(&file, "x").await.unwrap();
        target.write(Broken(false)).await.unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(write(&file).await, Ok(CONTENT.len() as u64));
        assert_eq!(fs::read(&file).unwrap(), CONTENT);
        // The same as any program's: the process's own mask has taken away what it does.
        let made = fs::File::create(folder.path().join("made")).unwrap().metadata().unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode(), made.mode());
        // One that exists is as it was.
        Target::open(&file, "x").await.unwrap().write(Broken(false)).await.unwrap_err();
        assert_eq!(fs::read(&file).unwrap(), CONTENT);
    }

    #[tokio::test]
    async fn a_pipe_takes_what_comes_and_stays_a_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reading = |pipe: PathBuf| {
            std::thread::spawn(move || {
                let mut got = Vec::new();
                fs::File::open(pipe).unwrap().read_to_end(&mut got).unwrap();
                got
            })
        };
        let reader = reading(pipe.clone());
        assert_eq!(write(&pipe).await, Ok(CONTENT.len() as u64));
        assert_eq!(reader.join().unwrap(), CONTENT);
        let reader = reading(pipe.clone());
        Target::open(&pipe, "x").await.unwrap().write(Broken(false)).await.unwrap_err();
        assert_eq!(reader.join().unwrap(), b"every");
        assert!(!fs::metadata(&pipe).unwrap().is_file());
        assert_eq!(write(Path::new("/dev/null")).await, Ok(CONTENT.len() as u64));
    }

    /// Which opens a terminal of its own, by a name that is none of standard output.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_terminal_under_any_name_is_shown_text_alone() {
        let terminal = Path::new("/dev/ptmx");
        assert_eq!(write(terminal).await, Ok(CONTENT.len() as u64));
        let target = Target::open(terminal, "bafkrei").await.unwrap();
        let failure = target.write(&b"text\n\x1b]0;PWN\x07"[..]).await.unwrap_err();
        assert_eq!(
            failure.to_string(),
            "error: bafkrei is not text, and /dev/ptmx is a terminal\n  comms get bafkrei -o FILE, or send it into a pipe"
        );
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_said() {
        let folder = tempfile::tempdir().unwrap();
        symlink("nothing", folder.path().join("dangling")).unwrap();
        for (name, reason) in [
            ("", "is a folder\n  Name a file: -o "),
            ("dangling", "is a link to nothing\n"),
            ("none/", "there is no folder "),
            ("none/file", "cannot be written\n"),
        ] {
            let failure = write(&folder.path().join(name)).await.unwrap_err();
            assert!(failure.contains(reason), "{failure}");
        }
        assert!(fs::symlink_metadata(folder.path().join("dangling")).unwrap().is_symlink());
        let full = write(Path::new("/dev/full")).await.unwrap_err();
        assert!(full.starts_with("error: /dev/full cannot be written\n"), "{full}");
    }
}
