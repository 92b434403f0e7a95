//! What can go wrong, by what a caller can do about it.
//!
//! One [`Error`] for the whole library. Its kind says what to do, its message says what, where and what
//! would be right, and [`Error::may_have_happened`] says whether the thing asked for may be done already.
//! `Display` never prints the source: whoever shows an error to a person prints the chain.

use std::error::Error as StdError;
use std::fmt;

use comms_msg::Position;
use comms_msg::door::{FieldProblem, Refusal, RefusalKind};

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The folder, the credentials or the options are wrong: mend them, then start again.
    Config,
    /// The domain has no such type, or none of this kind.
    Unknown,
    /// The definition does not allow this service to do that.
    Denied,
    /// What was said does not fit: a field, an owner, an id. [`Error::problems`] names the fields.
    Invalid,
    /// Not here, or not yours to read: the two look alike on purpose.
    NotFound,
    /// The entity is not where it was expected to be; [`Error::position`] says where it is.
    Conflict,
    /// The handler refused, for good, what it was asked to do.
    Rejected,
    /// No answer in time.
    Timeout,
    /// Too much is under way: try again in a moment.
    Busy,
    /// Nobody there: the node, its server or a service that answers is not running.
    Unavailable,
    /// There is no room to keep it where it would be kept, and nothing was: somebody must make room there.
    Full,
    /// Larger than may travel or be stored.
    TooLarge,
    /// Acknowledged messages are lost: of a watch, at [`Error::positions`], and what else can be read follows; of anything
    /// else, the node takes and answers nothing until it is started again.
    Lost,
    /// Bytes that are not what they should be.
    Malformed,
    /// A mistake of the library or the node: please report it.
    Internal,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ErrorKind::Config => "configuration",
            ErrorKind::Unknown => "unknown",
            ErrorKind::Denied => "denied",
            ErrorKind::Invalid => "invalid",
            ErrorKind::NotFound => "not found",
            ErrorKind::Conflict => "conflict",
            ErrorKind::Rejected => "rejected",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Busy => "busy",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Full => "no room",
            ErrorKind::TooLarge => "too large",
            ErrorKind::Lost => "lost",
            ErrorKind::Malformed => "malformed",
            ErrorKind::Internal => "internal",
        })
    }
}

/// Why something did not work.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    problems: Vec<FieldProblem>,
    may_have_happened: bool,
    position: Option<Position>,
    lost: Vec<Position>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; `message` says what, where, and what would be right.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            problems: Vec::new(),
            may_have_happened: false,
            position: None,
            lost: Vec::new(),
            source: None,
        }))
    }

    /// Of acknowledged events that stood at these positions; `why` says what is wrong with them.
    pub(crate) fn lost(positions: Vec<Position>, why: &str) -> Self {
        let places: Vec<String> = positions.iter().map(ToString::to_string).collect();
        let noun = if positions.len() == 1 { "event" } else { "events" };
        let message = format!("{} acknowledged {noun} {why}: {}", positions.len(), places.join(", "));
        let mut error = Self::new(ErrorKind::Lost, message);
        error.0.lost = positions;
        error
    }

    /// The same with the error that caused it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same, said of something that may nevertheless be done.
    #[must_use]
    pub fn perhaps_done(mut self) -> Self {
        self.0.may_have_happened = true;
        self
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What went wrong, in one line.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The fields that do not fit, if fields are what is wrong.
    pub fn problems(&self) -> &[FieldProblem] {
        &self.0.problems
    }

    /// Whether what was asked for may have been done although this error came back. If so, only a retry with
    /// the same id is safe.
    pub fn may_have_happened(&self) -> bool {
        self.0.may_have_happened
    }

    /// Where the entity really is, after a [`ErrorKind::Conflict`].
    pub fn position(&self) -> Option<&Position> {
        self.0.position.as_ref()
    }

    /// Where the events stood that are missing, after an [`ErrorKind::Lost`] of a watch.
    pub fn positions(&self) -> &[Position] {
        &self.0.lost
    }

    /// Whether the same request may succeed later without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Timeout | ErrorKind::Busy | ErrorKind::Unavailable)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for problem in &self.0.problems {
            write!(f, "\n  {}  {}", problem.path, problem.problem)?;
        }
        if self.0.may_have_happened {
            f.write_str(" (it may have happened)")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal.kind {
            RefusalKind::Malformed => ErrorKind::Malformed,
            RefusalKind::Unknown => ErrorKind::Unknown,
            RefusalKind::Denied => ErrorKind::Denied,
            RefusalKind::Invalid => ErrorKind::Invalid,
            RefusalKind::Conflict => ErrorKind::Conflict,
            RefusalKind::TooLarge => ErrorKind::TooLarge,
            RefusalKind::Busy => ErrorKind::Busy,
            RefusalKind::Unavailable => ErrorKind::Unavailable,
            RefusalKind::Full => ErrorKind::Full,
            RefusalKind::Lost => ErrorKind::Lost,
            RefusalKind::NotFound => ErrorKind::NotFound,
            RefusalKind::Rejected => ErrorKind::Rejected,
            RefusalKind::Internal => ErrorKind::Internal,
        };
        Self(Box::new(Inner {
            kind,
            message: refusal.message,
            problems: refusal.problems,
            may_have_happened: refusal.may_have_happened,
            position: refusal.position,
            lost: Vec::new(),
            source: None,
        }))
    }
}

impl From<comms_msg::Error> for Error {
    fn from(error: comms_msg::Error) -> Self {
        Error::new(ErrorKind::Invalid, error.to_string())
    }
}

impl From<comms_content::Error> for Error {
    fn from(error: comms_content::Error) -> Self {
        Error::new(ErrorKind::Malformed, error.to_string())
    }
}

impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}
