//! What cannot be read: at every door the same bytes, and the same kind of refusal.

use comms_msg::door::RefusalKind;
use comms_msg::limits::MSG_BYTES_MAX;

use super::Siege;

/// More levels than any reader takes, and than any stack would.
const LEVELS: usize = 10_000;

/// Every door, with a service that may use it.
const DOORS: [(&str, &str); 7] = [
    ("evil", "hello"),
    ("evil", "listen"),
    ("evil", "watch"),
    ("evil", "command.lending.Lend"),
    ("evil", "outcome.lending.Lend"),
    ("evil", "event.lending.Noted"),
    ("lender", "commit.lending.Lend"),
];

/// A value in JSON as the body of a message.
fn json_body(value: &[u8]) -> Vec<u8> {
    [&b"{\"content\":{\"body\":"[..], value, b"}}"].concat()
}

/// A value in CBOR as the body of a message.
fn cbor_body(value: &[u8]) -> Vec<u8> {
    [&b"\xa1\x67content\xa1\x64body"[..], value].concat()
}

fn nested(open: &[u8], close: &[u8]) -> Vec<u8> {
    [open.repeat(LEVELS), b"1".to_vec(), close.repeat(LEVELS)].concat()
}

/// Names of what is wrong, with payloads that are.
fn payloads() -> Vec<(&'static str, Vec<u8>)> {
    let mut payloads = vec![
        ("nothing but NUL bytes", vec![0; 64]),
        ("no item of CBOR", vec![0xff]),
        ("a bare number", b"\x05".to_vec()),
        ("a bare word", b"null".to_vec()),
        ("an open brace", b"{".to_vec()),
        ("brackets", b"[".repeat(LEVELS)),
        ("two objects", b"{}{}".to_vec()),
        ("two maps", b"\xa0\xa0".to_vec()),
        ("a map of indefinite length", b"\xbf\xff".to_vec()),
        ("a map of 2^64-1 pairs", [&[0xbb][..], &[0xff; 8]].concat()),
        ("a frame of 2^32 messages", b"\x9b\x00\x00\x00\x01\x00\x00\x00\x00".to_vec()),
    ];
    for (what, value) in [
        ("objects in objects", nested(b"{\"a\":", b"}")),
        ("arrays in arrays", nested(b"[", b"]")),
        ("a key twice", b"{\"a\":1,\"a\":2}".to_vec()),
        ("text that is not UTF-8", b"\"\xff\xfe\"".to_vec()),
        ("half a surrogate pair", b"\"\\ud800\"".to_vec()),
        ("a raw NUL in text", b"\"\0\"".to_vec()),
        ("a number beyond 64 bits", b"18446744073709551616".to_vec()),
        ("a number beyond floats", b"1e999".to_vec()),
        ("no number", b"NaN".to_vec()),
        ("a link that is none", b"{\"/\":5}".to_vec()),
        ("a CID cut off", b"{\"/\":\"bafkreifzjut3te2nhyek\"}".to_vec()),
        ("bytes that are not base64", b"{\"/\":{\"bytes\":\"*\"}}".to_vec()),
    ] {
        payloads.push((what, json_body(&value)));
    }
    for (what, value) in [
        ("maps in maps", [b"\xa1\x61a".repeat(LEVELS), b"\xf6".to_vec()].concat()),
        ("lists in lists", [b"\x81".repeat(LEVELS), b"\xf6".to_vec()].concat()),
        ("tags in tags", b"\xd8\x2a".repeat(LEVELS)),
        ("bytes of 2^63-1", b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff".to_vec()),
        ("text of 4 GiB", b"\x7a\xff\xff\xff\xff".to_vec()),
        ("a list of 2^64-1", [&[0x9b][..], &[0xff; 8]].concat()),
        ("a map of 2^31 pairs", b"\xba\x80\x00\x00\x00".to_vec()),
        ("a key twice", b"\xa2\x61a\x01\x61a\x02".to_vec()),
        ("keys out of order", b"\xa2\x61b\x01\x61a\x02".to_vec()),
        ("a key that is no text", b"\xa1\x01\x01".to_vec()),
        ("the reserved key", b"\xa1\x61/\x01".to_vec()),
        ("text that is not UTF-8", b"\x62\xff\xfe".to_vec()),
        ("a number longer than it needs", b"\x18\x01".to_vec()),
        ("a float that is no number", b"\xfb\x7f\xf8\x00\x00\x00\x00\x00\x00".to_vec()),
        ("a short float", b"\xf9\x3c\x00".to_vec()),
        ("another tag", b"\xc1\x00".to_vec()),
        ("a CID cut off", b"\xd8\x2a\x45\x00\x01\x55\x12\x20".to_vec()),
        ("a CID with bytes after it", [&b"\xd8\x2a\x58\x26\x00\x01\x55\x12\x20"[..], &[7; 33]].concat()),
    ] {
        payloads.push((what, cbor_body(&value)));
    }
    // A good message, cut anywhere.
    let (json, cbor) = (json_body(b"{\"n\":1,\"text\":\"word\"}"), cbor_body(b"\xa1\x61n\x01"));
    for whole in [json, cbor] {
        payloads.extend((1..whole.len()).step_by(3).map(|end| ("a message cut off", whole[..end].to_vec())));
    }
    payloads
}

/// What a request at a door that keeps nothing may have.
const SMALL_DOOR_BYTES_MAX: usize = 16_384;

fn is_small(door: &str) -> bool {
    ["hello", "listen", "watch", "outcome"].iter().any(|small| door.starts_with(small))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_at_every_door() {
    let siege = Siege::begin().await;
    for (service, door) in DOORS {
        let attacker = siege.attacker(service).await;
        for (what, payload) in payloads() {
            let is_too_large = is_small(door) && payload.len() > SMALL_DOOR_BYTES_MAX;
            let kind = if is_too_large { RefusalKind::TooLarge } else { RefusalKind::Malformed };
            let refusal = attacker.refused(door, payload).await;
            assert_eq!(refusal.kind, kind, "{what} at door {door}: {refusal}");
            assert!(
                refusal.to_string().len() < 1_000,
                "the reason repeats the attack: {what} at door {door}"
            );
        }
    }
    siege.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_longer_than_a_message_may_be_is_refused_at_every_door() {
    let siege = Siege::begin().await;
    let long = |mut payload: Vec<u8>| {
        payload.resize(MSG_BYTES_MAX + 1, b' ');
        payload
    };
    let text = MSG_BYTES_MAX - 12;
    let cbor =
        [cbor_body(b"\x7a"), u32::try_from(text).unwrap().to_be_bytes().to_vec(), vec![b'x'; text]].concat();
    assert!(cbor.len() > MSG_BYTES_MAX);
    for (service, door) in DOORS {
        let attacker = siege.attacker(service).await;
        for payload in [long(b"{}".to_vec()), long(b"[".to_vec()), long(b"\xa0".to_vec()), cbor.clone()] {
            let refusal = attacker.refused(door, payload).await;
            assert_eq!(refusal.kind, RefusalKind::TooLarge, "{refusal}");
            let bound = if is_small(door) { SMALL_DOOR_BYTES_MAX } else { MSG_BYTES_MAX };
            assert!(refusal.message.contains(&bound.to_string()), "{refusal}");
        }
    }
    siege.end().await;
}
