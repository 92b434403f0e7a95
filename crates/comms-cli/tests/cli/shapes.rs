//! Every object that `--json` prints fits `schemas/cli.schema.json`.

use std::sync::LazyLock;

use serde_json::{Value, json};

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/cli.schema.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
});

/// Fails unless the object is what the command's definition says, with nothing in it that is not documented.
pub(crate) fn assert_fits(command: &str, object: &Value) {
    let mut schema = SCHEMA.clone();
    assert!(schema["$defs"][command].is_object(), "no definition for {command}");
    schema["$ref"] = json!(format!("#/$defs/{command}"));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let problems: Vec<String> = validator.iter_errors(object).map(|error| error.to_string()).collect();
    assert!(problems.is_empty(), "{command}: {object}\n{problems:#?}");
}

#[test]
fn every_command_has_a_definition() {
    for command in [
        "bench",
        "up",
        "new",
        "demo",
        "send",
        "ask",
        "publish",
        "watch",
        "put",
        "get",
        "domain-check",
        "domain-plan",
        "domain-apply",
        "domain-explain",
        "domain-show",
        "domain-accounts",
        "version",
        "error",
    ] {
        assert!(SCHEMA["$defs"][command].is_object(), "{command}");
    }
}
