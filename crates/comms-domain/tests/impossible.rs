//! What no body could be is refused when the definition is read, and what only looks like it is not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use comms_content::Node;
use comms_domain::{Domain, Schema};
use comms_msg::TypeName;
use serde_json::{Map, Value, json};

fn check(schema: &str) -> Result<Schema, String> {
    let schemas = BTreeMap::from([("c/T.json".to_owned(), schema.to_owned())]);
    let checked = Domain::check("domain.toml", "name = 'a'\n[query.'c.T']", &schemas);
    let (domain, _) = checked.map_err(|problems| problems.to_string())?;
    Ok(domain.queries[&"c.T".parse::<TypeName>().unwrap()].schema.clone().unwrap())
}

fn fits(schema: &Schema, body: &str) -> bool {
    schema.fit(&Node::from_json(body.as_bytes()).unwrap()).is_ok()
}

/// Schemas that no body fits, or of which a part fits nothing.
#[rustfmt::skip]
const IMPOSSIBLE: &[&str] = &[
    // The body is no object, or nothing.
    r#"{"enum":[1]}"#,
    r#"{"const":"x"}"#,
    r#"{"anyOf":[{"type":"array"},{"type":"string"}]}"#,
    r#"{"oneOf":[{"type":"array"},{"const":3}]}"#,
    r#"{"allOf":[false]}"#,
    r#"{"anyOf":[false,{"not":{}}]}"#,
    r#"{"not":{"type":"object"}}"#,
    r#"{"not":{"type":["object","array"]}}"#,
    r#"{"not":{"not":{"type":"string"}}}"#,
    r#"{"type":"object","not":{}}"#,
    r#"{"type":"object","not":true}"#,
    r#"{"not":{"anyOf":[{"type":"object"},{"type":"array"}]}}"#,
    r##"{"$ref":"#/$defs/x","$defs":{"x":{"type":"string"}}}"##,
    r##"{"$ref":"#/$defs/x","$defs":{"x":false}}"##,
    r#"{"if":true,"then":{"type":"string"}}"#,
    r#"{"if":{"type":"object"},"then":false}"#,
    r#"{"if":{"type":"array"},"else":false}"#,
    r#"{"oneOf":[{"type":"object"},{"type":"object"}]}"#,
    r#"{"oneOf":[{},true]}"#,
    r#"{"type":"object","maxProperties":0,"minProperties":1}"#,
    // Names.
    r#"{"type":"object","additionalProperties":false,"patternProperties":{"^z":{}},"required":["zz","yy"]}"#,
    r#"{"type":"object","properties":{"/":{"type":"string"}},"required":["/"]}"#,
    r#"{"properties":{"l":{"type":"object","properties":{"/":{"type":"string"},"a":{}},"required":["/","a"]}}}"#,
    r#"{"properties":{"l":{"type":"object","properties":{"/":{"type":"integer"}},"required":["/"]}}}"#,
    r#"{"required":["a","b"],"maxProperties":1}"#,
    r#"{"required":["a","b"],"maxProperties":0}"#,
    r#"{"required":["a"],"maxProperties":0}"#,
    r#"{"properties":{"a":{}},"minProperties":3}"#,
    r#"{"properties":{"a":{},"b":false},"minProperties":2}"#,
    r#"{"required":["a"],"propertyNames":false}"#,
    r#"{"required":["a"],"propertyNames":{"pattern":"^b"}}"#,
    r#"{"required":["a"],"propertyNames":{"maxLength":0}}"#,
    r#"{"required":["a"],"propertyNames":{"enum":["b","c"]}}"#,
    r#"{"required":["a"],"propertyNames":{"not":{"const":"a"}}}"#,
    r#"{"required":["a"],"propertyNames":{"type":"integer"}}"#,
    r#"{"minProperties":1,"propertyNames":false}"#,
    r#"{"minProperties":3,"propertyNames":{"enum":["b","c"]}}"#,
    r#"{"required":["a"],"patternProperties":{"^a":false}}"#,
    r#"{"required":["a"],"patternProperties":{"a":{"type":"string"}},"properties":{"a":{"type":"integer"}}}"#,
    r#"{"required":["a"],"additionalProperties":false}"#,
    r#"{"required":["a"],"additionalProperties":{"not":{}}}"#,
    r##"{"required":["a"],"properties":{"a":{"$ref":"#/$defs/x"}},"$defs":{"x":false}}"##,
    r##"{"required":["a"],"properties":{"a":{"$ref":"#/$defs/x"}},"$defs":{"x":{"$ref":"#/$defs/y"},"y":{"not":{}}}}"##,
    r#"{"required":["a"],"properties":{"a":{"not":{}}}}"#,
    r#"{"required":["a"],"properties":{"a":{"anyOf":[false,false]}}}"#,
    r#"{"required":["a"],"properties":{"a":{"type":"object","properties":{"b":false},"required":["b"]}}}"#,
    r#"{"dependentRequired":{"a":["b"]},"properties":{"a":{},"b":false},"required":["a"]}"#,
    r#"{"dependentRequired":{"a":["b"]},"required":["a"],"maxProperties":1}"#,
    r#"{"dependentSchemas":{"a":false},"required":["a"]}"#,
    r#"{"dependentSchemas":{"a":{"required":["b"]}},"required":["a"],"properties":{"a":{},"b":false}}"#,
    r#"{"dependentSchemas":{"a":{"maxProperties":0}},"required":["a"]}"#,
    r#"{"allOf":[{"required":["a"]},{"not":{"required":["a"]}}]}"#,
    r#"{"allOf":[{"required":["a"]},{"properties":{"a":{"type":"string"}}},{"properties":{"a":{"type":"integer"}}}]}"#,
    r#"{"anyOf":[{"required":["a"],"maxProperties":0},{"type":"string"}]}"#,
    r#"{"required":["a"],"if":{"required":["a"]},"then":{"properties":{"a":false}}}"#,
    // Values.
    r#"{"properties":{"f":{"const":5,"maximum":3}}}"#,
    r#"{"properties":{"f":{"const":5,"exclusiveMaximum":5}}}"#,
    r#"{"properties":{"f":{"const":5,"multipleOf":2}}}"#,
    r#"{"properties":{"f":{"enum":[1,3,5],"multipleOf":2}}}"#,
    r#"{"properties":{"f":{"enum":[1,3,5],"minimum":6}}}"#,
    r#"{"properties":{"f":{"const":"abcdef","maxLength":3}}}"#,
    r#"{"properties":{"f":{"const":"ab","minLength":3}}}"#,
    r#"{"properties":{"f":{"enum":["abcdef"],"pattern":"^x"}}}"#,
    r#"{"properties":{"f":{"enum":["b","c"],"not":{"enum":["b","c","d"]}}}}"#,
    r#"{"properties":{"f":{"enum":["b","c"],"not":{"type":"string"}}}}"#,
    r#"{"properties":{"f":{"const":"x","format":"email"}}}"#,
    r#"{"properties":{"f":{"enum":["x","y"],"format":"date"}}}"#,
    r#"{"properties":{"f":{"const":{"a":1},"maxProperties":0}}}"#,
    r#"{"properties":{"f":{"const":{"a":1},"required":["b"]}}}"#,
    r#"{"properties":{"f":{"const":[1,1],"uniqueItems":true}}}"#,
    r#"{"properties":{"f":{"const":[1],"items":{"type":"string"}}}}"#,
    r#"{"properties":{"f":{"const":1,"anyOf":[{"const":2},{"const":3}]}}}"#,
    r#"{"properties":{"f":{"const":1,"enum":[1,2],"not":{"const":1}}}}"#,
    r#"{"properties":{"f":{"allOf":[{"type":"string"},{"type":"integer"}]}}}"#,
    r#"{"properties":{"f":{"type":"boolean","enum":[true],"not":{"const":true}}}}"#,
    r#"{"properties":{"f":{"allOf":[{"const":1},{"const":2}]}}}"#,
    r#"{"properties":{"f":{"allOf":[{"minimum":5,"type":"number"},{"maximum":4}]}}}"#,
    r#"{"properties":{"f":{"type":"integer","exclusiveMinimum":1,"exclusiveMaximum":2}}}"#,
    r#"{"properties":{"f":{"type":"integer","minimum":1,"maximum":4,"multipleOf":5}}}"#,
    r#"{"properties":{"f":{"type":"number","minimum":1,"maximum":4,"multipleOf":5}}}"#,
    r#"{"properties":{"f":{"type":"string","format":"uuid","maxLength":10}}}"#,
    r#"{"properties":{"f":{"type":"string","format":"date","minLength":11}}}"#,
    r#"{"properties":{"f":{"type":"string","allOf":[{"minLength":4},{"maxLength":3}]}}}"#,
    r##"{"properties":{"f":{"$ref":"#/$defs/s","maxLength":3}},"$defs":{"s":{"type":"string","minLength":4}}}"##,
    r#"{"properties":{"f":{"$ref":"comms:bytes"}},"allOf":[{"properties":{"f":{"type":"string"}}}],"required":["f"]}"#,
    // Lists.
    r#"{"properties":{"f":{"type":"array","minItems":1,"items":false}}}"#,
    r#"{"properties":{"f":{"type":"array","minItems":1,"items":{"not":{}}}}}"#,
    r#"{"properties":{"f":{"type":"array","minItems":1,"prefixItems":[false]}}}"#,
    r#"{"properties":{"f":{"type":"array","prefixItems":[{}],"items":false,"minItems":2}}}"#,
    r#"{"properties":{"f":{"type":"array","prefixItems":[{},false],"minItems":2}}}"#,
    r#"{"properties":{"f":{"type":"array","prefixItems":[{}],"unevaluatedItems":false,"minItems":2}}}"#,
    r#"{"properties":{"f":{"type":"array","contains":{"const":1},"minContains":2,"maxItems":1}}}"#,
    r#"{"properties":{"f":{"type":"array","contains":{"const":1},"maxItems":0}}}"#,
    r#"{"properties":{"f":{"type":"array","contains":{"const":1},"items":{"type":"string"}}}}"#,
    r#"{"properties":{"f":{"type":"array","contains":false}}}"#,
    r#"{"properties":{"f":{"type":"array","contains":{"const":1},"minContains":2,"uniqueItems":true}}}"#,
    r#"{"properties":{"f":{"type":"array","uniqueItems":true,"minItems":3,"items":{"type":"boolean"}}}}"#,
    r#"{"properties":{"f":{"type":"array","uniqueItems":true,"minItems":3,"items":{"enum":[1,2]}}}}"#,
    r#"{"properties":{"f":{"type":"array","uniqueItems":true,"minItems":2,"items":{"type":"null"}}}}"#,
    r#"{"properties":{"f":{"type":"array","uniqueItems":true,"minItems":4,"items":{"type":"integer","minimum":1,"maximum":3}}}}"#,
    // What never ends.
    r##"{"properties":{"a":{"type":"array","minItems":1,"items":{"$ref":"#/properties/a"}}}}"##,
    r##"{"properties":{"a":{"type":"array","contains":{"$ref":"#/properties/a"}}}}"##,
    r##"{"properties":{"a":{"type":"array","minItems":1,"prefixItems":[{"$ref":"#/properties/a"}]}}}"##,
    r##"{"properties":{"a":{"type":"object","required":["b"],"properties":{"b":{"type":"array","minItems":1,"items":{"$ref":"#/properties/a"}}}}}}"##,
    r##"{"$ref":"#/$defs/A","$defs":{"A":{"type":"object","required":["b"],"properties":{"b":{"$ref":"#/$defs/B"}}},"B":{"type":"object","required":["a"],"properties":{"a":{"$ref":"#/$defs/A"}}}}}"##,
    r##"{"properties":{"a":{"anyOf":[{"type":"object","required":["b"],"properties":{"b":{"$ref":"#/properties/a"}}},{"type":"object","required":["c"],"properties":{"c":{"$ref":"#/properties/a"}}}]}}}"##,
    r##"{"properties":{"a":{"type":"object","minProperties":1,"additionalProperties":{"$ref":"#/properties/a"}}}}"##,
];

