//! Conditions of a request: `If-Match`, `If-None-Match`, `If-Range` (RFC 9110, 13).
//!
//! Content has no date of modification, so conditions on dates are passed over, as the standard asks.

use std::fmt;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};

/// The entity tag of a representation, or one that a client knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag {
    is_weak: bool,
    /// What stands between the quotes.
    text: Vec<u8>,
}

/// What follows from the conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The request is answered as if it had none.
    Go,
    /// The client has it: 304.
    NotModified,
    /// 412.
    Failed,
}

impl Tag {
    /// Names exactly these bytes.
    pub(super) fn strong(text: String) -> Self {
        Self { is_weak: false, text: text.into_bytes() }
    }

    /// Names what means the same.
    pub(super) fn weak(text: String) -> Self {
        Self { is_weak: true, text: text.into_bytes() }
    }

    fn is_same_weakly(&self, other: &Self) -> bool {
        self.text == other.text
    }

    fn is_same_strongly(&self, other: &Self) -> bool {
        !self.is_weak && !other.is_weak && self.text == other.text
    }

    /// The tag at the beginning of these bytes, and what follows it.
    fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (is_weak, bytes) = bytes.strip_prefix(b"W/").map_or((false, bytes), |rest| (true, rest));
        let bytes = bytes.strip_prefix(b"\"")?;
        let end = bytes.iter().position(|byte| *byte == b'"')?;
        let (text, rest) = (&bytes[..end], &bytes[end + 1..]);
        let is_sound = text.iter().all(|byte| matches!(byte, 0x21..=0x7e | 0x80..));
        is_sound.then(|| (Self { is_weak, text: text.to_vec() }, rest))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weak = if self.is_weak { "W/" } else { "" };
        write!(f, "{weak}\"{}\"", String::from_utf8_lossy(&self.text))
    }
}

/// Evaluates the conditions against the representation that would be sent, in the order of RFC 9110, 13.2.2.
pub(super) fn evaluate(headers: &HeaderMap, method: &Method, tag: &Tag) -> Verdict {
    if is_named(headers, &header::IF_MATCH, |known| known.is_same_strongly(tag)) == Some(false) {
        return Verdict::Failed;
    }
    if is_named(headers, &header::IF_NONE_MATCH, |known| known.is_same_weakly(tag)) == Some(true) {
        let is_read = [Method::GET, Method::HEAD].contains(method);
        return if is_read { Verdict::NotModified } else { Verdict::Failed };
    }
    Verdict::Go
}

/// Whether a `Range` is of the bytes that the client knows (`If-Range`); a date names none.
pub(super) fn is_range_wanted(headers: &HeaderMap, tag: &Tag) -> bool {
    let mut values = headers.get_all(header::IF_RANGE).iter();
    let Some(value) = values.next() else { return true };
    let known = Tag::read(value.as_bytes()).filter(|(_, rest)| rest.is_empty());
    values.next().is_none() && known.is_some_and(|(known, _)| known.is_same_strongly(tag))
}

/// Whether one of the tags that a header lists is the one, or it says `*`; none where there is no such header. What is
/// no tag ends a list.
fn is_named(headers: &HeaderMap, name: &HeaderName, is_same: impl Fn(&Tag) -> bool) -> Option<bool> {
    let values: Vec<&HeaderValue> = headers.get_all(name).iter().collect();
    if values.is_empty() {
        return None;
    }
    if let [value] = values[..]
        && value.as_bytes().trim_ascii() == b"*"
    {
        return Some(true);
    }
    Some(values.iter().any(|value| tags(value.as_bytes()).iter().any(&is_same)))
}

