//! Addresses that are taken: by whom, as far as this process may see, and which is free instead.
//!
//! Only Linux says who listens on a port, in `/proc`, and of processes of other users it says it to root alone.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::error::Socket;
use crate::folder::{FOLDER, Folder};

/// Ports above a customary one that are tried before the system chooses: as many domains as one machine will run.
const PORTS_TRIED: u16 = 64;

/// A process that listens on an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub pid: u32,
    /// Its program.
    pub program: String,
    /// The folder of the domain, if it is a part of a node.
    pub home: Option<PathBuf>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.home {
            Some(home) => write!(f, "the node of {} (process {})", home.display(), self.pid),
            None => write!(f, "{} (process {})", self.program, self.pid),
        }
    }
}

impl Holder {
    /// Who listens there, if it can be told.
    pub fn of(address: SocketAddr) -> Option<Holder> {
        procfs::holder(address.port())
    }
}

/// An error unless the address can be listened on right now. Somebody else may take it in the next moment; whoever
/// listens then says so in his own way.
pub(crate) fn check(socket: Socket, address: SocketAddr) -> Result<(), Error> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(source) => Err(taken(socket, address, source)),
    }
}

/// The address, with a port that is free now in the place of port 0. For whoever cannot be asked which port it took, and
/// must take the same one when it is started again.
pub(crate) fn chosen(socket: Socket, address: SocketAddr) -> Result<SocketAddr, Error> {
    if address.port() != 0 {
        return Ok(address);
    }
    let bound = TcpListener::bind(address).and_then(|listener| listener.local_addr());
    bound.map_err(|source| taken(socket, address, source))
}

/// Why an address cannot be listened on.
pub(crate) fn taken(socket: Socket, address: SocketAddr, source: io::Error) -> Error {
    let holder = (source.kind() == io::ErrorKind::AddrInUse).then(|| Holder::of(address)).flatten();
    Error::Listen { socket, address, holder, source }
}

/// The address, or a free one with a higher port where a node of another folder than `home` holds it. What anything
/// else holds is left as it is, so that listening there fails and says why.
pub fn beside_other_nodes(address: SocketAddr, home: &Path) -> (SocketAddr, Option<Holder>) {
    let is_free = |address: &SocketAddr| TcpListener::bind(address).is_ok();
    if is_free(&address) {
        return (address, None);
    }
    let other = Holder::of(address).filter(|holder| holder.home.as_deref().is_some_and(|at| at != home));
    let Some(other) = other else { return (address, None) };
    let above = (1..=PORTS_TRIED).filter_map(|step| address.port().checked_add(step));
    let free = above.map(|port| SocketAddr::new(address.ip(), port)).find(is_free);
    (free.unwrap_or(SocketAddr::new(address.ip(), 0)), Some(other))
}

/// The folder of the domain whose node a process is or has started: its nats-server names a file in it, and a node works in
/// it or below and holds its lock, whatever its program is called.
fn home(pid: u32, arguments: &[PathBuf], working: Option<PathBuf>) -> Option<PathBuf> {
    let inside = |path: &PathBuf| {
        let comms = path.ancestors().find(|part| part.file_name().is_some_and(|name| name == FOLDER))?;
        comms.parent().map(Path::to_owned)
    };
    if let Some(home) = arguments.iter().find_map(inside) {
        return Some(home);
    }
    let working = working?;
    let home = working.ancestors().find(|folder| folder.join(FOLDER).is_dir())?;
    let holder = Folder::beside(home).ok()?.holder()?;
    (holder == pid).then(|| home.to_owned())
}

#[cfg(target_os = "linux")]
mod procfs {
    use std::ffi::OsString;
    use std::fs;
    use std::os::unix::ffi::OsStringExt as _;
    use std::path::{Path, PathBuf};

    use super::{Holder, home};

    /// The state of a socket that listens, in `/proc/net/tcp`.
    const LISTENS: &str = "0A";

    pub(super) fn holder(port: u16) -> Option<Holder> {
        let tables =
            ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
        let sockets: Vec<PathBuf> = tables.iter().flat_map(|table| listening(table, port)).collect();
        if sockets.is_empty() {
            return None;
        }
        let processes = fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        processes.filter_map(|process| holds(&process, &sockets)).next()
    }

