//! Refusals as people read them: in the words of whoever refuses, once, and each part on a line of its own.

use std::fs;
use std::path::Path;

use crate::binary::comms;
use crate::new::library;
use crate::node::{Process, up};
use crate::{binary, node, shapes};

/// Changes the definition of a domain.
fn edit(folder: &Path, from: &str, to: &str) {
    let path = folder.join("domain.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn a_refused_owner_is_named_and_not_taken_for_a_right() {
    let running = up();
    let folder = &running.folder;
    edit(folder, "[service.archive]\n", "[service.archive]\nowners = [\"ada\"]\n");
    comms(folder, &["domain", "apply"]).done();
    let publish = |more: &[&str]| {
        let event = ["publish", "documents.DocumentAdded", "title=x", "file=@domain.toml", "--entity", "a"];
        comms(folder, &[&event[..], more].concat())
    };
    publish(&["--as", "archive", "--owner", "ada"]).done();
    let err = publish(&["--as", "archive", "--owner", "bob"]).failed(4);
    assert_eq!(err, "error: /metadata/owner  archive may not name the owner bob\n  domain.toml lists: ada\n");
    let err = publish(&["--as", "desk"]).failed(4);
    assert!(
        err.starts_with("error: desk may not emit documents.DocumentAdded\n  domain.toml lists: archive."),
        "{err}"
    );
}

#[test]
fn a_conflict_says_once_that_nothing_was_stored() {
    let running = up();
    let event = ["publish", "documents.DocumentAdded", "title=x", "file=@domain.toml", "--entity", "a"];
    let event = [&event[..], &["--as", "archive", "--expect", "absent"]].concat();
    comms(&running.folder, &event).done();
    let err = comms(&running.folder, &event).failed(3);
    assert!(err.starts_with("error: the entity is at position 1@"), "{err}");
    assert_eq!(err.matches("nothing was stored").count(), 1, "{err}");
}

#[test]
fn a_definition_that_is_not_applied_is_refused_line_by_line() {
    let running = up();
    edit(&running.folder, "name = \"library\"", "name = \"other\"");
    let err = comms(&running.folder, &["domain", "apply"]).failed(3);
    assert!(err.starts_with("error: nothing was changed\n  "), "{err}");
    assert!(!err.contains("\\n") && err.contains("keep the name"), "{err}");
}

#[test]
fn a_mistake_in_the_options_is_one_line_with_its_place() {
    let (_place, folder) = library();
    fs::write(folder.join("comms.toml"), "name = \"a\"\nhttp = \"127.0.0.1:0\"\nhttp = 1\n").unwrap();
    let err = comms(&folder, &["up"]).failed(64);
    let lines: Vec<&str> = err.lines().collect();
    assert!(lines[0].starts_with("error: ") && lines[0].ends_with("comms.toml:3:1  duplicate key"), "{err}");
    assert!(!err.contains("\\n"), "{err}");
}

#[test]
fn a_name_that_was_changed_by_hand_is_refused_by_name() {
    let mut running = up();
    let path = running.folder.join(".comms/node/name");
    let name = fs::read_to_string(&path).unwrap();
    running.node.signal("TERM");
    assert_eq!(running.node.end().0, Some(0));
    fs::write(&path, "changed\n").unwrap();
    let arguments = ["up", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let err = comms(&running.folder, &arguments).failed(64);
    let name = name.trim();
    assert!(
        err.contains(&format!(
            ".comms/node/name says changed, and the log that lies here is of the node {name}"
        )),
        "{err}"
    );
    assert!(err.contains(&format!("write {name} into")), "{err}");
    fs::write(&path, name).unwrap();
    node::start(&running.folder).line_with("ready");
}

#[test]
fn a_hub_says_where_leafs_join() {
    let (_place, folder) = library();
    let up = [
        "up",
        "--listen",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
        "--leaf-listen",
        "127.0.0.1:0",
        "--leaf",
        "l",
    ];
    let text = Process::start(binary::command(&folder, &up));
    let row = text.line_with("leafs");
    let address = row.split('\t').nth(1).unwrap();
    assert!(row.starts_with("leafs\t127.0.0.1:") && !address.ends_with(":0"), "{row}");
    text.line_with("ready");
    std::net::TcpStream::connect(address).unwrap();
    drop(text);
    let mut json = Process::start(binary::command(&folder, &[&up[..], &["--json"]].concat()));
    let ready = serde_json::from_str(&json.line()).unwrap();
    shapes::assert_fits("up", &ready);
    assert!(ready["ready"]["leaf_listen"].as_str().unwrap().starts_with("127.0.0.1:"), "{ready}");
    json.signal("TERM");
    assert_eq!(json.end().0, Some(0));
}

#[test]
fn a_handler_in_python_says_that_it_failed() {
    let running = up();
    let script = running.folder.join("services/python/archive.py");
    let text = fs::read_to_string(&script).unwrap();
    let broken =
        text.replace("    entity = ", "    raise RuntimeError(\"the shelf is\\nlocked\")\n    entity = ");
    assert!(broken != text);
    fs::write(&script, broken).unwrap();
    let Some(archive) = node::python(&running.folder, &["services/python/archive.py"]) else { return };
    let archive = Process::start(archive);
    archive.line_with("listening");
    let id = "0190163d-8694-739b-aea5-966c26f8ad91";
    let send = ["send", "documents.AddDocument", "title=x", "file=@domain.toml", "--as", "desk", "--id", id];
    comms(&running.folder, &[&send[..], &["--no-wait"]].concat()).done();
    assert_eq!(
        archive.line_with("failed"),
        format!("failed   {id}  documents.AddDocument  try 1 of 5: RuntimeError('the shelf is\\nlocked')")
    );
}
