//! What is said to be impossible is: no value of a small world fits it, by the validator that bodies are checked with.

use proptest::prelude::*;
use serde_json::json;

use super::super::impossible::impossible;
use super::*;

/// Values of every kind, and lists and objects of them.
fn world() -> Vec<Value> {
    let plain = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(2),
        json!(-2),
        json!(0.5),
        json!(1e30),
        json!(""),
        json!("a"),
        json!("ab"),
        json!("b"),
        json!("2026-01-01"),
        json!({"/": {"bytes": "AQID"}}),
        json!({"/": CID}),
    ];
    let mut values = plain.to_vec();
    for depth in 0..2 {
        let inner = if depth == 0 { values.clone() } else { values.iter().step_by(7).cloned().collect() };
        values.extend([json!([]), json!({})]);
        for (index, one) in inner.iter().enumerate() {
            let other = &inner[(index + 3) % inner.len()];
            values.extend([
                json!([one]),
                json!([one, other]),
                json!([one, other, inner[index / 2]]),
                json!({ "a": one }),
                json!({ "b": one }),
                json!({"a": one, "b": other}),
                json!({"a": other, "b": one, "ab": 1}),
                json!({"k1": one, "a": other}),
                json!({"a": one, "b": 1, "c": other, "k1": 2}),
            ]);
        }
    }
    values
}

/// Schemas of which several speak of one value, so that many contradict each other.
fn tight() -> impl Strategy<Value = Value> {
    let beside = prop::sample::select(vec![
        json!({}),
        json!({"required": ["a"]}),
        json!({"required": ["a", "b"], "maxProperties": 2}),
        json!({"minProperties": 2}),
        json!({"propertyNames": {"enum": ["a", "b"]}}),
        json!({"dependentRequired": {"a": ["b"]}}),
        json!({"minItems": 2, "uniqueItems": true}),
        json!({"not": {"required": ["b"]}}),
        json!({"enum": [1, "a", {"a": 1}, ["a"], null]}),
        json!({"type": ["object", "array"]}),
        json!({"type": "array", "minItems": 1}),
    ]);
    (any_schema(), any_schema(), beside, any::<bool>()).prop_map(|(first, second, beside, within)| {
        let definitions = first["$defs"].clone();
        let part = |mut schema: Value| {
            schema.as_object_mut().unwrap().remove("$defs");
            schema
        };
        let both = json!({"allOf": [part(first), part(second), beside]});
        let mut root = if within { json!({"properties": {"a": both}, "required": ["a"]}) } else { both };
        root["$defs"] = definitions;
        root
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(768))]
    #[test]
    fn what_is_said_to_be_impossible_is(schema in prop_oneof![any_schema(), tight()]) {
        thread_local!(static WORLD: Vec<Value> = world());
        let Ok(prepared) = prepare::prepare(&schema) else { return Ok(()) };
        for proof in impossible(&prepared) {
            let mut document = json!({"$ref": format!("#/$defs/whole{}", proof.part)});
            document["$defs"] = json!({"whole": prepared.schema, "d": prepared.schema["$defs"]["d"]});
            let validator = options::<SerdeJson>().build(&document).unwrap();
            let is_body = |value: &&Value| value.is_object() && value.get("/").is_none();
            WORLD.with(|world| {
                let fitting = world
                    .iter()
                    .filter(|value| !proof.part.is_empty() || is_body(value))
                    .find(|value| validator.is_valid(value));
                prop_assert_eq!(fitting, None, "{} at {:?}: {:?}", schema, proof.part, proof.found);
                Ok(())
            })?;
        }
    }
}
