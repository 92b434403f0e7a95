//! What a new definition changes, in words, and which stored subjects it would orphan.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use comms_domain::{Change, Changes, Domain};

const LIBRARY: &str = include_str!("library/domain.toml");

fn parse(text: &str) -> Domain {
    Domain::parse("domain.toml", text, &BTreeMap::new()).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Applies replacements to the library and compares.
fn change(edits: &[(&str, &str)]) -> Changes {
    let mut text = LIBRARY.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    Change::between(&parse(LIBRARY), &parse(&text))
}

fn filters(changes: &Changes) -> Vec<&str> {
    changes.orphans().iter().map(|orphan| orphan.filter.as_str()).collect()
}

#[test]
fn the_same_definition_changes_nothing() {
    let changes = change(&[]);
    assert!(changes.is_empty() && changes.orphans().is_empty());
    assert_eq!(changes.to_string(), "no change");
}

#[test]
fn harmless_changes_are_lines_without_orphans() {
    let changes = change(&[
        ("64 KiB", "128 KiB"),
        ("copies = 3", "copies = 2"),
        ("deadline = \"2 s\"", "deadline = \"500 ms\"\nversion = 2"),
        (
            "[service.desk]\nsends = [\"documents.AddDocument\"]",
            "[service.mail]\nobserves = [\"documents.DocumentAdded\"]\n[service.desk]\nrights = [\"content.read\"]",
        ),
    ]);
    assert_eq!(
        changes.lines,
        [
            "~ content: threshold 64 KiB becomes 128 KiB; copies 3 becomes 2",
            "~ query documents.FindDocuments: version 1 becomes 2; deadline 2 s becomes 500 ms",
            "~ service desk: loses sends documents.AddDocument; gains content.read",
            "+ service mail: gains observes documents.DocumentAdded",
        ]
    );
    assert!(changes.orphans().is_empty());
}

#[test]
fn a_new_type_is_given_to_who_names_it() {
    let changes = change(&[
        ("[service.archive]", "[event.\"documents.DocumentLost\"]\n[service.archive]"),
        (
            "emits = [\"documents.DocumentAdded\"]",
            "emits = [\"documents.DocumentAdded\", \"documents.DocumentLost\"]",
        ),
    ]);
    assert_eq!(
        changes.lines,
        [
            "+ event documents.DocumentLost, of documents",
            "~ service archive: gains emits documents.DocumentLost",
            "~ service dev: gains observes documents.DocumentLost",
        ]
    );
}

#[test]
fn a_removed_event_orphans_its_histories() {
    let changes = change(&[
        ("[event.\"documents.DocumentAdded\"]\nentity = \"document\"", ""),
        ("emits = [\"documents.DocumentAdded\"]", ""),
        ("observes = [\"documents.DocumentAdded\"]", ""),
    ]);
    assert_eq!(changes.removed_events, ["documents.DocumentAdded"]);
    assert_eq!(filters(&changes), ["library.event.documents.*.DocumentAdded"]);
}

#[test]
fn an_event_of_another_entity_orphans_its_histories() {
    let changes = change(&[("entity = \"document\"", "entity = \"shelf\"")]);
    assert_eq!(changes.lines, ["~ event documents.DocumentAdded: entity document becomes shelf"]);
    assert_eq!(filters(&changes), ["library.event.documents.*.DocumentAdded"]);
    assert!(changes.removed_events.is_empty());
}

#[test]
fn a_command_that_is_no_longer_kept_orphans_what_waits() {
    let direct = change(&[("delivery = \"durable\"", "delivery = \"direct\"")]);
    assert_eq!(direct.lines, ["~ command documents.AddDocument: delivery durable becomes direct"]);
    assert_eq!(filters(&direct), ["library.command.documents.AddDocument.*"]);
    assert_eq!(direct.removed_commands, ["documents.AddDocument"]);

    let removed = change(&[
        ("[command.\"documents.AddDocument\"]\ndelivery = \"durable\"", "[dev]"),
        ("handles = [\"documents.AddDocument\"]", ""),
        ("sends = [\"documents.AddDocument\"]", ""),
    ]);
    assert_eq!(filters(&removed), ["library.command.documents.AddDocument.*"]);
    assert!(removed.lines.contains(&"- command documents.AddDocument".to_owned()), "{removed}");
}

#[test]
fn another_name_orphans_everything() {
    let changes = change(&[("name = \"library\"", "name = \"archive\"")]);
    assert_eq!(changes.renamed, Some(("library".to_owned(), "archive".to_owned())));
    assert_eq!(filters(&changes), ["library.event.>", "library.command.>", "library.outcome.>"]);
}

#[test]
fn a_schema_that_changes_without_its_version_is_said() {
    let with = |schema: &str| {
        let schemas = BTreeMap::from([("documents/AddDocument.json".to_owned(), schema.to_owned())]);
        Domain::parse("domain.toml", LIBRARY, &schemas).unwrap()
    };
    let old = with("{\"type\": \"object\", \"required\": []}");
    assert!(Change::between(&old, &with("{ \"required\": [], \"type\": \"object\" }")).is_empty());
    let changes = Change::between(&old, &with("{\"type\": \"object\"}"));
    assert_eq!(changes.lines, ["~ command documents.AddDocument: schema changes, its version does not"]);
}

#[test]
fn a_rename_and_an_older_file_are_forbidden_with_what_would_be_right() {
    let renamed = change(&[("name = \"library\"", "name = \"archive\"")]);
    assert_eq!(
        renamed.forbidden(),
        ["the domain is called library: keep the name, or begin the domain archive in another folder"]
    );
    let with_version = |version: u32| {
        parse(&LIBRARY.replace("name = \"library\"", &format!("name = \"library\"\nversion = {version}")))
    };
    for (old, new, is_forbidden) in [(2, 1, true), (7, 2, true), (2, 2, false), (1, 2, false)] {
        let forbidden = Change::between(&with_version(old), &with_version(new)).forbidden();
        assert_eq!(!forbidden.is_empty(), is_forbidden, "{old} to {new}: {forbidden:?}");
        assert!(forbidden.iter().all(|why| why.contains(&format!("a version above {old}"))), "{forbidden:?}");
    }
}

#[test]
fn who_could_not_change_the_definition_any_more_is_named() {
    assert!(change(&[("64 KiB", "128 KiB")]).warnings().is_empty());
    let text = format!("{LIBRARY}\n[operator]\nrights = []\n");
    let unseated = Change::between(&parse(LIBRARY), &parse(&text));
    assert_eq!(unseated.warnings(), ["operator could not change the definition any more"]);
    assert!(unseated.forbidden().is_empty());
}

#[test]
fn whom_a_service_may_name_is_told_when_it_changes() {
    let wider = change(&[("[service.desk]", "[service.desk]\nowners = [\"ada\", \"bob\"]")]);
    assert_eq!(wider.lines, ["~ service desk: may name ada, bob instead of anybody as owner"]);
}
