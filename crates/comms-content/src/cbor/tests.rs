//! The strict reader against what is not canonical, and against bytes of no meaning.

use proptest::prelude::*;

use crate::cbor::{Kind, Problem, Reader, Writer, key_order};
use crate::limits::DEPTH_MAX;
use crate::vectors::unhex;
use crate::{Cid, Error};

/// What is wrong with these bytes as one item.
fn problem(bytes: &[u8]) -> Option<Problem> {
    let mut reader = Reader::new(bytes);
    match reader.item().and_then(|_| reader.finish()) {
        Ok(()) => None,
        Err(Error::Cbor { problem, .. }) => Some(problem),
        Err(other) => panic!("another kind of error: {other}"),
    }
}

#[test]
fn what_is_not_canonical_is_refused() {
    let cases = [
        ("", Problem::Truncated),
        ("0000", Problem::Trailing),
        ("18", Problem::Truncated),
        ("1817", Problem::NotShortest),
        ("1900ff", Problem::NotShortest),
        ("1a0000ffff", Problem::NotShortest),
        ("1b00000000ffffffff", Problem::NotShortest),
        ("1bffffffffffffff", Problem::Truncated),
        ("1c", Problem::Unknown),
        ("1f", Problem::Indefinite),
        ("3b8000000000000000", Problem::Range),
        ("3bffffffffffffffff", Problem::Range),
        ("5800", Problem::NotShortest),
        ("4100ff", Problem::Trailing),
        ("42ff", Problem::Truncated),
        ("5f4100ff", Problem::Indefinite),
        ("61ff", Problem::Utf8),
        ("62c080", Problem::Utf8),
        ("7f6161ff", Problem::Indefinite),
        ("8101ff", Problem::Trailing),
        ("81", Problem::Truncated),
        ("9fff", Problem::Indefinite),
        ("bfff", Problem::Indefinite),
        ("a10000", Problem::Unexpected { wanted: Kind::Text, found: Kind::Unsigned }),
        ("a1410000", Problem::Unexpected { wanted: Kind::Text, found: Kind::Bytes }),
        ("a2616201616100", Problem::KeyOrder),
        ("a262616101616200", Problem::KeyOrder),
        ("a2616101616100", Problem::KeyTwice),
        ("a1612f00", Problem::KeyReserved),
        ("81a1612f00", Problem::KeyReserved),
        ("c000", Problem::Unknown),
        ("d82b4100", Problem::Unknown),
        ("d82900", Problem::Unknown),
        ("d82a00", Problem::Unexpected { wanted: Kind::Bytes, found: Kind::Unsigned }),
        ("d82a40", Problem::Link),
        ("d82a4100", Problem::Link),
        ("d82a4101", Problem::Link),
        ("d9002a4100", Problem::NotShortest),
        ("f7", Problem::Unknown),
        ("e0", Problem::Unknown),
        ("f800", Problem::Unknown),
        ("f93c00", Problem::Unknown),
        ("fa3f800000", Problem::Unknown),
        ("fb3ff0", Problem::Truncated),
        ("fb7ff8000000000000", Problem::NotFinite),
        ("fb7ff0000000000000", Problem::NotFinite),
        ("fbfff0000000000000", Problem::NotFinite),
        ("fb8000000000000000", Problem::NegativeZero),
        ("ff", Problem::Unknown),
    ];
    for (hex, wanted) in cases {
        assert_eq!(problem(&unhex(hex)), Some(wanted), "{hex}");
    }
}

#[test]
fn a_length_beyond_the_input_is_refused_at_its_head() {
    for major in 2..=5u8 {
        for length in ["fa7fffffff", "fbffffffffffffffff", "fb7fffffffffffffff"] {
            let mut bytes = unhex(length).to_vec();
            bytes[0] = major << 5 | (bytes[0] & 0x1f);
            assert_eq!(problem(&bytes), Some(Problem::Truncated), "major {major}, {length}");
        }
    }
    // Two bytes are the least that a pair has.
    assert_eq!(problem(&unhex("a26000")), Some(Problem::Truncated));
}

#[test]
fn nesting_ends_at_the_limit() {
    for (open, close) in [(&[0x81][..], 0xf6), (&[0xa1, 0x60][..], 0xf6)] {
        let nested = |levels: usize| [open.repeat(levels), vec![close]].concat();
        assert_eq!(problem(&nested(DEPTH_MAX)), None);
        assert_eq!(problem(&nested(DEPTH_MAX + 1)), Some(Problem::Depth));
        assert_eq!(problem(&nested(1_000_000)), Some(Problem::Depth));
    }
    let empty = [&[0x81].repeat(DEPTH_MAX)[..], &[0x80]].concat();
    assert_eq!(problem(&empty), Some(Problem::Depth));
}

