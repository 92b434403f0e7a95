//! Which bytes of a content are meant: `Range` of HTTP and `entity-bytes` of the trustless gateway.

use std::ops::Range;

/// What a `Range` header asks of a content of a known size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Everything: no header, or one that may be passed over (other units, several ranges, not well-formed).
    All,
    /// These bytes, at least one.
    Part(Range<u64>),
    /// Bytes that the content does not have.
    Outside,
}

impl Wanted {
    /// Reads a `Range` header (RFC 9110, 14.2). Only a single range is answered as such.
    pub(super) fn parse(header: Option<&str>, size: u64) -> Self {
        let Some(spec) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else {
            return Self::All;
        };
        let Some((first, last)) = spec.trim().split_once('-') else { return Self::All };
        let range = match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
            (Some(first), None) if last.is_empty() => first..size,
            (None, Some(suffix)) if first.is_empty() => size.saturating_sub(suffix)..size,
            _ => return Self::All,
        };
        if range.is_empty() { Self::Outside } else { Self::Part(range) }
    }
}

/// Digits and nothing else; a number too large for any content is as good as the largest.
fn number(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().unwrap_or(u64::MAX))
}

/// Reads `entity-bytes=from:to` (both inclusive, `*` for the end, negative from the end). None if it is not
/// well-formed; an empty range if it lies outside.
pub(super) fn entity_bytes(text: &str, size: u64) -> Option<Range<u64>> {
    let (from, to) = text.split_once(':')?;
    let from = position(from, size)?;
    let end = if to == "*" { size } else { position(to, size)?.saturating_add(1).min(size) };
    Some(from.min(end)..end)
}

fn position(text: &str, size: u64) -> Option<u64> {
    match text.strip_prefix('-') {
        Some(back) => number(back).map(|back| size.saturating_sub(back)),
        None => number(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_ranges_are_answered_others_passed_over() {
        let cases = [
            (None, Wanted::All),
            (Some("bytes=0-0"), Wanted::Part(0..1)),
            (Some("bytes=0-"), Wanted::Part(0..10)),
            (Some("bytes=9-"), Wanted::Part(9..10)),
            (Some("bytes=10-"), Wanted::Outside),
            (Some("bytes=3-100"), Wanted::Part(3..10)),
            (Some("bytes=-3"), Wanted::Part(7..10)),
            (Some("bytes=-30"), Wanted::Part(0..10)),
            (Some("bytes=-0"), Wanted::Outside),
            (Some("bytes=5-4"), Wanted::All),
            (Some("bytes=0-18446744073709551615"), Wanted::Part(0..10)),
            (Some("bytes=99999999999999999999999-"), Wanted::Outside),
            (Some("bytes=0-1,4-5"), Wanted::All),
            (Some("bytes=+1-2"), Wanted::All),
            (Some("bytes=-"), Wanted::All),
            (Some("items=0-1"), Wanted::All),
            (Some(""), Wanted::All),
        ];
        for (header, wanted) in cases {
            assert_eq!(Wanted::parse(header, 10), wanted, "{header:?}");
        }
        assert_eq!(Wanted::parse(Some("bytes=0-"), 0), Wanted::Outside);
        assert_eq!(Wanted::parse(None, 0), Wanted::All);
    }

    #[test]
    fn entity_bytes_count_from_both_ends() {
        assert_eq!(entity_bytes("0:*", 10), Some(0..10));
        assert_eq!(entity_bytes("2:4", 10), Some(2..5));
        assert_eq!(entity_bytes("-3:*", 10), Some(7..10));
        assert_eq!(entity_bytes("-3:-2", 10), Some(7..9));
        assert_eq!(entity_bytes("4:2", 10), Some(3..3));
        assert!(entity_bytes("20:30", 10).unwrap().is_empty());
        assert_eq!(entity_bytes("0:18446744073709551615", 10), Some(0..10));
        for text in ["", ":", "1", "a:b", "1:b", "*:1", "--1:2"] {
            assert_eq!(entity_bytes(text, 10), None, "{text}");
        }
    }
}
