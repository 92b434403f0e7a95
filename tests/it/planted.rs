//! A folder in which somebody else was first, and a process whose files everybody could write: refused by name or mended
//! before anything starts.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use comms_tests::{Process, binary, fixture};
use tempfile::TempDir;

fn domain() -> TempDir {
    let folder = TempDir::with_prefix("comms-planted-").unwrap();
    fixture::write(folder.path());
    folder
}

fn up(folder: &Path) -> Command {
    let mut command = Command::new(binary::comms());
    command.args(["up", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    command.current_dir(folder).env_remove("COMMS_CREDENTIALS").stdin(Stdio::null());
    command
}

/// What a start that must be refused says.
fn refused(mut command: Command, what: &str) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    assert!(!status.success() && !said.contains("ready"), "{what}: {said}");
    said
}

/// Everything in a folder and below.
fn all(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    let mut at = 0;
    while at < found.len() {
        if found[at].is_dir() {
            found.extend(std::fs::read_dir(&found[at]).unwrap().map(|entry| entry.unwrap().path()));
        }
        at += 1;
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_node_makes_is_open_to_others_whatever_the_mask() {
    let folder = domain();
    let mut command = Command::new("sh");
    command
        .args(["-c", "umask 0; exec \"$0\" up --listen 127.0.0.1:0 --http 127.0.0.1:0"])
        .arg(binary::comms());
    command.current_dir(folder.path()).env_remove("COMMS_CREDENTIALS");
    let mut node = Process::start(command);
    node.line_with("ready in").await;
    let made = all(&folder.path().join(".comms"));
    assert!(made.len() > 20, "{made:?}");
    for path in made {
        let mode = std::fs::symlink_metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} is {mode:o}", path.display());
    }
    node.signal("TERM");
    assert!(node.end().await.success(), "{}", node.output());
}

#[test]
fn a_folder_that_leads_elsewhere_is_refused_and_nothing_is_written_there() {
    for below in ["", "node", "nats", "credentials"] {
        let (folder, elsewhere) = (domain(), TempDir::new().unwrap());
        let path = folder.path().join(".comms").join(below);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(elsewhere.path(), folder.path().join(".comms").join(below).components().collect::<PathBuf>())
            .unwrap();
        let said = refused(up(folder.path()), below);
        assert!(said.contains("cannot be trusted") && said.contains("symbolic link"), "{below}: {said}");
        assert_eq!(all(elsewhere.path()).len(), 1, "{below}: something was written there");
    }
}

#[test]
fn a_folder_without_a_name_in_utf_8_is_refused() {
    let place = TempDir::new().unwrap();
    let folder = place.path().join(OsStr::from_bytes(b"caf\xe9"));
    std::fs::create_dir(&folder).unwrap();
    fixture::write(&folder);
    let said = refused(up(&folder), "a name in Latin 1");
    assert!(said.contains("UTF-8") && said.contains("another folder"), "{said}");
    assert!(!folder.join(".comms").exists());
}

/// A program in a folder above is believed if nobody else can have put it there.
#[test]
fn a_nats_server_that_others_could_have_planted_is_not_run() {
    let place = TempDir::new().unwrap();
    let (folder, tools) = (place.path().join("a/b"), place.path().join(".tools/bin"));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::create_dir_all(&tools).unwrap();
    fixture::write(&folder);
    let (planted, ran) = (tools.join("nats-server"), place.path().join("ran"));
    std::fs::write(&planted, format!("#!/bin/sh\ntouch '{}'\necho nats-server: v2.15.1\n", ran.display()))
        .unwrap();
    std::fs::set_permissions(&planted, std::fs::Permissions::from_mode(0o777)).unwrap();
    let found = || {
        let mut command = up(&folder);
        command.env_remove("COMMS_NATS_SERVER").env("PATH", "");
        command
    };
    let said = refused(found(), "anybody can write to it");
    assert!(said.contains("is not run") && said.contains("others can write to it"), "{said}");
    std::fs::set_permissions(&planted, std::fs::Permissions::from_mode(0o755)).unwrap();
    // Only root can give files away.
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&planted, Some(12_345), None).unwrap();
        let said = refused(found(), "somebody else's");
        assert!(said.contains("belongs to user 12345"), "{said}");
    }
    assert!(!ran.exists(), "it was run");
}

#[test]
fn git_takes_nothing_of_a_node_along() {
    let folder = domain();
    let git = |arguments: &[&str]| {
        let done = Command::new("git").args(arguments).current_dir(folder.path()).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    std::fs::create_dir(folder.path().join(".comms")).unwrap();
    // Made by a command that makes keys and starts nothing.
    let made = Command::new(binary::comms())
        .args(["domain", "accounts", "--out", "accounts.conf"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    git(&["init", "-q"]);
    git(&["add", "-A"]);
    let taken = git(&["ls-files"]);
    assert!(taken.contains("domain.toml") && !taken.contains(".comms"), "{taken}");
}
