//! What programs of other people make of the same bytes: the CIDs that Kubo and the npm package ipfs-unixfs-importer
//! compute, and what the `nats` command line tool may hear. `make interop` installs them; one that is missing fails.

#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails there")]

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use comms_content::Importer;
use comms_content::limits::{CHUNK_BYTES, WIDTH};
use comms_tests::wait::SOON;
use comms_tests::{Process, TestNode, binary, tools};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::TempDir;

#[derive(Debug, Serialize, Deserialize)]
struct DocumentRetitled {
    title: String,
}
comms::event!(DocumentRetitled = "documents.DocumentRetitled");

/// The CID that we give a file, in constant memory.
fn ours(file: &Path) -> String {
    let (mut file, mut importer, mut blocks) = (File::open(file).unwrap(), Importer::new(), Vec::new());
    let mut piece = vec![0; 3 << 18];
    loop {
        let read = file.read(&mut piece).unwrap();
        if read == 0 {
            return importer.finish(&mut blocks).cid.to_string();
        }
        importer.push(Bytes::copy_from_slice(&piece[..read]), &mut blocks);
        blocks.clear();
    }
}

/// Holds what we compute of files against what the others do.
fn assert_all_agree(files: &[PathBuf]) {
    let paths: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let kubo = tools::script(None, "kubo-cid", &paths);
    let npm = tools::script(Some("node"), "unixfs-cid.mjs", &paths);
    let ours: Vec<String> = files.iter().map(|file| ours(file)).collect();
    let names: Vec<String> =
        files.iter().map(|file| file.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(ours, kubo, "Kubo, of {names:?}");
    assert_eq!(ours, npm, "ipfs-unixfs-importer, of {names:?}");
}

/// Bytes that repeat nowhere at the distance of a chunk, so that no two chunks are one.
fn bytes(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    next.flatten().take(length).collect()
}

#[test]
fn files_of_every_shape_have_the_cid_that_others_compute() {
    let place = TempDir::with_prefix("comms-interop-").unwrap();
    let sizes =
        [0, 1, 1000, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES + 5];
    let mut files = Vec::new();
    for size in sizes {
        let file = place.path().join(size.to_string());
        std::fs::write(&file, bytes(size)).unwrap();
        files.push(file);
    }
    assert_all_agree(&files);
}

/// One chunk more than one node has links for: the tree gets another level. The file takes no room on the disk.
#[test]
fn a_file_of_more_chunks_than_a_node_has_links_does_too() {
    let place = TempDir::with_prefix("comms-interop-").unwrap();
    let file = place.path().join("large");
    File::create(&file).unwrap().set_len((WIDTH * CHUNK_BYTES) as u64 + 1).unwrap();
    assert_all_agree(&[file]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_of_the_demo_is_kept_under_the_cid_that_others_compute() {
    let place = TempDir::with_prefix("comms-interop-").unwrap();
    let made =
        Command::new(binary::comms()).args(["new", "library"]).current_dir(place.path()).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let report = place.path().join("library/report.pdf");
    let node = TestNode::start().await;
    let put = node.connect("desk").await.put(tokio::fs::File::open(&report).await.unwrap()).await.unwrap();
    assert_eq!(put.size, std::fs::metadata(&report).unwrap().len());
    assert_eq!(put.cid.to_string(), ours(&report));
    assert_all_agree(&[report]);
}

/// Not the document by itself, but what the handler heard of it and what was fetched when the demo ran.
#[test]
fn what_the_demo_says_is_the_cid_that_others_compute_of_the_document_it_leaves() {
    let place = TempDir::with_prefix("comms-interop-").unwrap();
    let kept = place.path().join("kept");
    let mut demo = Command::new(binary::comms());
    demo.args(["demo", "--json", "--keep"]).arg(&kept).current_dir(place.path());
    let played = demo.output().unwrap();
    assert!(played.status.success(), "{played:?}");
    let lines: Vec<Value> = String::from_utf8(played.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let told = |step: &str, field: &str| {
        let line = lines.iter().find_map(|line| line.get(step));
        line.and_then(|line| line[field].as_str())
            .unwrap_or_else(|| panic!("no {step}: {lines:?}"))
            .to_owned()
    };
    let report = kept.join("report.pdf");
    let kubo = tools::script(None, "kubo-cid", &[&report]);
    let npm = tools::script(Some("node"), "unixfs-cid.mjs", &[&report]);
    for (step, field) in [("heard", "link"), ("fetched", "cid")] {
        let told = [told(step, field)];
        assert_eq!(told.as_slice(), kubo, "Kubo, of what is {step}");
        assert_eq!(told.as_slice(), npm, "ipfs-unixfs-importer, of what is {step}");
    }
}

/// The tool of the broker's makers, with the key of a generated user.
fn nats(node: &TestNode, service: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(tools::installed("nats"));
    command
        .args(["--server", &node.nats_url(), "--nkey"])
        .arg(node.comms_folder().join("credentials").join(format!("{service}.nk")))
        .args(["--inbox-prefix", &format!("_INBOX.{service}")])
        .args(arguments)
        // Contexts of whoever runs the tests would be taken otherwise.
        .env("XDG_CONFIG_HOME", node.path().join("nats-config"))
        .env("HOME", node.path());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nats_tool_hears_what_its_user_observes_and_nothing_else() {
    let node = TestNode::start().await;
    let archive = node.connect("archive").await;
    let subject = "library.live.event.documents.*.DocumentRetitled";
    let mut heard = Process::start(nats(&node, "indexer", &["sub", subject, "--count", "1"]));
    heard.line_with("Subscribing on").await;
    // What is live is kept by nobody, so it is said until the tool listens.
    let said = tokio::time::timeout(SOON, async {
        loop {
            let title = "heard by a stranger".to_owned();
            archive.publish(DocumentRetitled { title }).entity("d1").owner("ada").await.unwrap();
            if heard.output().contains("heard by a stranger") {
                break;
            }
        }
    });
    said.await.unwrap_or_else(|_| panic!("it hears nothing: {}", heard.output()));
    assert!(heard.end().await.success());

    for subject in
        ["library.event.>", "library.live.event.lending.*.Lent", "_INBOX.>", "library.deliver.archive.>", ">"]
    {
        let mut refused = Process::start(nats(&node, "indexer", &["sub", subject, "--count", "1"]));
        refused.line_with("Permissions Violation").await;
    }
    for subject in
        ["library.event.documents.d1.DocumentRetitled", "library.live.event.documents.d1.DocumentRetitled"]
    {
        let mut refused = Process::start(nats(&node, "indexer", &["pub", subject, "forged"]));
        refused.line_with("Permissions Violation").await;
    }
    let mut stranger = Command::new(tools::installed("nats"));
    stranger.args(["--server", &node.nats_url(), "sub", ">"]).env("HOME", node.path());
    let refused = stranger.output().unwrap();
    assert!(!refused.status.success(), "{refused:?}");
}
