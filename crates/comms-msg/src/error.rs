//! Why something is not a message, a name or a subject. Each error says what was wrong, where, and what
//! would be right; what to do about it (refuse, log, answer) is decided at the edge.

use crate::limits::QUOTE_BYTES_MAX;

/// The result of everything in this crate that can be refused.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an input was refused.
///
/// `at` is a JSON pointer into the message (`/metadata/owner`), or empty where the input was one text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes do not have the form: cut off, not canonical, a wrong kind of value.
    #[error("{}{problem}; expected {expected}", place(at))]
    Malformed {
        /// Where.
        at: String,
        /// What was found.
        problem: String,
        /// What would be right.
        expected: String,
    },
    /// A key that this place does not have.
    #[error("{}unknown; expected {expected}", place(at))]
    UnknownKey {
        /// Where, the key included.
        at: String,
        /// The keys that may stand here.
        expected: String,
    },
    /// A key that must be there and is not.
    #[error("{}missing; expected {expected}", place(at))]
    Missing {
        /// Where, the key included.
        at: String,
        /// What belongs there.
        expected: String,
    },
    /// A value of the right kind that breaks the rule of its place: a name, an id, a time, a subject.
    #[error("{}{given} refused; expected {expected}", place(at))]
    Invalid {
        /// Where.
        at: String,
        /// The value, shortened and quoted.
        given: String,
        /// The rule.
        expected: String,
    },
    /// Two places that must agree do not: the subject and the message, the sender and the connection.
    #[error("{}{given} does not agree; expected {expected}", place(at))]
    Mismatch {
        /// Where.
        at: String,
        /// What the message says.
        given: String,
        /// What it must say here.
        expected: String,
    },
    /// More than a limit allows.
    #[error("{}too large: {size}; at most {max} {unit}", place(at))]
    TooLarge {
        /// Where.
        at: String,
        /// How much was given.
        size: u64,
        /// The limit.
        max: u64,
        /// Of what.
        unit: &'static str,
    },
}

impl Error {
    /// One word for the kind, the same in every version: for tests, logs and other languages.
    pub fn reason(&self) -> &'static str {
        match self {
            Error::Malformed { .. } => "malformed",
            Error::UnknownKey { .. } => "unknown_key",
            Error::Missing { .. } => "missing",
            Error::Invalid { .. } => "invalid",
            Error::Mismatch { .. } => "mismatch",
            Error::TooLarge { .. } => "too_large",
        }
    }

    /// Where it was wrong: a JSON pointer into the message, or empty.
    pub fn at(&self) -> &str {
        match self {
            Error::Malformed { at, .. }
            | Error::UnknownKey { at, .. }
            | Error::Missing { at, .. }
            | Error::Invalid { at, .. }
            | Error::Mismatch { at, .. }
            | Error::TooLarge { at, .. } => at,
        }
    }

    /// What was wrong and what would be right, without the place.
    pub fn problem(&self) -> String {
        self.clone().moved(String::new()).to_string()
    }

    /// The same error one level further out: `/owner` within `/metadata` is at `/metadata/owner`.
    #[must_use]
    pub fn within(self, outer: &str) -> Error {
        let inner = format!("{outer}{}", self.at());
        self.moved(inner)
    }

    fn moved(mut self, to: String) -> Error {
        match &mut self {
            Error::Malformed { at, .. }
            | Error::UnknownKey { at, .. }
            | Error::Missing { at, .. }
            | Error::Invalid { at, .. }
            | Error::Mismatch { at, .. }
            | Error::TooLarge { at, .. } => *at = to,
        }
        self
    }

    pub(crate) fn malformed(problem: impl Into<String>, expected: impl Into<String>) -> Error {
        Error::Malformed { at: String::new(), problem: problem.into(), expected: expected.into() }
    }

    pub(crate) fn invalid(given: &str, expected: impl Into<String>) -> Error {
        Error::Invalid { at: String::new(), given: quote(given), expected: expected.into() }
    }

    pub(crate) fn mismatch(at: &str, given: impl ToString, expected: impl ToString) -> Error {
        Error::Mismatch { at: at.to_owned(), given: given.to_string(), expected: expected.to_string() }
    }

    pub(crate) fn missing(at: &str, expected: impl Into<String>) -> Error {
        Error::Missing { at: at.to_owned(), expected: expected.into() }
    }

    pub(crate) fn too_large(size: usize, max: usize, unit: &'static str) -> Error {
        Error::TooLarge { at: String::new(), size: size as u64, max: max as u64, unit }
    }
}

/// What the crate below says about bytes, as an error of this one.
#[cold]
pub(crate) fn content_error(error: comms_content::Error) -> Error {
    use comms_content::Error as Content;
    use comms_content::cbor::Problem;
    use comms_content::json;
    match error {
        // Where a value is of the wrong kind, the place says more than an offset, which JSON does not even have.
        Content::Cbor { problem: Problem::Unexpected { wanted, found }, .. } => {
            Error::malformed(found.to_string(), wanted.to_string())
        }
        Content::Cbor { problem: Problem::KeyReserved, .. }
        | Content::Json { problem: json::Problem::KeyReserved, .. } => {
            Error::malformed(error.to_string(), "{\"/\": CID} or {\"/\": {\"bytes\": base64}} alone")
        }
        Content::Cbor { .. } => Error::malformed(error.to_string(), "canonical DAG-CBOR"),
        Content::Json { .. } => Error::malformed(error.to_string(), "DAG-JSON"),
        Content::Model { reason } => Error::malformed(reason, "the fields that belong here"),
        Content::TooLarge { amount, max, .. } => {
            Error::TooLarge { at: String::new(), size: amount, max, unit: "bytes" }
        }
        Content::Cid { .. }
        | Content::Mismatch { .. }
        | Content::Hash { .. }
        | Content::File { .. }
        | Content::Unwanted { .. }
        | Content::Car { .. } => Error::malformed(error.to_string(), "sound content"),
    }
}

/// The same result, its error said of this place.
pub(crate) fn at<T>(place: &str, result: Result<T>) -> Result<T> {
    result.map_err(|error| error.within(place))
}

/// A foreign key as one step of a JSON pointer, shortened.
#[cold]
pub(crate) fn pointer(key: &str) -> String {
    let mut step = String::from("/");
    for character in key.chars() {
        if step.len() > QUOTE_BYTES_MAX {
            step.push('…');
            break;
        }
        match character {
            '~' => step.push_str("~0"),
            '/' => step.push_str("~1"),
            control if control.is_control() => step.extend(control.escape_default()),
            other => step.push(other),
        }
    }
    step
}

/// Shows a foreign text: quoted, control characters escaped, cut to a length.
pub(crate) fn quote(text: &str) -> String {
    if text.len() <= QUOTE_BYTES_MAX {
        return format!("{text:?}");
    }
    let mut end = QUOTE_BYTES_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{:?}…", &text[..end])
}

fn place(at: &str) -> String {
    if at.is_empty() { String::new() } else { format!("{at}: ") }
}
