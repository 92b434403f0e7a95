//! The folder of a managed server: its files, and what they say.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use comms_domain::nats_conf::ServerOptions;
use serde::Deserialize;

use crate::Error;
use crate::folder::{Durability, replace};

/// What of the log goes into an error: the reason is in its last lines.
const TAIL_BYTES_MAX: u64 = 4 << 10;
const TAIL_LINES_MAX: usize = 12;
/// The log is put aside at this size, and this many that were put aside are kept.
const LOG_BYTES_MAX: u32 = 8 << 20;
const LOGS_MAX: u32 = 3;
/// What a file of ports may hold; it is one line.
const PORTS_BYTES_MAX: u64 = 16 << 10;

/// Where the files of one managed server are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    folder: PathBuf,
}

#[derive(Deserialize)]
struct Ports {
    #[serde(default)]
    nats: Vec<String>,
}

impl Place {
    /// In that folder. It must be absolute, since a server is recognised by it.
    pub fn new(folder: impl Into<PathBuf>) -> Place {
        Place { folder: folder.into() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The configuration.
    pub fn configuration(&self) -> PathBuf {
        self.folder.join("nats-server.conf")
    }

    /// The server's log.
    pub fn log(&self) -> PathBuf {
        self.folder.join("nats-server.log")
    }

    /// Where the server writes its process id.
    pub(super) fn pid_file(&self) -> PathBuf {
        self.folder.join("nats-server.pid")
    }

    /// What the server, or the guard before it, says before there is a log.
    pub(super) fn output(&self) -> PathBuf {
        self.folder.join("nats-server.out")
    }

    fn ports(&self) -> PathBuf {
        self.folder.join("ports")
    }

    /// The options of a server in this place, for [`comms_domain::nats_conf::server`].
    pub fn options(&self, server_name: impl Into<String>, listen: SocketAddr) -> ServerOptions {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let mut options = ServerOptions::new(server_name, listen, text(self.folder.join("store")));
        options.ports_file_dir = Some(text(self.ports()));
        options.pid_file = Some(text(self.pid_file()));
        options.log_file = Some(text(self.log()));
        options
    }

    /// Replaces the configuration.
    pub(super) fn write_configuration(&self, text: &str) -> Result<(), Error> {
        replace(&self.configuration(), bounded_log(text).as_bytes(), Durability::Synced)
    }

    /// Writes a configuration beside the one in force, and tells where.
    pub(super) fn write_candidate(&self, text: &str) -> Result<PathBuf, Error> {
        let path = self.folder.join("nats-server.conf.candidate");
        replace(&path, bounded_log(text).as_bytes(), Durability::Cached)?;
        Ok(path)
    }

    /// Forgets the ports of earlier servers. A folder that cannot be read holds none.
    pub(super) fn forget_ports(&self) -> Result<(), Error> {
        crate::folder::make_private(&self.ports())?;
        for path in self.ports_files() {
            fs::remove_file(&path).map_err(|source| crate::folder::file_error("remove", &path, source))?;
        }
        Ok(())
    }

    /// Forgets the process id of a server that has ended; the server does not do so itself.
    pub(super) fn forget_pid(&self) {
        // One that stays behind names a dead process, which the next start finds out.
        let _ = fs::remove_file(self.pid_file());
    }

    /// The port that the server got; `None` until it listens.
    pub(super) fn port(&self) -> Option<u16> {
        self.ports_files().into_iter().find_map(|path| {
            let mut text = String::new();
            File::open(path).ok()?.take(PORTS_BYTES_MAX).read_to_string(&mut text).ok()?;
            // Not yet JSON while the server is writing it.
            let ports: Ports = serde_json::from_str(&text).ok()?;
            ports.nats.first()?.rsplit(':').next()?.parse().ok()
        })
    }

    fn ports_files(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.ports()) else { return Vec::new() };
        entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "ports"))
            .collect()
    }

    /// The length of the log now, to tell later what was logged since.
    pub(super) fn log_length(&self) -> u64 {
        fs::metadata(self.log()).map_or(0, |log| log.len())
    }

    /// The last lines that the server said: before it had a log, and in its log from that position on.
    pub(super) fn log_tail(&self, from: u64) -> String {
        let mut text = tail(&self.output(), 0);
        // A log that was put aside meanwhile begins again.
        text.push_str(&tail(&self.log(), if from > self.log_length() { 0 } else { from }));
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(TAIL_LINES_MAX)..].join("\n")
    }
}

/// The configuration with a bound to its log, which belongs to running a server here and not to the domain.
fn bounded_log(text: &str) -> String {
    format!("{text}logfile_size_limit: {LOG_BYTES_MAX}\nlogfile_max_num: {LOGS_MAX}\n")
}

fn tail(path: &Path, from: u64) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let end = file.metadata()?.len();
        file.seek(SeekFrom::Start(from.max(end.saturating_sub(TAIL_BYTES_MAX))))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    // A log that cannot be read has nothing to add to the error it is wanted for.
    read().unwrap_or_default()
}
