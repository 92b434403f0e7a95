//! `comms demo`: it plays the scene, measures it, and leaves nothing.

use std::fs;

use crate::binary::{Ran, command, objects};
use crate::shapes;

/// Runs it with a folder of its own for what is passing, and looks that nothing stays there.
fn demo(arguments: &[&str]) -> Ran {
    let place = tempfile::tempdir().unwrap();
    let passing = place.path().join("tmp");
    fs::create_dir(&passing).unwrap();
    let mut demo = command(place.path(), &[&["demo"], arguments].concat());
    let output = demo.env("TMPDIR", &passing).output().unwrap();
    assert_eq!(fs::read_dir(&passing).unwrap().count(), 0);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn every_step_is_told_and_every_byte_arrives() {
    let lines = objects(&demo(&["--json"]).done());
    lines.iter().for_each(|line| shapes::assert_fits("demo", line));
    let steps: Vec<&str> =
        lines.iter().map(|line| line.as_object().unwrap().keys().next().unwrap().as_str()).collect();
    assert_eq!(steps, ["document", "node", "sent", "handled", "kept", "heard", "fetched", "denied", "done"]);
    let (document, fetched) = (&lines[0]["document"], &lines[6]["fetched"]);
    assert!(document["bytes"].as_u64().unwrap() >= 8 << 20 && document["pages"].as_u64().unwrap() >= 100);
    assert_eq!(document["bytes"], fetched["bytes"]);
    assert_eq!(lines[5]["heard"]["link"], fetched["cid"]);
    assert_eq!(lines[5]["heard"]["id"], lines[4]["kept"]["id"]);
    assert!(lines[5]["heard"]["bytes"].as_u64().unwrap() < 1024);
}

#[test]
fn the_text_says_what_to_type_next() {
    let out = demo(&[]).done();
    assert!(out.contains("library.command.documents.AddDocument.desk"), "{out}");
    // As it can be typed here, where PATH does not have the program.
    let program = env!("CARGO_BIN_EXE_comms");
    assert!(out.contains(&format!("next\t{program} new library && cd library && {program} up\t")), "{out}");
    assert!(out.contains(&format!("or\t{program} demo --file FILE\t")), "{out}");
}

#[test]
fn a_file_of_the_users_own() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("notes.txt");
    // At the threshold a document stays in its message, one byte above it leaves.
    for (size, linked) in [(0, false), (64 << 10, false), ((64 << 10) + 1, true)] {
        fs::write(&file, vec![b'x'; size]).unwrap();
        let lines = objects(&demo(&["--json", "--file", file.to_str().unwrap()]).done());
        let heard = lines.iter().find_map(|line| line.get("heard")).unwrap();
        assert_eq!(heard["link"].is_string(), linked, "{size}");
        let fetched = lines.iter().find_map(|line| line.get("fetched")).unwrap();
        assert_eq!(fetched["bytes"], size);
    }
    let err = demo(&["--file", "absent.pdf"]).failed(2);
    assert!(err.starts_with("error: absent.pdf cannot be read\n"), "{err}");
}

#[test]
fn what_is_kept_can_be_gone_on_with() {
    let place = tempfile::tempdir().unwrap();
    let kept = place.path().join("kept");
    let out = demo(&["--keep", kept.to_str().unwrap()]).done();
    assert!(out.contains("next\tcd "), "{out}");
    assert!(kept.join("report.pdf").is_file() && kept.join(".comms/content").is_dir());
    let err = demo(&["--keep", kept.to_str().unwrap()]).failed(2);
    assert!(err.contains("is not empty"), "{err}");
}

#[test]
fn without_a_server_it_fails_with_the_line_that_installs_one() {
    let place = tempfile::tempdir().unwrap();
    let mut demo = command(place.path(), &["demo"]);
    let output = demo.env("COMMS_NATS_SERVER", "/absent/nats-server").env("PATH", "").output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(
        err.starts_with("error: no nats-server 2.14 or newer\n") && err.contains("install one:"),
        "{err}"
    );
}
