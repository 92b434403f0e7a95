//! What is known of single keywords: of which values they speak, which formats are checked, and what only speaks to readers.

/// The formats that are checked.
pub(super) const FORMATS: [&str; 17] = [
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "time",
    "uri",
    "uri-reference",
    "uri-template",
    "uuid",
];

/// Formats of others for numbers.
pub(super) const NUMBER_FORMATS: [&str; 12] = [
    "int8", "int16", "int32", "int64", "uint", "uint8", "uint16", "uint32", "uint64", "float", "double",
    "number",
];

/// Keywords that speak of values of some types only.
pub(super) const SPEAK_OF: [(&str, &[&str]); 26] = [
    ("minLength", TEXT),
    ("maxLength", TEXT),
    ("pattern", TEXT),
    ("format", TEXT),
    ("minimum", NUMBERS),
    ("maximum", NUMBERS),
    ("exclusiveMinimum", NUMBERS),
    ("exclusiveMaximum", NUMBERS),
    ("multipleOf", NUMBERS),
    ("items", LIST),
    ("prefixItems", LIST),
    ("unevaluatedItems", LIST),
    ("contains", LIST),
    ("minContains", LIST),
    ("maxContains", LIST),
    ("minItems", LIST),
    ("maxItems", LIST),
    ("uniqueItems", LIST),
    ("properties", OBJECT),
    ("patternProperties", OBJECT),
    ("propertyNames", OBJECT),
    ("required", OBJECT),
    ("dependentRequired", OBJECT),
    ("dependentSchemas", OBJECT),
    ("minProperties", OBJECT),
    ("maxProperties", OBJECT),
];
pub(super) const TEXT: &[&str] = &["string"];
pub(super) const NUMBERS: &[&str] = &["number", "integer"];
pub(super) const LIST: &[&str] = &["array"];
pub(super) const OBJECT: &[&str] = &["object"];

/// Keywords that say something to readers and nothing to the door, why, and what does.
pub(super) const NOTED: [(&str, &str, &str); 6] = [
    ("default", "is not filled in: a field that is left out stays out", "say it in description"),
    ("readOnly", "is not enforced", "domain.toml says who may send what"),
    ("writeOnly", "is not enforced", "domain.toml says who may read what"),
    (
        "contentEncoding",
        "is not checked",
        "bytes are {\"$ref\": \"comms:bytes\"}; text has pattern and format",
    ),
    (
        "contentMediaType",
        "is not checked",
        "bytes are {\"$ref\": \"comms:bytes\"}; text has pattern and format",
    ),
    ("contentSchema", "is not checked", "write what is in the text as fields of the body"),
];

/// Keywords without which others are never looked at.
pub(super) const LEAN_ON: [(&str, &str); 4] =
    [("then", "if"), ("else", "if"), ("minContains", "contains"), ("maxContains", "contains")];

/// What only speaks to readers, and so may stand beside anything.
const ANNOTATIONS: [&str; 8] =
    ["title", "description", "$comment", "default", "deprecated", "readOnly", "writeOnly", "examples"];

/// Whether a keyword only speaks to readers: an annotation, or one of the author's own.
pub(super) fn is_annotation(keyword: &str) -> bool {
    ANNOTATIONS.contains(&keyword) || keyword.starts_with("x-")
}

/// Limits in pairs, the lower first.
pub(super) const PAIRS: [(&str, &str); 4] = [
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
    ("minContains", "maxContains"),
];
