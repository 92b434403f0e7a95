//! `schemas/msg.schema.json` is what the code says, and fits every golden message.

use serde_json::Value;

use crate::{golden, vectors};

const FILE: &str = "msg.schema.json";

#[test]
fn the_file_is_what_the_code_says() {
    vectors::compare_or_write(FILE, &comms_msg::schema::msg());
}

#[test]
fn every_golden_message_fits() {
    let schema = jsonschema::validator_for(&comms_msg::schema::msg()).unwrap();
    for golden in golden::messages() {
        let json: Value = serde_json::from_str(&golden.msg.to_json().unwrap()).unwrap();
        let problems: Vec<_> = schema.iter_errors(&json).map(|error| error.to_string()).collect();
        assert!(problems.is_empty(), "{}: {problems:?}", golden.name);
    }
}

#[test]
fn what_the_decoder_refuses_for_its_shape_the_schema_refuses_too() {
    let schema = jsonschema::validator_for(&comms_msg::schema::msg()).unwrap();
    for refused in vectors::refused() {
        let Some(json) = refused.json() else { continue };
        let Ok(json) = serde_json::from_str::<Value>(json) else { continue };
        assert_eq!(schema.is_valid(&json), refused.is_beyond_schema, "{}", refused.name);
    }
}
