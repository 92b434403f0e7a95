//! What fitted a schema and may not fit the one that takes its place.

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::canonical::Containment;
use serde_json::{Map, Value, json};

use super::model;
use super::place::escape;
use super::prepare::{Prepared, prepare};
use super::{Schema, echo};

/// Differences that are named; who narrows more looks at both files.
const TOLD_MAX: usize = 8;
/// How deep the two are compared part by part.
const DEPTH_MAX: usize = 16;

impl Schema {
    /// In words what narrows from this schema to `new`, which takes its place; empty only if everything that fitted
    /// this one fits that one too.
    pub(crate) fn narrowing(&self, new: &Self) -> Vec<String> {
        let (Some(before), Some(after)) = (modelled(self.source()), modelled(new.source())) else {
            return vec!["what fitted may not fit any more".to_owned()];
        };
        if before == after || covers(&after, &before) {
            return Vec::new();
        }
        let mut told = Vec::new();
        compare("", &before, &after, 0, &mut told);
        if told.is_empty() {
            told.push("what fitted may not fit any more".to_owned());
        }
        told.truncate(TOLD_MAX);
        told
    }
}

/// A schema without what only speaks to readers, closed as it is when bodies are checked.
fn modelled(source: &Value) -> Option<Value> {
    let prepared: Prepared = prepare(source).ok()?;
    model::of(&prepared)
}

/// Whether everything that fits `before` is proven to fit `after`.
fn covers(after: &Value, before: &Value) -> bool {
    // References of the two would mean different things in one proof, or lead back: then nothing is proven.
    if has_reference(after) || has_reference(before) {
        return false;
    }
    let read = |schema| model::reading().canonicalize(schema).ok();
    // A body is an object, whatever else its schema would take.
    let bodies = json!({"type": "object", "allOf": [before]});
    let (Some(after), Some(before)) = (read(after), read(&bodies)) else { return false };
    after.covers(&before).is_ok_and(|covers| covers == Containment::Yes)
}

fn has_reference(schema: &Value) -> bool {
    match schema {
        Value::Array(items) => items.iter().any(has_reference),
        Value::Object(members) => {
            members.get("$ref").is_some_and(Value::is_string) || members.values().any(has_reference)
        }
        _ => false,
    }
}

/// Says part by part what is asked for that was not.
fn compare(at: &str, before: &Value, after: &Value, depth: usize, told: &mut Vec<String>) {
    if before == after || depth > DEPTH_MAX || told.len() > TOLD_MAX {
        return;
    }
    let place = if at.is_empty() { "the body".to_owned() } else { echo(at) };
    let (Some(before), Some(after)) = (before.as_object(), after.as_object()) else {
        told.push(format!("{place} may be something else now"));
        return;
    };
    let names = |schema: &Map<String, Value>, keyword: &str| -> BTreeMap<String, Value> {
        let members = schema.get(keyword).and_then(Value::as_object);
        members.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let required = |schema: &Map<String, Value>| -> BTreeSet<String> {
        let listed = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        listed.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    for name in required(after).difference(&required(before)) {
        told.push(format!("{at}/{} became required", echo(&escape(name))));
    }
    let (fields, fields_after) = (names(before, "properties"), names(after, "properties"));
    for (name, field) in &fields {
        let below = format!("{at}/{}", escape(name));
        match fields_after.get(name) {
            Some(other) => compare(&below, field, other, depth + 1, told),
            None if after.get("additionalProperties") == Some(&Value::Bool(false)) => {
                told.push(format!("{} is not known any more", echo(&below)));
            }
            None => {}
        }
    }
    if let (Some(items), Some(other)) = (before.get("items"), after.get("items")) {
        compare(&format!("{at}/*"), items, other, depth + 1, told);
    }
    let apart = ["required", "properties", "items", "$defs", "definitions", "$anchor"];
    let keywords: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for keyword in keywords.into_iter().filter(|keyword| !apart.contains(&keyword.as_str())) {
        match (before.get(keyword), after.get(keyword)) {
            (None, Some(now)) if at.is_empty() && keyword == "type" && now == "object" => {}
            (None, Some(now)) => told.push(format!("{place} gets {keyword} {}", short(now))),
            (Some(was), Some(now)) if was != now => {
                told.push(format!("{keyword} of {place} is {} instead of {}", short(now), short(was)));
            }
            _ => {}
        }
    }
}

fn short(value: &Value) -> String {
    echo(&value.to_string())
}