#[test]
fn what_no_body_could_be_is_refused() {
    let mut accepted = Vec::new();
    for schema in IMPOSSIBLE {
        match check(schema) {
            Ok(_) => accepted.push(*schema),
            // Each says where, and what would be right.
            Err(told) => {
                assert!(told.starts_with("schemas/c/T.json:1:") && told.contains("\n    "), "{told}")
            }
        }
    }
    assert!(accepted.is_empty(), "{} accepted:\n{}", accepted.len(), accepted.join("\n"));
}

/// Schemas that look like the ones above, with a body that fits.
#[rustfmt::skip]
const POSSIBLE: &[(&str, &str)] = &[
    (r#"{"enum":[1,{}]}"#, "{}"),
    (r#"{"const":{"a":1}}"#, r#"{"a":1}"#),
    (r#"{"anyOf":[{"type":"array"},{"type":"object"}]}"#, "{}"),
    (r#"{"anyOf":[false,{}]}"#, "{}"),
    (r#"{"not":{"type":"array"}}"#, "{}"),
    (r#"{"not":{"not":{"type":"object"}}}"#, "{}"),
    (r#"{"not":{"type":"object","required":["a"]}}"#, "{}"),
    (r#"{"if":{"type":"array"},"then":false}"#, "{}"),
    (r#"{"if":{"required":["a"]},"then":{"required":["b"]},"else":{"maxProperties":0}}"#, "{}"),
    (r#"{"oneOf":[{"type":"object"},{"type":"object","required":["a"]}]}"#, "{}"),
    (r#"{"maxProperties":0}"#, "{}"),
    (r#"{"type":"object","additionalProperties":false,"patternProperties":{"^z":{}},"required":["zz"]}"#, r#"{"zz":1}"#),
    (r#"{"properties":{"l":{"type":"object","properties":{"/":{"type":"string"}},"required":["/"]}}}"#, r#"{"l":{"/":"bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"}}"#),
    (r#"{"properties":{"/":{"type":"string"},"a":{}}}"#, r#"{"a":1}"#),
    (r#"{"required":["a","b"],"maxProperties":2}"#, r#"{"a":1,"b":1}"#),
    (r#"{"properties":{"a":{},"b":{}},"minProperties":2}"#, r#"{"a":1,"b":1}"#),
    (r#"{"properties":{"a":{}},"minProperties":3,"patternProperties":{"^b":{}}}"#, r#"{"a":1,"b":1,"bb":2}"#),
    (r#"{"required":["a"],"propertyNames":{"pattern":"^a"}}"#, r#"{"a":1}"#),
    (r#"{"propertyNames":false}"#, "{}"),
    (r#"{"propertyNames":{"maxLength":0}}"#, r#"{"":1}"#),
    (r#"{"patternProperties":{"^a":false}}"#, r#"{"b":1}"#),
    (r#"{"properties":{"a":false}}"#, "{}"),
    (r#"{"properties":{"a":{"not":{}}}}"#, "{}"),
    (r##"{"properties":{"a":{"$ref":"#/$defs/x"}},"$defs":{"x":false}}"##, "{}"),
    (r#"{"properties":{"a":{}},"additionalProperties":{"not":{}}}"#, r#"{"a":1}"#),
    (r#"{"dependentRequired":{"a":["b"]},"properties":{"a":{},"b":false}}"#, "{}"),
    (r#"{"dependentSchemas":{"a":false}}"#, r#"{"b":1}"#),
    (r#"{"anyOf":[{"required":["a"],"not":{"required":["b"]}},{"required":["b"]}]}"#, r#"{"b":1}"#),
    (r#"{"properties":{"f":{"const":3,"maximum":3}}}"#, r#"{"f":3}"#),
    (r#"{"properties":{"f":{"const":6,"multipleOf":2}}}"#, r#"{"f":6}"#),
    (r#"{"properties":{"f":{"enum":[1,2,3],"multipleOf":2}}}"#, r#"{"f":2}"#),
    (r#"{"properties":{"f":{"const":0.3,"multipleOf":0.1}}}"#, r#"{"f":0.3}"#),
    (r#"{"properties":{"f":{"const":"abc","maxLength":3}}}"#, r#"{"f":"abc"}"#),
    (r#"{"properties":{"f":{"const":"\u00e9\u00e9\u00e9","maxLength":3}}}"#, r#"{"f":"\u00e9\u00e9\u00e9"}"#),
    (r#"{"properties":{"f":{"enum":["abcdef","xb"],"pattern":"^x"}}}"#, r#"{"f":"xb"}"#),
    (r#"{"properties":{"f":{"const":"a@b.c","format":"email"}}}"#, r#"{"f":"a@b.c"}"#),
    (r#"{"properties":{"f":{"const":"A <a@b.c>","not":{"format":"email"}}}}"#, r#"{"f":"A <a@b.c>"}"#),
    (r#"{"properties":{"f":{"const":5,"maxLength":3,"format":"email"}}}"#, r#"{"f":5}"#),
    (r#"{"properties":{"f":{"type":["string","integer"],"allOf":[{"type":["string","null"]}]}}}"#, r#"{"f":"x"}"#),
    (r#"{"properties":{"f":{"allOf":[{"type":"number"},{"type":"integer"}]}}}"#, r#"{"f":2.0}"#),
    (r#"{"properties":{"f":{"type":"integer","exclusiveMinimum":1,"exclusiveMaximum":3}}}"#, r#"{"f":2}"#),
    (r#"{"properties":{"f":{"type":"number","minimum":1,"maximum":5,"multipleOf":5}}}"#, r#"{"f":5}"#),
    (r#"{"properties":{"f":{"type":"string","format":"date","maxLength":10}}}"#, r#"{"f":"2026-01-01"}"#),
    (r#"{"properties":{"f":{"$ref":"comms:bytes"}},"allOf":[{"properties":{"f":{"type":"object"}}}],"required":["f"]}"#, r#"{"f":{"/":{"bytes":"AQID"}}}"#),
    (r#"{"properties":{"f":{"type":"array","items":false}}}"#, r#"{"f":[]}"#),
    (r#"{"properties":{"f":{"type":"array","prefixItems":[{}],"items":false,"minItems":1}}}"#, r#"{"f":[1]}"#),
    (r#"{"properties":{"f":{"minItems":1,"items":false}}}"#, r#"{"f":1}"#),
    (r#"{"properties":{"f":{"type":"array","contains":{"const":1},"minContains":2,"maxItems":2}}}"#, r#"{"f":[1,1]}"#),
    (r#"{"properties":{"f":{"type":"array","contains":false,"minContains":0}}}"#, r#"{"f":[]}"#),
    (r#"{"properties":{"f":{"type":"array","uniqueItems":true,"minItems":2,"items":{"type":"boolean"}}}}"#, r#"{"f":[true,false]}"#),
    (r#"{"properties":{"f":{"type":"array","uniqueItems":true,"minItems":3,"items":{"type":["boolean","null"]}}}}"#, r#"{"f":[true,false,null]}"#),
    (r##"{"properties":{"a":{"type":"array","items":{"$ref":"#/properties/a"}}}}"##, r#"{"a":[[]]}"#),
    (r##"{"properties":{"a":{"type":["array","null"],"minItems":1,"items":{"$ref":"#/properties/a"}}}}"##, r#"{"a":[null]}"#),
    (r##"{"properties":{"a":{"anyOf":[{"type":"object","required":["b"],"properties":{"b":{"$ref":"#/properties/a"}}},{"type":"null"}]}}}"##, r#"{"a":{"b":null}}"#),
    (r##"{"properties":{"a":{"type":"object","additionalProperties":{"$ref":"#/properties/a"}}}}"##, r#"{"a":{"x":{}}}"#),
];

#[test]
fn what_only_looks_impossible_is_accepted() {
    let mut wrong = Vec::new();
    for (schema, body) in POSSIBLE {
        match check(schema) {
            Ok(schema) if fits(&schema, body) => {}
            Ok(_) => wrong.push(format!("{schema}\n  does not take {body}")),
            Err(told) => wrong.push(format!("{schema}\n  {told}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is proven about a schema has a bound, in time and in depth; this is run on the small stack of a test.
#[test]
fn entangled_schemas_are_looked_into_in_bounds() {
    let chain = |length: usize, last: Value| {
        let mut definitions = Map::new();
        for i in 0..length {
            let next = json!({"$ref": format!("#/$defs/d{}", i + 1)});
            definitions.insert(format!("d{i}"), json!({"properties": {"a": next}, "required": ["a"]}));
        }
        definitions.insert(format!("d{length}"), last);
        json!({"$ref": "#/$defs/d0", "$defs": definitions}).to_string()
    };
    assert!(check(&chain(100, json!({}))).is_ok());
    // What is wrong is told where it is, and not again at all that refers to it.
    let told = check(&chain(100, json!({"type": "string", "const": "abcd", "maxLength": 3}))).unwrap_err();
    assert_eq!(told.lines().count(), 2, "{told}");
    assert!(check(&chain(200, json!({}))).is_ok());
    assert!(check(&chain(2000, json!({}))).unwrap_err().contains("too many ways"));
    let object = |name: usize| {
        let members: Map<String, Value> =
            (0..6).map(|i| (format!("m{}", name + i), json!({"type": "string", "minLength": i}))).collect();
        json!({"type": "object", "properties": members, "required": [format!("m{name}")]})
    };
    let several = |keyword: &str| json!({keyword: (0..30).map(object).collect::<Vec<_>>()}).to_string();
    for keyword in ["oneOf", "anyOf"] {
        assert!(check(&several(keyword)).is_ok(), "{keyword}");
    }
    let dependent: Map<String, Value> =
        (0..24).map(|i| (format!("m{i}"), json!({"properties": {format!("x{i}"): {}}}))).collect();
    assert!(check(&json!({"dependentSchemas": dependent, "properties": {"a": {}}}).to_string()).is_ok());
    let asked: Vec<Value> = (0..24)
        .map(
            |i| json!({"if": {"required": [format!("m{i}")]}, "then": {"properties": {format!("x{i}"): {}}}}),
        )
        .collect();
    assert!(check(&json!({"allOf": asked, "properties": {"a": {}}}).to_string()).is_ok());
    let deep = (0..60).fold(json!({"type": "string"}), |inner, i| match i % 3 {
        0 => json!({"type": "array", "items": inner}),
        1 => json!({"anyOf": [inner, {"type": "null"}]}),
        _ => json!({"type": "object", "properties": {"a": inner}, "required": ["a"]}),
    });
    assert!(check(&json!({"properties": {"a": deep}}).to_string()).is_ok());
}
