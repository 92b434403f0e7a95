//! How JSON Schema nests: which keywords hold schemas, and whether these speak of the same value or of a part.

use std::collections::BTreeMap;

use serde_json::Value;

use super::place::escape;

/// How a keyword holds schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// One.
    One,
    /// An array of them.
    List,
    /// An object of them.
    Map,
}

/// Of what the schemas below a keyword speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    /// Of the same value.
    Same,
    /// Of a part of it, or of nothing until referred to.
    Part,
}

/// Every keyword that holds schemas.
pub(super) const HOLDERS: [(&str, Holds, Speaks); 20] = [
    ("allOf", Holds::List, Speaks::Same),
    ("anyOf", Holds::List, Speaks::Same),
    ("oneOf", Holds::List, Speaks::Same),
    ("not", Holds::One, Speaks::Same),
    ("if", Holds::One, Speaks::Same),
    ("then", Holds::One, Speaks::Same),
    ("else", Holds::One, Speaks::Same),
    ("dependentSchemas", Holds::Map, Speaks::Same),
    ("properties", Holds::Map, Speaks::Part),
    ("patternProperties", Holds::Map, Speaks::Part),
    ("additionalProperties", Holds::One, Speaks::Part),
    ("unevaluatedProperties", Holds::One, Speaks::Part),
    ("propertyNames", Holds::One, Speaks::Part),
    ("items", Holds::One, Speaks::Part),
    ("prefixItems", Holds::List, Speaks::Part),
    ("contains", Holds::One, Speaks::Part),
    ("unevaluatedItems", Holds::One, Speaks::Part),
    ("contentSchema", Holds::One, Speaks::Part),
    ("$defs", Holds::Map, Speaks::Part),
    ("definitions", Holds::Map, Speaks::Part),
];

/// The other keywords of JSON Schema 2020-12.
pub(super) const PLAIN: [&str; 37] = [
    "$schema",
    "$id",
    "$ref",
    "$anchor",
    "$comment",
    "$dynamicRef",
    "$dynamicAnchor",
    "type",
    "enum",
    "const",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxContains",
    "minContains",
    "maxProperties",
    "minProperties",
    "required",
    "dependentRequired",
    "format",
    "contentEncoding",
    "contentMediaType",
    "title",
    "description",
    "default",
    "deprecated",
    "readOnly",
    "writeOnly",
    "examples",
];

/// Pointers of the schemas a keyword holds. What is no schema is left out: the meta-schema has reported it.
pub(super) fn held(pointer: &str, schema: &Value, keyword: &str, holds: Holds) -> Vec<String> {
    let Some(value) = schema.get(keyword) else { return Vec::new() };
    let base = format!("{pointer}/{}", escape(keyword));
    let is_schema = |value: &Value| value.is_object() || value.is_boolean();
    match (holds, value) {
        (Holds::One, value) if is_schema(value) => vec![base],
        (Holds::List, Value::Array(items)) => items
            .iter()
            .enumerate()
            .filter(|(_, item)| is_schema(item))
            .map(|(i, _)| format!("{base}/{i}"))
            .collect(),
        (Holds::Map, Value::Object(members)) => members
            .iter()
            .filter(|(_, member)| is_schema(member))
            .map(|(key, _)| format!("{base}/{}", escape(key)))
            .collect(),
        _ => Vec::new(),
    }
}

/// Where `$ref` of a schema points inside its file: a JSON Pointer, or `None` if it points elsewhere or nowhere.
pub(super) fn target(reference: &str, anchors: &BTreeMap<String, String>) -> Option<String> {
    let fragment = reference.strip_prefix('#')?;
    if fragment.is_empty() || fragment.starts_with('/') {
        return decode(fragment);
    }
    anchors.get(fragment).cloned()
}

/// Undoes the percent-encoding of a URI fragment.
fn decode(fragment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).ok()
}
