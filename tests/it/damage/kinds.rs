//! The kinds of damage: what is done to the folder of a node that has stopped, and what must come of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What must come of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The node serves, and everything is there.
    Harmless,
    /// The start names the loss.
    Named,
    /// The start says what is to be moved away; then it is harmless.
    Mended,
}
use Wanted::{Harmless, Mended, Named};

/// One kind of damage.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) wanted: Wanted,
    pub(crate) damage: fn(&Disk),
}

/// Where things are in the folder of a node.
pub(crate) struct Disk {
    pub(crate) comms: PathBuf,
    pub(crate) old: PathBuf,
}

impl Disk {
    fn store(&self) -> PathBuf {
        self.comms.join("nats/store")
    }

    pub(crate) fn stream(&self, kind: &str) -> PathBuf {
        let streams = self.store().join("jetstream/DOMAIN/streams");
        entries(&streams).into_iter().find(|path| name(path).starts_with(kind)).unwrap()
    }

    /// The block with the most messages.
    pub(crate) fn block(&self, kind: &str) -> PathBuf {
        let blocks = entries(&self.stream(kind).join("msgs"));
        let blocks = blocks.into_iter().filter(|path| name(path).ends_with(".blk"));
        blocks.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
    }

    /// Every block of every stream, as it is.
    pub(crate) fn all_blocks(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let streams = self.store().join("jetstream/DOMAIN/streams");
        let streams = if streams.exists() { entries(&streams) } else { Vec::new() };
        let messages = streams.into_iter().map(|stream| stream.join("msgs")).filter(|msgs| msgs.exists());
        let blocks = messages.flat_map(|msgs| entries(&msgs)).filter(|path| name(path).ends_with(".blk"));
        blocks.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }

    fn ledger(&self, kind: &str) -> PathBuf {
        entries(&self.comms.join("log")).into_iter().find(|path| name(path).starts_with(kind)).unwrap()
    }

    fn index(&self) -> PathBuf {
        self.comms.join("log/index.redb")
    }

    fn list(&self) -> PathBuf {
        self.comms.join("node/ledgers.json")
    }

