//! How results are said: rows for people, the same without colour and alignment in a pipe, objects for programs.
//!
//! Nothing else in this crate writes to standard output or standard error, so this is where text of others is made
//! visible ([`mod@visible`]): whatever a cell, a line or an object says, a terminal obeys none of it. What is printed
//! is decided by the commands; the shape of every object is in [`crate::json`].
//!
//! A reader that goes away, as `head` does, is no failure: what a command was asked to do is done all the same, and
//! its exit code says how it ended. What prints without end looks at [`is_closed`] and waits for [`closed`].

mod closed;
mod visible;

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::failure::Failure;

pub(crate) use self::closed::closed;
use self::visible::visible_lines;
pub(crate) use self::visible::{is_hidden, visible};

/// Whether the reader of standard output has gone.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Room for the first word of a row on a terminal; the longest is `observed`.
const LABEL_WIDTH: usize = 8;
/// Room for times in front of a file's size and the like is three spaces, as between all cells.
const GAP: &str = "   ";

/// Where and how a command prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    terminal: bool,
    colour: bool,
}

/// What a row means, which on a terminal is the colour of its first word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As everything else.
    Plain,
    /// It went well.
    Good,
    /// Worth a second look.
    Warn,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "1",
            Self::Good => "32",
            Self::Warn => "33",
        }
    }
}

/// One line for people: a word, then cells; and below it what there is to know of it, each on a line of its own.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    tone: Tone,
    label: String,
    cells: Vec<String>,
    details: Vec<(&'static str, String)>,
}

impl Row {
    /// A row that begins with this word.
    pub(crate) fn new(label: impl Into<String>) -> Self {
        Self { tone: Tone::Plain, label: label.into(), cells: Vec::new(), details: Vec::new() }
    }

    /// Gives the row a meaning.
    pub(crate) fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    /// Adds a cell.
    pub(crate) fn cell(mut self, cell: impl Into<String>) -> Self {
        self.cells.push(cell.into());
        self
    }

    /// Adds a line below.
    pub(crate) fn detail(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.details.push((name, text.into()));
        self
    }

    fn print(&self, terminal: bool, colour: bool) -> String {
        let mut text = String::new();
        let mut label = visible(&self.label).into_owned();
        if terminal && !self.cells.is_empty() {
            label = format!("{label:LABEL_WIDTH$}");
        }
        if colour {
            text.push_str(&format!("\x1b[{}m{label}\x1b[0m", self.tone.code()));
        } else {
            text.push_str(&label);
        }
        for (index, cell) in self.cells.iter().enumerate() {
            text.push_str(match (terminal, index) {
                (true, 0) => " ",
                (true, _) => GAP,
                (false, _) => "\t",
            });
            text.push_str(&visible(cell));
        }
        for (name, detail) in &self.details {
            let detail = visible(detail);
            text.push_str(&match terminal {
                true => format!("\n{:LABEL_WIDTH$}   {name:LABEL_WIDTH$} {detail}", ""),
                false => format!("\n\t{name}\t{detail}"),
            });
        }
        text
    }
}

impl Output {
    /// Looks at standard output and the environment (`NO_COLOR`, `TERM`).
    pub(crate) fn detect(json: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self { json, terminal, colour: terminal && wanted }
    }

    /// Whether objects are wanted.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Whether a person is looking.
    pub(crate) fn is_terminal(self) -> bool {
        self.terminal
    }

    /// Says one thing: as an object with `--json`, else as a row.
    pub(crate) fn say(self, object: &impl Serialize, row: &Row) -> Result<(), Failure> {
        if self.json { self.json(object) } else { self.row(row) }
    }

    /// Whether what is printed may have colours.
    pub(crate) fn is_coloured(self) -> bool {
        self.colour
    }

    /// A row for people; nothing with `--json`.
    pub(crate) fn row(self, row: &Row) -> Result<(), Failure> {
        if self.json {
            return Ok(());
        }
        line(&row.print(self.terminal, self.colour))
    }

    /// Lines of plain text for people; nothing with `--json`.
    pub(crate) fn text(self, text: &str) -> Result<(), Failure> {
        if self.json {
            return Ok(());
        }
        line(&visible_lines(text))
    }

    /// One object on one line; nothing without `--json`.
    pub(crate) fn json(self, object: &impl Serialize) -> Result<(), Failure> {
        if !self.json {
            return Ok(());
        }
        line(&visible(&serde_json::to_string(object).expect("text, numbers and lists of them are JSON")))
    }

