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
            "  mail hears documents.DocumentAdded from the beginning of the log",
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

/// The words of what narrows from one schema of a query to another, under the same version.
fn narrowed(before: &str, after: &str) -> Vec<String> {
    let parse = |schema: &str| {
        let schemas = BTreeMap::from([("c/T.json".to_owned(), schema.to_owned())]);
        Domain::parse("domain.toml", "name = 'a'\n[query.'c.T']", &schemas).unwrap_or_else(|p| panic!("{p}"))
    };
    Change::between(&parse(before), &parse(after)).narrowed.into_iter().flat_map(|(_, told)| told).collect()
}

#[test]
fn a_schema_that_narrows_under_the_same_version_is_a_warning() {
    let base = r#"{"properties":{"a":{"type":"integer"},"b":{"enum":["x","y"]}}}"#;
    for (after, told) in [
        (
            r#"{"properties":{"a":{"type":"integer"},"b":{"enum":["x","y"]}},"required":["a"]}"#,
            "/a became required",
        ),
        (r#"{"properties":{"b":{"enum":["x","y"]}}}"#, "/a is not known any more"),
        (
            r#"{"properties":{"a":{"type":"string"},"b":{"enum":["x","y"]}}}"#,
            r#"type of /a is "string" instead of "integer""#,
        ),
        (
            r#"{"properties":{"a":{"type":"integer"},"b":{"enum":["x"]}}}"#,
            r#"enum of /b is ["x"] instead of ["x","y"]"#,
        ),
        (
            r#"{"properties":{"a":{"type":"integer","maximum":9},"b":{"enum":["x","y"]}}}"#,
            "/a gets maximum 9",
        ),
    ] {
        assert_eq!(narrowed(base, after), [told], "{after}");
    }
    for after in [
        r#"{"properties":{"a":{"type":"integer"},"b":{"enum":["x","y"]}},"description":"said better"}"#,
        r#"{"properties":{"a":{"type":"integer"},"b":{"enum":["y","x","z"]}}}"#,
        r#"{"properties":{"a":{"type":"number"},"b":{"enum":["x","y"]},"c":{}}}"#,
        r#"{"properties":{"a":{"type":["integer","null"]},"b":{"type":"string"}}}"#,
        r#"{"type":"object"}"#,
    ] {
        assert_eq!(narrowed(base, after), [""; 0], "{after}");
    }
    let required = r#"{"properties":{"a":{"$ref":"comms:bytes"}},"required":["a"]}"#;
    assert_eq!(narrowed(required, r#"{"properties":{"a":{"$ref":"comms:bytes"}}}"#), [""; 0]);
    // With another version it is another schema.
    let domain = |version: u32, schema: &str| {
        let text = format!("name = 'a'\n[query.'c.T']\nversion = {version}");
        let schemas = BTreeMap::from([("c/T.json".to_owned(), schema.to_owned())]);
        Domain::parse("domain.toml", &text, &schemas).unwrap()
    };
    let (wide, narrow) = (base, r#"{"properties":{}}"#);
    assert!(Change::between(&domain(1, wide), &domain(2, narrow)).warnings().is_empty());
    let warnings = Change::between(&domain(1, wide), &domain(1, narrow)).warnings();
    assert!(
        warnings[0].starts_with("the schema of c.T narrows") && warnings[0].contains("raise its version")
    );
}

#[test]
fn a_listener_that_goes_is_a_warning() {
    let without = change(&[("observes = [\"documents.DocumentAdded\"]", "")]);
    let forgotten = "the place of indexer in the log is forgotten: put back, it hears the whole history of \
                     documents.DocumentAdded again";
    assert_eq!(without.warnings(), [forgotten]);
    let two = |observes: &str| {
        let text = format!(
            "name = 'a'\n[event.'c.A']\nentity = 'a'\n[event.'c.B']\nentity = 'a'\n[service.ear]\nobserves = [{observes}]\n\
             [service.mouth]\nemits = ['c.A', 'c.B']"
        );
        parse(&text)
    };
    let fewer = Change::between(&two("'c.A', 'c.B'"), &two("'c.A'"));
    assert!(fewer.warnings()[0].starts_with("ear does not hear c.B any more"), "{:?}", fewer.warnings());
    let more = Change::between(&two("'c.A'"), &two("'c.A', 'c.B'"));
    assert!(more.warnings().is_empty());
    assert!(more.lines.contains(&"  ear hears c.B from its place in the log on".to_owned()), "{more}");
}