    /// Files of that name below the consumers of a stream.
    fn of_consumers(&self, kind: &str, file: &str) -> Vec<PathBuf> {
        entries(&self.stream(kind).join("obs")).into_iter().map(|consumer| consumer.join(file)).collect()
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn empty(path: &Path) {
    fs::write(path, b"").unwrap();
}

/// Cuts off the end as many bytes as `bytes` says of the length.
fn cut(path: &Path, bytes: impl Fn(u64) -> u64) {
    let length = fs::metadata(path).unwrap().len();
    fs::File::options().write(true).open(path).unwrap().set_len(length - bytes(length)).unwrap();
}

fn append(path: &Path, bytes: usize) {
    let mut whole = fs::read(path).unwrap();
    whole.extend(vec![0xa5; bytes]);
    fs::write(path, whole).unwrap();
}

fn flip(path: &Path, at: impl Fn(usize) -> usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

fn zero(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 300].fill(0);
    fs::write(path, bytes).unwrap();
}

pub(crate) fn copy(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    let status = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(status.success());
}

pub(crate) const KINDS: &[Kind] = &[
    Kind { name: "nothing", wanted: Harmless, damage: |_| {} },
    Kind {
        name: "the whole store removed",
        wanted: Named,
        damage: |d| fs::remove_dir_all(d.store()).unwrap(),
    },
    Kind {
        name: "events: folder removed",
        wanted: Named,
        damage: |d| fs::remove_dir_all(d.stream("EVENT")).unwrap(),
    },
    Kind {
        name: "events: messages removed",
        wanted: Named,
        damage: |d| fs::remove_dir_all(d.stream("EVENT").join("msgs")).unwrap(),
    },
    Kind { name: "events: block emptied", wanted: Named, damage: |d| empty(&d.block("EVENT")) },
    Kind {
        name: "events: block removed",
        wanted: Named,
        damage: |d| fs::remove_file(d.block("EVENT")).unwrap(),
    },
    Kind {
        name: "events: block cut by a third",
        wanted: Named,
        damage: |d| cut(&d.block("EVENT"), |n| n / 3),
    },
    Kind { name: "events: block cut by a byte", wanted: Named, damage: |d| cut(&d.block("EVENT"), |_| 1) },
    Kind {
        name: "events: bit flipped at the beginning",
        wanted: Named,
        damage: |d| flip(&d.block("EVENT"), |_| 40),
    },
    Kind {
        name: "events: bit flipped in the middle",
        wanted: Named,
        damage: |d| flip(&d.block("EVENT"), |n| n / 2),
    },
    Kind {
        name: "events: bit flipped at the end",
        wanted: Named,
        damage: |d| flip(&d.block("EVENT"), |n| n - 20),
    },
    Kind { name: "events: zeros in the middle", wanted: Named, damage: |d| zero(&d.block("EVENT")) },
    Kind {
        name: "events: bit flipped and no index",
        wanted: Named,
        damage: |d| {
            flip(&d.block("EVENT"), |n| n / 2);
            fs::remove_file(d.stream("EVENT").join("msgs/index.db")).unwrap();
        },
    },
    Kind {
        name: "events: index removed",
        wanted: Harmless,
        damage: |d| fs::remove_file(d.stream("EVENT").join("msgs/index.db")).unwrap(),
    },
    Kind {
        name: "events: index flipped",
        wanted: Harmless,
        damage: |d| flip(&d.stream("EVENT").join("msgs/index.db"), |n| n / 2),
    },
    Kind {
        name: "events: index emptied",
        wanted: Harmless,
        damage: |d| empty(&d.stream("EVENT").join("msgs/index.db")),
    },
    Kind {
        name: "events: meta removed",
        wanted: Named,
        damage: |d| fs::remove_file(d.stream("EVENT").join("meta.inf")).unwrap(),
    },
    Kind {
        name: "events: meta flipped",
        wanted: Named,
        damage: |d| flip(&d.stream("EVENT").join("meta.inf"), |n| n / 2),
    },
    Kind {
        name: "events: meta emptied",
        wanted: Named,
        damage: |d| empty(&d.stream("EVENT").join("meta.inf")),
    },
    Kind {
        name: "events: sum of meta removed",
        wanted: Named,
        damage: |d| fs::remove_file(d.stream("EVENT").join("meta.sum")).unwrap(),
    },
    Kind {
        name: "events: the block of the commands in its place",
        wanted: Named,
        damage: |d| {
            fs::copy(d.block("COMMAND"), d.block("EVENT")).unwrap();
        },
    },
    Kind {
        name: "commands: folder removed",
        wanted: Named,
        damage: |d| fs::remove_dir_all(d.stream("COMMAND")).unwrap(),
    },
    Kind { name: "commands: block emptied", wanted: Named, damage: |d| empty(&d.block("COMMAND")) },
    Kind {
        name: "commands: block removed",
        wanted: Named,
        damage: |d| fs::remove_file(d.block("COMMAND")).unwrap(),
    },
    Kind {
        name: "commands: bit flipped at the end",
        wanted: Named,
        damage: |d| flip(&d.block("COMMAND"), |n| n - 20),
    },
    Kind {
        name: "commands: index removed",
        wanted: Harmless,
        damage: |d| fs::remove_file(d.stream("COMMAND").join("msgs/index.db")).unwrap(),
    },
    Kind {
        name: "commands: meta flipped",
        wanted: Named,
        damage: |d| flip(&d.stream("COMMAND").join("meta.inf"), |n| n / 2),
    },
    Kind { name: "ledger emptied", wanted: Named, damage: |d| empty(&d.ledger("EVENT")) },
    Kind { name: "ledger removed", wanted: Named, damage: |d| fs::remove_file(d.ledger("EVENT")).unwrap() },
    Kind {
        name: "ledgers removed",
        wanted: Named,
        damage: |d| fs::remove_dir_all(d.comms.join("log")).unwrap(),
    },
    Kind { name: "ledger: header flipped", wanted: Named, damage: |d| flip(&d.ledger("EVENT"), |_| 9) },
    Kind {
        name: "ledger of the other stream",
        wanted: Named,
        damage: |d| {
            fs::copy(d.ledger("COMMAND"), d.ledger("EVENT")).unwrap();
        },
    },
    Kind {
        name: "ledger: record flipped",
        wanted: Harmless,
        damage: |d| flip(&d.ledger("EVENT"), |n| n / 2),
    },
    Kind {
        name: "ledger: checkpoint flipped",
        wanted: Harmless,
        damage: |d| flip(&d.ledger("EVENT"), |_| 50),
    },
    Kind { name: "ledger cut by a third", wanted: Harmless, damage: |d| cut(&d.ledger("EVENT"), |n| n / 3) },
    Kind { name: "ledger cut in a record", wanted: Harmless, damage: |d| cut(&d.ledger("COMMAND"), |_| 7) },
    Kind {
        name: "list of ledgers removed",
        wanted: Harmless,
        damage: |d| fs::remove_file(d.list()).unwrap(),
    },
    Kind {
        name: "list of ledgers: rubbish",
        wanted: Harmless,
        damage: |d| fs::write(d.list(), [0xff]).unwrap(),
    },
    Kind {
        name: "ledgers, their list and a block removed",
        wanted: Named,
        damage: |d| {
            fs::remove_dir_all(d.comms.join("log")).unwrap();
            fs::remove_file(d.list()).unwrap();
            fs::remove_file(d.block("EVENT")).unwrap();
        },
    },
    Kind {
        name: "ledgers, both their lists and a block removed",
        wanted: Named,
        damage: |d| {
            fs::remove_dir_all(d.comms.join("log")).unwrap();
            fs::remove_file(d.list()).unwrap();
            fs::remove_file(d.comms.join("node/witnessed.json")).unwrap();
            fs::remove_file(d.block("EVENT")).unwrap();
        },
    },
    Kind {
        name: "ledgers, both their lists and the store removed",
        wanted: Named,
        damage: |d| {
            fs::remove_dir_all(d.comms.join("log")).unwrap();
            fs::remove_file(d.list()).unwrap();
            fs::remove_file(d.comms.join("node/witnessed.json")).unwrap();
            fs::remove_dir_all(d.store()).unwrap();
        },
    },
    Kind {
        name: "ledgers, store and all of the node removed",
        wanted: Named,
        damage: |d| ["log", "node", "nats"].iter().for_each(|f| fs::remove_dir_all(d.comms.join(f)).unwrap()),
    },
    Kind {
        name: "ledger: a byte behind its end",
        wanted: Harmless,
        damage: |d| append(&d.ledger("EVENT"), 1),
    },
    Kind {
        name: "ledger: ten records of rubbish behind its end",
        wanted: Harmless,
        damage: |d| append(&d.ledger("COMMAND"), 480),
    },
    Kind {
        name: "name removed",
        wanted: Harmless,
        damage: |d| fs::remove_file(d.comms.join("node/name")).unwrap(),
    },
    Kind {
        name: "name: rubbish",
        wanted: Harmless,
        damage: |d| fs::write(d.comms.join("node/name"), [0xff]).unwrap(),
    },
    Kind {
        name: "name and the store removed",
        wanted: Named,
        damage: |d| {
            fs::remove_file(d.comms.join("node/name")).unwrap();
            fs::remove_dir_all(d.store()).unwrap();
        },
    },
    Kind {
        name: "all of the node and of nats-server removed",
        wanted: Named,
        damage: |d| ["node", "nats"].iter().for_each(|f| fs::remove_dir_all(d.comms.join(f)).unwrap()),
    },
    Kind {
        name: "process id of nats-server: rubbish",
        wanted: Harmless,
        damage: |d| fs::write(d.comms.join("nats/nats-server.pid"), [0xff]).unwrap(),
    },
    Kind {
        name: "ledger and block cut",
        wanted: Named,
        damage: |d| {
            cut(&d.ledger("EVENT"), |n| n / 3);
            cut(&d.block("EVENT"), |n| n / 3);
        },
    },
    Kind {
        name: "consumers: state removed",
        wanted: Harmless,
        damage: |d| {
            let states = ["EVENT", "COMMAND"].iter().flat_map(|kind| d.of_consumers(kind, "o.dat"));
            states.filter(|state| state.exists()).for_each(|state| fs::remove_file(state).unwrap());
        },
    },
    Kind {
        name: "consumers: meta flipped",
        wanted: Mended,
        damage: |d| {
            let metas = ["EVENT", "COMMAND"].iter().flat_map(|kind| d.of_consumers(kind, "meta.inf"));
            metas.for_each(|meta| flip(&meta, |n| n / 2));
        },
    },
    Kind {
        name: "consumers removed",
        wanted: Harmless,
        damage: |d| {
            fs::remove_dir_all(d.stream("EVENT").join("obs")).unwrap();
        },
    },
    Kind {
        name: "index of messages removed",
        wanted: Harmless,
        damage: |d| fs::remove_file(d.index()).unwrap(),
    },
    Kind { name: "index of messages emptied", wanted: Harmless, damage: |d| empty(&d.index()) },
    Kind { name: "index of messages cut", wanted: Harmless, damage: |d| cut(&d.index(), |n| n / 3) },
    Kind { name: "an older copy of the store", wanted: Named, damage: |d| copy(&d.old, &d.store()) },
    Kind {
        name: "an older copy of the events",
        wanted: Named,
        damage: |d| {
            let events = d.stream("EVENT");
            copy(&d.old.join("jetstream/DOMAIN/streams").join(name(&events)), &events);
        },
    },
];
