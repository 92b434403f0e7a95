//! The golden vectors: `schemas/vectors/msg.json` is what this crate computes, and what it computes is in the
//! file for every other implementation. With `UPDATE_SCHEMAS=1` the file is written anew.

use std::path::{Path, PathBuf};

use comms_msg::{Kind, Msg, MsgId, MsgKey, ServiceName, TypeName};
use serde_json::{Value, json};

use crate::golden;

const FILE: &str = "vectors/msg.json";

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas").join(file)
}

/// What the file has.
fn stored(file: &str) -> Value {
    let text = std::fs::read_to_string(path(file)).expect("a file in schemas/; UPDATE_SCHEMAS=1 writes it");
    serde_json::from_str(&text).unwrap()
}

/// Compares a file with what it must be, or writes it.
pub(crate) fn compare_or_write(file: &str, expected: &Value) {
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        let path = path(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, serde_json::to_string_pretty(expected).unwrap() + "\n").unwrap();
    }
    assert_eq!(
        stored(file),
        *expected,
        "schemas/{file} is not up to date: run the tests with UPDATE_SCHEMAS=1"
    );
}

#[test]
fn the_file_is_what_the_code_computes_and_is_read_in_both_forms() {
    compare_or_write(FILE, &file());
    let file = stored(FILE);
    let messages = file["messages"].as_array().unwrap();
    assert!(messages.len() >= 8);
    for (vector, golden) in messages.iter().zip(golden::messages()) {
        let from_cbor = Msg::from_slice(&bytes(vector["cbor"].as_str().unwrap())).unwrap();
        let from_json = Msg::from_json(vector["json"].to_string().as_bytes()).unwrap();
        assert_eq!(from_cbor, golden.msg, "{}", golden.name);
        assert_eq!(from_json, golden.msg, "{}", golden.name);
        assert_eq!(from_json.cid().to_string(), vector["cid"]);
    }
}

#[test]
fn every_refusal_of_the_file_is_given() {
    for refused in refused() {
        let error = refused.read().expect_err(refused.name);
        assert_eq!((error.reason(), error.at()), (refused.reason, refused.at), "{}: {error}", refused.name);
    }
}

fn file() -> Value {
    let messages: Vec<Value> = golden::messages()
        .iter()
        .map(|golden| {
            json!({
                "name": golden.name,
                "about": golden.about,
                "json": serde_json::from_str::<Value>(&golden.msg.to_json().unwrap()).unwrap(),
                "cbor": hex(&golden.msg.to_cbor()),
                "cid": golden.msg.cid().to_string(),
            })
        })
        .collect();
    let refused: Vec<Value> = refused()
        .iter()
        .map(|refused| {
            let (form, text) = match &refused.input {
                Input::Cbor(bytes) => ("cbor", hex(bytes)),
                Input::Json(text) => ("json", text.clone()),
            };
            json!({
                "name": refused.name, form: text, "reason": refused.reason, "at": refused.at,
            })
        })
        .collect();
    json!({
        "readme": [
            "Golden vectors of Msg, the message of Comms. Every implementation must agree with them.",
            "messages: `json` is the message as DAG-JSON; `cbor` its canonical DAG-CBOR in hex, with `hop`; `cid` the \
             CID of the canonical DAG-CBOR of the message without `hop` (version 1, dag-cbor, sha2-256). Encoding \
             `json` gives `cbor`, decoding `cbor` gives `json`.",
            "In DAG-JSON {\"/\": \"b...\"} is a link, {\"/\": {\"bytes\": \"...\"}} are bytes in base64 without \
             padding. A number with a point or an exponent is a float of 64 bits, any other an integer. Map keys in \
             DAG-CBOR are ordered by length, then by bytes.",
            "derive: the id of the event number `ordinal` (from 0) that `handler` causes by the command \
             `command` of type `type` that `sender` sent. key = the 16 bytes of command and the first 16 of \
             SHA-256(\"comms-msg key 1\" and a zero byte, \"command\" and a zero byte, sender and a zero byte, type). digest = \
             SHA-256(\"comms-msg derive 2\" and a zero byte, key, ordinal in 4 bytes big endian, \
             handler in UTF-8); id = the first 6 bytes of command and the first 10 of digest; then byte 6 = 0x70 | \
             (byte 6 & 0x0f), byte 8 = 0x80 | (byte 8 & 0x3f).",
            "refused: `cbor` (hex) or `json` (text) must not be read as a message. `reason` is one of malformed, \
             unknown_key, missing, invalid, mismatch, too_large; `at` is a JSON pointer to the place, empty for the \
             whole.",
        ],
        "messages": messages,
        "derive": derive(),
        "refused": refused,
    })
}

