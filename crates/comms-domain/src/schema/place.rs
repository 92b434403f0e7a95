//! Where in the text of a JSON file each part stands.
//!
//! Only read after serde_json has accepted the same text, so that syntax and depth are already checked.

use std::collections::BTreeMap;

/// A pointer longer than this is nested beyond reading.
pub(super) const POINTER_BYTES_MAX: usize = 1024;

/// Byte offsets by JSON Pointer: of the key for members, of the value for entries.
pub(super) struct Places {
    at: BTreeMap<String, usize>,
    repeated: Vec<(String, usize)>,
    numbers: Vec<(String, usize)>,
}

impl Places {
    /// Scans a text that is known to be JSON.
    pub(super) fn of(text: &str) -> Self {
        let mut scanner = Scanner {
            text: text.as_bytes(),
            next: 0,
            places: Self { at: BTreeMap::new(), repeated: Vec::new(), numbers: Vec::new() },
        };
        scanner.value(&mut String::new());
        scanner.places
    }

    /// Keeps a place, and says whether there was one already. Parts with very long pointers are found by what is
    /// around them: keeping all would take the square of the file's size.
    fn note(&mut self, pointer: &str, offset: usize) -> bool {
        pointer.len() <= POINTER_BYTES_MAX && self.at.insert(pointer.to_owned(), offset).is_some()
    }

    /// Where this part stands, or the nearest part around it.
    pub(super) fn offset(&self, pointer: &str) -> usize {
        let mut pointer = pointer;
        loop {
            if let Some(offset) = self.at.get(pointer) {
                return *offset;
            }
            match pointer.rfind('/') {
                Some(end) => pointer = &pointer[..end],
                None => return 0,
            }
        }
    }

    /// Keys that appear more than once in their object, with the place of the later one.
    pub(super) fn repeated(&self) -> &[(String, usize)] {
        &self.repeated
    }

    /// Whole numbers that 64 bits do not hold, with their places.
    pub(super) fn numbers(&self) -> &[(String, usize)] {
        &self.numbers
    }
}

/// Whether the text is a whole number that neither signed nor unsigned 64 bits hold.
fn is_too_large(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    whole && text.parse::<u64>().is_err() && text.parse::<i64>().is_err()
}

/// The offset of a line and column that serde_json reported, both counted from 1, columns in bytes.
pub(super) fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let start = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum::<usize>();
    (start + column.saturating_sub(1)).min(text.len())
}

/// One step of a JSON Pointer.
pub(super) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The key that a step of a JSON Pointer stands for.
pub(super) fn unescape(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

struct Scanner<'a> {
    text: &'a [u8],
    next: usize,
    places: Places,
}

impl Scanner<'_> {
    fn space(&mut self) {
        while self.text.get(self.next).is_some_and(u8::is_ascii_whitespace) {
            self.next += 1;
        }
    }

    fn peek(&mut self) -> u8 {
        self.space();
        self.text.get(self.next).copied().unwrap_or(b'\0')
    }

    fn value(&mut self, pointer: &mut String) {
        match self.peek() {
            b'{' => self.object(pointer),
            b'[' => self.array(pointer),
            b'"' => drop(self.string()),
            _ => {
                let start = self.next;
                while self
                    .text
                    .get(self.next)
                    .is_some_and(|b| !matches!(b, b',' | b']' | b'}') && !b.is_ascii_whitespace())
                {
                    self.next += 1;
                }
                let text = str::from_utf8(&self.text[start..self.next]).unwrap_or_default();
                if is_too_large(text) {
                    self.places.numbers.push((text.to_owned(), start));
                }
            }
        }
    }

    fn object(&mut self, pointer: &mut String) {
        self.next += 1;
        loop {
            match self.peek() {
                b'"' => {}
                b',' => {
                    self.next += 1;
                    continue;
                }
                _ => {
                    self.next += 1;
                    return;
                }
            }
            let offset = self.next;
            let key = self.string();
            let length = pointer.len();
            pointer.push('/');
            pointer.push_str(&escape(&key));
            if self.places.note(pointer, offset) {
                self.places.repeated.push((key, offset));
            }
            if self.peek() == b':' {
                self.next += 1;
            }
            self.value(pointer);
            pointer.truncate(length);
        }
    }

    fn array(&mut self, pointer: &mut String) {
        self.next += 1;
        for index in 0_usize.. {
            match self.peek() {
                b']' | b'\0' => break,
                b',' => self.next += 1,
                _ => {}
            }
            if self.peek() == b']' {
                break;
            }
            let length = pointer.len();
            pointer.push('/');
            pointer.push_str(&index.to_string());
            self.places.note(pointer, self.next);
            self.value(pointer);
            pointer.truncate(length);
        }
        self.next += 1;
    }

    fn string(&mut self) -> String {
        let start = self.next;
        self.next += 1;
        while let Some(byte) = self.text.get(self.next) {
            match byte {
                b'\\' => self.next += 2,
                b'"' => break,
                _ => self.next += 1,
            }
        }
        self.next = (self.next + 1).min(self.text.len());
        serde_json::from_slice(&self.text[start.min(self.next)..self.next]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_its_place() {
        let text = "{\n  \"a\": [1, {\"b/c\": \"x\\\"y\"}],\n  \"a\": true\n}";
        let places = Places::of(text);
        assert_eq!(places.offset("/a/1/b~1c"), text.find("\"b/c\"").unwrap());
        assert_eq!(places.offset("/a/1"), text.find("{\"b").unwrap());
        assert_eq!(places.offset("/a/1/b~1c/deeper"), text.find("\"b/c\"").unwrap());
        assert_eq!(places.offset("/zz"), 0);
        assert_eq!(places.repeated(), [("a".to_owned(), text.rfind("\"a\"").unwrap())]);
    }

    #[test]
    fn text_that_is_no_json_ends_too() {
        for text in
            ["", "{", "[", "{\"", "[1", "{\"a\"", "{\"a\":", "\"\\", "[[[{\"a\":[", "}", "]", "{,", "[,,"]
        {
            let _ = Places::of(text);
        }
    }
}
