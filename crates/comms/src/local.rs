//! The node on this machine, reached where nobody else can listen: at a socket in its own folder `.comms`.
//!
//! A port proves nothing: when a node has ended, whoever binds its port is handed what was meant for it. Into the folder
//! only its owner can put a socket, so whoever answers there is the node that holds the folder. Tokens and content go to
//! the node over this socket alone, and before anything is said to nats-server the node is asked here whether that is its
//! own server.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use comms_msg::{DomainName, ServiceName};
use serde::Deserialize;

use crate::content::Http;
use crate::error::{Error, ErrorKind, Result};
use crate::folder::Folder;

/// Name of the socket in the folder.
pub const SOCKET: &str = "http.sock";
/// What the system takes as the path of a socket, with room for the zero at its end, on the system that takes least.
const SOCKET_PATH_MAX: usize = 103;
/// How long a node may take to say who it is: it asks its nats-server for a word first.
const WHO_WITHIN: Duration = Duration::from_secs(3);
/// Who a node is fits many times into this.
const WHO_BYTES_MAX: usize = 64 << 10;
/// What a node answers to a change of its definition: a line for each change.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A path by which the system finds a socket in a folder, however deep the folder is.
///
/// It is good as long as this value lives.
#[derive(Clone, Debug)]
pub struct SocketPath {
    path: PathBuf,
    /// Holds the folder open where the path goes through this process's open files.
    _folder: Option<Arc<File>>,
}

impl SocketPath {
    /// The socket `name` in `folder`, whether there is one or not.
    ///
    /// # Errors
    /// If the folder cannot be opened; if its path is too long for a socket, on systems without `/proc`.
    pub fn new(folder: &Path, name: &str) -> io::Result<SocketPath> {
        let path = folder.join(name);
        if path.as_os_str().len() <= SOCKET_PATH_MAX {
            return Ok(SocketPath { path, _folder: None });
        }
        if cfg!(not(target_os = "linux")) {
            let message =
                format!("{} is too long for a socket; use a folder with a shorter path", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        use std::os::fd::AsRawFd as _;
        let folder = File::open(folder)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
        Ok(SocketPath { path, _folder: Some(Arc::new(folder)) })
    }

    /// What the system takes.
    pub fn as_path(&self) -> &Path {
        &self.path
    }
}

/// Who answers at the socket of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Who {
    /// The domain that it serves.
    pub domain: DomainName,
    /// Its name.
    pub node: String,
    /// Where its nats-server listens.
    pub nats: String,
    /// Changes whenever node or nats-server start anew. Two answers with the same one, before a connection was made and
    /// after it, say that the server held its port all the time in between.
    pub incarnation: String,
    /// Whether the nats-server is the node's own. Of one that is not, the node cannot say whether it is still there.
    pub is_managed: bool,
}

/// The node of a folder, for one service.
#[derive(Clone, Debug)]
pub struct LocalNode {
    http: Http,
    folder: Folder,
}

impl LocalNode {
    /// The node of the folder `.comms` at this path, with the token of a service. Asks nothing yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if somebody else could have put the folder there, or it has nothing of this service.
    pub fn at(folder: &Path, service: &str) -> Result<LocalNode> {
        let service: ServiceName = service.parse().map_err(Error::from)?;
        LocalNode::of(&Folder::at(folder)?, &service)
    }

    pub(crate) fn of(folder: &Folder, service: &ServiceName) -> Result<LocalNode> {
        let http = Http::local(folder.socket()?, folder.token(service))?;
        Ok(LocalNode { http, folder: folder.clone() })
    }

    /// Who it is; fails where no node runs, whoever listens at its ports.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where no node runs, [`ErrorKind::Unavailable`] while it or its nats-server is starting.
    pub async fn who(&self) -> Result<Who> {
        let answered = tokio::time::timeout(WHO_WITHIN, async {
            let response = self.http.send(self.http.get("/node")).await?;
            crate::content::body(response, WHO_BYTES_MAX).await
        });
        let body = match answered.await {
            Ok(Ok(body)) => body,
            Ok(Err(error)) if error.kind() == ErrorKind::Unavailable => return Err(self.absent(error)),
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                let message = format!("the node did not say who it is within {} s", WHO_WITHIN.as_secs());
                return Err(Error::new(ErrorKind::Timeout, message));
            }
        };
        serde_json::from_slice(&body).map_err(|error| {
            Error::new(ErrorKind::Malformed, "what the node says of itself cannot be read").because(error)
        })
    }

    /// Posts JSON as the service, and returns what the node answers.
    ///
    /// # Errors
    /// What the node refuses, and [`ErrorKind::Config`] where none runs.
    pub async fn post(&self, path: &str, json: Vec<u8>) -> Result<Bytes> {
        let request = self.http.post(path)?.header("content-type", "application/json").body(json);
        match self.http.send(request).await {
            Ok(response) => crate::content::body(response, ANSWER_BYTES_MAX).await,
            Err(error) if error.kind() == ErrorKind::Unavailable => Err(self.absent(error)),
            Err(error) => Err(error),
        }
    }

    /// Why nobody answers: what a node wrote may have outlived it.
    fn absent(&self, error: Error) -> Error {
        if self.folder.is_answered() {
            return error;
        }
        let pid = match self.folder.node() {
            Ok(node) => node.pid,
            Err(missing) => return missing,
        };
        let message = format!(
            "no node runs for {}: the one that wrote node.json has ended (process {pid}); run: comms up",
            self.folder.path().display()
        );
        Error::new(ErrorKind::Config, message)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_socket_is_found_however_deep_its_folder_is() {
        let place = tempfile::tempdir().unwrap();
        for depth in [1, 2, 20] {
            let folder = place.path().join(vec!["a-folder"; depth].join("/"));
            std::fs::create_dir_all(&folder).unwrap();
            let (here, there) =
                (SocketPath::new(&folder, SOCKET).unwrap(), SocketPath::new(&folder, SOCKET).unwrap());
            let _listener = UnixListener::bind(here.as_path()).unwrap();
            UnixStream::connect(there.as_path()).unwrap();
            assert!(folder.join(SOCKET).exists());
        }
    }
}
