//! A definition with twelve planted mistakes: all are reported at once, each in its line and with its mend.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use comms_domain::Domain;

fn planted() -> comms_domain::Problems {
    let schemas = BTreeMap::from([
        (
            "documents/AddDocument.json".to_owned(),
            include_str!("planted/schemas/documents/AddDocument.json").to_owned(),
        ),
        (
            "documents/DocumentAded.json".to_owned(),
            include_str!("planted/schemas/documents/DocumentAded.json").to_owned(),
        ),
    ]);
    Domain::parse("domain.toml", include_str!("planted/domain.toml"), &schemas).unwrap_err()
}

#[test]
fn every_planted_mistake_is_reported_once_in_its_line() {
    let problems = planted();
    let found: Vec<(&str, usize, &str, &str)> =
        problems.iter().map(|p| (p.file.as_str(), p.line, p.what.as_str(), p.mend.as_str())).collect();
    let toml = "domain.toml";
    let expected = [
        (toml, 2, "not a name of a domain: Library", "a lower-case letter, then at most 62 of a-z 0-9 _ -"),
        (toml, 3, "unknown key verison in domain.toml", "did you mean version?"),
        (toml, 6, "not a size: 64 kilo", "write a whole number and B, KB, KiB, MB or MiB: \"64 KiB\""),
        (toml, 9, "unknown delivery durible", "did you mean \"durable\"?"),
        (
            toml,
            11,
            "documents.RemoveDocument is durable and no service handles it",
            "add it to handles of one service, or say delivery = \"direct\"",
        ),
        (toml, 15, "deadline is a whole number", "a time such as \"2 s\" is expected"),
        (
            toml,
            20,
            "documents.AddDocument is both a command and an event",
            "one name is one thing: call one of them differently",
        ),
        (toml, 23, "there is no command documents.AddDocumnt", "did you mean documents.AddDocument?"),
        (toml, 27, "documents.DocumentAdded is listed twice in emits", "remove one of them"),
        (toml, 33, "unknown right content.raed", "did you mean content.read?"),
        ("schemas/documents/AddDocument.json", 5, "unknown type strng", "did you mean string?"),
        (
            "schemas/documents/DocumentAded.json",
            1,
            "there is no type documents.DocumentAded",
            "did you mean schemas/documents/DocumentAdded.json?",
        ),
    ];
    assert_eq!(found, expected, "\n{problems}");
    assert_eq!(problems.len(), 12);
}

#[test]
fn each_problem_is_two_lines_for_people() {
    let text = planted().to_string();
    assert_eq!(text.lines().count(), 24);
    assert!(
        text.contains("domain.toml:3:1  unknown key verison in domain.toml\n    did you mean version?\n"),
        "{text}"
    );
}
