//! The `.comms` folder: where a node leaves its address and each service's credentials.
//!
//! Read only: the node writes it. Nothing here knows NATS or HTTP; `options.rs` turns what is found here into
//! a connection.

use std::fmt;
use std::path::{Path, PathBuf};

use comms_msg::{DomainName, ServiceName};
use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};

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
    pub(crate) domain: DomainName,
    pub(crate) nats: String,
    pub(crate) http: String,
}

/// What one service proves itself with. Never printed.
#[derive(Clone)]
pub(crate) struct Credentials {
    /// The nkey seed, for the message connection.
    pub(crate) seed: String,
    /// The bearer token, for content over HTTP.
    pub(crate) token: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
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
            Ok(Self(path.to_owned()))
        } else {
            Err(Error::new(ErrorKind::Config, format!("{} is not a folder; run: comms up", path.display())))
        }
    }

    fn upwards(start: &Path) -> Result<Self> {
        start.ancestors().map(|folder| folder.join(NAME)).find(|path| path.is_dir()).map(Self).ok_or_else(
            || {
                let message =
                    format!("no {NAME} folder found from {} upwards; run: comms up, where a domain.toml is (comms new DIR writes one)", start.display());
                Error::new(ErrorKind::Config, message)
            },
        )
    }

    /// Where the node says that it listens.
    pub(crate) fn node(&self) -> Result<NodeFile> {
        let path = self.0.join("node.json");
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

    /// The credentials of `service`.
    pub(crate) fn credentials(&self, service: &ServiceName) -> Result<Credentials> {
        Ok(Credentials { seed: self.secret(service, "nk")?, token: self.secret(service, "token")? })
    }

    fn secret(&self, service: &ServiceName, extension: &str) -> Result<String> {
        let path = self.0.join("credentials").join(format!("{service}.{extension}"));
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

#[cfg(test)]
mod tests {
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
        assert_eq!(node.domain.to_string(), "library");
        assert_eq!(node.nats, "nats://127.0.0.1:4222");
    }

    #[test]
    fn unknown_service_is_told_the_known_ones() {
        let (_place, folder) = folder_with(&[
            ("credentials/archive.nk", "SUA\n"),
            ("credentials/archive.token", "00"),
            ("credentials/desk.nk", "SUB"),
        ]);
        let error = folder.credentials(&service("nobody")).expect_err("not there");
        assert_eq!(error.message(), "no credentials for nobody; the domain has: archive, desk");
        let found = folder.credentials(&service("archive")).expect("there");
        assert_eq!((found.seed.as_str(), found.token.as_str()), ("SUA", "00"));
        assert_eq!(format!("{found:?}"), "Credentials(..)");
    }
}
