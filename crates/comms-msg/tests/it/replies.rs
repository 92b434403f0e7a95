//! Answers to queries.

use bytes::Bytes;
use comms_content::{Node, cbor};
use comms_msg::door::{FieldProblem, Refusal, RefusalKind};
use comms_msg::{Form, Reply};

use crate::golden;

fn replies() -> [Reply; 2] {
    let value = Node::from_json(br#"{"found": [{"title": "Annual report"}]}"#).unwrap();
    let refusal = Refusal::new(RefusalKind::Invalid, "words missing")
        .with_problems([FieldProblem { path: "/words".into(), problem: "missing".into() }]);
    [Reply { to: golden::id(1), answer: Ok(value) }, Reply { to: golden::id(2), answer: Err(refusal) }]
}

#[test]
fn replies_in_each_form_alone_and_together() {
    for reply in replies() {
        for form in [Form::Cbor, Form::Json] {
            let bytes = reply.to_wire(form).unwrap();
            assert_eq!(Form::of(&bytes), form);
            assert_eq!(Reply::read(&bytes).unwrap(), std::slice::from_ref(&reply));
        }
        let cbor = reply.to_wire(Form::Cbor).unwrap();
        assert!(Node::from_cbor(cbor).is_ok(), "canonical");
    }
    let mut frame = vec![0x82];
    for reply in replies() {
        reply.write_cbor(&mut frame).unwrap();
    }
    assert_eq!(Reply::read(&frame.into()).unwrap(), replies());
}

#[test]
fn the_shape_in_json() {
    let json = replies()[0].to_wire(Form::Json).unwrap();
    let expected = format!(r#"{{"ok":{{"found":[{{"title":"Annual report"}}]}},"to":"{}"}}"#, golden::id(1));
    assert_eq!(json, expected);
}

#[test]
fn what_is_no_reply_is_refused() {
    let id = golden::id(1);
    for (json, at) in [
        ("{}".to_owned(), "/to"),
        (format!(r#"{{"to": "{id}"}}"#), ""),
        (format!(r#"{{"to": "{id}", "ok": 1, "error": {{}}}}"#), ""),
        (format!(r#"{{"to": "{id}", "error": {{}}}}"#), "/error"),
        (format!(r#"{{"to": "{id}", "ok": 1, "x": 1}}"#), "/x"),
        (r#"{"to": "7", "ok": 1}"#.to_owned(), "/to"),
        (r#"[{"to": "7", "ok": 1}]"#.to_owned(), "/0/to"),
        ("7".to_owned(), ""),
        ("[]".to_owned(), ""),
    ] {
        let error = Reply::read(&Bytes::from(json.clone())).unwrap_err();
        assert_eq!(error.at(), at, "{json}: {error}");
    }
    // An array of nothing is no answer in the other form either.
    assert_eq!(Reply::read(&Bytes::from_static(&[0x80])).unwrap_err().at(), "");
    let many = format!("[{}]", vec![format!(r#"{{"to":"{id}","ok":1}}"#); 101].join(","));
    assert_eq!(Reply::read(&many.into()).unwrap_err().reason(), "too_large");
}

#[test]
fn a_value_too_deep_for_a_message_is_too_deep_for_a_reply() {
    let text = format!("{}{}", "[".repeat(57), "]".repeat(57));
    let reply = Reply { to: golden::id(1), answer: Ok(Node::from_json(text.as_bytes()).unwrap()) };
    let mut out = vec![1, 2];
    assert_eq!(reply.write_cbor(&mut out).unwrap_err().at(), "/ok");
    assert_eq!(out, [1, 2]);
}

#[test]
fn what_grows_beyond_a_payload_in_json_is_refused_there() {
    // Bytes become base64, which is a third longer.
    let mut cbor = Vec::new();
    cbor::Writer::new(&mut cbor).bytes(&vec![0; 900_000]);
    let value = Node::from_cbor(cbor.into()).unwrap();
    let reply = Reply { to: golden::id(1), answer: Ok(value) };
    assert!(reply.to_wire(Form::Cbor).is_ok());
    assert_eq!(reply.to_wire(Form::Json).unwrap_err().reason(), "too_large");
}
