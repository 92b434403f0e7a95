//! Values of a TOML document with their places, and the problems found on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::quantity;
use crate::limits::{DEADLINE_MAX, DEADLINE_MIN, PROBLEMS_MAX, VERSION_MAX};
use crate::nearest;
use crate::problem::{Problem, Problems};
use crate::schema::echo;

/// A key and its value.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    /// The key as written.
    pub(super) key: &'a str,
    /// Byte at which the key begins.
    pub(super) at: usize,
    /// The value.
    pub(super) value: &'a Spanned<DeValue<'a>>,
}

/// Keys of a table by the name they are meant as.
pub(super) type Keys<'a> = BTreeMap<&'static str, Entry<'a>>;

/// Collects problems with their places in one file.
pub(super) struct Reader<'a> {
    file: &'a str,
    lines: Lines<'a>,
    problems: Vec<Problem>,
    notes: Vec<Problem>,
    /// Lines with a syntax error: what was recovered from them means nothing.
    garbled: BTreeSet<usize>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        Self {
            file,
            lines: Lines::of(text),
            problems: Vec::new(),
            notes: Vec::new(),
            garbled: BTreeSet::new(),
        }
    }

    /// How the definition's file is called.
    pub(super) fn file(&self) -> &'a str {
        self.file
    }

    /// A problem at a byte of the definition.
    pub(super) fn problem(&mut self, at: usize, what: String, mend: &str) {
        let (line, column) = self.lines.place(at);
        if self.garbled.contains(&line) {
            return;
        }
        let file = self.file.to_owned();
        self.problems.push(Problem { file, line, column, what, mend: mend.to_owned() });
    }

    /// Whether enough is wrong for one report: then looking for what was meant costs more than it tells.
    pub(super) fn is_full(&self) -> bool {
        self.problems.len() >= PROBLEMS_MAX
    }

    /// A problem in another file.
    pub(super) fn problem_in(&mut self, file: String, text: &str, at: usize, what: String, mend: String) {
        let (line, column) = Lines::of(text).place(at);
        self.problems.push(Problem { file, line, column, what, mend });
    }

    /// Something in another file that is right and does not do what it seems to.
    pub(super) fn note_in(&mut self, file: String, text: &str, at: usize, what: String, mend: String) {
        let (line, column) = Lines::of(text).place(at);
        self.notes.push(Problem { file, line, column, what, mend });
    }

    /// What was noted, at most [`PROBLEMS_MAX`].
    pub(super) fn take_notes(&mut self) -> Vec<Problem> {
        let mut notes = std::mem::take(&mut self.notes);
        notes.sort();
        notes.dedup();
        notes.truncate(PROBLEMS_MAX);
        notes
    }

    /// What the TOML parser could not read.
    pub(super) fn syntax(&mut self, error: &toml::de::Error) {
        let span = error.span().unwrap_or(0..0);
        let message = echo(error.message().lines().next().unwrap_or_default());
        let (what, mend) = if message.contains("duplicate key") {
            ("written twice".to_owned(), "keep one of the two")
        } else {
            (
                format!("not TOML: {message}"),
                "text needs quotes, lists need [ ] with commas; see https://toml.io",
            )
        };
        let (line, _) = self.lines.place(span.start);
        self.problem(span.start, what, mend);
        let (last, _) = self.lines.place(span.end);
        self.garbled.extend(line..=self.lines.section_end(line).max(last));
    }

    /// All problems, if there are any.
    pub(super) fn into_problems(self) -> Option<Problems> {
        Problems::new(self.file, self.problems)
    }

    /// The entries of a table by the name they are meant as; unknown ones are reported.
    pub(super) fn keys<'t>(
        &mut self,
        table: &'t DeTable<'t>,
        within: &str,
        known: &'static [&'static str],
    ) -> Keys<'t> {
        let mut keys = Keys::new();
        let mut unknown = Vec::new();
        for entry in entries(table) {
            match known.iter().find(|name| **name == entry.key) {
                Some(name) => drop(keys.insert(name, entry)),
                None => unknown.push(entry),
            }
        }
        for entry in unknown {
            let meant = nearest::word(entry.key, known.iter().copied());
            let mend = match meant {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("known here: {}", known.join(", ")),
            };
            self.problem(entry.at, format!("unknown key {} in {within}", echo(entry.key)), &mend);
            if let Some(name) = known.iter().find(|name| Some(**name) == meant) {
                keys.entry(name).or_insert(entry);
            }
        }
        keys
    }

    /// A table, or a problem.
    pub(super) fn table<'t>(&mut self, entry: &Entry<'t>) -> Option<&'t DeTable<'t>> {
        match entry.value.get_ref() {
            DeValue::Table(table) => Some(table),
            other => {
                self.wrong_type(entry.value, entry.key, other, "a table");
                None
            }
        }
    }

    /// Text with its place, or a problem.
    pub(super) fn text<'t>(&mut self, entry: &Entry<'t>) -> Option<(&'t str, usize)> {
        match entry.value.get_ref() {
            DeValue::String(text) => Some((text.as_ref(), entry.value.span().start)),
            other => {
                self.wrong_type(entry.value, entry.key, other, "text");
                None
            }
        }
    }

    /// A whole number with its place, or a problem.
    pub(super) fn integer(&mut self, entry: &Entry<'_>) -> Option<(i128, usize)> {
        let at = entry.value.span().start;
        match entry.value.get_ref() {
            DeValue::Integer(number) => {
                let value = i128::from_str_radix(number.as_str(), number.radix()).ok();
                if value.is_none() {
                    self.problem(
                        at,
                        format!("{} is out of bounds", echo(entry.key)),
                        "a smaller number is expected",
                    );
                }
                value.map(|value| (value, at))
            }
            other => {
                self.wrong_type(entry.value, entry.key, other, "a whole number");
                None
            }
        }
    }

    /// A version, or a problem.
    pub(super) fn version(&mut self, entry: &Entry<'_>) -> Option<u32> {
        let (number, at) = self.integer(entry)?;
        match u32::try_from(number) {
            Ok(version) if (1..=VERSION_MAX).contains(&version) => Some(version),
            _ => {
                self.problem(at, format!("version {number} is out of bounds"), "count versions from 1");
                None
            }
        }
    }

    /// Bytes with their place, or a problem.
    pub(super) fn size(&mut self, entry: &Entry<'_>) -> Option<(u64, usize)> {
        let at = entry.value.span().start;
        let bytes = match entry.value.get_ref() {
            DeValue::String(text) => {
                let bytes = quantity::bytes(text);
                if bytes.is_none() {
                    self.problem(
                        at,
                        format!("not a size: {}", echo(text)),
                        "write a whole number and B, KB, KiB, MB or MiB: \"64 KiB\"",
                    );
                }
                bytes
            }
            DeValue::Integer(_) => {
                let (number, _) = self.integer(entry)?;
                let bytes = u64::try_from(number).ok();
                if bytes.is_none() {
                    self.problem(at, format!("not a size: {number}"), "write it as \"64 KiB\"");
                }
                bytes
            }
            other => {
                self.wrong_type(entry.value, entry.key, other, "a size such as \"64 KiB\"");
                None
            }
        };
        bytes.map(|bytes| (bytes, at))
    }

    /// A time within bounds, or a problem.
    pub(super) fn deadline(&mut self, entry: &Entry<'_>) -> Option<Duration> {
        let at = entry.value.span().start;
        let expected = "write a whole number and ms, s, min or h: \"2 s\"";
        let DeValue::String(text) = entry.value.get_ref() else {
            self.wrong_type(entry.value, entry.key, entry.value.get_ref(), "a time such as \"2 s\"");
            return None;
        };
        let Some(time) = quantity::duration(text) else {
            self.problem(at, format!("not a time: {}", echo(text)), expected);
            return None;
        };
        if !(DEADLINE_MIN..=DEADLINE_MAX).contains(&time) {
            self.problem(
                at,
                format!("a deadline of {} is out of bounds", echo(text)),
                "between \"1 ms\" and \"24 h\"",
            );
            return None;
        }
        Some(time)
    }

    /// Says that a value has another type than expected.
    pub(super) fn wrong_type(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        key: &str,
        found: &DeValue<'_>,
        expected: &str,
    ) {
        let what = format!("{} is {}", echo(key), word(found));
        self.problem(value.span().start, what, &format!("{expected} is expected"));
    }
}

