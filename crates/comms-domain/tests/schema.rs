//! Schemas of bodies: what fits, what does not and in which words, and what numbers become.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use comms_content::Node;
use comms_domain::{Domain, Problems, Schema};
use comms_msg::TypeName;
use serde_json::{Value, json};

const CID: &str = "bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";

fn try_compile(text: &str) -> Result<Schema, Problems> {
    let schemas = BTreeMap::from([("c/T.json".to_owned(), text.to_owned())]);
    let domain = Domain::parse("domain.toml", "name = 'a'\n[query.'c.T']", &schemas)?;
    Ok(domain.queries[&"c.T".parse::<TypeName>().unwrap()].schema.clone().unwrap())
}

fn compile(schema: &Value) -> Schema {
    try_compile(&schema.to_string()).unwrap_or_else(|problems| panic!("{problems}"))
}

fn node(body: &Value) -> Node {
    Node::from_value(body).unwrap_or_else(|error| panic!("{body}: {error}"))
}

/// Path and problem, joined, of everything that does not fit.
fn check(schema: &Schema, body: &Value) -> Vec<String> {
    match schema.fit(&node(body)) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(|p| format!("{}  {}", p.path, p.problem)).collect(),
    }
}

fn add_document() -> Schema {
    try_compile(include_str!("library/schemas/documents/AddDocument.json")).unwrap()
}

#[test]
fn a_body_that_fits_is_accepted() {
    let schema = add_document();
    let bytes = json!({"title": "x", "file": {"/": {"bytes": "AQID"}}});
    let link = json!({"title": "x", "file": {"/": CID}, "pages": 3});
    assert_eq!(check(&schema, &bytes), [""; 0]);
    assert_eq!(check(&schema, &link), [""; 0]);
}

#[test]
fn what_does_not_fit_is_said_by_field() {
    let schema = add_document();
    assert_eq!(
        check(&schema, &json!({"titel": "x", "file": {"/": CID}})),
        ["/title  missing", "/titel  unknown; did you mean title?"]
    );
    assert_eq!(
        check(&schema, &json!({"title": 3, "file": "AQID", "pages": 1.5, "colour": true})),
        [
            "/colour  unknown",
            "/file  must be bytes ({\"/\": {\"bytes\": base64}}) or a link ({\"/\": CID})",
            "/pages  is a number, a whole number is expected",
            "/title  is a number, text is expected",
        ]
    );
    assert_eq!(check(&schema, &json!([1])), ["  is a list, an object is expected"]);
    assert_eq!(
        check(&schema, &json!({"title": "", "file": {"/": CID}, "pages": 0})),
        ["/pages  must be at least 1", "/title  must have at least 1 character"]
    );
}

#[test]
fn bytes_and_links_are_told_apart() {
    let schema = compile(&json!({"properties": {"b": {"$ref": "comms:bytes"}, "l": {"$ref": "comms:link"}}}));
    let fits = |body: Value| schema.fit(&node(&body)).is_ok();
    assert!(fits(json!({"b": {"/": {"bytes": ""}}})));
    assert!(fits(json!({"b": {"/": {"bytes": "AQ"}}})));
    assert!(fits(json!({"b": {"/": CID}, "l": {"/": CID}})));
    for wrong in
        [json!({"b": "AQ"}), json!({"b": CID}), json!({"b": null}), json!({"l": {"/": {"bytes": "AQ"}}})]
    {
        assert!(!fits(wrong.clone()), "{wrong}");
    }
}

#[test]
fn bodies_are_closed_unless_the_schema_says_otherwise() {
    let inner = json!({"properties": {"inner": {"properties": {"a": {}}}, "list": {"items": {"properties": {"a": {}}}}}});
    let schema = compile(&inner);
    assert_eq!(check(&schema, &json!({"inner": {"a": 1}, "list": [{"a": 1}]})), [""; 0]);
    assert_eq!(
        check(&schema, &json!({"x": 1, "inner": {"b": 1}, "list": [{"a": 1}, {"c": 2}]})),
        ["/inner/b  unknown", "/list/1/c  unknown", "/x  unknown"]
    );
    for open in [
        json!({"properties": {"a": {}}, "additionalProperties": true}),
        json!({"properties": {"a": {}}, "unevaluatedProperties": {"type": "integer"}}),
        json!({"properties": {"a": {}}, "additionalProperties": {"type": "integer"}}),
        json!({"type": "object"}),
        json!({}),
    ] {
        assert_eq!(check(&compile(&open), &json!({"b": 1})), [""; 0], "{open}");
    }
}

