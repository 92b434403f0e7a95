//! What is said when something is wrong: what, where, and what would be right.
//!
//! The first line never is the error of a library; those follow as `because` lines, for whoever has to look
//! deeper. Which number the process ends with is chosen here and nowhere else.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use crate::exit::Exit;
use crate::json;
use crate::output::visible;

/// Causes below the first line that are printed: deeper ones repeat themselves.
const CAUSES_MAX: usize = 4;

/// Why a command did not do what it was asked to do.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    problems: Vec<json::Problem>,
    lines: Vec<String>,
}

impl Failure {
    /// A failure in one line: what and where.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), problems: Vec::new(), lines: Vec::new() }
    }

    /// The command line cannot be carried out as written.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Something outside broke.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// Standard output takes no more.
    pub(crate) fn output(error: io::Error) -> Self {
        Self::failed("standard output cannot be written").because(&error)
    }

    /// Adds a line that says what would be right.
    pub(crate) fn mend(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Adds that the result could not be printed either, where that is so.
    pub(crate) fn unheard(self, printed: Result<(), Failure>) -> Self {
        match printed {
            Ok(()) => self,
            Err(failure) => failure.lines.into_iter().fold(self.mend(failure.message), Self::mend),
        }
    }

    /// Adds the places that are wrong, each with what is wrong there.
    pub(crate) fn problems(mut self, problems: impl IntoIterator<Item = json::Problem>) -> Self {
        self.problems.extend(problems);
        self
    }

    /// Adds the errors behind it, outermost first.
    pub(crate) fn because(mut self, cause: &dyn StdError) -> Self {
        let causes = std::iter::successors(Some(cause), |&cause| cause.source());
        self.lines.extend(causes.take(CAUSES_MAX).map(|cause| format!("because: {cause}")));
        self
    }

    /// How the process ends.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// The same as one object.
    pub(crate) fn to_json(&self) -> json::Error {
        json::Error::Error(json::Failed {
            exit: self.exit.code(),
            message: self.message.clone(),
            problems: self.problems.clone(),
            lines: self.lines.clone(),
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", visible(&self.message))?;
        let width =
            self.problems.iter().map(|problem| visible(&problem.path).chars().count()).max().unwrap_or(0);
        for problem in &self.problems {
            write!(f, "\n  {:width$}   {}", visible(&problem.path), visible(&problem.problem))?;
        }
        for line in &self.lines {
            write!(f, "\n  {}", visible(line))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_stand_in_a_column_below_what_they_are_problems_of() {
        let failure = Failure::new(Exit::Refused, "documents.AddDocument refused: 2 things do not fit")
            .problems([
                json::Problem { path: "/a".into(), problem: "missing".into() },
                json::Problem { path: "/titel".into(), problem: "unknown".into() },
            ])
            .mend("nothing was stored.");
        assert_eq!(
            failure.to_string(),
            "error: documents.AddDocument refused: 2 things do not fit\n  /a       missing\n  /titel   unknown\n  \
             nothing was stored."
        );
    }

    #[test]
    fn what_others_wrote_forges_no_line() {
        let failure =
            Failure::new(Exit::Refused, "t.Do rejected: bad\x1b]0;PWN\x07\rdone\nerror: forged line")
                .problems([json::Problem { path: "/a\n".into(), problem: "\u{9b}2K".into() }])
                .mend("x\u{2028}y");
        assert_eq!(
            failure.to_string(),
            "error: t.Do rejected: bad\\u001b]0;PWN\\u0007\\rdone\\nerror: forged line\n  /a\\n   \\u009b2K\n  \
             x\\u2028y"
        );
    }

    #[test]
    fn a_result_that_could_not_be_printed_does_not_hide_it() {
        let full = || Failure::output(std::io::Error::other("no room"));
        let failure = Failure::new(Exit::Refused, "t.Do rejected: no").unheard(Err(full()));
        assert_eq!(failure.exit(), Exit::Refused);
        assert_eq!(
            failure.to_string(),
            "error: t.Do rejected: no\n  standard output cannot be written\n  because: no room"
        );
    }

    #[test]
    fn inner_errors_come_last() {
        let inner = std::io::Error::other("os error 2");
        let failure = Failure::failed("report.pdf cannot be read").because(&inner);
        assert_eq!(failure.to_string(), "error: report.pdf cannot be read\n  because: os error 2");
    }
}
