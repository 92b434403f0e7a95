//! Help, usage and configuration errors: what is said, and the exit code.

use crate::binary::{comms, objects};
use crate::shapes;

#[test]
fn help_names_every_command_and_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let help = comms(folder.path(), &["--help"]).done();
    for word in ["up", "new", "demo", "send", "ask", "publish", "watch", "put", "get", "domain", "version"] {
        assert!(help.contains(&format!("\n  {word} ")), "{word}: {help}");
    }
    for word in [
        "3 refused",
        "4 not found or not allowed",
        "5 no answer in time",
        "64 configuration",
        "--json",
        "--as",
    ] {
        assert!(help.contains(word), "{word}: {help}");
    }
    assert!(!help.contains("guard"), "{help}");
    let send = comms(folder.path(), &["send", "--help"]).done();
    for word in ["field=text", "field:=JSON", "field=@file", "--owner", "--id", "--wait", "--no-wait"] {
        assert!(send.contains(word), "{word}: {send}");
    }
}

#[test]
fn the_version_is_one_line_or_one_object() {
    let folder = tempfile::tempdir().unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(comms(folder.path(), &["version"]).done(), format!("comms {version}\n"));
    let object = objects(&comms(folder.path(), &["version", "--json"]).done()).remove(0);
    shapes::assert_fits("version", &object);
    assert_eq!(object["version"], version);
}

#[test]
fn what_cannot_be_parsed_is_usage() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &[][..],
        &["sned"],
        &["send"],
        &["watch"],
        &["send", "documents.AddDocument", "--wait", "1d"],
        &["send", "documents.AddDocument", "--wait", "1s", "--no-wait"],
        &["up", "--join", "nats://x"],
        &["up", "--nats", "nats://x", "--listen", "127.0.0.1:0"],
        &["domain", "show", "everything"],
    ] {
        let err = comms(folder.path(), arguments).failed(2);
        assert!(err.contains("Usage:") || err.starts_with("error: "), "{arguments:?}: {err}");
    }
}

#[test]
fn http_is_served_to_this_machine_only() {
    let folder = tempfile::tempdir().unwrap();
    for address in ["0.0.0.0:0", "[::]:0", "192.168.1.2:7180"] {
        let err = comms(folder.path(), &["up", "--http", address]).failed(2);
        assert!(err.starts_with("error: ") && err.contains("--http"), "{err}");
        assert!(err.contains("tokens would travel in the clear; take a loopback address"), "{err}");
    }
}

#[test]
fn fields_are_checked_before_anybody_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let err = comms(folder.path(), &["send", "documents.AddDocument", "title"]).failed(2);
    assert_eq!(
        err,
        "error: title is not a field\n  A field is field=text, field==text, field:=JSON, field=@file or field=- for standard input\n"
    );
}

#[test]
fn without_a_node_every_command_says_how_to_start_one() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["send", "documents.AddDocument", "title=x"][..],
        &["ask", "documents.FindDocuments", "words=x"],
        &["publish", "documents.DocumentAdded", "title=x", "--entity", "a"],
        &["watch", "*"],
        &["put", "-"],
        &["get", "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", "-o", "x"],
    ] {
        let err = comms(folder.path(), arguments).failed(64);
        assert!(err.starts_with("error: ") && err.contains("comms up"), "{arguments:?}: {err}");
    }
    let err = comms(folder.path(), &["up"]).failed(64);
    assert!(err.contains("no domain.toml in ") && err.contains("comms new DIR"), "{err}");
}

#[test]
fn with_json_a_failure_is_one_object_on_standard_error() {
    let folder = tempfile::tempdir().unwrap();
    let ran = comms(folder.path(), &["--json", "domain", "check"]);
    assert_eq!(ran.out, "");
    let object = objects(&ran.failed(64)).remove(0);
    shapes::assert_fits("error", &object);
    assert_eq!(object["error"]["exit"], 64);
}
