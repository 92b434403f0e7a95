//! The published JSON Schema of `domain.toml`: generated, complete, and of one mind with the reader.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;

use comms_domain::Domain;
use comms_domain::file_schema::domain_schema;
use serde_json::Value;

const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/domain.schema.json");

/// `UPDATE_SCHEMAS=1` rewrites the file instead of comparing.
#[test]
fn the_published_schema_is_the_generated_one() {
    let mut generated = serde_json::to_string_pretty(&domain_schema()).unwrap();
    generated.push('\n');
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        fs::write(PUBLISHED, &generated).unwrap();
    }
    let published = fs::read_to_string(PUBLISHED).unwrap_or_default();
    assert!(
        published == generated,
        "schemas/domain.schema.json is out of date: run the test with UPDATE_SCHEMAS=1"
    );
}

/// Texts that both accept, and texts that both refuse for what a schema can see.
#[test]
fn schema_and_reader_agree() {
    let validator = jsonschema::validator_for(&domain_schema()).unwrap();
    let agreed = [
        (true, "name = 'a'"),
        (true, "name = 'a'\nversion = 7\n[content]\nthreshold = '64 KiB'\ncopies = 2"),
        (true, "name = 'a'\n[content]\nthreshold = 65536"),
        (true, "name = 'a'\n[command.'c.T']\ndelivery = 'direct'\ndeadline = '3 s'\nversion = 2"),
        (
            true,
            "name = 'a'\n[query.'c.T']\ndeadline = '3ms'\nversion = 2\n[event.'c.E']\nentity = 'x'\nversion = 2",
        ),
        (
            true,
            "name = 'a'\n[query.'c.T']\n[service.s]\nanswers = ['c.T']\nrights = ['content.read']\n[dev]\nasks = ['*']",
        ),
        (true, "name = 'a'\n[operator]\nrights = ['domain.apply', 'domain.read']"),
        (true, "name = 'a'\n[service.s]\nowners = ['ada', 'bob smith']"),
        (false, "name = 'a'\n[service.s]\nowners = []"),
        (false, "name = 'a'\n[service.s]\nowners = ['']"),
        (false, "name = 'a'\n[service.s]\nowners = ['ada', 'ada']"),
        (false, ""),
        (false, "name = 'A'"),
        (false, "name = 'a'\nnmae = 'b'"),
        (false, "name = 'a'\nversion = 0"),
        (false, "name = 'a'\n[content]\nthreshold = '64'"),
        (false, "name = 'a'\n[content]\ncopies = 17"),
        (true, "name = 'a'\n[limits]\nuploads = 32\nrequest_bytes = '64 MiB'"),
        (false, "name = 'a'\n[limits]\nuploads = 1"),
        (false, "name = 'a'\n[limits]\nwatchers = 2"),
        (false, "name = 'a'\n[query.'c.t']"),
        (false, "name = 'a'\n[query.'c.T']\nentity = 'x'"),
        (false, "name = 'a'\n[query.'c.T']\ndeadline = '3'"),
        (false, "name = 'a'\n[event.'c.T']\nentity = 'X'"),
        (false, "name = 'a'\n[command.'c.T']\ndelivery = 'maybe'"),
        (false, "name = 'a'\n[service.dev]"),
        (false, "name = 'a'\n[service.s]\nhandles = ['c.T', 'c.T']"),
        (false, "name = 'a'\n[service.s]\nrights = ['all']"),
        (false, "name = 'a'\n[service.s]\nhandels = []"),
    ];
    for (accepted, text) in agreed {
        let value: Value = toml::from_str(text).unwrap();
        assert_eq!(validator.is_valid(&value), accepted, "the schema about {text:?}");
        let parsed = Domain::parse("domain.toml", text, &BTreeMap::new());
        assert_eq!(parsed.is_ok(), accepted, "the reader about {text:?}: {parsed:?}");
    }
}
