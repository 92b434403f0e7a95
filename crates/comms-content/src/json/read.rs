//! DAG-JSON text to canonical DAG-CBOR, in one pass.
//!
//! Not by way of `serde_json`, which turns integers that it cannot hold into floats and lets the last of several equal keys win.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine;

use crate::cbor::{RESERVED_KEY, Writer};
use crate::json::{BASE64, BYTES_KEY, Problem};
use crate::limits::DEPTH_MAX;
use crate::{Cid, Error, Result};

/// U+FEFF in UTF-8, which some editors write before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Encodes the one value that the text holds.
pub(crate) fn read(text: &[u8]) -> Result<Vec<u8>> {
    let mut reader = Reader { text, at: 0, out: Vec::with_capacity(text.len()) };
    if text.starts_with(BYTE_ORDER_MARK) {
        return Err(reader.error(Problem::ByteOrderMark));
    }
    reader.value(DEPTH_MAX)?;
    reader.space();
    if reader.at < text.len() {
        return Err(reader.error(Problem::Trailing));
    }
    Ok(reader.out)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    out: Vec<u8>,
}

/// Where a pair is in the output.
struct Pair {
    key: Range<usize>,
    end: usize,
    /// Where its key is in the text, for the error.
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads a value in which `depth` levels may nest.
    fn value(&mut self, depth: usize) -> Result<()> {
        match self.next()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => {
                let text = self.string()?;
                self.writer().text(&text);
                Ok(())
            }
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.literal("true").map(|()| self.writer().bool(true)),
            b'f' => self.literal("false").map(|()| self.writer().bool(false)),
            b'n' => self.literal("null").map(|()| self.writer().null()),
            _ => Err(self.error(Problem::Syntax)),
        }
    }

    fn array(&mut self, depth: usize) -> Result<()> {
        let Some(depth) = depth.checked_sub(1) else { return Err(self.error(Problem::Depth)) };
        self.at += 1;
        let start = self.out.len();
        let mut items = 0;
        if self.next()? == b']' {
            self.at += 1;
        } else {
            loop {
                self.value(depth)?;
                items += 1;
                if self.ends(b']')? {
                    break;
                }
            }
        }
        let body = self.out.split_off(start);
        self.writer().array(items);
        self.out.extend_from_slice(&body);
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<()> {
        let opening = self.at;
        self.at += 1;
        let start = self.out.len();
        let mut pairs = Vec::new();
        if self.next()? == b'}' {
            self.at += 1;
        } else {
            loop {
                let (at, key) = self.key()?;
                if key == RESERVED_KEY {
                    return if pairs.is_empty() {
                        self.reserved()
                    } else {
                        Err(Error::Json { at, problem: Problem::KeyReserved })
                    };
                }
                let Some(depth) = depth.checked_sub(1) else {
                    return Err(Error::Json { at: opening, problem: Problem::Depth });
                };
                let key_start = self.out.len();
                self.writer().text(&key);
                let key = key_start..self.out.len();
                self.value(depth)?;
                pairs.push(Pair { key, end: self.out.len(), at });
                if self.ends(b'}')? {
                    break;
                }
            }
        }
        if depth == 0 {
            return Err(Error::Json { at: opening, problem: Problem::Depth });
        }
        self.sort(start, pairs)
    }

    /// Puts the pairs that were written since `start` in order, with the head of their map before them.
    fn sort(&mut self, start: usize, mut pairs: Vec<Pair>) -> Result<()> {
        // The length stands before the text, so encoded keys compare by bytes as keys do canonically.
        pairs.sort_unstable_by(|a, b| self.out[a.key.clone()].cmp(&self.out[b.key.clone()]));
        if let Some([first, second]) =
            pairs.array_windows().find(|[a, b]| self.out[a.key.clone()] == self.out[b.key.clone()])
        {
            return Err(Error::Json { at: first.at.max(second.at), problem: Problem::KeyTwice });
        }
        let body = self.out.split_off(start);
        self.writer().map(pairs.len());
        for pair in &pairs {
            self.out.extend_from_slice(&body[pair.key.start - start..pair.end - start]);
        }
        Ok(())
    }

    /// Reads the rest of `{"/": …}`, from the value on.
    fn reserved(&mut self) -> Result<()> {
        match self.next()? {
            b'"' => {
                let at = self.at;
                let cid: Cid =
                    self.string()?.parse().map_err(|_| Error::Json { at, problem: Problem::Link })?;
                self.writer().link(&cid);
            }
            b'{' => {
                self.at += 1;
                let (at, key) = self.key()?;
                if key != BYTES_KEY {
                    return Err(Error::Json { at, problem: Problem::KeyReserved });
                }
                if self.next()? != b'"' {
                    return Err(self.error(Problem::KeyReserved));
                }
                let at = self.at;
                let bytes = BASE64
                    .decode(self.string()?.as_bytes())
                    .map_err(|_| Error::Json { at, problem: Problem::Base64 })?;
                self.writer().bytes(&bytes);
                self.close()?;
            }
            _ => return Err(self.error(Problem::KeyReserved)),
        }
        self.close()
    }

    /// Reads the end of an object of the reserved kind, which has one pair only.
    fn close(&mut self) -> Result<()> {
        match self.next()? {
            b'}' => {
                self.at += 1;
                Ok(())
            }
            b',' => Err(self.error(Problem::KeyReserved)),
            _ => Err(self.error(Problem::Syntax)),
        }
    }

    /// Reads a key and the colon after it, and says where the key began.
    fn key(&mut self) -> Result<(usize, Cow<'a, str>)> {
        if self.next()? != b'"' {
            return Err(self.error(Problem::Syntax));
        }
        let at = self.at;
        let key = self.string()?;
        if self.next()? != b':' {
            return Err(self.error(Problem::Syntax));
        }
        self.at += 1;
        Ok((at, key))
    }

    /// Reads the end of an array or object, or the comma to its next part.
    fn ends(&mut self, closing: u8) -> Result<bool> {
        match self.next()? {
            found if found == closing => {
                self.at += 1;
                Ok(true)
            }
            b',' => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.error(Problem::Syntax)),
        }
    }

    fn literal(&mut self, literal: &str) -> Result<()> {
        let rest = &self.text[self.at..];
        if rest.starts_with(literal.as_bytes()) {
            self.at += literal.len();
            return Ok(());
        }
        let problem = if literal.as_bytes().starts_with(rest) { Problem::Truncated } else { Problem::Syntax };
        Err(self.error(problem))
    }

    /// Reads a number: an integer if it is written as one, else a float.
    fn number(&mut self) -> Result<()> {
        let start = self.at;
        let negative = self.skip(b"-");
        // A leading zero is the whole integer.
        if !self.skip(b"0") {
            self.digits()?;
        }
        let mut float = false;
        if self.skip(b".") {
            float = true;
            self.digits()?;
        }
        if self.skip(b"eE") {
            float = true;
            self.skip(b"+-");
            self.digits()?;
        }
        let text = std::str::from_utf8(&self.text[start..self.at]).expect("digits are ASCII");
        let range = |_| Error::Json { at: start, problem: Problem::Range };
        if float {
            let value: f64 = text.parse().expect("the grammar of JSON numbers is within Rust's");
            self.writer().float(value).map_err(|_| Error::Json { at: start, problem: Problem::NotFinite })
        } else if negative {
            let value = text.parse().map_err(range)?;
            self.writer().signed(value);
            Ok(())
        } else {
            let value = text.parse().map_err(range)?;
            self.writer().unsigned(value);
            Ok(())
        }
    }

    /// Skips one byte if it is one of these.
    fn skip(&mut self, any: &[u8]) -> bool {
        let found = self.text.get(self.at).is_some_and(|byte| any.contains(byte));
        self.at += usize::from(found);
        found
    }

    /// Skips digits, at least one.
    fn digits(&mut self) -> Result<()> {
        let rest = &self.text[self.at..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        match (digits, rest.is_empty()) {
            (0, true) => Err(self.error(Problem::Truncated)),
            (0, false) => Err(self.error(Problem::Syntax)),
            _ => Ok(()),
        }
    }

    /// Reads a string, from its opening quote to its closing one.
    fn string(&mut self) -> Result<Cow<'a, str>> {
        self.at += 1;
        let plain = self.plain()?;
        if self.text[self.at] == b'"' {
            self.at += 1;
            return Ok(Cow::Borrowed(plain));
        }
        let mut text = plain.to_owned();
        loop {
            self.at += 1;
            if self.text[self.at - 1] == b'"' {
                return Ok(Cow::Owned(text));
            }
            text.push(self.escaped()?);
            text.push_str(self.plain()?);
        }
    }

    /// Reads up to the next quote or backslash, which is there when this returns.
    fn plain(&mut self) -> Result<&'a str> {
        let rest = &self.text[self.at..];
        let Some(length) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) else {
            self.at = self.text.len();
            return Err(self.error(Problem::Truncated));
        };
        let plain = std::str::from_utf8(&rest[..length]).map_err(|_| self.error(Problem::Utf8))?;
        self.at += length;
        if rest[length] < 0x20 { Err(self.error(Problem::Text)) } else { Ok(plain) }
    }

    /// Reads an escape, from after its backslash.
    fn escaped(&mut self) -> Result<char> {
        let Some(kind) = self.text.get(self.at) else { return Err(self.error(Problem::Truncated)) };
        self.at += 1;
        Ok(match kind {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let at = self.at;
                let first = self.hex4()?;
                let code = if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with(b"\\u") {
                    self.at += 2;
                    let second = self.hex4()?;
                    if !(0xdc00..0xe000).contains(&second) {
                        return Err(Error::Json { at, problem: Problem::Text });
                    }
                    0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                } else {
                    first
                };
                // Half of a surrogate pair is no character.
                char::from_u32(code).ok_or(Error::Json { at, problem: Problem::Text })?
            }
            _ => return Err(self.error(Problem::Text)),
        })
    }

    fn hex4(&mut self) -> Result<u32> {
        let Some(digits) = self.text[self.at..].first_chunk::<4>() else {
            return Err(self.error(Problem::Truncated));
        };
        let mut code = 0;
        for digit in digits {
            let digit = char::from(*digit).to_digit(16).ok_or_else(|| self.error(Problem::Text))?;
            code = code << 4 | digit;
        }
        self.at += 4;
        Ok(code)
    }

    /// The next byte that is not white space; it stays unread.
    fn next(&mut self) -> Result<u8> {
        self.space();
        self.text.get(self.at).copied().ok_or_else(|| self.error(Problem::Truncated))
    }

    fn space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
    }

    fn writer(&mut self) -> Writer<'_> {
        Writer::new(&mut self.out)
    }

    #[cold]
    fn error(&self, problem: Problem) -> Error {
        Error::Json { at: self.at, problem }
    }
}