#[test]
fn composed_bodies_are_closed_as_a_whole() {
    let parts = json!({
        "allOf": [{"$ref": "#/$defs/Named"}, {"properties": {"b": {}}}],
        "properties": {"c": {}},
        "$defs": {"Named": {"properties": {"name": {"type": "string"}}, "required": ["name"]}}
    });
    let schema = compile(&parts);
    assert_eq!(check(&schema, &json!({"name": "x", "b": 1, "c": 2})), [""; 0]);
    assert_eq!(
        check(&schema, &json!({"nam": "x", "b": 1})),
        ["/name  missing", "/nam  unknown; did you mean name?"]
    );

    let used_alone_too = json!({
        "properties": {
            "whole": {"$ref": "#/$defs/Named"},
            "part": {"$ref": "#/$defs/Named", "properties": {"more": {}}}
        },
        "$defs": {"Named": {"properties": {"name": {}}}}
    });
    let schema = compile(&used_alone_too);
    assert_eq!(check(&schema, &json!({"whole": {"name": 1}, "part": {"name": 1, "more": 1}})), [""; 0]);
    assert_eq!(
        check(&schema, &json!({"whole": {"more": 1}, "part": {"x": 1}})),
        ["/part/x  unknown", "/whole/more  unknown"]
    );

    let alternatives = json!({
        "oneOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}, {"type": "null"}],
        "$defs": {
            "A": {"type": "object", "properties": {"a": {}}},
            "B": {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["b"]}
        }
    });
    let schema = compile(&alternatives);
    assert_eq!(check(&schema, &json!({"a": 1})), [""; 0]);
    assert_eq!(check(&schema, &json!({"a": 1, "b": 1})), [""; 0]);
    assert_eq!(check(&schema, &json!(null)), [""; 0]);
    assert_eq!(check(&schema, &json!({"c": 1})), ["  fits none of the allowed forms"]);

    let conditional = json!({
        "properties": {"kind": {}},
        "if": {"properties": {"kind": {"const": "a"}}},
        "then": {"properties": {"a": {}}},
        "else": {"properties": {"b": {}}}
    });
    let schema = compile(&conditional);
    assert_eq!(check(&schema, &json!({"kind": "a", "a": 1})), [""; 0]);
    assert_eq!(check(&schema, &json!({"kind": "a", "b": 1})), ["/b  unknown"]);
}

#[test]
fn the_schema_decides_integer_or_float() {
    let schema = compile(&json!({
        "properties": {
            "i": {"type": "integer"},
            "f": {"type": "number"},
            "either": {},
            "both": {"type": ["integer", "number"]},
            "maybe": {"type": ["number", "null"]},
            "list": {"prefixItems": [{"type": "integer"}], "items": {"type": "number"}},
            "deep": {"$ref": "#"},
            "listed": {"enum": [1, 2, "x"]},
            "alternative": {"anyOf": [{"type": "integer"}, {"type": "string"}]}
        },
        "additionalProperties": {"type": "number"}
    }));
    let normal = |body: Value| {
        let body = node(&body);
        schema.fit(&body).unwrap().unwrap_or(body).to_value()
    };
    assert_eq!(
        normal(
            json!({"i": 1.0, "f": 1, "either": 1, "both": 2.0, "maybe": 3, "listed": 1.0, "alternative": 5.0})
        ),
        json!({"i": 1, "f": 1.0, "either": 1, "both": 2.0, "maybe": 3.0, "listed": 1, "alternative": 5})
    );
    assert_eq!(normal(json!({"list": [1.0, 1, 2]})), json!({"list": [1, 1.0, 2.0]}));
    assert_eq!(normal(json!({"deep": {"deep": {"i": -2.0}}})), json!({"deep": {"deep": {"i": -2}}}));
    assert_eq!(normal(json!({"other": 7, "maybe": null})), json!({"other": 7.0, "maybe": null}));
    // Only what is exactly the same number is changed.
    assert_eq!(check(&schema, &json!({"i": 1.5})), ["/i  is a number, a whole number is expected"]);
    assert_eq!(normal(json!({"f": 9_007_199_254_740_993_u64})), json!({"f": 9_007_199_254_740_993_u64}));
    assert_eq!(normal(json!({"i": 1e30})), json!({"i": 1e30}));
    assert_eq!(normal(json!({"i": -9.223_372_036_854_776e18})), json!({"i": i64::MIN}));
    assert_eq!(
        normal(json!({"i": 18_446_744_073_709_551_616.0_f64})),
        json!({"i": 18_446_744_073_709_551_616.0_f64})
    );
}