/// The entries of a table, in the order of the file.
pub(super) fn entries<'t>(table: &'t DeTable<'t>) -> Vec<Entry<'t>> {
    let mut entries: Vec<Entry<'t>> = table
        .iter()
        .map(|(key, value)| Entry { key: key.get_ref().as_ref(), at: key.span().start, value })
        .collect();
    entries.sort_by_key(|entry| entry.at);
    entries
}

/// What a value is, in words.
fn word(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Where lines begin.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(ends).collect() }
    }

    /// Line and column of a byte, both counted from 1, the column in characters.
    fn place(&self, at: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= at).max(1);
        let start = self.starts[line - 1];
        let before = self.text.get(start..at.min(self.text.len())).unwrap_or_default();
        (line, before.chars().count() + 1)
    }

    /// The last line of what a garbled line leaves unclear: with a broken `[header]`, all up to the next one.
    fn section_end(&self, line: usize) -> usize {
        let text = |line: usize| {
            let start = *self.starts.get(line - 1)?;
            let end = self.starts.get(line).copied().unwrap_or(self.text.len());
            self.text.get(start..end).map(str::trim_start)
        };
        if !text(line).is_some_and(|text| text.starts_with('[')) {
            return line;
        }
        let mut last = line;
        while text(last + 1).is_some_and(|text| !text.starts_with('[')) {
            last += 1;
        }
        last
    }
}
