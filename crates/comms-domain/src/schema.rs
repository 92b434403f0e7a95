//! JSON Schemas of bodies: what a message of a type must contain.
//!
//! A schema file is JSON Schema 2020-12 with two references of our own: `comms:bytes` (bytes, or a link once they
//! are offloaded) and `comms:link`. Bodies are closed unless the schema says otherwise, nothing is fetched
//! from elsewhere, and patterns match in linear time, because bodies come from anybody who may send.
//!
//! Bodies are seen in their DAG-JSON shape: bytes are `{"/": {"bytes": "…"}}`, links `{"/": "…"}`.

mod dag;
mod field;
mod impossible;
mod instance;
mod keywords;
mod model;
mod narrowing;
mod outline;
mod place;
mod prepare;
mod recursion;
mod review;
mod shape;
mod tree;

use std::fmt;
use std::sync::{Arc, OnceLock};

use comms_content::Node;
use jsonschema::json::{Json, SerdeJson};
use jsonschema::{Draft, EmailOptions, Keyword, PatternOptions, Retrieve, Validator};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

pub use field::FieldProblem;

use crate::limits::{BYTE_FIELDS_MAX, ECHO_CHARS_MAX, SCHEMA_BYTES_MAX};
use crate::nearest;
use instance::{Dag, Instance};
use outline::Outline;
use place::Places;
use shape::{Shapes, Step};

/// The compiled schema of one type. Cheap to clone; equal if the files say the same.
#[derive(Clone)]
pub struct Schema(Arc<Compiled>);

struct Compiled {
    source: Value,
    prepared: Value,
    validator: Validator<Dag>,
    /// The same for a tree of JSON, in which what does not fit is told. Made when it is first needed.
    teller: OnceLock<Option<Validator>>,
    shapes: Shapes,
    notes: Vec<Fault>,
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
        faults.extend(places.numbers().iter().map(|(number, offset)| Fault {
            offset: *offset,
            what: format!("the number {} is rounded by most readers", echo(number)),
            mend: "whole numbers reach from -9223372036854775808 to 18446744073709551615".to_owned(),
        }));
        faults.extend(against_meta_schema(&source, &places));
        let fault = |found: prepare::Found| Fault {
            offset: places.offset(&found.pointer),
            what: found.what,
            mend: found.mend,
        };
        let prepared = prepare::prepare(&source).map_err(|found| {
            faults.iter().cloned().chain(found.into_iter().map(fault)).collect::<Vec<_>>()
        })?;
        if !faults.is_empty() {
            return Err(faults);
        }
        let shapes = Shapes::of(&prepared.schema).ok_or_else(|| {
            vec![Fault {
                offset: 0,
                what: "combines its parts in too many ways".to_owned(),
                mend: "use fewer nested allOf, anyOf and oneOf".to_owned(),
            }]
        })?;
        let review = review::review(&prepared);
        if !review.faults.is_empty() {
            return Err(review.faults.into_iter().map(fault).collect());
        }
        let impossible = impossible::impossible(&prepared);
        if !impossible.is_empty() {
            return Err(impossible.into_iter().map(|proof| fault(proof.found)).collect());
        }
        let notes = review.notes.into_iter().map(fault).collect();
        let prepared = prepared.schema;
        let validator =
            options::<Dag>().build(&prepared).map_err(|error| vec![not_compiled(&error, &places)])?;
        let source = sorted(&source);
        let compiled = Compiled { source, prepared, validator, teller: OnceLock::new(), shapes, notes };
        Ok(Self(Arc::new(compiled)))
    }

    /// What it says that nothing checks, with its place.
    pub(crate) fn notes(&self) -> &[Fault] {
        &self.0.notes
    }

    /// Whether a body is what the schema says. What comes back is the body with its numbers as the schema wants them,
    /// where they differ: `1.0` becomes `1` where an integer is expected and `1` becomes `1.0` where any number is.
    /// Only exact conversions are made.
    ///
    /// # Errors
    /// What does not fit, field by field, at most [`crate::limits::FIELD_PROBLEMS_MAX`] and never empty.
    pub fn fit(&self, body: &Node) -> Result<Option<Node>, Vec<FieldProblem>> {
        let Compiled { validator, shapes, .. } = &*self.0;
        let outline = Outline::of(body);
        if !shapes.can_check(&outline) {
            return Err(vec![FieldProblem::of_body("too deep to be checked against this schema")]);
        }
        if !validator.is_valid(Instance::root(&outline)) {
            return Err(self.problems(body));
        }
        let corrections = shapes.corrections(&outline);
        Ok((!corrections.is_empty()).then(|| outline.corrected(&corrections)))
    }

    fn problems(&self, body: &Node) -> Vec<FieldProblem> {
        let Compiled { prepared, teller, shapes, .. } = &*self.0;
        match teller.get_or_init(|| options::<SerdeJson>().build(prepared).ok()) {
            Some(teller) => field::problems(teller, shapes, &body.to_value()),
            None => vec![FieldProblem::of_body("does not fit")],
        }
    }

    /// Whether the field at this JSON Pointer (`/pages/0/scan`) is bytes or a link to them.
    pub fn is_byte_field(&self, pointer: &str) -> bool {
        let names: Vec<String> = pointer.split('/').skip(1).map(place::unescape).collect();
        self.0.shapes.is_bytes(names.iter().map(|name| Step::Named(name)))
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
    if text.starts_with('\u{feff}') {
        return Err(fault(0, "begins with a byte order mark".to_owned(), "save it as UTF-8 without one"));
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

/// Why a schema that is one by its form cannot be used.
fn not_compiled(error: &jsonschema::ValidationError<'_>, places: &Places) -> Fault {
    let pointer = error.instance_path().as_str();
    let offset = places.offset(pointer);
    if pointer.ends_with("/pattern") || pointer.contains("/patternProperties") {
        return Fault {
            offset,
            what: format!("not a pattern that can be matched: {}", echo(&error.to_string())),
            mend: "patterns match in linear time: no lookaround, no backreferences, no huge repetition"
                .to_owned(),
        };
    }
    let what = format!("not a JSON Schema: {}", echo(&error.to_string()));
    Fault { offset, what, mend: "see https://json-schema.org/draft/2020-12".to_owned() }
}

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

/// How schemas are read, for a representation of bodies. The same for both, so that they agree.
fn options<F: Json>() -> jsonschema::ValidationOptions<'static, Arc<dyn Retrieve>, F>
where
    dag::BytesOrLink: for<'i> Keyword<'i, F>,
    dag::Link: for<'i> Keyword<'i, F>,
{
    jsonschema::options_for::<F>()
        .with_draft(Draft::Draft202012)
        .offline()
        .with_pattern_options(PatternOptions::regex())
        .should_validate_formats(true)
        .should_ignore_unknown_formats(false)
        // An address, without the name of whose it is: what is before it may be any text.
        .with_email_options(EmailOptions::default().without_display_text())
        .with_keyword(dag::BYTES, |_, _, _| Ok(Box::new(dag::BytesOrLink)))
        .with_keyword(dag::LINK, |_, _, _| Ok(Box::new(dag::Link)))
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

/// Somebody else's text, cut to a length that fits one line of a terminal, its control characters as JSON escapes them.
pub(crate) fn echo(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars().take(ECHO_CHARS_MAX) {
        match c {
            control if control.is_control() => shown.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => shown.push(other),
        }
    }
    if text.chars().nth(ECHO_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests;
