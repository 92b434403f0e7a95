//! "Did you mean …?": the known word that is nearest to an unknown one.
//!
//! Distance counts inserted, removed, replaced and swapped characters. A suggestion is made only when less than
//! about a third of the word differs: a wrong suggestion is worse than none.

use comms_msg::TypeName;

/// Words longer than this are not compared: the work grows with the square.
const WORD_CHARS_MAX: usize = 160;

/// The candidate that is nearest to `word`, if one is near.
pub(crate) fn word<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = word.chars().take(WORD_CHARS_MAX + 1).flat_map(char::to_lowercase).collect();
    if wanted.len() > WORD_CHARS_MAX {
        return None;
    }
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let other: Vec<char> = candidate.chars().flat_map(char::to_lowercase).collect();
            let longest = wanted.len().max(other.len());
            let allowed = 1.max(longest / 3);
            if other.len() > WORD_CHARS_MAX || wanted.len().abs_diff(other.len()) > allowed {
                return None;
            }
            let distance = distance(&wanted, &other);
            (distance <= allowed && distance < longest).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The type that is nearest to `text`, which may lack its context.
pub(crate) fn type_name<'a>(
    text: &str,
    candidates: impl IntoIterator<Item = &'a TypeName>,
) -> Option<&'a TypeName> {
    let all: Vec<(String, &TypeName)> =
        candidates.into_iter().map(|candidate| (candidate.to_string(), candidate)).collect();
    if !text.contains('.') {
        let short = word(text, all.iter().filter_map(|(full, _)| full.split('.').nth(1)));
        return short.and_then(|short| {
            all.iter().find(|(full, _)| full.split('.').nth(1) == Some(short)).map(|(_, name)| *name)
        });
    }
    let full = word(text, all.iter().map(|(full, _)| full.as_str()))?;
    all.iter().find(|(name, _)| name == full).map(|(_, name)| *name)
}

/// Optimal string alignment: three rows are enough.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(x != y);
            row[j + 1] = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::word;

    #[test]
    fn near_words_are_found() {
        let known = ["title", "file", "handles"];
        assert_eq!(word("titel", known), Some("title"));
        assert_eq!(word("handels", known), Some("handles"));
        assert_eq!(word("Title", known), Some("title"));
        assert_eq!(word("fiel", known), Some("file"));
    }

    #[test]
    fn far_words_are_not() {
        assert_eq!(word("colour", ["title", "file"]), None);
        assert_eq!(word("x", ["y"]), None);
        assert_eq!(word("", ["y"]), None);
        assert_eq!(word(&"a".repeat(1000), ["a"]), None);
    }
}