fn derive() -> Vec<Value> {
    let cases = [
        (golden::id(1), "archive", 0),
        (golden::id(1), "archive", 1),
        (golden::id(2), "desk_2-b", 4_294_967_295),
    ];
    let given: MsgId = "123e4567-e89b-42d3-a456-426614174000".parse().unwrap();
    cases
        .into_iter()
        .chain([(given, "archive", 0)])
        .map(|(command, handler, ordinal)| {
            let (sender, type_name) = ("desk", "documents.AddDocument");
            let key = MsgKey::new(
                Kind::Command,
                &ServiceName::new(sender).unwrap(),
                &TypeName::new(type_name).unwrap(),
                command,
            );
            let id = MsgId::derive(&key, &ServiceName::new(handler).unwrap(), ordinal);
            json!({
                "command": command.to_string(), "sender": sender, "type": type_name, "key": key.to_string(), "handler": handler, "ordinal": ordinal, "id": id.to_string(),
            })
        })
        .collect()
}

enum Input {
    Cbor(Vec<u8>),
    Json(String),
}

pub(crate) struct Refused {
    pub(crate) name: &'static str,
    input: Input,
    reason: &'static str,
    at: &'static str,
    /// Whether what is wrong cannot be said in a JSON Schema, or not in parsed JSON.
    pub(crate) is_beyond_schema: bool,
}

impl Refused {
    pub(crate) fn json(&self) -> Option<&str> {
        match &self.input {
            Input::Cbor(_) => None,
            Input::Json(text) => Some(text),
        }
    }

    fn read(&self) -> comms_msg::Result<Msg> {
        match &self.input {
            Input::Cbor(bytes) => Msg::from_slice(bytes),
            Input::Json(text) => Msg::from_json(text.as_bytes()),
        }
    }
}

