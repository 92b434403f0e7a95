//! JSON Schemas of bodies: what a message of a type must contain.
//!
//! A schema file is JSON Schema 2020-12 with two references of our own: `comms:bytes` (bytes, or a link once they
//! are offloaded) and `comms:link`. Bodies are closed unless the schema says otherwise, nothing is fetched
//! from elsewhere, and patterns match in linear time, because bodies come from anybody who may send.
//!
//! Bodies are seen in their DAG-JSON shape: bytes are `{"/": {"bytes": "…"}}`, links `{"/": "…"}`.

mod dag;
mod field;
mod place;
mod prepare;
mod shape;
mod tree;

use std::fmt;
use std::sync::Arc;

use jsonschema::{Draft, PatternOptions, Validator};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

pub use field::FieldProblem;

use crate::limits::{BYTE_FIELDS_MAX, ECHO_CHARS_MAX, SCHEMA_BYTES_MAX};
use crate::nearest;
use place::Places;
use shape::Shapes;

/// The compiled schema of one type. Cheap to clone; equal if the files say the same.
#[derive(Clone)]
pub struct Schema(Arc<Compiled>);

struct Compiled {
    source: Value,
    validator: Validator,
    shapes: Shapes,
}

/// Something wrong in a schema file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Byte in the file.
    pub(crate) offset: usize,
    pub(crate) what: String,
    pub(crate) mend: String,
}

impl Schema {
    /// Compiles the text of a schema file, or answers everything that is wrong with it.
    pub(crate) fn compile(text: &str) -> Result<Self, Vec<Fault>> {
        let source = read(text).map_err(|fault| vec![fault])?;
        let places = Places::of(text);
        let mut faults: Vec<Fault> = places
            .repeated()
            .iter()
            .map(|(key, offset)| Fault {
                offset: *offset,
                what: format!("the key {} appears twice in one object", echo(key)),
                mend: "keep one of them; which one counts differs between readers".to_owned(),
            })
            .collect();
        faults.extend(against_meta_schema(&source, &places));
        let prepared = prepare::prepare(&source).map_err(|found| {
            let found = found.into_iter().map(|found| Fault {
                offset: places.offset(&found.pointer),
                what: found.what,
                mend: found.mend,
            });
            faults.iter().cloned().chain(found).collect::<Vec<_>>()
        })?;
        if !faults.is_empty() {
            return Err(faults);
        }
        let validator = build(&prepared).map_err(|error| {
            vec![Fault {
                offset: places.offset(error.instance_path().as_str()),
                what: format!("not a JSON Schema: {}", echo(&error.to_string())),
                mend: "see https://json-schema.org/draft/2020-12".to_owned(),
            }]
        })?;
        let shapes = Shapes::of(&prepared).ok_or_else(|| {
            vec![Fault {
                offset: 0,
                what: "combines its parts in too many ways".to_owned(),
                mend: "use fewer nested allOf, anyOf and oneOf".to_owned(),
            }]
        })?;
        Ok(Self(Arc::new(Compiled { source: sorted(&source), validator, shapes })))
    }

    /// Whether a body, in its DAG-JSON shape, is what the schema says.
    ///
    /// # Errors
    /// What does not fit, field by field, at most [`crate::limits::FIELD_PROBLEMS_MAX`] and never empty.
    pub fn validate(&self, body: &Value) -> Result<(), Vec<FieldProblem>> {
        if !self.0.shapes.can_check(body) {
            let problem = "too deep to be checked against this schema".to_owned();
            return Err(vec![FieldProblem { path: String::new(), problem }]);
        }
        if self.0.validator.is_valid(body) {
            return Ok(());
        }
        Err(field::problems(&self.0.validator, &self.0.shapes, body))
    }

    /// The body with its numbers as the schema wants them: `1.0` becomes `1` where an integer is expected and `1`
    /// becomes `1.0` where any number is. Only exact conversions are made, and what fits no place stays.
    pub fn normalise(&self, body: Value) -> Value {
        self.0.shapes.normalise(body)
    }

    /// Paths of the fields that are bytes or a link to them (`/file`, `/pages/*/scan`), at most
    /// [`BYTE_FIELDS_MAX`].
    pub fn byte_fields(&self) -> Vec<String> {
        self.0.shapes.byte_fields(BYTE_FIELDS_MAX)
    }

    /// The schema as its file says it, with sorted keys.
    pub fn source(&self) -> &Value {
        &self.0.source
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.source == other.0.source
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({})", self.0.source)
    }
}

impl Serialize for Schema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.source.serialize(serializer)
    }
}

fn read(text: &str) -> Result<Value, Fault> {
    let fault = |offset, what, mend: &str| Fault { offset, what, mend: mend.to_owned() };
    if text.len() > SCHEMA_BYTES_MAX {
        return Err(fault(0, format!("larger than {SCHEMA_BYTES_MAX} bytes"), "say less in one schema"));
    }
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let offset = place::offset_of(text, error.line(), error.column());
        fault(offset, format!("not JSON: {}", plain(&error)), "a schema file is one JSON object")
    })?;
    if !value.is_object() {
        return Err(fault(0, "not a JSON object".to_owned(), "a schema file is one JSON object"));
    }
    Ok(value)
}

/// serde_json's message without the place, which is reported as a line and column of its own.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

/// The types of JSON Schema.
const TYPES: [&str; 7] = ["string", "integer", "number", "boolean", "object", "array", "null"];

fn against_meta_schema(source: &Value, places: &Places) -> Vec<Fault> {
    jsonschema::draft202012::meta::validator()
        .iter_errors(source)
        .take(crate::limits::FIELD_PROBLEMS_MAX)
        .map(|error| {
            let path = error.instance_path().as_str();
            let offset = places.offset(path);
            if path.ends_with("/type")
                && let Some(text) = error.instance().as_str()
            {
                let mend = match nearest::word(text, TYPES) {
                    Some(meant) => format!("did you mean {meant}?"),
                    None => format!("known types: {}", TYPES.join(", ")),
                };
                return Fault { offset, what: format!("unknown type {}", echo(text)), mend };
            }
            let what = format!("not a JSON Schema: {} {}", echo(path), field::in_words(&error));
            Fault { offset, what, mend: "see https://json-schema.org/draft/2020-12".to_owned() }
        })
        .collect()
}

fn build(prepared: &Value) -> Result<Validator, jsonschema::ValidationError<'static>> {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .offline()
        .with_pattern_options(PatternOptions::regex())
        .with_keyword(dag::BYTES, |_, _, _| Ok(Box::new(dag::BytesOrLink)))
        .with_keyword(dag::LINK, |_, _, _| Ok(Box::new(dag::Link)))
        .build(prepared)
}

/// The same value with the keys of every object in order, whatever map serde_json was built with.
pub(crate) fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut keys: Vec<&String> = members.keys().collect();
            keys.sort();
            Value::Object(
                keys.into_iter().map(|key| (key.clone(), sorted(&members[key]))).collect::<Map<_, _>>(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// Somebody else's text, cut to a length that fits one line of a terminal, without control characters.
pub(crate) fn echo(text: &str) -> String {
    let mut shown: String =
        text.chars().take(ECHO_CHARS_MAX).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(ECHO_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}
