//! Content of any size passes through every process in little memory.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::Command;

use comms_tests::process::Process;
use comms_tests::{TestNode, binary};

/// A document twice as large as what any process may hold at its highest.
const DOCUMENT_MIB: u64 = 160;
const HELD_MIB_MAX: u64 = DOCUMENT_MIB / 2;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_goes_in_and_out_in_constant_memory() {
    let node = TestNode::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (original, copy) = (folder.path().join("original"), folder.path().join("copy"));
    write_noise(&original);

    let (said, held) = run(&node, &["put".as_ref(), original.as_ref()]).await;
    assert!(held <= HELD_MIB_MAX, "comms put held {held} MiB of a file of {DOCUMENT_MIB} MiB");
    let cid = said.lines().next().unwrap().split_whitespace().next().unwrap().to_owned();
    let (_, held) = run(&node, &["get".as_ref(), cid.as_ref(), "-o".as_ref(), copy.as_ref()]).await;
    assert!(held <= HELD_MIB_MAX, "comms get held {held} MiB of a file of {DOCUMENT_MIB} MiB");
    let held = highest(node.pid()).unwrap();
    assert!(held <= HELD_MIB_MAX, "the node held {held} MiB of a file of {DOCUMENT_MIB} MiB");

    assert!(is_same(&original, &copy), "what came out is not what went in");
}

/// Runs `comms` as the service desk; what it said, and the most memory it was seen to hold, in MiB.
async fn run(node: &TestNode, arguments: &[&std::ffi::OsStr]) -> (String, u64) {
    let mut command = Command::new(binary::comms());
    command.args(arguments).args(["--as", "desk"]).current_dir(node.path());
    let mut process = Process::start(command);
    let pid = process.pid();
    let mut held = 0;
    let status = tokio::select! {
        biased;
        status = process.end() => status,
        () = watch(pid, &mut held) => unreachable!("it watches until it is dropped"),
    };
    assert!(status.success(), "{arguments:?} ended with {status}: {}", process.output());
    (process.output(), held)
}

/// Reads the highest mark again and again: it only rises, so the last reading before the end is what counts.
async fn watch(pid: u32, held: &mut u64) {
    let mut often = tokio::time::interval(std::time::Duration::from_millis(5));
    loop {
        often.tick().await;
        *held = highest(pid).unwrap_or(*held);
    }
}

/// The most memory that a process has held so far, in MiB: `VmHWM` of proc(5), which is in KiB.
pub(crate) fn highest(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.div_ceil(1024))
}

/// Bytes of which no two blocks are the same.
fn write_noise(path: &Path) {
    let mut file = BufWriter::with_capacity(1 << 20, std::fs::File::create(path).unwrap());
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..DOCUMENT_MIB * 1024 * 1024 / 8 {
        // Xorshift, Marsaglia 2003.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.write_all(&state.to_le_bytes()).unwrap();
    }
    file.flush().unwrap();
}

fn is_same(one: &Path, other: &Path) -> bool {
    let open = |path| BufReader::with_capacity(1 << 20, std::fs::File::open(path).unwrap());
    let (mut one, mut other) = (open(one), open(other));
    loop {
        let (left, right) = (one.fill_buf().unwrap(), other.fill_buf().unwrap());
        let length = left.len().min(right.len());
        if left[..length] != right[..length] || (length == 0 && left.len() != right.len()) {
            return false;
        }
        if length == 0 {
            return true;
        }
        one.consume(length);
        other.consume(length);
    }
}
