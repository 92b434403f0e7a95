//! What is wrong with a definition: where, what, and how to mend it.
//!
//! Problems are collected, never returned one at a time. How they look on a terminal is decided here, so that
//! the command line, the node and tests say the same.

use std::fmt;

use serde::Serialize;

use crate::limits::PROBLEMS_MAX;

/// One thing that is wrong in one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The file as the caller named it.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Characters, counted from 1.
    pub column: usize,
    /// What is wrong, in one line.
    pub what: String,
    /// What would be right, in one line.
    pub mend: String,
}

/// All problems of a definition, in the order of the files. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Sorts by file and place, drops repetitions and keeps the first [`PROBLEMS_MAX`]; `None` if there are none.
    pub(crate) fn new(first_file: &str, mut problems: Vec<Problem>) -> Option<Self> {
        problems.sort_by(|a, b| (a.file != first_file).cmp(&(b.file != first_file)).then_with(|| a.cmp(b)));
        problems.dedup();
        problems.truncate(PROBLEMS_MAX);
        (!problems.is_empty()).then_some(Self(problems))
    }

    /// The problems, the definition's own first.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// How many there are: at least one, at most [`PROBLEMS_MAX`].
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}  {}\n    {}", self.file, self.line, self.column, self.what, self.mend)
    }
}

/// One block per problem, without a line end after the last.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