#[test]
fn an_envelope_is_read_back_without_copies() {
    let cid = Cid::raw(b"x");
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    writer.map(8);
    writer.text("a");
    writer.text("text");
    writer.text("b");
    writer.bytes(b"bytes");
    writer.text("c");
    writer.link(&cid);
    writer.text("d");
    writer.array(2);
    writer.bool(true);
    writer.null();
    writer.text("e");
    writer.float(1.5).unwrap();
    writer.text("f");
    writer.signed(-1000);
    writer.text("g");
    writer.item(&[0x80]);
    writer.text("h");
    writer.unsigned(7);
    assert_eq!(problem(&bytes), None);

    let mut reader = Reader::new(&bytes);
    let mut map = reader.map().unwrap();
    assert_eq!(map.remaining(), 8);
    while let Some(key) = reader.key(&mut map).unwrap() {
        match key {
            "a" => {
                let text = reader.text().unwrap();
                assert_eq!(text, "text");
                assert!(bytes.as_ptr_range().contains(&text.as_ptr()));
            }
            "b" => assert_eq!(reader.bytes().unwrap(), b"bytes"),
            "c" => assert_eq!(reader.link().unwrap(), cid),
            "d" => {
                assert_eq!(reader.array().unwrap(), 2);
                assert!(reader.bool().unwrap());
                reader.null().unwrap();
            }
            "e" => assert_eq!(reader.float(), Ok(1.5)),
            "f" => assert_eq!(reader.signed(), Ok(-1000)),
            "g" => assert_eq!(reader.item().unwrap(), [0x80]),
            "h" => {
                let found = Problem::Unexpected { wanted: Kind::Map, found: Kind::Unsigned };
                let at = reader.position();
                assert_eq!(reader.clone().map().unwrap_err(), Error::Cbor { at, problem: found });
                assert_eq!(reader.signed(), Ok(7));
            }
            other => panic!("unknown key {other}"),
        }
    }
    assert_eq!(map.remaining(), 0);
    assert!(reader.key(&mut map).unwrap().is_none());
    reader.finish().unwrap();
    assert!(reader.is_empty());
}

#[test]
fn keys_may_be_taken_as_bytes_that_nobody_checked() {
    let bytes = unhex("a161ff00");
    let mut reader = Reader::new(&bytes);
    let mut map = reader.map().unwrap();
    assert_eq!(reader.clone().key(&mut map), Err(Error::Cbor { at: 1, problem: Problem::Utf8 }));
    let mut reader = Reader::new(&bytes);
    let mut map = reader.map().unwrap();
    assert_eq!(reader.key_bytes(&mut map), Ok(Some(&b"\xff"[..])));
    assert_eq!(reader.unsigned(), Ok(0));
    assert_eq!(reader.key_bytes(&mut map), Ok(None));
}

#[test]
fn the_writer_refuses_and_mends_floats() {
    let mut bytes = Vec::new();
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let error = Writer::new(&mut bytes).float(value).unwrap_err();
        assert_eq!(error, Error::Cbor { at: 0, problem: Problem::NotFinite });
    }
    assert!(bytes.is_empty());
    Writer::new(&mut bytes).float(-0.0).unwrap();
    assert_eq!(Reader::new(&bytes).float().unwrap().to_bits(), 0);
}

proptest! {
    #[test]
    fn integers_survive(unsigned: u64, signed: i64, small in -70_000i64..70_000) {
        for value in [signed, small, i64::MIN, i64::MAX] {
            let mut bytes = Vec::new();
            Writer::new(&mut bytes).signed(value);
            prop_assert_eq!(Reader::new(&bytes).signed(), Ok(value));
            prop_assert_eq!(problem(&bytes), None);
        }
        let mut bytes = Vec::new();
        Writer::new(&mut bytes).unsigned(unsigned);
        prop_assert_eq!(Reader::new(&bytes).unsigned(), Ok(unsigned));
        prop_assert_eq!(Reader::new(&bytes).signed().ok(), i64::try_from(unsigned).ok());
    }

    #[test]
    fn strings_survive(text: String, length in prop_oneof![0usize..300, 65_530usize..65_540]) {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        let data = vec![7; length];
        writer.text(&text);
        writer.bytes(&data);
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(reader.text().unwrap(), text);
        prop_assert_eq!(reader.bytes().unwrap(), data);
        reader.finish().unwrap();
    }

    #[test]
    fn keys_are_ordered_as_their_encodings(a: String, b: String) {
        let encode = |key: &str| {
            let mut bytes = Vec::new();
            Writer::new(&mut bytes).text(key);
            bytes
        };
        prop_assert_eq!(key_order(&a, &b), encode(&a).cmp(&encode(&b)));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = problem(&bytes);
        let read: [fn(&mut Reader<'_>) -> bool; 10] = [
            |reader| reader.text().is_ok(),
            |reader| reader.bytes().is_ok(),
            |reader| reader.unsigned().is_ok(),
            |reader| reader.signed().is_ok(),
            |reader| reader.float().is_ok(),
            |reader| reader.bool().is_ok(),
            |reader| reader.null().is_ok(),
            |reader| reader.link().is_ok(),
            |reader| reader.array().is_ok(),
            |reader| reader.map().is_ok(),
        ];
        // At most one kind of item begins with any byte, but small integers are of both signs.
        let kinds = read.iter().filter(|read| read(&mut Reader::new(&bytes))).count();
        prop_assert!(kinds <= 2);
    }
}
