//! Canonical DAG-CBOR to DAG-JSON, as text and as a tree.
//!
//! The input is that of a [`Node`](crate::Node), which has been read when it was made: it is known to be valid, and to nest no
//! deeper than allowed.

use std::fmt::Write;
use std::ops::Range;

use base64::Engine;
use serde_json::{Map, Value};

use crate::Result;
use crate::cbor::{Kind, RESERVED_KEY, Reader};
use crate::json::{BASE64, BYTES_KEY};

/// The text of a node: keys sorted by bytes, no white space.
pub(crate) fn write(node: &[u8]) -> String {
    let mut out = String::with_capacity(node.len());
    write_item(&mut Reader::new(node), &mut out).expect("a node is read when it is made");
    out
}

/// The tree of a node, with links and bytes spelled as in the text.
pub(crate) fn value(node: &[u8]) -> Value {
    value_item(&mut Reader::new(node)).expect("a node is read when it is made")
}

fn write_item(reader: &mut Reader<'_>, out: &mut String) -> Result<()> {
    match reader.kind()? {
        Kind::Unsigned => show(out, reader.unsigned()?),
        Kind::Negative => show(out, reader.signed()?),
        // Its form always has a decimal point or an exponent, so it is read back as a float.
        Kind::Float => show(out, Value::from(reader.float()?)),
        Kind::Bool => show(out, reader.bool()?),
        Kind::Null => {
            reader.null()?;
            out.push_str("null");
        }
        Kind::Text => write_text(reader.text()?, out),
        Kind::Bytes => {
            out.push_str(r#"{"/":{"bytes":""#);
            BASE64.encode_string(reader.bytes()?, out);
            out.push_str(r#""}}"#);
        }
        Kind::Link => {
            let cid = reader.link()?;
            write!(out, r#"{{"/":"{cid}"}}"#).expect("a string takes every character");
        }
        Kind::Array => {
            out.push('[');
            for index in 0..reader.array()? {
                if index > 0 {
                    out.push(',');
                }
                write_item(reader, out)?;
            }
            out.push(']');
        }
        Kind::Map => write_map(reader, out)?,
    }
    Ok(())
}

/// Writes pairs in the order of DAG-CBOR, and again in that of DAG-JSON if it is another.
fn write_map(reader: &mut Reader<'_>, out: &mut String) -> Result<()> {
    let mut map = reader.map()?;
    let mut pairs: Vec<(&str, Range<usize>)> = Vec::new();
    out.push('{');
    let start = out.len();
    while let Some(key) = reader.key(&mut map)? {
        if !pairs.is_empty() {
            out.push(',');
        }
        let begin = out.len();
        write_text(key, out);
        out.push(':');
        write_item(reader, out)?;
        pairs.push((key, begin..out.len()));
    }
    if !pairs.is_sorted_by_key(|(key, _)| *key) {
        pairs.sort_unstable_by_key(|(key, _)| *key);
        let written = out.split_off(start);
        for (index, (_, range)) in pairs.into_iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            out.push_str(&written[range.start - start..range.end - start]);
        }
    }
    out.push('}');
    Ok(())
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    let mut plain = 0;
    for (index, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[plain..index]);
        plain = index + 1;
        if escape.is_empty() {
            write!(out, "\\u{byte:04x}").expect("a string takes every character");
        } else {
            out.push_str(escape);
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

fn show(out: &mut String, value: impl std::fmt::Display) {
    write!(out, "{value}").expect("a string takes every character");
}

fn value_item(reader: &mut Reader<'_>) -> Result<Value> {
    Ok(match reader.kind()? {
        Kind::Unsigned => reader.unsigned()?.into(),
        Kind::Negative => reader.signed()?.into(),
        Kind::Float => reader.float()?.into(),
        Kind::Bool => reader.bool()?.into(),
        Kind::Null => {
            reader.null()?;
            Value::Null
        }
        Kind::Text => reader.text()?.into(),
        Kind::Bytes => reserved(pair(BYTES_KEY, BASE64.encode(reader.bytes()?).into())),
        Kind::Link => reserved(reader.link()?.to_string().into()),
        Kind::Array => {
            let items = reader.array()?;
            let mut array = Vec::with_capacity(items);
            for _ in 0..items {
                array.push(value_item(reader)?);
            }
            Value::Array(array)
        }
        Kind::Map => {
            let mut map = reader.map()?;
            let mut object = Map::new();
            while let Some(key) = reader.key(&mut map)? {
                object.insert(key.to_owned(), value_item(reader)?);
            }
            Value::Object(object)
        }
    })
}

fn reserved(value: Value) -> Value {
    pair(RESERVED_KEY, value)
}

fn pair(key: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(key.to_owned(), value)]))
}