    /// Says on standard error why a command did not do what it was asked to do.
    pub(crate) fn failure(self, failure: &Failure) {
        let text = if self.json {
            serde_json::to_string(&failure.to_json()).expect("text, numbers and lists of them are JSON")
        } else {
            failure.to_string()
        };
        // The lines of a failure are its own; what is in them was made visible when it was written.
        error(&text);
    }

    /// Says on standard error what is no part of an answer.
    pub(crate) fn note(self, object: &impl Serialize, text: &str) {
        if self.json {
            error(&visible(
                &serde_json::to_string(object).expect("text, numbers and lists of them are JSON"),
            ));
        } else {
            error(&visible(text));
        }
    }
}

/// What the parser says of a command line, on standard error.
pub(crate) fn usage(text: &str) {
    error(text.trim_end_matches('\n'));
}

/// Whether the reader of standard output has gone, as far as it was noticed by writing.
pub(crate) fn is_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

/// Help, a version, a script: text of this program's own, which may have colours.
pub(crate) fn own(text: &str) -> Result<(), Failure> {
    write(text)
}

fn line(text: &str) -> Result<(), Failure> {
    write(&format!("{text}\n"))
}

fn write(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            CLOSED.store(true, Ordering::Relaxed);
            Ok(())
        }
        written => written.map_err(Failure::output),
    }
}

fn error(text: &str) {
    // Nowhere is left to say that this could not be printed; the exit code says the rest.
    let _ = io::stderr().write_all(format!("{}\n", visible_lines(text)).as_bytes());
}

/// Standard error for what is logged: each event is one write, and becomes one line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        io::stderr().write_all(format!("{}\n", visible(text.trim_end_matches('\n'))).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// A number of bytes for people: `412 B`, `8.6 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    const STEP: f64 = 1024.0;
    if count < 1024 {
        return format!("{count} B");
    }
    // Above 2^53 the last digits are lost, which one decimal never shows.
    #[expect(clippy::cast_precision_loss)]
    let mut size = count as f64;
    for unit in ["KiB", "MiB", "GiB"] {
        size /= STEP;
        if size < 999.95 {
            return format!("{size:.1} {unit}");
        }
    }
    format!("{:.1} TiB", size / STEP)
}

/// A time for people: `0.42 ms`, `71 ms`, `2.4 s`.
pub(crate) fn span(time: Duration) -> String {
    let ms = milliseconds(time);
    match ms {
        ms if ms < 1.0 => format!("{ms:.2} ms"),
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1000.0),
    }
}

/// A time in milliseconds with its microseconds, as every object says it.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// How many of what: `1 event`, `2 events`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_say_them() {
        let cases =
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (65536, "64.0 KiB"), (9_017_754, "8.6 MiB")];
        for (size, text) in cases {
            assert_eq!(bytes(size), text);
        }
        assert_eq!(bytes(u64::MAX), "16777216.0 TiB");
    }

    #[test]
    fn times_read_as_people_say_them() {
        let cases = [(420, "0.42 ms"), (2_400, "2.4 ms"), (71_000, "71 ms"), (2_400_000, "2.4 s")];
        for (micros, text) in cases {
            assert_eq!(span(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn a_row_is_aligned_for_people_and_plain_in_a_pipe() {
        let row = Row::new("sent").tone(Tone::Good).cell("id").cell("412 B");
        assert_eq!(row.print(true, false), "sent     id   412 B");
        assert_eq!(row.print(true, true), "\x1b[32msent    \x1b[0m id   412 B");
        assert_eq!(row.print(false, false), "sent\tid\t412 B");
        let row = Row::new("sent").cell("by desk").detail("id", "0199");
        assert_eq!(row.print(true, false), "sent     by desk\n           id       0199");
        assert_eq!(row.print(false, false), "sent\tby desk\n\tid\t0199");
    }

    #[test]
    fn text_of_others_forges_neither_cells_nor_lines() {
        let row = Row::new("a\tb").cell("c\nerror: forged\x1b[2K").detail("why", "\u{202e}x\ny");
        for (terminal, lines) in [(true, 2), (false, 2)] {
            let text = row.print(terminal, false);
            assert_eq!(text.lines().count(), lines, "{text}");
            assert!(!text.chars().any(|c| is_hidden(c) && !matches!(c, '\n' | '\t')), "{text:?}");
        }
        assert_eq!(row.print(false, false), "a\\tb\tc\\nerror: forged\\u001b[2K\n\twhy\t\\u202ex\\ny");
    }
}
