//! `comms domain check`, `explain` and `show`, which need no node.

use std::fs;

use crate::binary::{comms, objects};
use crate::new::library;
use crate::shapes;

#[test]
fn a_mistake_is_named_with_its_place_and_its_mend() {
    let (_place, folder) = library();
    let path = folder.join("domain.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        text.replace("sends = [\"documents.AddDocument\"]", "sends = [\"documents.AddDocumnt\"]"),
    )
    .unwrap();
    let ran = comms(&folder, &["domain", "check"]);
    assert!(ran.out.starts_with("domain.toml:"), "{ran:?}");
    assert!(ran.out.contains("documents.AddDocumnt") && ran.out.contains("documents.AddDocument"), "{ran:?}");
    let err = ran.failed(64);
    assert!(err.starts_with("error: 1 problem in ") && err.contains("domain.toml"), "{err}");

    let ran = comms(&folder, &["domain", "check", "--json"]);
    let lines = objects(&ran.out);
    for line in &lines {
        shapes::assert_fits("domain-check", line);
    }
    assert_eq!(lines[0]["problem"]["file"], "domain.toml");
    assert_eq!(lines.last().unwrap()["checked"]["problems"], 1);
    shapes::assert_fits("error", &objects(&ran.failed(64))[0]);

    let err = comms(&folder, &["domain", "show"]).failed(64);
    assert!(err.contains("comms domain check"), "{err}");
}

#[test]
fn what_a_schema_says_in_vain_is_noted_and_what_is_wrong_in_it_is_refused() {
    let (_place, folder) = library();
    let path = folder.join("schemas/documents/FindDocuments.json");
    fs::write(&path, "{\"properties\": {\n\"words\": {\"type\": \"string\", \"default\": \"\"}}}").unwrap();
    let out = comms(&folder, &["domain", "check"]).done();
    let place = "schemas/documents/FindDocuments.json:2:29  default is not filled in";
    assert!(out.starts_with(place) && out.contains("\nok\t"), "{out}");
    let lines = objects(&comms(&folder, &["domain", "check", "--json"]).done());
    for line in &lines {
        shapes::assert_fits("domain-check", line);
    }
    assert_eq!(lines[0]["note"]["line"], 2);
    assert_eq!(lines[1]["checked"]["problems"], 0);

    fs::write(&path, "{\"properties\": {\"words\": {\"type\": \"string\", \"format\": \"emial\"}}}").unwrap();
    let ran = comms(&folder, &["domain", "check"]);
    assert!(ran.out.contains("unknown format emial\n    did you mean email?"), "{ran:?}");
    ran.failed(64);
}

#[test]
fn explain_says_everything_about_a_type() {
    let (_place, folder) = library();
    let out = comms(&folder, &["domain", "explain", "documents.AddDocument"]).done();
    for word in ["library.command.documents.AddDocument", "desk", "archive", "/file", "64"] {
        assert!(out.contains(word), "{word}: {out}");
    }
    for name in ["documents.AddDocument", "documents.FindDocuments", "documents.DocumentAdded"] {
        let object = objects(&comms(&folder, &["domain", "explain", name, "--json"]).done()).remove(0);
        shapes::assert_fits("domain-explain", &object);
    }
    let err = comms(&folder, &["domain", "explain", "documents.AddDocumnt"]).failed(4);
    assert_eq!(
        err,
        "error: nothing is called documents.AddDocumnt in the domain library\n  did you mean the command \
         documents.AddDocument?           comms domain explain documents.AddDocument\n"
    );
    let err = comms(&folder, &["domain", "explain", "documents.FindDocument"]).failed(4);
    assert!(err.contains("did you mean the query documents.FindDocuments?"), "{err}");
    assert_eq!(
        comms(&folder, &["domain", "explain", "documents.DocumentAded"]).failed(4).lines().nth(1),
        Some(
            "  did you mean the event documents.DocumentAdded?           comms domain explain documents.DocumentAdded"
        )
    );
}

#[test]
fn names_of_fields_forge_no_line_and_a_service_is_told_apart() {
    let (_place, folder) = library();
    let path = folder.join("schemas/documents/FindDocuments.json");
    let field = r#"{"properties": {"f\u001b[31m\u202e\n  deadline": {"$ref": "comms:bytes"}}}"#;
    fs::write(&path, field).unwrap();
    let out = comms(&folder, &["domain", "explain", "documents.FindDocuments"]).done();
    assert!(out.contains(r"/f\u001b[31m\u202e\n  deadline, and"), "{out}");
    let object = comms(&folder, &["domain", "explain", "documents.FindDocuments", "--json"]).done();
    assert_eq!(objects(&object)[0]["byte_fields"][0], "/f\u{1b}[31m\u{202e}\n  deadline");
    assert_eq!(
        comms(&folder, &["domain", "explain", "archive"]).failed(4),
        "error: archive is a service, and types are explained\n  What services do: comms domain show services\n"
    );
}

#[test]
fn show_lists_what_the_definition_names() {
    let (_place, folder) = library();
    let out = comms(&folder, &["domain", "show"]).done();
    let (types, limits) = out.split_once("limit\t").expect("the limits come last");
    assert_eq!(
        types,
        "command\tdocuments.AddDocument\tdurable\tdesk > archive\n\
         query\tdocuments.FindDocuments\tdesk > archive\n\
         event\tdocuments.DocumentAdded\tof document\tarchive > archive, indexer\n\
         service\tarchive\thandles documents.AddDocument\tanswers documents.FindDocuments\temits \
         documents.DocumentAdded\tobserves documents.DocumentAdded\n\
         service\tdesk\tsends documents.AddDocument\tasks documents.FindDocuments\n\
         service\tindexer\tobserves documents.DocumentAdded\n"
    );
    assert!(limits.contains("limit\twatches\t512\twatches, "), "{limits}");
    let lines = objects(&comms(&folder, &["domain", "show", "--json"]).done());
    assert_eq!(lines.len(), out.lines().count());
    for line in &lines {
        shapes::assert_fits("domain-show", line);
    }
    assert_eq!(comms(&folder, &["domain", "show", "commands"]).done().lines().count(), 1);
}
