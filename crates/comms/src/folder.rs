//! The `.comms` folder: where a node leaves its address and each service's credentials.
//!
//! Read only: the node writes it. Nothing here knows NATS or HTTP; `options.rs` turns what is found here into
//! a connection.

use std::fmt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use comms_msg::ServiceName;
use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};
use crate::local::{SOCKET, SocketPath};
use crate::trust;

/// The folder's name, beside `domain.toml`.
const NAME: &str = ".comms";
/// Names a `.comms` folder directly, instead of looking for one upwards.
const VARIABLE: &str = "COMMS_CREDENTIALS";

/// A `.comms` folder that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Folder(PathBuf);

/// Where the node listens; written by it after everything listens.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct NodeFile {
    pub(crate) pid: u32,
}

/// The nkey seed by which a service proves itself on the message connection. Never printed.
#[derive(Clone)]
pub(crate) struct Seed(pub(crate) String);

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// Where the bearer token of a service is, for the node's HTTP. It changes whenever the node starts, so it is read when
/// it is shown.
#[derive(Clone, Debug)]
pub(crate) struct TokenFile {
    folder: Folder,
    service: ServiceName,
}

impl TokenFile {
    /// The token as it is now.
    pub(crate) fn read(&self) -> Result<String> {
        self.folder.secret(&self.service, "token")
    }
}

impl Folder {
    /// The folder that `COMMS_CREDENTIALS` names, else the nearest one upwards from `start`.
    pub(crate) fn find(start: &Path) -> Result<Self> {
        match std::env::var_os(VARIABLE) {
            Some(path) => Self::at(Path::new(&path))
                .map_err(|error| Error::new(ErrorKind::Config, format!("{VARIABLE}: {}", error.message()))),
            None => Self::upwards(start),
        }
    }

    /// This folder and no other.
    pub(crate) fn at(path: &Path) -> Result<Self> {
        if path.is_dir() {
            Self::believed(path.to_owned())
        } else {
            Err(Error::new(ErrorKind::Config, format!("{} is not a folder; run: comms up", path.display())))
        }
    }

    /// The folder, if nobody else can have put it there: its credentials would be theirs, and so would the node.
    fn believed(path: PathBuf) -> Result<Self> {
        believe(&path)?;
        Ok(Self(path))
    }

    fn upwards(start: &Path) -> Result<Self> {
        let found = start.ancestors().map(|folder| folder.join(NAME)).find(|path| path.is_dir());
        found.map_or_else(
            || {
                let message =
                    format!("no {NAME} folder found from {} upwards; run: comms up, where a domain.toml is (comms new DIR writes one)", start.display());
                Err(Error::new(ErrorKind::Config, message))
            },
            Self::believed,
        )
    }

    /// Where the node says that it listens.
    pub(crate) fn node(&self) -> Result<NodeFile> {
        let path = self.0.join("node.json");
        believe(&path)?;
        let text = std::fs::read(&path).map_err(|error| {
            let message = format!(
                "no node runs for {} ({} cannot be read); run: comms up",
                self.0.display(),
                path.display()
            );
            Error::new(ErrorKind::Config, message).because(error)
        })?;
        serde_json::from_slice(&text).map_err(|error| {
            Error::new(ErrorKind::Config, format!("{} is not as a node writes it", path.display()))
                .because(error)
        })
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Where the node that holds this folder listens, and nobody else can.
    pub(crate) fn socket(&self) -> Result<SocketPath> {
        SocketPath::new(&self.0, SOCKET).map_err(|error| {
            Error::new(ErrorKind::Config, format!("{} cannot be used", self.0.display())).because(error)
        })
    }

    /// Whether anybody listens there.
    pub(crate) fn is_answered(&self) -> bool {
        self.socket().is_ok_and(|socket| UnixStream::connect(socket.as_path()).is_ok())
    }

    /// The seed of `service`.
    pub(crate) fn seed(&self, service: &ServiceName) -> Result<Seed> {
        self.secret(service, "nk").map(Seed)
    }

    /// Where the token of `service` is.
    pub(crate) fn token(&self, service: &ServiceName) -> TokenFile {
        TokenFile { folder: self.clone(), service: service.clone() }
    }

    fn secret(&self, service: &ServiceName, extension: &str) -> Result<String> {
        let credentials = self.0.join("credentials");
        believe(&credentials)?;
        let path = credentials.join(format!("{service}.{extension}"));
        believe(&path)?;
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let known = self.known(extension);
                let message = if known.is_empty() {
                    format!("no credentials for {service} in {}; run: comms up", self.0.display())
                } else {
                    format!("no credentials for {service}; the domain has: {}", known.join(", "))
                };
                Err(Error::new(ErrorKind::Config, message))
            }
            Err(error) => {
                let message = format!("{} cannot be read", path.display());
                Err(Error::new(ErrorKind::Config, message).because(error))
            }
        }
    }

    fn known(&self, extension: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.join("credentials")).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|found| found == extension))
            .filter_map(|path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()))
            .collect();
        names.sort();
        names
    }
}

