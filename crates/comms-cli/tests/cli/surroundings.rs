//! What the program is started with, and what is left of it: the mask of its files, and a standard output that takes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::binary::{command, comms};
use crate::node::{Process, up};

/// The command, started with that mask.
fn masked(mask: &str, folder: &Path, arguments: &[&str]) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("umask {mask}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_comms")])
        .args(arguments);
    shell.current_dir(folder).env_remove("COMMS_CREDENTIALS").env_remove("COMMS_LOG").stdin(Stdio::null());
    shell
}

/// Everything below a folder, with its permission bits.
fn modes(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        found.push((path.clone(), metadata.permissions().mode() & 0o777));
        if metadata.is_dir() {
            found.extend(modes(&path));
        }
    }
    found
}

#[test]
fn the_mask_of_whoever_starts_it_does_not_matter() {
    for mask in ["0022", "0177", "0277", "0777"] {
        let place = tempfile::tempdir().unwrap();
        let made = masked(mask, place.path(), &["new", "library"]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let folder = place.path().join("library");
        for (path, mode) in modes(&folder) {
            // What is written is read by whoever wrote it, and by others as the mask says.
            let whole = if path.is_dir() { 0o777 } else { 0o666 };
            let withheld = u32::from_str_radix(mask, 8).unwrap() & 0o077 | 0o002;
            assert_eq!(mode, whole & !withheld, "{mask}: {}", path.display());
        }
        let arguments = ["up", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--json"];
        let mut node = Process::start(masked(mask, &folder, &arguments));
        node.line_with("ready");
        let event = ["publish", "documents.DocumentAdded", "title=x", "file=@domain.toml", "--as", "archive"];
        comms(&folder, &[&event[..], &["--entity", "a"]].concat()).done();
        comms(&folder, &["put", "report.pdf", "--as", "desk"]).done();
        for (path, mode) in modes(&folder.join(".comms")) {
            let whole = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode, whole, "{mask}: {} has {mode:o}", path.display());
        }
        node.signal("TERM");
        assert_eq!(node.end().0, Some(0), "{mask}");
        let mut node = crate::node::start(&folder);
        node.line_with("ready");
        node.signal("TERM");
        assert_eq!(node.end().0, Some(0), "{mask}");
    }
}

#[test]
fn what_happened_is_said_where_the_result_cannot_be_printed() {
    let running = up();
    let full = |arguments: &[&str]| {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let Output { status, stderr, .. } =
            command(&running.folder, arguments).stdout(full).output().unwrap();
        let err = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(1), "{arguments:?}: {err}");
        assert!(
            err.starts_with("error: standard output cannot be written\n  because: "),
            "{arguments:?}: {err}"
        );
        err.lines().last().unwrap().trim_start().to_owned()
    };
    let id = "0190163d-8694-739b-aea5-966c26f8ad91";
    let event = [
        "publish",
        "documents.DocumentAdded",
        "title=x",
        "file=@domain.toml",
        "--as",
        "archive",
        "--entity",
        "a",
    ];
    let said = full(&[&event[..], &["--id", id]].concat());
    assert!(
        said.starts_with("documents.DocumentAdded was stored at position 1@") && said.contains(id),
        "{said}"
    );
    let send = ["send", "documents.AddDocument", "title=x", "file=@domain.toml", "--as", "desk", "--id", id];
    assert_eq!(
        full(&send),
        format!("documents.AddDocument is kept; its id is {id}. Its outcome was not waited for.")
    );
    assert!(full(&["put", "domain.toml", "--as", "desk"]).starts_with("The content is kept: bafkrei"));
    assert!(full(&["domain", "apply"]).starts_with("The definition is in force: digest "));
    assert_eq!(full(&["new", "other"]), "The domain is written: other");
    assert!(running.folder.join("other/domain.toml").is_file());
    assert_eq!(full(&["domain", "accounts", "--out", "accounts.conf"]), "accounts.conf is written.");
    let watch = ["watch", "*", "--from", "start", "--until-now", "--as", "indexer"];
    assert_eq!(comms(&running.folder, &watch).done().lines().count(), 1, "it was stored");
}
