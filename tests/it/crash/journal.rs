//! What was sent, acknowledged and read, in the order in which it was: entries that a process of its own writes down.
//!
//! An entry is written before what it says of the test's own doing (a send), and after what it says of others (an
//! acknowledgement, something read). So whatever stands before an entry had happened when it was written.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;

use comms_msg::{Expect, MsgId, Position};
use serde::{Deserialize, Serialize};

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub(super) enum Entry {
    /// A command leaves. Handled, it causes these events of this entity, or none if its handler is to refuse it.
    CommandSent { id: MsgId, entity: String, causes: Vec<MsgId>, refused: bool },
    /// The door keeps it, at a place among the commands; sequence 0 of one that had ended before.
    CommandAcked { id: MsgId, position: Position },
    /// These events of one entity leave, to be stored together.
    AppendSent { ids: Vec<MsgId>, entity: String, expect: Expect },
    /// They are in the log.
    AppendAcked { ids: Vec<MsgId>, positions: Vec<Position> },
    /// They are not in the log and never will be: the entity is elsewhere. Named by the first of them.
    AppendRefused { id: MsgId, actual: Option<Position> },
    /// This attempt of a write brought no answer that decides. Named by its first message.
    Undecided { id: MsgId, why: String },
    /// A handler begins to work on a command.
    Handled { command: MsgId, instance: usize, tries: u32 },
    /// How a command is said to have ended.
    Ended { command: MsgId, state: String, events: Vec<(MsgId, Position)> },
    /// An event that a watch of the whole time handed on.
    Watched(Read),
    /// An event that was read when all was over.
    Found(Read),
    /// A process was killed. The write that it was aimed into is named by its first message.
    Killed { target: Target, aimed_into: Option<MsgId> },
    /// What was killed is back.
    Back { after_ms: u64 },
}

/// What is killed: the node, whose nats-server dies with it, or nats-server alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Target {
    Node,
    Server,
}

/// An event as a reader got it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Read {
    pub(super) position: Position,
    pub(super) id: MsgId,
    pub(super) entity: String,
    pub(super) causation: Option<MsgId>,
    /// What the event says.
    pub(super) text: String,
}

/// What the event at `ordinal` of `count` says that `write` (a command, or the first of the appended events) stores.
pub(super) fn text(write: MsgId, ordinal: usize, count: usize) -> String {
    format!("{write}/{ordinal}/{count}")
}

/// The way to the process that writes the log.
#[derive(Debug)]
pub(super) struct Journal {
    file: PathBuf,
    /// None once it is closed.
    writer: Mutex<Option<Writer>>,
}

#[derive(Debug)]
struct Writer {
    child: Child,
    lines: ChildStdin,
    count: u64,
}

impl Journal {
    /// Starts the process. It makes the file, which must not exist.
    pub(super) fn start(file: &Path) -> Journal {
        let mut child = Command::new(env!("CARGO_BIN_EXE_witness"))
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the witness starts");
        let lines = child.stdin.take().expect("its input is piped");
        Journal { file: file.to_owned(), writer: Mutex::new(Some(Writer { child, lines, count: 0 })) }
    }

    /// Hands an entry over. When this returns, the entry is out of this process.
    pub(super) fn write(&self, entry: &Entry) {
        let mut line = serde_json::to_vec(entry).expect("an entry is JSON");
        line.push(b'\n');
        let mut writer = self.writer.lock().expect("no panic holds it");
        let writer = writer.as_mut().expect("nothing is said after the end");
        writer.lines.write_all(&line).expect("the witness lives");
        writer.count += 1;
    }

    /// Ends the process and reads everything back; it must have kept as many lines as it was given.
    pub(super) fn close(&self) -> Vec<Entry> {
        let writer = self.writer.lock().expect("no panic holds it").take();
        let Writer { child, lines, count } = writer.expect("it is closed once");
        drop(lines);
        let output = child.wait_with_output().expect("the witness ends");
        assert!(output.status.success(), "the witness ended with {}", output.status);
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), count.to_string(), "lines kept");
        let text = std::fs::read_to_string(&self.file).expect("the witness wrote its file");
        text.lines().map(|line| serde_json::from_str(line).expect("an entry")).collect()
    }
}