    /// The sockets that listen on a port, as links of open files name them.
    pub(super) fn listening(table: &str, port: u16) -> Vec<PathBuf> {
        let suffix = format!(":{port:04X}");
        let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
        let rows = rows.filter(|row| {
            row.get(1).is_some_and(|local| local.ends_with(&suffix)) && row.get(3) == Some(&LISTENS)
        });
        rows.filter_map(|row| Some(PathBuf::from(format!("socket:[{}]", row.get(9)?)))).collect()
    }

    fn holds(process: &Path, sockets: &[PathBuf]) -> Option<Holder> {
        let pid = process.file_name()?.to_str()?.parse().ok()?;
        let mut open =
            fs::read_dir(process.join("fd")).ok()?.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        if !open.any(|file| sockets.contains(&file)) {
            return None;
        }
        let line = fs::read(process.join("cmdline")).unwrap_or_default();
        let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
        let arguments: Vec<PathBuf> = words.map(|word| OsString::from_vec(word.to_vec()).into()).collect();
        let program = arguments.first().and_then(|program| program.file_name());
        Some(Holder {
            pid,
            program: program.map_or_else(|| "a program".into(), |name| name.to_string_lossy().into_owned()),
            home: home(pid, &arguments, fs::read_link(process.join("cwd")).ok()),
        })
    }
}

#[cfg(not(target_os = "linux"))]
mod procfs {
    use super::Holder;

    pub(super) fn holder(_: u16) -> Option<Holder> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").unwrap()
    }

    #[test]
    fn who_holds_an_address_is_told() {
        let taken = any();
        let address = taken.local_addr().unwrap();
        let Err(Error::Listen { holder, .. }) = check(Socket::NatsServer, address) else {
            panic!("it is free")
        };
        if cfg!(target_os = "linux") {
            let holder = holder.unwrap();
            assert_eq!((holder.pid, holder.home), (std::process::id(), None));
        }
        // What is no node keeps its address.
        assert_eq!(beside_other_nodes(address, Path::new("/")), (address, None));
        drop(taken);
        check(Socket::NatsServer, address).unwrap();
        assert_eq!(beside_other_nodes(address, Path::new("/")), (address, None));
    }

    #[test]
    fn port_0_becomes_a_port_that_is_free_and_stays_otherwise() {
        let chosen = |text: &str| chosen(Socket::Leafs, text.parse().unwrap()).unwrap();
        let address = chosen("127.0.0.1:0");
        assert!(address.port() != 0 && address.ip().is_loopback());
        TcpListener::bind(address).unwrap();
        assert_eq!(chosen("127.0.0.1:7422").port(), 7422);
    }

    #[test]
    fn a_node_is_known_by_its_folder_whatever_its_program_is_called() {
        let words = |line: &str| line.split(' ').map(PathBuf::from).collect::<Vec<_>>();
        let server =
            words("/usr/bin/nats-server --config /srv/ada/library/.comms/nats/nats-server.conf --port 4222");
        assert_eq!(home(1, &server, None), Some("/srv/ada/library".into()));
        let place = tempfile::tempdir().unwrap();
        let (node, below) = (place.path().to_owned(), place.path().join("below"));
        let (me, other) = (std::process::id(), std::process::id() + 1);
        assert_eq!(home(me, &words("comms up"), Some(below.clone())), None, "no node was ever here");
        let held = Folder::beside(&node).unwrap().hold().unwrap();
        for (pid, line, working, found) in [
            (me, "target/comms up", Some(&below), Some(&node)),
            (me, "comms-new --json up --http x", Some(&node), Some(&node)),
            (me, "c up", Some(&node), Some(&node)),
            (me, "", Some(&node), Some(&node)),
            (other, "comms up", Some(&node), None),
            (me, "comms up", None, None),
        ] {
            assert_eq!(home(pid, &words(line), working.cloned()).as_ref(), found, "{pid} {line}");
        }
        drop(held);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_sockets_that_listen_on_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 0100007F:107E 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 123 1\n   \
                     1: 0100007F:107E 0100007F:9999 01 00000000:00000000 00:00000000 00000000  1000        0 124 1\n   \
                     2: 0100007F:1C0C 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 125 1\n   3:\n";
        assert_eq!(procfs::listening(table, 4222), [PathBuf::from("socket:[123]")]);
        assert!(procfs::listening(table, 1).is_empty() && procfs::listening("", 4222).is_empty());
    }
}
