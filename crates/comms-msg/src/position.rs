//! A place in the event log, and what an append expects there.

use std::fmt;

use crate::limits::LOG_BYTES;
use crate::text::text_form;
use crate::{Error, Result};

/// A place in the event log: opaque to everybody but the node, and comparable only within one log.
///
/// As text `17@k3f9x2aa`: the sequence, and the incarnation of the log, so that a position of a log that
/// was made anew is not mistaken for one of the old.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    log: [u8; LOG_BYTES],
    sequence: u64,
}

const EXPECTED: &str = "a position such as 17@k3f9x2aa";

impl Position {
    /// The last sequence that a position can have: no log gets so far, and what is reckoned from it stays a number.
    pub const SEQUENCE_MAX: u64 = i64::MAX as u64;

    /// Joins a log, `[a-z0-9]{8}`, and a sequence in it, at most [`Position::SEQUENCE_MAX`].
    pub fn new(log: &str, sequence: u64) -> Result<Position> {
        if sequence > Position::SEQUENCE_MAX {
            return Err(Error::invalid(&sequence.to_string(), "a sequence of at most 9223372036854775807"));
        }
        let bytes: [u8; LOG_BYTES] =
            log.as_bytes().try_into().map_err(|_| Error::invalid(log, "the name of a log: 8 of a-z 0-9"))?;
        if !bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
            return Err(Error::invalid(log, "the name of a log: 8 of a-z 0-9"));
        }
        Ok(Position { log: bytes, sequence })
    }

    /// The incarnation of the log.
    pub fn log(&self) -> &str {
        std::str::from_utf8(&self.log).expect("the constructor found ASCII")
    }

    /// The sequence in the log.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    fn parse_text(text: &str) -> Result<Position> {
        let refused = || Error::invalid(text, EXPECTED);
        let (number, log) = text.split_once('@').ok_or_else(refused)?;
        // `u64::from_str` takes a sign and leading zeros, which would be second spellings.
        if number.starts_with('+') || (number.len() > 1 && number.starts_with('0')) {
            return Err(refused());
        }
        let sequence = number.parse().map_err(|_| refused())?;
        Position::new(log, sequence).map_err(|_| refused())
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.sequence, self.log())
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

text_form!(Position, "a position such as 17@k3f9x2aa");

/// What an append expects of its entity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Expect {
    /// Nothing: append whatever is there.
    #[default]
    Any,
    /// That the entity has no event yet.
    Absent,
    /// That the entity's last event is at this position.
    At(Position),
}

impl Expect {
    fn parse_text(text: &str) -> Result<Expect> {
        match text {
            "any" => Ok(Expect::Any),
            "absent" => Ok(Expect::Absent),
            _ => text
                .parse()
                .map(Expect::At)
                .map_err(|_| Error::invalid(text, "any, absent, or a position such as 17@k3f9x2aa")),
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expect::Any => f.write_str("any"),
            Expect::Absent => f.write_str("absent"),
            Expect::At(position) => position.fmt(f),
        }
    }
}

text_form!(Expect, "any, absent, or a position");
