//! A schema in the words of JSON Schema alone, for what is proven about it: without what only speaks to readers, and with
//! our own keywords spelt out as the shape that bytes and links have in a body.

use jsonschema::canonical::{CanonicalizeOptions, options};
use jsonschema::{Draft, PatternOptions};
use serde_json::{Map, Value, json};

use super::dag;
use super::keywords::is_annotation;
use super::prepare::Prepared;

/// Keywords that change nothing about what fits, beside the annotations.
const SILENT: [&str; 7] =
    ["$schema", "$id", "contentEncoding", "contentMediaType", "contentSchema", dag::BYTES, dag::LINK];

/// Schemas with more parts are not looked into: what a proof may cost in time and depth.
const PARTS_MAX: usize = 256;

/// The model of a prepared schema; `None` if it is beyond what is proven.
pub(super) fn of(prepared: &Prepared) -> Option<Value> {
    if prepared.parts.len() > PARTS_MAX || has_spelt_out_mail(&prepared.schema) {
        return None;
    }
    let mut model = prepared.schema.clone();
    for pointer in &prepared.parts {
        let Some(Value::Object(part)) = model.pointer_mut(pointer) else { continue };
        let (bytes, link) = (part.contains_key(dag::BYTES), part.contains_key(dag::LINK));
        part.retain(|keyword, _| !SILENT.contains(&keyword.as_str()) && !is_annotation(keyword));
        if bytes || link {
            part.extend(linked(bytes));
        }
    }
    Some(model)
}

/// Whether a value is named in it that is an address to those who prove, and none to those who check: they take a
/// display name before it (`Ada <ada@example.org>`).
fn has_spelt_out_mail(schema: &Value) -> bool {
    match schema {
        Value::String(text) => text.contains('@') && text.ends_with('>'),
        Value::Array(items) => items.iter().any(has_spelt_out_mail),
        Value::Object(members) => members.values().any(has_spelt_out_mail),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// How models are read: as bodies are checked.
pub(super) fn reading() -> CanonicalizeOptions<'static> {
    options()
        .with_draft(Draft::Draft202012)
        .offline()
        .with_pattern_options(PatternOptions::regex())
        .should_validate_formats(true)
}

/// A link, or bytes too, as DAG-JSON has them: an object of one member.
pub(super) fn linked(bytes: bool) -> Map<String, Value> {
    let text = json!({"type": "string"});
    let inner = if bytes {
        json!({"anyOf": [text, {
            "type": "object",
            "properties": {"bytes": text},
            "required": ["bytes"],
            "maxProperties": 1
        }]})
    } else {
        text
    };
    let shape = json!({"type": "object", "properties": {"/": inner}, "required": ["/"], "maxProperties": 1});
    match shape {
        Value::Object(shape) => shape,
        _ => Map::new(),
    }
}
