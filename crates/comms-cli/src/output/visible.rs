//! Text of others made visible: what a terminal obeys, or does not show, is written as an escape of JSON.
//!
//! One table for rows, errors, logs and `--json`. An escape is that of JSON (`\u001b`, `\n`), so a body that is shown
//! stays the JSON that it is, and an object of `--json` stays the same object. Text that is safe is not copied.

use std::borrow::Cow;
use std::fmt::Write;

/// Characters that are never written as they are, as ranges with both ends: the controls (category Cc), separators of
/// lines and paragraphs (Zl, Zp), controls of direction (`Bidi_Control`) and all that is not shown
/// (`Default_Ignorable_Code_Point`: zero widths, joiners, fillers, variation selectors, tags), from Unicode 17; and what
/// has no ink although it is no space.
const HIDDEN: [(u32, u32); 29] = [
    (0x0000, 0x001f),
    (0x007f, 0x009f),
    (0x00ad, 0x00ad),
    (0x034f, 0x034f),
    (0x061c, 0x061c),
    (0x115f, 0x1160),
    (0x17b4, 0x17b5),
    (0x180b, 0x180f),
    (0x200b, 0x200f),
    (0x2028, 0x202e),
    (0x2060, 0x206f),
    // The Braille pattern without a dot.
    (0x2800, 0x2800),
    (0x3164, 0x3164),
    (0xfe00, 0xfe0f),
    (0xfeff, 0xfeff),
    (0xffa0, 0xffa0),
    // Noncharacters and what annotates between lines.
    (0xfff0, 0xfffb),
    (0xfffe, 0xffff),
    // Controls of hieroglyphs, a filler of Khitan, and a note without a head.
    (0x1_3430, 0x1_343f),
    (0x1_6fe4, 0x1_6fe4),
    (0x1_bca0, 0x1_bca3),
    (0x1_d159, 0x1_d159),
    (0x1_d173, 0x1_d17a),
    (0xe_0000, 0xe_0fff),
    (0xf_fffe, 0xf_ffff),
    (0x10_fffe, 0x10_ffff),
    // Nothing is assigned here, and a terminal may take it for any of the above.
    (0xfdd0, 0xfdef),
    (0xe_1000, 0xe_fffd),
    (0xe_fffe, 0xe_ffff),
];

/// Whether a terminal would obey it, hide it, or set it somewhere else.
pub(crate) fn is_hidden(c: char) -> bool {
    let c = u32::from(c);
    // Nearly all text is printable ASCII.
    !(0x20..=0x7e).contains(&c) && HIDDEN.iter().any(|&(first, last)| (first..=last).contains(&c))
}

/// The text with an escape in the place of each hidden character: one line, whatever was in it.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, is_hidden)
}

/// The same for text whose lines are wanted.
pub(crate) fn visible_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && is_hidden(c))
}

fn escaped(text: &str, is_hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if !is_hidden(c) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").expect("writing to a string does not fail");
                }
            }
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_or_hides_is_left() {
        let text: String = (0..=u32::from(char::MAX)).filter_map(char::from_u32).collect();
        let shown = visible(&text);
        assert!(!shown.chars().any(is_hidden));
        assert!(!shown.chars().any(char::is_control));
        let lines = visible_lines(&text);
        assert_eq!(lines.chars().filter(|c| is_hidden(*c)).collect::<String>(), "\n");
    }

    #[test]
    fn each_kind_has_its_escape() {
        for (text, shown) in [
            ("\x1b]0;PWN\x07", "\\u001b]0;PWN\\u0007"),
            ("a\r\n\tb", "a\\r\\n\\tb"),
            ("\u{7f}\u{9b}2K", "\\u007f\\u009b2K"),
            ("\u{202e}cod\u{2066}\u{200f}\u{61c}", "\\u202ecod\\u2066\\u200f\\u061c"),
            ("a\u{200b}\u{200d}\u{feff}\u{ad}b", "a\\u200b\\u200d\\ufeff\\u00adb"),
            ("a\u{2028}\u{2029}b", "a\\u2028\\u2029b"),
            ("\u{2800}\u{3164}\u{1d159}\u{2801}", "\\u2800\\u3164\\ud834\\udd59\u{2801}"),
            ("\u{e0041}\u{e01ef}\u{fe0f}", "\\udb40\\udc41\\udb40\\uddef\\ufe0f"),
            ("Grüße, 世界 ∑ 🙂 e\u{301} \\ \"", "Grüße, 世界 ∑ 🙂 e\u{301} \\ \""),
        ] {
            assert_eq!(visible(text), shown);
        }
    }

    #[test]
    fn an_object_stays_the_same_object() {
        let text: String = (0..0x1_1000).chain(0xe_0000..0xe_0200).filter_map(char::from_u32).collect();
        let json = serde_json::to_string(&text).unwrap();
        let shown = visible(&json);
        assert!(shown.len() > json.len());
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
    }
}