/// Inputs that no implementation may take for a message.
pub(crate) fn refused() -> Vec<Refused> {
    let query = golden::by_name("query");
    let cbor = Msg { hop: comms_msg::Hop::default(), ..query.clone() }.to_cbor();
    let json = golden::by_name("event").to_json().unwrap();
    let in_cbor = |name, from: &[u8], to: &[u8], reason, at| Refused {
        name,
        input: Input::Cbor(replaced(&cbor, from, to)),
        reason,
        at,
        is_beyond_schema: false,
    };
    let in_json = |name, from: &str, to: &str, reason, at| {
        assert_eq!(json.matches(from).count(), 1, "{from} stands once in {json}");
        Refused { name, input: Input::Json(json.replace(from, to)), reason, at, is_beyond_schema: false }
    };
    let beyond = |refused| Refused { is_beyond_schema: true, ..refused };
    vec![
        in_cbor("cbor cut off", &cbor[cbor.len() - 1..], b"", "malformed", "/metadata/correlation"),
        in_cbor("cbor with a byte after the end", &cbor, &[&cbor[..], &[0xf6]].concat(), "malformed", ""),
        in_cbor(
            "cbor with a length longer than it needs",
            b"\x61v\x01\x64body",
            b"\x61v\x18\x01\x64body",
            "malformed",
            "/content/v",
        ),
        in_cbor(
            "cbor map of indefinite length",
            b"\x64body\xa0",
            b"\x64body\xbf\xff",
            "malformed",
            "/content/body",
        ),
        in_cbor(
            "cbor keys out of order",
            b"\x61v\x01\x64body\xa0",
            b"\x64body\xa0\x61v\x01",
            "malformed",
            "/content",
        ),
        in_cbor(
            "cbor key twice in the body",
            b"\x64body\xa0",
            b"\x64body\xa2\x61a\x01\x61a\x02",
            "malformed",
            "/content/body",
        ),
        in_cbor(
            "cbor key that is a slash in the body",
            b"\x64body\xa0",
            b"\x64body\xa1\x61/\x01",
            "malformed",
            "/content/body",
        ),
        in_cbor(
            "cbor float that is not a number",
            b"\x64body\xa0",
            b"\x64body\xfb\x7f\xf8\0\0\0\0\0\0",
            "malformed",
            "/content/body",
        ),
        in_cbor(
            "cbor float of 32 bits",
            b"\x64body\xa0",
            b"\x64body\xfa\x3f\xc0\0\0",
            "malformed",
            "/content/body",
        ),
        in_cbor(
            "cbor negative integer below 64 bits",
            b"\x64body\xa0",
            b"\x64body\x3b\x80\0\0\0\0\0\0\0",
            "malformed",
            "/content/body",
        ),
        in_cbor(
            "cbor tag other than a link",
            b"\x64body\xa0",
            b"\x64body\xc1\x01",
            "malformed",
            "/content/body",
        ),
        in_cbor(
            "cbor body nested too deep",
            b"\x64body\xa0",
            &[b"\x64body", &[0x81; 56][..], b"\x80"].concat(),
            "too_large",
            "/content/body",
        ),
        Refused {
            name: "cbor that is no map",
            input: Input::Cbor(vec![0x80]),
            reason: "malformed",
            at: "",
            is_beyond_schema: false,
        },
        in_json("no owner", "\"owner\":\"ada\",", "", "missing", "/metadata/owner"),
        in_json(
            "an empty map of pairs",
            "\"metadata\":{",
            "\"metadata\":{\"user\":{},",
            "malformed",
            "/metadata/user",
        ),
        in_json("empty owner", "\"owner\":\"ada\"", "\"owner\":\"\"", "invalid", "/metadata/owner"),
        in_json("unknown key at the top", "\"hop\":", "\"hops\":", "unknown_key", "/hops"),
        in_json(
            "unknown key in the content",
            "\"entity\":",
            "\"x\":1,\"entity\":",
            "unknown_key",
            "/content/x",
        ),
        in_json(
            "an event without an entity",
            "\"entity\":\"report-7f3a\",",
            "",
            "missing",
            "/content/entity",
        ),
        in_json("an entity in a query", "\"event\":", "\"query\":", "unknown_key", "/content/entity"),
        in_json("two kinds", "\"event\":", "\"query\":\"a.B\",\"event\":", "malformed", "/content/query"),
        in_json("no kind", "\"event\":\"documents.DocumentAdded\",", "", "missing", "/content"),
        in_json(
            "no body",
            "\"body\":{\"pages\":112,\"title\":\"Annual report\"},",
            "",
            "missing",
            "/content",
        ),
        in_json(
            "a type without a context",
            "documents.DocumentAdded",
            "DocumentAdded",
            "invalid",
            "/content/event",
        ),
        in_json("an upper case id", "\"id\":\"01a1fd8c", "\"id\":\"01A1FD8C", "invalid", "/id"),
        in_json("a time without milliseconds", "10:00:00.123Z", "10:00:00Z", "invalid", "/metadata/time"),
        beyond(in_json(
            "a day that the month does not have",
            "2026-11-21T",
            "2026-11-31T",
            "invalid",
            "/metadata/time",
        )),
        in_json(
            "the sender node",
            "\"sender\":\"archive\"",
            "\"sender\":\"node\"",
            "invalid",
            "/metadata/sender",
        ),
        in_json("a slash as a key in the body", "{\"pages\":112,", "{\"/\":112,", "malformed", ""),
        beyond(in_json("an integer beyond 64 bits", "112", "18446744073709551616", "malformed", "")),
        beyond(in_json("a key twice", "\"pages\":112,", "\"pages\":112,\"pages\":113,", "malformed", "")),
        beyond(in_json("a place outside of its commit", "[0,1]", "[1,1]", "invalid", "/hop/commit")),
    ]
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).rposition(|window| window == from).expect("what is to be replaced");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
