//! Nodes through every form and back.

use std::collections::BTreeMap;

use bytes::Bytes;
use ipld_core::ipld::Ipld;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::cbor::{Problem, Reader, Writer};
use crate::limits::{FIELDS_MAX, PATH_BYTES_MAX};
use crate::vectors::{section, unhex};
use crate::{Cid, DAG_CBOR, Error, Node, RAW, json};

/// Any value that a node can be.
fn any_ipld() -> impl Strategy<Value = Ipld> {
    let leaf = prop_oneof![
        Just(Ipld::Null),
        any::<bool>().prop_map(Ipld::Bool),
        any::<i64>().prop_map(|value| Ipld::Integer(value.into())),
        any::<u64>().prop_map(|value| Ipld::Integer(value.into())),
        (-300i64..300).prop_map(|value| Ipld::Integer(value.into())),
        any::<f64>()
            .prop_filter("finite", |value| value.is_finite())
            .prop_map(|value| Ipld::Float(value + 0.0)),
        (-3i8..3).prop_map(|value| Ipld::Float(f64::from(value) + 0.0)),
        any::<String>().prop_map(Ipld::String),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Ipld::Bytes),
        any::<[u8; 32]>().prop_map(|digest| {
            Ipld::Link(cid::Cid::try_from(Cid::from_sha256(RAW, &digest).to_bytes()).unwrap())
        }),
    ];
    let key = prop_oneof!["[a-c]{0,3}", any::<String>()].prop_filter("reserved", |key| key != "/");
    leaf.prop_recursive(5, 60, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Ipld::List),
            prop::collection::btree_map(key.clone(), inner, 0..8).prop_map(Ipld::Map),
        ]
    })
}

