//! What does not fit, in plain words: a path into the body and what is wrong there.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::LocationSegment;
use jsonschema::{ValidationError, Validator};
use serde::Serialize;
use serde_json::Value;

use super::echo;
use super::place::escape;
use super::shape::{Shapes, Step};
use crate::limits::FIELD_PROBLEMS_MAX;
use crate::nearest;

/// One thing of a body that does not fit its schema.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FieldProblem {
    /// JSON Pointer into the body; empty for the body itself.
    pub path: String,
    /// What is wrong there.
    pub problem: String,
}

impl FieldProblem {
    /// A problem of the body as a whole.
    pub(crate) fn of_body(problem: impl Into<String>) -> Self {
        Self { path: String::new(), problem: problem.into() }
    }
}

/// Listed values of an `enum` that are repeated in a problem.
const OPTIONS_SHOWN_MAX: usize = 8;

/// Everything that does not fit: what is missing first, then what is unknown, then the rest, each in the order
/// of the schema.
pub(super) fn problems(validator: &Validator, shapes: &Shapes, body: &Value) -> Vec<FieldProblem> {
    let mut missing = Vec::new();
    let mut unknown = Vec::new();
    let mut rest = Vec::new();
    let mut count = 0;
    for error in validator.iter_errors(body) {
        let base = error.instance_path().as_str();
        let below = |name: &str| format!("{base}/{}", escape(&echo(name)));
        match error.kind() {
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                missing.push(FieldProblem { path: below(name), problem: "missing".to_owned() });
                count += 1;
            }
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                for name in unexpected.iter().take(FIELD_PROBLEMS_MAX + 1) {
                    let problem = match meant(shapes, &error, name) {
                        Some(meant) => format!("unknown; did you mean {meant}?"),
                        None => "unknown".to_owned(),
                    };
                    unknown.push(FieldProblem { path: below(name), problem });
                    count += 1;
                }
            }
            _ => {
                rest.push(FieldProblem { path: base.to_owned(), problem: in_words(&error) });
                count += 1;
            }
        }
        if count > FIELD_PROBLEMS_MAX {
            break;
        }
    }
    let mut all = missing;
    all.append(&mut unknown);
    all.append(&mut rest);
    all.dedup();
    if all.len() > FIELD_PROBLEMS_MAX {
        all.truncate(FIELD_PROBLEMS_MAX - 1);
        all.push(FieldProblem { path: String::new(), problem: "more does not fit".to_owned() });
    }
    if all.is_empty() {
        all.push(FieldProblem { path: String::new(), problem: "does not fit".to_owned() });
    }
    all
}

/// The name that is known at this place, not used yet, and near to an unknown one.
fn meant(shapes: &Shapes, error: &ValidationError<'_>, name: &str) -> Option<String> {
    let steps: Vec<LocationSegment<'_>> = error.instance_path().iter().collect();
    let steps = steps.iter().map(|segment| match segment {
        LocationSegment::Property(key) => Step::Member(key),
        LocationSegment::Index(index) => Step::Item(*index),
    });
    let used = error.instance();
    nearest::word(name, shapes.names(steps).filter(|known| used.get(*known).is_none())).map(str::to_owned)
}

/// One problem in words, without the value: it may be large, and it may be nobody else's business.
pub(super) fn in_words(error: &ValidationError<'_>) -> String {
    use ValidationErrorKind as Kind;
    match error.kind() {
        Kind::Type { kind } => {
            format!("is {}, {} is expected", type_of(error.instance()), expected(kind))
        }
        Kind::Required { property } => format!("lacks {}", echo(property.as_str().unwrap_or_default())),
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            format!("has unknown fields: {}", echo(&unexpected.join(", ")))
        }
        Kind::Enum { options } => format!("must be one of {}", listed(options)),
        Kind::Constant { expected_value } => format!("must be {}", echo(&expected_value.to_string())),
        Kind::Minimum { limit } => format!("must be at least {limit}"),
        Kind::Maximum { limit } => format!("must be at most {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        Kind::MinLength { limit } => format!("must have at least {}", counted(*limit, "character")),
        Kind::MaxLength { limit } => format!("must have at most {}", counted(*limit, "character")),
        Kind::MinItems { limit } => format!("must have at least {}", entries(*limit)),
        Kind::MaxItems { limit } => format!("must have at most {}", entries(*limit)),
        Kind::MinProperties { limit } => format!("must have at least {}", counted(*limit, "field")),
        Kind::MaxProperties { limit } => format!("must have at most {}", counted(*limit, "field")),
        Kind::AdditionalItems { limit } => format!("must have at most {limit} entries"),
        Kind::UnevaluatedItems { .. } => "has more entries than allowed".to_owned(),
        Kind::UniqueItems => "has the same entry twice".to_owned(),
        Kind::Contains => "lacks an entry that must be there".to_owned(),
        Kind::Pattern { pattern } => format!("does not match the pattern {}", echo(pattern)),
        Kind::Format { format } => format!("is not a valid {format}"),
        Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } => "fits none of the allowed forms".to_owned(),
        Kind::OneOfMultipleValid { .. } => "fits several of the allowed forms, one is expected".to_owned(),
        Kind::Not { .. } => "has a form that is not allowed".to_owned(),
        Kind::FalseSchema => "is not allowed here".to_owned(),
        Kind::PropertyNames { .. } => "has a field name that is not allowed".to_owned(),
        Kind::ContentEncoding { content_encoding } => format!("is not {}", echo(content_encoding)),
        Kind::ContentMediaType { content_media_type } => format!("is not {}", echo(content_media_type)),
        Kind::FromUtf8 { .. } => "is not text".to_owned(),
        Kind::Custom { message, .. } => message.clone(),
        Kind::BacktrackLimitExceeded { .. } | Kind::RegexEngineFailure { .. } => {
            "is too long to be matched".to_owned()
        }
        Kind::Referencing(_) => "cannot be checked: its schema refers to nothing".to_owned(),
    }
}

fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn entries(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

fn listed(options: &Value) -> String {
    let all: &[Value] = options.as_array().map_or(&[], Vec::as_slice);
    let mut shown: Vec<String> =
        all.iter().take(OPTIONS_SHOWN_MAX).map(|option| echo(&option.to_string())).collect();
    if all.len() > OPTIONS_SHOWN_MAX {
        shown.push("…".to_owned());
    }
    shown.join(", ")
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(members) if members.len() == 1 && members.contains_key("/") => "bytes or a link",
        Value::Object(_) => "an object",
    }
}

fn expected(kind: &TypeKind) -> String {
    let word = |name: &str| match name {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "object" => "an object",
        "array" => "a list",
        "boolean" => "true or false",
        _ => "null",
    };
    match kind {
        TypeKind::Single(one) => word(one.as_str()).to_owned(),
        TypeKind::Multiple(several) => {
            several.iter().map(|one| word(one.as_str())).collect::<Vec<_>>().join(" or ")
        }
    }
}
