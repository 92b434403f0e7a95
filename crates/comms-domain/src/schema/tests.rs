//! A body in its DAG-CBOR is judged as the same body is as a tree of JSON: the property that lets the door do without
//! the tree.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;

mod impossible;

const CID: &str = "bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "ab", "a1", "", "2026-01-01", "é"]).prop_map(str::to_owned)
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..4).prop_map(Value::from),
        prop::sample::select(vec![0.5, 1.0, 2.0, -1.0, 1e30]).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        word().prop_map(Value::from),
        Just(json!({"/": {"bytes": "AQID"}})),
        Just(json!({"/": CID})),
    ]
}

/// Any value of a body, some with more members than are looked through one by one.
fn any_body() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 48, 12, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(word(), inner.clone(), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
            (inner.clone(), inner).prop_map(|(a, b)| {
                let mut wide: Map<_, _> = (0..12).map(|n| (format!("k{n}"), Value::from(n))).collect();
                wide.extend([("a".to_owned(), a), ("b".to_owned(), b)]);
                Value::Object(wide)
            }),
        ]
    })
}

/// Schemas that are likely to be ones: every keyword that a door enforces.
fn any_schema() -> impl Strategy<Value = Value> {
    let types = prop::sample::select(vec![
        json!("string"),
        json!("integer"),
        json!("number"),
        json!("object"),
        json!("array"),
        json!("null"),
        json!("boolean"),
        json!(["integer", "null"]),
        json!(["number", "object"]),
    ]);
    let leaf = prop_oneof![
        types.prop_map(|named| json!({ "type": named })),
        prop::collection::vec(scalar(), 1..4).prop_map(|options| json!({ "enum": options })),
        scalar().prop_map(|value| json!({ "const": value })),
        any_body().prop_map(|value| json!({ "const": value })),
        (-2_i32..3).prop_map(|least| json!({ "minimum": least, "exclusiveMaximum": 3 })),
        (1_u32..3).prop_map(|of| json!({ "multipleOf": of })),
        (0_u32..3).prop_map(|least| json!({ "minLength": least, "maxLength": 4 })),
        (0_u32..3).prop_map(|most| json!({ "maxItems": most, "uniqueItems": true })),
        (0_u32..3).prop_map(|least| json!({ "minProperties": least, "maxProperties": 9 })),
        Just(json!({"pattern": "^a"})),
        Just(json!({"format": "date"})),
        Just(json!({"$ref": "comms:bytes"})),
        Just(json!({"$ref": "comms:link"})),
        Just(json!({"$ref": "#/$defs/d"})),
        Just(json!({"propertyNames": {"maxLength": 1}})),
        Just(json!({"dependentRequired": {"a": ["b"]}})),
        Just(json!(true)),
        Just(json!({})),
    ];
    let inner = leaf.prop_recursive(3, 24, 3, |inner| {
        let several = prop::collection::vec(inner.clone(), 1..3);
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({"properties": {"a": a, "b": b}})),
            inner.clone().prop_map(|a| json!({"properties": {"a": a}, "required": ["a"]})),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| json!({"properties": {"a": a}, "additionalProperties": b})),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| json!({"patternProperties": {"^k": a}, "unevaluatedProperties": b})),
            inner.clone().prop_map(|items| json!({ "items": items })),
            (inner.clone(), inner.clone())
                .prop_map(|(first, rest)| json!({"prefixItems": [first], "items": rest})),
            (inner.clone(), inner.clone())
                .prop_map(|(some, rest)| json!({"contains": some, "unevaluatedItems": rest})),
            several.clone().prop_map(|parts| json!({ "allOf": parts })),
            several.clone().prop_map(|parts| json!({ "anyOf": parts })),
            several.prop_map(|parts| json!({ "oneOf": parts })),
            inner.clone().prop_map(|denied| json!({ "not": denied })),
            (inner.clone(), inner.clone()).prop_map(|(asked, then)| json!({"if": asked, "then": then})),
            (inner.clone(), inner)
                .prop_map(|(a, b)| json!({"dependentSchemas": {"a": a}, "properties": {"b": b}})),
        ]
    });
    (inner.clone(), inner).prop_map(|(root, named)| {
        let mut root = if let Value::Object(root) = root { root } else { Map::new() };
        root.insert("$defs".to_owned(), json!({ "d": named }));
        Value::Object(root)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]
    #[test]
    fn a_body_is_judged_as_its_tree_is(schema in any_schema(), body in any_body()) {
        let Ok(schema) = Schema::compile(&schema.to_string()) else { return Ok(()) };
        let Ok(body) = Node::from_value(&body) else { return Ok(()) };
        let tree = body.to_value();
        let Compiled { prepared, validator, shapes, .. } = &*schema.0;
        let outline = Outline::of(&body);
        prop_assert_eq!(outline.value(0), tree.clone());
        let by_tree = options::<SerdeJson>().build(prepared).unwrap().is_valid(&tree);
        prop_assert_eq!(validator.is_valid(Instance::root(&outline)), by_tree);
        let wanted = shapes.normalise_tree(tree.clone());
        let corrections = shapes.corrections(&outline);
        prop_assert_eq!(corrections.is_empty(), wanted == tree);
        let right = outline.corrected(&corrections);
        prop_assert_eq!(right.to_value(), wanted);
        match schema.fit(&body) {
            Ok(Some(found)) => prop_assert_eq!(found, right),
            Ok(None) => prop_assert_eq!(&body, &right),
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
        // The right form is right, and stays.
        if by_tree {
            prop_assert_eq!(schema.fit(&outline.corrected(&corrections)), Ok(None));
        }
    }
}

/// Schemas made of anything, most of which are none.
fn anything() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec![
        "type",
        "properties",
        "items",
        "anyOf",
        "allOf",
        "$ref",
        "$defs",
        "a",
        "/",
        "bytes",
        "required",
        "enum",
        "additionalProperties",
        "not",
        "prefixItems",
        "if",
        "then",
        "$anchor",
        "const",
        "format",
        "minimum",
        "maximum",
        "dependentRequired",
    ]);
    let leaf = prop_oneof![
        scalar(),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec!["object", "#", "#/$defs/a", "comms:bytes", "integer", "a", CID])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_schema_is_answered_and_any_body_checked(schema in anything(), body in any_body()) {
        if let Ok(schema) = Schema::compile(&schema.to_string())
            && let Ok(body) = Node::from_value(&body)
        {
            let _ = (schema.fit(&body), schema.byte_fields(), schema.is_byte_field("/a/0"));
        }
    }
}

#[test]
fn the_formats_that_are_named_are_those_that_are_checked() {
    let options = options::<Dag>();
    for format in keywords::FORMATS {
        assert!(options.is_known_format(Draft::Draft202012, format), "{format}");
    }
    for format in ["idn-email", "idn-hostname", "emial", "int64"] {
        assert!(!options.is_known_format(Draft::Draft202012, format), "{format}");
    }
}