#[test]
fn byte_fields_are_found_by_path() {
    assert_eq!(add_document().byte_fields(), ["/file"]);
    let schema = compile(&json!({
        "properties": {
            "pages": {"items": {"properties": {"scan": {"$ref": "comms:bytes"}, "next": {"$ref": "#"}}}},
            "a/b": {"oneOf": [{"$ref": "comms:bytes"}, {"type": "null"}]},
            "link": {"$ref": "comms:link"}
        }
    }));
    assert_eq!(schema.byte_fields(), ["/a~1b", "/pages/*/scan"]);
}

/// Each file has one fault, which is reported in its line.
#[test]
fn faults_of_a_schema_file_have_a_place_and_a_mend() {
    let cases = [
        ("[]", 1, "not a JSON object", "one JSON object"),
        ("{\n\"type\": }", 2, "not JSON", "one JSON object"),
        ("", 1, "not JSON", "one JSON object"),
        ("{\n\n\"type\": \"objet\"}", 3, "unknown type objet", "object"),
        ("{\n\"minLength\": -1}", 2, "not a JSON Schema: /minLength", "2020-12"),
        ("{\n\"properties\": {\n\"a\": 3}}", 3, "not a JSON Schema", "2020-12"),
        ("{\n\"requried\": [\"a\"]}", 2, "unknown keyword requried", "required"),
        ("{\n\"$ref\": \"https://example.org/x.json\"}", 2, "outside this file", "#/$defs"),
        ("{\n\"$ref\": \"comms:byte\"}", 2, "outside this file", "comms:bytes"),
        ("{\n\"$ref\": \"other.json#/x\"}", 2, "outside this file", "#/$defs"),
        ("{\n\"$ref\": \"#/$defs/X\"}", 2, "no schema of this file", "$defs"),
        ("{\n\"$ref\": \"#nowhere\"}", 2, "no schema of this file", "$defs"),
        ("{\n\"comms:bytes\": true}", 2, "no keyword", "$ref"),
        ("{\n\"$schema\": \"http://json-schema.org/draft-07/schema#\"}", 2, "another JSON Schema", "2020-12"),
        ("{\"properties\": {\"a\": {\n\"$id\": \"x\"}}}", 2, "$id inside", "leave it out"),
        ("{\n\"$dynamicRef\": \"#x\"}", 2, "$dynamicRef is not supported", "$ref"),
        ("{\n\"type\": \"object\",\n\"type\": \"string\"}", 3, "twice", "keep one"),
        ("{\n\"pattern\": \"(\"}", 2, "not a pattern", "linear time"),
        ("{\n\"pattern\": \"(?=a)b\"}", 2, "not a pattern", "no lookaround"),
        ("{\n\"pattern\": \"(a)\\\\1\"}", 2, "not a pattern", "no backreferences"),
        ("{\n\"pattern\": \"(a{1000}){1000}\"}", 2, "not a pattern", "huge repetition"),
        ("{\n\"patternProperties\": {\n\"(?<!a)b\": true}}", 3, "not a pattern", "no lookaround"),
        ("\u{feff}{\"type\": \"object\"}", 1, "byte order mark", "UTF-8 without"),
        ("{\"properties\": {\"a\": {\n\"maximum\": 18446744073709551616}}}", 2, "rounded", "whole numbers"),
        ("{\"$ref\": \"#\"}", 1, "refers to itself", "properties or items"),
        (
            "{\"$defs\": {\n\"A\": {\"allOf\": [{\"$ref\": \"#/$defs/B\"}]},\n\"B\": {\"not\": {\"$ref\": \"#/$defs/A\"}}}}",
            2,
            "refers to itself",
            "properties",
        ),
    ];
    let mut failed = Vec::new();
    for (text, line, what, mend) in cases {
        match try_compile(text) {
            Ok(_) => failed.push(format!("{text}\n  accepted")),
            Err(problems) => {
                let first = problems.iter().next().unwrap();
                if problems.len() != 1
                    || first.line != line
                    || !first.what.contains(what)
                    || !first.mend.contains(mend)
                {
                    failed.push(format!("{text}\n  {problems}"));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn references_within_the_file_work() {
    let schema = compile(&json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.org/t",
        "properties": {"a": {"$ref": "#/$defs/x%20y"}, "b": {"$ref": "#named"}, "tree": {"$ref": "#"}},
        "$defs": {"x y": {"type": "integer"}, "z": {"$anchor": "named", "type": "string"}}
    }));
    assert_eq!(check(&schema, &json!({"a": 1, "b": "x", "tree": {"tree": {"a": 2}}})), [""; 0]);
    assert_eq!(
        check(&schema, &json!({"tree": {"a": "x"}})),
        ["/tree/a  is text, a whole number is expected"]
    );
}

#[test]
fn answers_are_bounded() {
    let schema = compile(&json!({"properties": {"a": {"enum": vec!["long"; 1]}}}));
    let many: serde_json::Map<String, Value> = (0..1000).map(|i| (format!("x{i}"), json!(1))).collect();
    let problems = schema.fit(&node(&Value::Object(many))).unwrap_err();
    assert_eq!(problems.len(), 32);
    assert_eq!(problems[31].problem, "more does not fit");
    let long = json!({"k".repeat(100_000): 1, "a": "v".repeat(100_000)});
    let size: usize =
        schema.fit(&node(&long)).unwrap_err().iter().map(|p| p.path.len() + p.problem.len()).sum();
    assert!(size < 1000, "{size}");
    let items = compile(&json!({"items": {"type": "integer"}}));
    assert_eq!(items.fit(&node(&json!(vec!["x"; 5000]))).unwrap_err().len(), 32);
}

#[test]
fn oversized_and_entangled_schemas_are_refused() {
    let large = format!("{{\"description\": \"{}\"}}", "x".repeat(300_000));
    assert!(try_compile(&large).unwrap_err().to_string().contains("larger than"));
    let mut deep = json!({});
    for _ in 0..100 {
        deep = json!({"not": deep});
    }
    assert!(try_compile(&deep.to_string()).unwrap_err().to_string().contains("nested too deeply"));
    // Every level doubles the ways in which its parts can be combined.
    let mut definitions = serde_json::Map::new();
    for i in 0..40 {
        let next = format!("#/$defs/d{}", i + 1);
        definitions.insert(
            format!("d{i}"),
            json!({"anyOf": [{"$ref": next}, {"properties": {"a": {"$ref": next}, "b": {}}}, {"$ref": next}]}),
        );
    }
    definitions.insert("d40".to_owned(), json!({}));
    let entangled = json!({"$ref": "#/$defs/d0", "$defs": definitions}).to_string();
    assert!(try_compile(&entangled).unwrap_err().to_string().contains("too many ways"));
}

/// A review looks at schemas beside others, which a long chain of references makes the square of its length.
#[test]
fn a_long_chain_of_references_is_reviewed_in_time() {
    let mut definitions = serde_json::Map::new();
    for i in 0..2000 {
        let next = json!({"allOf": [{"$ref": format!("#/$defs/d{}", i + 1)}], "required": ["x"]});
        definitions.insert(format!("d{i}"), next);
    }
    definitions.insert("d2000".to_owned(), json!({}));
    let chain = json!({"$ref": "#/$defs/d0", "$defs": definitions}).to_string();
    let problems = try_compile(&chain).unwrap_err().to_string();
    assert!(problems.contains("too many ways"), "{problems}");
}

/// Two alternatives that both look into `next` double the work with every level.
#[test]
fn a_body_that_would_be_checked_for_ever_is_refused() {
    let list = compile(&json!({
        "oneOf": [
            {"type": "null"},
            {"properties": {"a": {"type": "string"}, "next": {"$ref": "#"}}, "required": ["a"]},
            {"properties": {"b": {"type": "string"}, "next": {"$ref": "#"}}, "required": ["b"]}
        ]
    }));
    let nested = |depth: usize| (0..depth).fold(json!({"a": "x"}), |body, _| json!({"a": "x", "next": body}));
    assert_eq!(check(&list, &nested(12)), [""; 0]);
    assert_eq!(check(&list, &nested(60)), ["  too deep to be checked against this schema"]);
    // Alternatives that look into different parts cost nothing.
    let apart = compile(&json!({
        "oneOf": [
            {"type": "null"},
            {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
            {"type": "object", "properties": {"b": {"$ref": "#"}}, "required": ["b"]}
        ]
    }));
    let nested =
        (0..60).fold(
            Value::Null,
            |body, level| if level % 2 == 0 { json!({"a": body}) } else { json!({"b": body}) },
        );
    assert_eq!(check(&apart, &nested), [""; 0]);
}