/// Refuses what somebody else may have put there. What is missing is missed by whoever reads it.
fn believe(path: &Path) -> Result<()> {
    match trust::look(path) {
        Ok(None) => Ok(()),
        Ok(Some(doubt)) => {
            let message = format!("{} cannot be trusted; {doubt}", path.display());
            Err(Error::new(ErrorKind::Config, message))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => {
            let message = format!("{} cannot be read", path.display());
            Err(Error::new(ErrorKind::Config, message).because(error))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn service(name: &str) -> ServiceName {
        name.parse().expect("a name")
    }

    fn folder_with(files: &[(&str, &str)]) -> (tempfile::TempDir, Folder) {
        let place = tempfile::tempdir().expect("a temporary folder");
        let path = place.path().join(NAME);
        std::fs::create_dir_all(path.join("credentials")).expect("made");
        for (name, text) in files {
            std::fs::write(path.join(name), text).expect("written");
        }
        (place, Folder(path))
    }

    #[test]
    fn found_from_a_folder_below() {
        let (place, folder) = folder_with(&[]);
        let below = place.path().join("services/rust");
        std::fs::create_dir_all(&below).expect("made");
        assert_eq!(Folder::upwards(&below).expect("found"), folder);
    }

    #[test]
    fn what_others_could_have_put_there_is_not_read() {
        for below in ["", "node.json", "credentials", "credentials/desk.nk", "credentials/desk.token"] {
            for is_link in [true, false] {
                let (place, folder) = folder_with(&[
                    ("node.json", "{}"),
                    ("credentials/desk.nk", "SUB"),
                    ("credentials/desk.token", "00"),
                ]);
                let path = folder.0.join(below);
                if is_link {
                    let moved = place.path().join("moved");
                    std::fs::rename(&path, &moved).expect("moved");
                    symlink(moved, folder.0.join(below).components().collect::<PathBuf>()).expect("linked");
                } else {
                    set_permissions(&path, Permissions::from_mode(0o777)).expect("opened");
                }
                let read = Folder::upwards(place.path())
                    .and_then(|folder| folder.seed(&service("desk")).map(|_| folder))
                    .and_then(|folder| folder.token(&service("desk")).read().map(|_| folder))
                    .and_then(|folder| folder.node());
                let error = read.expect_err("somebody else may have put it there");
                assert_eq!(error.kind(), ErrorKind::Config);
                assert!(error.message().contains("cannot be trusted"), "{below} {is_link}: {error}");
            }
        }
    }

    #[test]
    fn absent_says_where_it_looked_and_what_to_run() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let error = Folder::upwards(place.path()).expect_err("there is none");
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains(&place.path().display().to_string()), "{error}");
        assert!(error.message().contains("comms up"), "{error}");
    }

    #[test]
    fn node_file_is_read_and_may_grow() {
        let (_place, folder) = folder_with(&[(
            "node.json",
            r#"{"domain":"library","node":"n","pid":1,"nats":"nats://127.0.0.1:4222","http":"http://127.0.0.1:7180","new":1}"#,
        )]);
        let node = folder.node().expect("read");
        assert_eq!(node.pid, 1);
    }

    #[test]
    fn unknown_service_is_told_the_known_ones() {
        let (_place, folder) = folder_with(&[
            ("credentials/archive.nk", "SUA\n"),
            ("credentials/archive.token", "00"),
            ("credentials/desk.nk", "SUB"),
        ]);
        let error = folder.seed(&service("nobody")).expect_err("not there");
        assert_eq!(error.message(), "no credentials for nobody; the domain has: archive, desk");
        let (seed, token) =
            (folder.seed(&service("archive")).expect("there"), folder.token(&service("archive")));
        assert_eq!((seed.0.as_str(), token.read().expect("there").as_str()), ("SUA", "00"));
        assert_eq!(format!("{seed:?}"), "Seed(..)");
        std::fs::write(folder.0.join("credentials/archive.token"), "01").expect("written");
        assert_eq!(token.read().expect("there"), "01", "it is read anew");
    }
}