/// The tags of a list, up to its end or to what is none.
fn tags(mut list: &[u8]) -> Vec<Tag> {
    let mut tags = Vec::new();
    loop {
        list = list.trim_ascii_start();
        if let Some(rest) = list.strip_prefix(b",") {
            list = rest;
            continue;
        }
        let Some((tag, rest)) = Tag::read(list) else { return tags };
        list = rest.trim_ascii_start();
        if !list.is_empty() && !list.starts_with(b",") {
            return tags;
        }
        tags.push(tag);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let lines =
            lines.iter().map(|(name, value)| (name.clone(), HeaderValue::from_bytes(value.as_bytes())));
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, value.unwrap());
        }
        headers
    }

    fn tag() -> Tag {
        Tag::strong("a".to_owned())
    }

    fn weak() -> Tag {
        Tag::weak("a".to_owned())
    }

    #[test]
    fn if_none_match_compares_weakly() {
        for (value, verdict) in [
            ("\"a\"", Verdict::NotModified),
            ("W/\"a\"", Verdict::NotModified),
            ("*", Verdict::NotModified),
            (" * ", Verdict::NotModified),
            ("\"b\", \"a\"", Verdict::NotModified),
            ("\"b\",\"a\",", Verdict::NotModified),
            (",, ,\"a\"", Verdict::NotModified),
            ("\"b,\", W/\"a\"", Verdict::NotModified),
            ("\"b\"", Verdict::Go),
            ("a", Verdict::Go),
            ("w/\"a\"", Verdict::Go),
            ("\"A\"", Verdict::Go),
            ("\"a", Verdict::Go),
            ("\"a\" \"b\"", Verdict::Go),
            ("\" a\"", Verdict::Go),
            ("", Verdict::Go),
            ("\"b\", *", Verdict::Go),
        ] {
            let headers = headers(&[(header::IF_NONE_MATCH, value)]);
            for tag in [tag(), weak()] {
                assert_eq!(evaluate(&headers, &Method::GET, &tag), verdict, "{value}");
                assert_eq!(evaluate(&headers, &Method::HEAD, &tag), verdict, "{value}");
            }
            let other = if verdict == Verdict::Go { Verdict::Go } else { Verdict::Failed };
            assert_eq!(evaluate(&headers, &Method::POST, &tag()), other, "{value}");
        }
    }

    #[test]
    fn if_match_compares_strongly() {
        for (value, verdict) in [
            ("\"a\"", Verdict::Go),
            ("*", Verdict::Go),
            ("\"b\", \"a\"", Verdict::Go),
            ("W/\"a\"", Verdict::Failed),
            ("\"b\"", Verdict::Failed),
            ("a", Verdict::Failed),
            ("", Verdict::Failed),
        ] {
            let headers = headers(&[(header::IF_MATCH, value)]);
            assert_eq!(evaluate(&headers, &Method::GET, &tag()), verdict, "{value}");
            let weakly = if value == "*" { Verdict::Go } else { Verdict::Failed };
            assert_eq!(evaluate(&headers, &Method::GET, &weak()), weakly, "{value}");
        }
    }

    #[test]
    fn if_match_comes_first_lines_add_up_and_dates_are_passed_over() {
        let both = |first, second| headers(&[(header::IF_MATCH, first), (header::IF_NONE_MATCH, second)]);
        assert_eq!(evaluate(&both("\"b\"", "\"a\""), &Method::GET, &tag()), Verdict::Failed);
        assert_eq!(evaluate(&both("\"a\"", "\"a\""), &Method::GET, &tag()), Verdict::NotModified);
        assert_eq!(evaluate(&both("\"a\"", "\"b\""), &Method::GET, &tag()), Verdict::Go);
        let lines = [(header::IF_NONE_MATCH, "\"b\""), (header::IF_NONE_MATCH, "\"a\"")];
        assert_eq!(evaluate(&headers(&lines), &Method::GET, &tag()), Verdict::NotModified);
        let date = "Sat, 29 Oct 1994 19:43:31 GMT";
        let dates = [(header::IF_MODIFIED_SINCE, date), (header::IF_UNMODIFIED_SINCE, date)];
        assert_eq!(evaluate(&headers(&dates), &Method::GET, &tag()), Verdict::Go);
    }

    #[test]
    fn if_range_takes_one_strong_tag() {
        for (values, is_wanted) in [
            (&[][..], true),
            (&["\"a\""], true),
            (&["W/\"a\""], false),
            (&["\"b\""], false),
            (&["\"a\", \"b\""], false),
            (&["*"], false),
            (&["Sat, 29 Oct 1994 19:43:31 GMT"], false),
            (&["\"a\"", "\"a\""], false),
        ] {
            let lines: Vec<_> = values.iter().map(|value| (header::IF_RANGE, *value)).collect();
            assert_eq!(is_range_wanted(&headers(&lines), &tag()), is_wanted, "{values:?}");
        }
        assert!(!is_range_wanted(&headers(&[(header::IF_RANGE, "\"a\"")]), &weak()));
    }

    proptest! {
        #[test]
        fn a_list_gives_back_what_was_put_in(texts in prop::collection::vec("[!#-~]{0,8}", 0..6), gap in "[ ,\t]{0,3}") {
            let known: Vec<Tag> = texts
                .into_iter()
                .enumerate()
                .map(|(at, text)| Tag { is_weak: at % 2 == 0, text: text.into_bytes() })
                .collect();
            let list: String = known.iter().map(|tag| format!("{gap}{tag},{gap}")).collect();
            prop_assert_eq!(tags(list.as_bytes()), known);
        }

        #[test]
        fn no_bytes_break_it(list in prop::collection::vec(any::<u8>(), 0..64)) {
            for tag in tags(&list) {
                prop_assert!(tag.text.len() <= list.len());
            }
        }
    }
}