fn json_problem(text: &str) -> json::Problem {
    match Node::from_json(text.as_bytes()) {
        Err(Error::Json { problem, .. }) => problem,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn vectors_of_both_forms_agree() {
    for (cbor, text) in section("dagCbor").iter().zip(section("dagJson")) {
        assert_eq!(cbor["name"], text["name"]);
        let node = Node::from_cbor(unhex(cbor["hex"].as_str().unwrap())).unwrap();
        assert_eq!(node.cid().to_string(), cbor["cid"].as_str().unwrap(), "{}", cbor["name"]);
        assert_eq!(*node.to_block().unwrap().cid(), node.cid());
        assert_eq!(node.cid().codec(), DAG_CBOR);
        let text = text["text"].as_str().unwrap();
        assert_eq!(node.to_json(), text);
        assert_eq!(Node::from_json(text.as_bytes()).unwrap(), node);
        assert_eq!(node.to_value().to_string(), text);
    }
}

#[test]
fn foreign_json_is_read_leniently_in_what_means_nothing() {
    let node = Node::from_json(br#"{"b":1,"a":[1,2.0,{"x":null}],"aa":"\u00e9\ud83d\ude00/"}"#).unwrap();
    let other = " {\t\"aa\" : \"é😀\\/\" ,\r\n \"a\":[ 1 , 2e0,{ \"x\" : null } ], \"\\u0062\" :1 }\n ";
    assert_eq!(Node::from_json(other.as_bytes()).unwrap(), node);
    let link = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
    let cid: Cid = link.parse().unwrap();
    for text in [
        format!(r#"{{"/":"{link}"}}"#),
        format!(r#" {{ "\/" : "{link}" }} "#),
        r#"{"/":"zb2rhj7crUKTQYRGCRATFaQ6YFLTde2YzdqbbhAASkL9uRDXn"}"#.to_owned(),
    ] {
        assert_eq!(Node::from_json(text.as_bytes()).unwrap().links(), [cid], "{text}");
    }
    for text in [r#"{"/":{"bytes":"AP8"}}"#, r#"{ "/" : { "bytes" : "AP8=" } }"#] {
        assert_eq!(Node::from_json(text.as_bytes()).unwrap().to_ipld(), Ipld::Bytes(vec![0, 255]), "{text}");
    }
}

#[test]
fn the_digits_do_not_change_kind() {
    let cases = [
        ("1", Ipld::Integer(1)),
        ("-0", Ipld::Integer(0)),
        ("1.0", Ipld::Float(1.0)),
        ("-0.0", Ipld::Float(0.0)),
        ("1e2", Ipld::Float(100.0)),
        ("0.5E-1", Ipld::Float(0.05)),
        ("18446744073709551615", Ipld::Integer(u64::MAX.into())),
        ("-9223372036854775808", Ipld::Integer(i64::MIN.into())),
        ("1e-400", Ipld::Float(0.0)),
    ];
    for (text, value) in cases {
        assert_eq!(Node::from_json(text.as_bytes()).unwrap().to_ipld(), value, "{text}");
    }
    for float in ["1.0", "100.0", "1e+16", "1.7976931348623157e+308", "5e-324", "0.00001", "-0.1"] {
        assert_eq!(Node::from_json(float.as_bytes()).unwrap().to_json(), float);
    }
}

#[test]
fn json_that_would_change_or_lose_a_value_is_refused() {
    use json::Problem;
    let cases = [
        ("", Problem::Truncated),
        (" ", Problem::Truncated),
        ("nul", Problem::Truncated),
        ("nulx", Problem::Syntax),
        ("NaN", Problem::Syntax),
        ("\u{feff}1", Problem::ByteOrderMark),
        ("1 2", Problem::Trailing),
        ("01", Problem::Trailing),
        ("+1", Problem::Syntax),
        ("-", Problem::Truncated),
        ("1.", Problem::Truncated),
        ("1.x", Problem::Syntax),
        ("1e", Problem::Truncated),
        ("1e400", Problem::NotFinite),
        ("18446744073709551616", Problem::Range),
        ("-9223372036854775809", Problem::Range),
        ("-11959030306112471732", Problem::Range),
        ("[1", Problem::Truncated),
        ("[1,]", Problem::Syntax),
        ("[1 2]", Problem::Syntax),
        ("{\"a\":1", Problem::Truncated),
        ("{\"a\":1,}", Problem::Syntax),
        ("{\"a\" 1}", Problem::Syntax),
        ("{a:1}", Problem::Syntax),
        ("{\"a\":1,\"b\":2,\"a\":3}", Problem::KeyTwice),
        ("{\"a\":1,\"\\u0061\":1}", Problem::KeyTwice),
        ("\"a", Problem::Truncated),
        ("\"a\\", Problem::Truncated),
        ("\"\\u12\"", Problem::Truncated),
        ("\"\\u12g4\"", Problem::Text),
        ("\"\\x\"", Problem::Text),
        ("\"\n\"", Problem::Text),
        ("\"\\ud800\"", Problem::Text),
        ("\"\\udc00\\ud800\"", Problem::Text),
        ("\"\\ud800\\u0041\"", Problem::Text),
        ("{\"/\":1}", Problem::KeyReserved),
        ("{\"/\":{}}", Problem::Syntax),
        ("{\"/\":{\"byte\":\"\"}}", Problem::KeyReserved),
        ("{\"/\":{\"bytes\":1}}", Problem::KeyReserved),
        ("{\"/\":{\"bytes\":\"\",\"a\":1}}", Problem::KeyReserved),
        ("{\"/\":{\"bytes\":\"\"},\"a\":1}", Problem::KeyReserved),
        ("{\"/\":{\"bytes\":\"%\"}}", Problem::Base64),
        ("{\"/\":{\"bytes\":\"AB\"}}", Problem::Base64),
        ("{\"/\":\"hello\"}", Problem::Link),
        ("{\"a\":1,\"/\":1}", Problem::KeyReserved),
        ("{\"/\":\"bafkqaaa\",\"a\":1}", Problem::KeyReserved),
    ];
    for (text, problem) in cases {
        assert_eq!(json_problem(text), problem, "{text}");
    }
    assert!(matches!(Node::from_json(b"\"\xff\""), Err(Error::Json { problem: Problem::Utf8, .. })));
}

#[test]
fn deep_json_is_an_error_and_no_overflow() {
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let node = Node::from_json(nested(64).as_bytes()).unwrap();
    assert_eq!(node.to_json(), nested(64));
    assert_eq!(json_problem(&nested(65)), json::Problem::Depth);
    assert_eq!(json_problem(&"[".repeat(1_000_000)), json::Problem::Depth);
    assert_eq!(json_problem(&"{\"a\":".repeat(1_000_000)), json::Problem::Depth);
    // A link looks like a level, but is none; an empty object is one.
    let holding = |inner: &str| format!("{}{inner}{}", "[".repeat(64), "]".repeat(64));
    Node::from_json(holding(r#"{"/":"bafkqaaa"}"#).as_bytes()).unwrap();
    Node::from_json(holding(r#"{"/":{"bytes":""}}"#).as_bytes()).unwrap();
    assert_eq!(json_problem(&holding("{}")), json::Problem::Depth);
    assert_eq!(json_problem(&holding("[]")), json::Problem::Depth);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct AddDocument {
    title: String,
    #[serde(with = "serde_bytes")]
    file: Vec<u8>,
    pages: Vec<Page>,
    link: Option<Cid>,
    weight: f64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Page {
    #[serde(with = "serde_bytes")]
    scan: Vec<u8>,
}

fn document() -> AddDocument {
    let pages = [100, 3, 101].map(|size| Page { scan: vec![1; size] });
    AddDocument {
        title: "A title".to_owned(),
        file: vec![2; 5000],
        pages: pages.into(),
        link: Some(Cid::raw(b"x")),
        weight: 1.0,
    }
}

#[test]
fn a_type_survives_every_form() {
    let node = Node::encode(&document()).unwrap();
    assert_eq!(node.decode::<AddDocument>().unwrap(), document());
    let again = Node::from_json(node.to_json().as_bytes()).unwrap();
    assert_eq!(again, node);
    assert_eq!(again.decode::<AddDocument>().unwrap(), document());
    assert!(matches!(node.decode::<Page>(), Err(Error::Model { .. })));
    assert!(matches!(Node::encode(&f64::NAN), Err(Error::Model { .. })));
    let reserved = BTreeMap::from([("/", 1)]);
    assert!(matches!(Node::encode(&reserved), Err(Error::Cbor { problem: Problem::KeyReserved, .. })));
    assert!(!format!("{node:?}").contains("title"));
}

#[test]
fn a_node_within_a_value_is_the_value_itself() {
    let inner = Node::encode(&document()).unwrap();
    let outer = Node::encode(&BTreeMap::from([("body", &inner)])).unwrap();
    let back: BTreeMap<String, Node> = outer.decode().unwrap();
    assert_eq!(back["body"], inner);
    let direct: BTreeMap<String, AddDocument> = outer.decode().unwrap();
    assert_eq!(direct["body"], document());
}

#[test]
fn a_node_is_read_out_of_a_message_without_a_copy() {
    let body = Node::encode(&document()).unwrap();
    let mut message = Vec::new();
    let mut writer = Writer::new(&mut message);
    writer.array(2);
    writer.unsigned(1);
    writer.item(body.as_bytes());
    let message = Bytes::from(message);
    let mut reader = Reader::new(&message);
    reader.array().unwrap();
    reader.unsigned().unwrap();
    let read = Node::read(&mut reader, &message).unwrap();
    reader.finish().unwrap();
    assert_eq!(read, body);
    assert!(message.as_ptr_range().contains(&read.as_bytes().as_ptr()));
}

#[test]
fn byte_strings_leave_for_links_in_two_steps() {
    let node = Node::encode(&document()).unwrap();
    let paths = |threshold| -> Vec<String> {
        node.bytes_over(threshold).unwrap().iter().map(|field| field.path().to_owned()).collect()
    };
    assert_eq!(paths(5000), [""; 0]);
    assert_eq!(paths(101), ["/file"]);
    assert_eq!(paths(100), ["/file", "/pages/2/scan"]);
    assert_eq!(paths(99), ["/file", "/pages/0/scan", "/pages/2/scan"]);

    let fields: Vec<_> = node
        .bytes_over(99)
        .unwrap()
        .into_iter()
        .map(|field| {
            let bytes = node.bytes_of(&field);
            assert_eq!(node.as_bytes()[field.range()], bytes);
            (field, Cid::raw(&bytes))
        })
        .collect();
    let offloaded = node.with_links(&fields).unwrap();
    assert_eq!(Node::from_cbor(offloaded.as_bytes().clone()).unwrap(), offloaded);
    assert_eq!(offloaded.bytes_over(99).unwrap(), []);
    let value = offloaded.to_value();
    assert_eq!(value["title"], "A title");
    assert_eq!(value["file"]["/"], Cid::raw(&[2; 5000]).to_string());
    assert_eq!(value["pages"][2]["scan"]["/"], Cid::raw(&[1; 101]).to_string());
    assert_eq!(value["pages"][1]["scan"]["/"]["bytes"], "AQEB");
    assert_eq!(
        offloaded.links(),
        [Cid::raw(&[2; 5000]), Cid::raw(b"x"), Cid::raw(&[1; 100]), Cid::raw(&[1; 101])]
    );

    // Some of them, none of them, and fields that are not this node's.
    assert_eq!(node.with_links(&fields[1..2]).unwrap().bytes_over(99).unwrap().len(), 2);
    assert_eq!(node.with_links(&[]).unwrap(), node);
    let backwards: Vec<_> = fields.iter().rev().cloned().collect();
    assert!(matches!(node.with_links(&backwards), Err(Error::Model { .. })));
    assert!(matches!(offloaded.with_links(&fields[..1]), Err(Error::Model { .. })));
}

#[test]
fn the_whole_node_may_be_bytes() {
    let node = Node::from_ipld(&Ipld::Bytes(vec![0; 10])).unwrap();
    let [field] = node.bytes_over(9).unwrap().try_into().unwrap();
    assert_eq!(field.path(), "");
    assert_eq!(node.with_links(&[(field, Cid::raw(b""))]).unwrap().links(), [Cid::raw(b"")]);
}

#[test]
fn paths_are_escaped_and_cut() {
    let path = |key: &str| {
        let node = Node::from_ipld(&Ipld::Map([(key.to_owned(), Ipld::Bytes(vec![0]))].into())).unwrap();
        node.bytes_over(0).unwrap()[0].path().to_owned()
    };
    assert_eq!(path("a/b~c"), "/a~1b~0c");
    assert_eq!(path(""), "/");
    assert_eq!(path(&"é".repeat(2000)).len(), PATH_BYTES_MAX - 1);
}

#[test]
fn fields_are_counted() {
    let fields =
        |count| Node::from_ipld(&Ipld::List(vec![Ipld::Bytes(vec![0]); count])).unwrap().bytes_over(0);
    assert_eq!(fields(FIELDS_MAX).unwrap().len(), FIELDS_MAX);
    assert!(matches!(fields(FIELDS_MAX + 1), Err(Error::TooLarge { .. })));
}

#[test]
fn links_come_once_each_and_all() {
    let link = |n: u32| Ipld::Link(cid::Cid::try_from(Cid::raw(&n.to_be_bytes()).to_bytes()).unwrap());
    let list = (0..5000).chain(0..5000).map(link).collect();
    let links = Node::from_ipld(&Ipld::List(list)).unwrap().links();
    assert_eq!(links.len(), 5000);
    assert_eq!(links[4999], Cid::raw(&4999u32.to_be_bytes()));
}

proptest! {
    #[test]
    fn any_value_survives_every_form(value in any_ipld()) {
        let node = Node::from_ipld(&value).unwrap();
        prop_assert_eq!(&node.to_ipld(), &value);
        prop_assert_eq!(&Node::from_cbor(node.as_bytes().clone()).unwrap(), &node);
        prop_assert_eq!(&Node::from_json(node.to_json().as_bytes()).unwrap(), &node);
        prop_assert_eq!(&Node::from_value(&node.to_value()).unwrap(), &node);
        let pretty = serde_json::to_string_pretty(&node.to_value()).unwrap();
        prop_assert_eq!(&Node::from_json(pretty.as_bytes()).unwrap(), &node);
    }

    #[test]
    fn the_json_is_that_of_another_encoder(value in any_ipld()) {
        let node = Node::from_ipld(&value).unwrap();
        let other = String::from_utf8(serde_ipld_dagjson::to_vec(&value).unwrap()).unwrap();
        prop_assert_eq!(node.to_json(), other);
    }

    #[test]
    fn what_is_accepted_is_the_only_encoding(value in any_ipld(), changes: Vec<(prop::sample::Index, u8)>) {
        let mut bytes = Node::from_ipld(&value).unwrap().into_bytes().to_vec();
        for (index, byte) in changes.into_iter().take(3) {
            *index.get_mut(&mut bytes) = byte;
        }
        if let Ok(node) = Node::from_cbor(bytes.clone().into()) {
            prop_assert_eq!(Node::from_ipld(&node.to_ipld()).unwrap().into_bytes(), bytes);
            prop_assert_eq!(&Node::from_json(node.to_json().as_bytes()).unwrap(), &node);
            node.links();
            let _ = node.bytes_over(0);
        }
    }

    #[test]
    fn changed_json_is_a_node_or_an_error(value in any_ipld(), changes: Vec<(prop::sample::Index, u8)>) {
        let mut text = Node::from_ipld(&value).unwrap().to_json().into_bytes();
        for (index, byte) in changes.into_iter().take(3) {
            *index.get_mut(&mut text) = byte;
        }
        if let Ok(node) = Node::from_json(&text) {
            prop_assert_eq!(Node::from_cbor(node.as_bytes().clone()).unwrap(), node);
        }
    }

    #[test]
    fn no_text_panics(text in prop_oneof![
        r#"[\[\]{},:"\\/0-9a-u.eE+ -]{0,60}"#.prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..60),
    ]) {
        let _ = Node::from_json(&text);
    }

    #[test]
    fn offloading_replaces_exactly_what_it_names(value in any_ipld(), threshold in 0usize..40) {
        let node = Node::from_ipld(&value).unwrap();
        let fields = node.bytes_over(threshold).unwrap();
        let links: Vec<_> = fields.into_iter().map(|field| {
            let cid = Cid::raw(&node.bytes_of(&field));
            (field, cid)
        }).collect();
        let offloaded = node.with_links(&links).unwrap();
        prop_assert_eq!(&Node::from_cbor(offloaded.as_bytes().clone()).unwrap(), &offloaded);
        fn replace(value: &mut Ipld, threshold: usize) {
            match value {
                Ipld::Bytes(bytes) if bytes.len() > threshold => {
                    *value = Ipld::Link(cid::Cid::try_from(Cid::raw(bytes).to_bytes()).unwrap());
                }
                Ipld::List(list) => list.iter_mut().for_each(|value| replace(value, threshold)),
                Ipld::Map(map) => map.values_mut().for_each(|value| replace(value, threshold)),
                _ => {}
            }
        }
        let mut expected = value;
        replace(&mut expected, threshold);
        prop_assert_eq!(offloaded.to_ipld(), expected);
    }
}

#[test]
fn what_does_not_fit_a_type_is_said_in_words() {
    #[derive(Debug, serde::Deserialize)]
    struct Page {
        #[expect(dead_code, reason = "only decoded")]
        number: u64,
        #[expect(dead_code, reason = "only decoded")]
        title: String,
    }
    for (json, said) in [
        (r#"{"title":"x"}"#, "missing field `number`"),
        (r#"{"number":-1,"title":"x"}"#, "field `number`: u64 is expected, and there is a whole number"),
        (r#"{"number":1,"title":2}"#, "field `title`: str is expected, and there is a whole number"),
        (r#"{"number":1,"title":null}"#, "field `title`: str is expected, and there is null"),
    ] {
        let error = Node::from_json(json.as_bytes()).unwrap().decode::<Page>().unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

/// A number that is written with a fraction or an exponent is the nearest float, as IEEE 754 rounds it.
#[test]
fn a_number_with_a_fraction_is_the_nearest_float() {
    for (text, float) in [
        ("9007199254740993.0", 9_007_199_254_740_992.0),
        ("0.1e-400", 0.0),
        ("0.1", 0.1),
        ("1e3", 1000.0),
        ("5e-324", 5e-324),
    ] {
        assert_eq!(Node::from_json(text.as_bytes()).unwrap(), Node::encode(&float).unwrap(), "{text}");
    }
    for text in ["1e400", "-1e309", "18446744073709551616", "-9223372036854775809"] {
        assert!(Node::from_json(text.as_bytes()).is_err(), "{text}");
    }
}
