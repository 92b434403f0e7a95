//! A point in time, as messages carry it. There is no clock here: whoever knows the time passes it in.

use std::fmt;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::text::text_form;
use crate::{Error, Result};

/// Milliseconds since 1970 in UTC; as text always `2026-11-21T10:00:00.123Z`, so that equal times have
/// equal bytes and text sorts like time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// Characters of the text form.
pub(crate) const TEXT_BYTES: usize = 24;
const EXPECTED: &str = "a UTC time with milliseconds, such as 2026-11-21T10:00:00.123Z";
const DAY_MS: u64 = 86_400_000;

impl Timestamp {
    /// The last time with a four-digit year: 9999-12-31T23:59:59.999Z.
    pub const MAX: Timestamp = Timestamp(253_402_300_799_999);

    /// From milliseconds since 1970; times after [`Timestamp::MAX`] become that.
    pub fn from_unix_ms(ms: u64) -> Timestamp {
        Timestamp(ms.min(Timestamp::MAX.0))
    }

    /// Milliseconds since 1970.
    pub fn unix_ms(self) -> u64 {
        self.0
    }

    /// Any RFC 3339 time from 1970 on, with any offset; what is finer than a millisecond is cut off. For
    /// drafts of foreign clients: what is stored has the canonical text.
    pub fn parse_lenient(text: &str) -> Result<Timestamp> {
        let refused =
            || Error::invalid(text, "an RFC 3339 time from 1970 on, such as 2026-11-21T10:00:00.123Z");
        let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| refused())?;
        let ms = u64::try_from(time.unix_timestamp_nanos() / 1_000_000).map_err(|_| refused())?;
        if ms > Timestamp::MAX.0 || time.unix_timestamp_nanos() < 0 {
            Err(refused())
        } else {
            Ok(Timestamp(ms))
        }
    }

    /// Writes the text form.
    pub(crate) fn write_text(self, buffer: &mut [u8; TEXT_BYTES]) -> &str {
        *buffer = *b"0000-00-00T00:00:00.000Z";
        let (year, month, day) = civil_from_days(self.0 / DAY_MS);
        let ms = self.0 % DAY_MS;
        let mut put = |at: usize, digits: usize, mut value: u64| {
            for place in (at..at + digits).rev() {
                buffer[place] = b'0' + (value % 10) as u8;
                value /= 10;
            }
        };
        put(0, 4, year);
        put(5, 2, month);
        put(8, 2, day);
        put(11, 2, ms / 3_600_000);
        put(14, 2, ms / 60_000 % 60);
        put(17, 2, ms / 1000 % 60);
        put(20, 3, ms % 1000);
        std::str::from_utf8(buffer).expect("digits and separators are ASCII")
    }

    pub(crate) fn parse_text(text: &str) -> Result<Timestamp> {
        parse_canonical(text.as_bytes()).ok_or_else(|| Error::invalid(text, EXPECTED))
    }
}

/// Reads exactly what [`Timestamp::write_text`] writes.
fn parse_canonical(text: &[u8]) -> Option<Timestamp> {
    let text: &[u8; TEXT_BYTES] = text.try_into().ok()?;
    let pattern = b"dddd-dd-ddTdd:dd:dd.dddZ";
    let fits = text.iter().zip(pattern).all(|(b, p)| if *p == b'd' { b.is_ascii_digit() } else { b == p });
    if !fits {
        return None;
    }
    let number = |at: usize, digits: usize| {
        text[at..at + digits].iter().fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'))
    };
    let (year, month, day) = (number(0, 4), number(5, 2), number(8, 2));
    let (hour, minute, second) = (number(11, 2), number(14, 2), number(17, 2));
    if year < 1970 || !(1..=12).contains(&month) || day == 0 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_from_civil(year, month, day);
    // A day that the month does not have comes back as one of the next month.
    if civil_from_days(days) != (year, month, day) {
        return None;
    }
    Some(Timestamp(days * DAY_MS + hour * 3_600_000 + minute * 60_000 + second * 1000 + number(20, 3)))
}

/// Year, month, day of a count of days since 1970 (Howard Hinnant, `chrono-Compatible Low-Level Date
/// Algorithms`, `civil_from_days`, for days from 1970 on).
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// The inverse of [`civil_from_days`] (`days_from_civil` of the same source).
fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let year_of_era = year % 400;
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    year / 400 * 146_097 + of_era - 719_468
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.write_text(&mut [0; TEXT_BYTES]))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

text_form!(Timestamp, "a UTC time with milliseconds");
