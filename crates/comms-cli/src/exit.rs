//! What the process says to whoever started it, in one number.
//!
//! The numbers are an interface: scripts branch on them. The words for people are in [`crate::failure`].

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what it was asked to do.
    Done,
    /// It tried, and something broke on the way.
    Failed,
    /// The command line does not say anything that could be done.
    Usage,
    /// A door or a handler said no.
    Refused,
    /// No such thing, or not for this name: the two look alike on purpose.
    NotFound,
    /// No answer in time. What was asked may have happened.
    NoAnswer,
    /// The definition, the credentials or the place are not as they must be.
    Config,
}

impl Exit {
    /// The number the process ends with.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::NotFound => 4,
            Self::NoAnswer => 5,
            // EX_USAGE of sysexits.h is what supervisors know as "do not start this again unchanged".
            Self::Config => 64,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
