//! Which bytes of a content are meant: `Range` of HTTP and `entity-bytes` of the trustless gateway.

use std::ops::Range;

/// What a `Range` header asks of a content of a known size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Everything: no header, one that is not well-formed or of other units, or several ranges that are not one.
    All,
    /// These bytes, at least one.
    Part(Range<u64>),
    /// Bytes that the content does not have.
    Outside,
}

impl Wanted {
    /// Reads a `Range` header (RFC 9110, 14). Several ranges are answered as one where they meet or overlap, and passed
    /// over where they do not, which the standard leaves open.
    pub(super) fn parse(header: Option<&str>, size: u64) -> Self {
        let Some(set) = header.and_then(bytes) else { return Self::All };
        let specs = set.split(',').map(|spec| spec.trim_matches([' ', '\t'])).filter(|spec| !spec.is_empty());
        let Some(specs) = specs.map(Spec::parse).collect::<Option<Vec<_>>>() else { return Self::All };
        // The last bytes of nothing are asked for rightly, and no Content-Range could name them.
        let is_of_nothing = size == 0 && specs.iter().any(|spec| matches!(spec, Spec::Last(1..)));
        if specs.is_empty() || is_of_nothing {
            return Self::All;
        }
        let mut ranges: Vec<Range<u64>> =
            specs.iter().map(|spec| spec.within(size)).filter(|range| !range.is_empty()).collect();
        ranges.sort_by_key(|range| range.start);
        let Some(mut one) = ranges.first().cloned() else { return Self::Outside };
        for range in ranges {
            if range.start > one.end {
                return Self::All;
            }
            one.end = one.end.max(range.end);
        }
        Self::Part(one)
    }
}

/// One of the ranges of a set.
#[derive(Debug, Clone, Copy)]
enum Spec {
    /// From a position up to another, which is included, or to the end.
    From(u64, Option<u64>),
    /// So many at the end.
    Last(u64),
}

impl Spec {
    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => Some(Self::From(first, Some(last))),
            (Some(first), None) if last.is_empty() => Some(Self::From(first, None)),
            (None, Some(suffix)) if first.is_empty() => Some(Self::Last(suffix)),
            _ => None,
        }
    }

    fn within(self, size: u64) -> Range<u64> {
        match self {
            Self::From(first, Some(last)) => first..last.saturating_add(1).min(size),
            Self::From(first, None) => first..size,
            Self::Last(suffix) => size.saturating_sub(suffix)..size,
        }
    }
}

/// The set of ranges, if it is one of bytes; names of units are the same in upper and lower case.
fn bytes(header: &str) -> Option<&str> {
    header.split_once('=').and_then(|(unit, set)| unit.eq_ignore_ascii_case("bytes").then_some(set))
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_one_range_is_answered_and_the_rest_passed_over() {
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
            (Some("bytes=0-1,2-5"), Wanted::Part(0..6)),
            (Some("bytes=4-5 ,\t0-4,,"), Wanted::Part(0..6)),
            (Some("bytes=0-1,-8"), Wanted::Part(0..10)),
            (Some("bytes=20-30,3-4"), Wanted::Part(3..5)),
            (Some("bytes=20-30,-0"), Wanted::Outside),
            (Some("bytes=0-1,nonsense"), Wanted::All),
            (Some("bytes=0-1,5-4"), Wanted::All),
            (Some("Bytes=0-1"), Wanted::Part(0..2)),
            (Some("bytes =0-1"), Wanted::All),
            (Some("bytes=0 -1"), Wanted::All),
            (Some("bytes="), Wanted::All),
            (Some("bytes=,"), Wanted::All),
            (Some("bytes"), Wanted::All),
            (Some("bytes=18446744073709551615-18446744073709551616"), Wanted::Outside),
            (Some("bytes=-18446744073709551616"), Wanted::Part(0..10)),
            (Some("bytes=0x0-1"), Wanted::All),
            (Some("bytes=\u{661}-2"), Wanted::All),
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
        assert_eq!(Wanted::parse(Some("bytes=0-0"), 0), Wanted::Outside);
        assert_eq!(Wanted::parse(Some("bytes=-5"), 0), Wanted::All);
        assert_eq!(Wanted::parse(Some("bytes=-0"), 0), Wanted::Outside);
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

    proptest! {
        /// A part is never empty, never beyond the content, and holds every byte that a range of the set names.
        #[test]
        fn a_part_holds_what_was_asked_for(
            ranges in prop::collection::vec((0..30_u64, 0..30_u64), 1..5),
            size in 0..25_u64,
        ) {
            let specs: Vec<_> = ranges.iter().map(|(first, more)| format!("{first}-{}", first + more)).collect();
            let header = format!("bytes={}", specs.join(","));
            let asked = |at: u64| ranges.iter().any(|(first, more)| (*first..=first + more).contains(&at));
            match Wanted::parse(Some(&header), size) {
                Wanted::All => prop_assert!(ranges.len() > 1),
                Wanted::Outside => prop_assert!(!(0..size).any(asked)),
                Wanted::Part(part) => {
                    prop_assert!(!part.is_empty() && part.end <= size);
                    prop_assert!((0..size).all(|at| asked(at) == part.contains(&at)));
                }
            }
        }

        #[test]
        fn no_text_breaks_it(text in "(bytes=)?[-0-9, a=]{0,40}|\\PC{0,40}", size: u64) {
            if let Wanted::Part(part) = Wanted::parse(Some(&text), size) {
                prop_assert!(!part.is_empty() && part.end <= size);
            }
            if let Some(range) = entity_bytes(&text, size) {
                prop_assert!(range.start <= range.end && range.end <= size);
            }
        }
    }
}
