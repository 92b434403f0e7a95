//! How a door, a service or the gateway says no.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::PROBLEMS_MAX;
use crate::{Error, Position};

/// What every door answers: `{"ok": …}` or `{"error": …}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer<T, R = Refusal> {
    /// Done, and this is what there is to say.
    Ok(T),
    /// Not done, and why.
    Error(R),
}

impl<T, R> Answer<T, R> {
    /// As a `Result`.
    pub fn into_result(self) -> Result<T, R> {
        match self {
            Answer::Ok(value) => Ok(value),
            Answer::Error(refusal) => Err(refusal),
        }
    }
}

/// Why something was not done: what, where, and what would be right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// What the asker can do about it.
    pub kind: RefusalKind,
    /// What went wrong, in one line for people.
    pub message: String,
    /// The fields that do not fit, if fields are what is wrong.
    #[serde(default)]
    pub problems: Vec<FieldProblem>,
    /// Whether what was asked for may have been done nevertheless.
    #[serde(default)]
    pub may_have_happened: bool,
    /// Where the entity really is, in a conflict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
}

/// What the asker can do about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// The bytes are not what they should be: mend the sender.
    Malformed,
    /// The domain has no such type: mend the name, or the definition.
    Unknown,
    /// The definition does not allow it to this sender.
    Denied,
    /// A field does not fit: mend the message.
    Invalid,
    /// The entity is not where it was expected to be: read again, then decide.
    Conflict,
    /// More than a limit allows.
    TooLarge,
    /// Too much is under way: ask again later.
    Busy,
    /// Something that is needed is not there at the moment: ask again later.
    Unavailable,
    /// There is no room to keep it, and nothing was kept: somebody must make room before it is asked again.
    Full,
    /// Acknowledged messages are lost, so that nothing can be relied on: somebody must start the node again.
    Lost,
    /// Not here, or not yours to read.
    NotFound,
    /// Who was asked refuses, for good.
    Rejected,
    /// A mistake of the node's own.
    Internal,
}

impl RefusalKind {
    /// The word of the wire form.
    pub fn word(self) -> &'static str {
        match self {
            RefusalKind::Malformed => "malformed",
            RefusalKind::Unknown => "unknown",
            RefusalKind::Denied => "denied",
            RefusalKind::Invalid => "invalid",
            RefusalKind::Conflict => "conflict",
            RefusalKind::TooLarge => "too_large",
            RefusalKind::Busy => "busy",
            RefusalKind::Unavailable => "unavailable",
            RefusalKind::Full => "full",
            RefusalKind::Lost => "lost",
            RefusalKind::NotFound => "not_found",
            RefusalKind::Rejected => "rejected",
            RefusalKind::Internal => "internal",
        }
    }
}

impl fmt::Display for RefusalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// One field that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldProblem {
    /// Where: a JSON pointer, into the body where a schema is what it does not fit.
    pub path: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl Refusal {
    /// A refusal without fields, of something that was certainly not done.
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Refusal {
        Refusal {
            kind,
            message: message.into(),
            problems: Vec::new(),
            may_have_happened: false,
            position: None,
        }
    }

    /// The same with the fields that do not fit; beyond [`PROBLEMS_MAX`] they are left out.
    #[must_use]
    pub fn with_problems(mut self, problems: impl IntoIterator<Item = FieldProblem>) -> Refusal {
        self.problems.extend(problems);
        self.problems.truncate(PROBLEMS_MAX);
        self
    }

    /// The same, of something that may nevertheless be done.
    #[must_use]
    pub fn perhaps_done(mut self) -> Refusal {
        self.may_have_happened = true;
        self
    }

    /// The same with where the entity really is.
    #[must_use]
    pub fn at_position(mut self, position: Position) -> Refusal {
        self.position = Some(position);
        self
    }

    /// The same, said of a part of the request: paths begin with `path`, and so does the message where
    /// there are no paths.
    #[must_use]
    pub fn below(mut self, path: &str) -> Refusal {
        for problem in &mut self.problems {
            problem.path.insert_str(0, path);
        }
        if self.problems.is_empty() {
            self.message = format!("{path}: {}", self.message);
        }
        self
    }
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Refusal {
        let kind = match error {
            Error::Malformed { .. } => RefusalKind::Malformed,
            Error::UnknownKey { .. }
            | Error::Missing { .. }
            | Error::Invalid { .. }
            | Error::Mismatch { .. } => RefusalKind::Invalid,
            Error::TooLarge { .. } => RefusalKind::TooLarge,
        };
        if error.at().is_empty() {
            return Refusal::new(kind, error.to_string());
        }
        let problem = FieldProblem { path: error.at().to_owned(), problem: error.problem() };
        Refusal::new(kind, "the message does not fit").with_problems([problem])
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::from(&error)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)?;
        for problem in &self.problems {
            write!(f, "; {} {}", problem.path, problem.problem)?;
        }
        if let Some(position) = self.position {
            write!(f, "; it is at {position}")?;
        }
        if self.may_have_happened {
            f.write_str(" (it may have happened)")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}
