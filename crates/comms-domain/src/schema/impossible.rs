//! What no value could be, worked out over a schema as a whole: a part that contradicts itself, and a body that could be
//! nothing. Only what is proven is said; what is beyond the proof is accepted.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jsonschema::canonical::{CanonicalSchema, Cause, PreparedDocument, Satisfiability, UnsatisfiableReason};
use serde_json::{Map, Value, json};

use super::echo;
use super::model;
use super::prepare::{Found, Prepared};
use super::recursion::unrolled;
use super::tree::{HOLDERS, held, target};

/// Names that are required in one part and looked at one by one.
const NAMES_MAX: usize = 16;

/// A part that nothing fits, and what is to be said of it.
pub(super) struct Proof {
    pub(super) part: String,
    pub(super) found: Found,
}

/// Everything in a schema that nothing could fit, where its author has not said so on purpose. Of parts within each
/// other the innermost is told.
pub(super) fn impossible(prepared: &Prepared) -> Vec<Proof> {
    let Some(unrolled) = model::of(prepared).and_then(|model| unrolled(model, &prepared.anchors)) else {
        return Vec::new();
    };
    let model = &unrolled.open;
    let Ok(document) = model::reading().prepare(model) else { return Vec::new() };
    let Ok(empty) = document.unsatisfiable() else { return Vec::new() };
    // What only refers to a part that nothing fits is not told: that part is.
    let mut apart = model.clone();
    let mut is_apart = false;
    let parts = prepared.parts.iter();
    for part in parts.filter(|part| empty.contains_key(*part)) {
        if let Some(Value::Object(members)) = apart.pointer_mut(part)
            && let Some(reference) = members.get("$ref").and_then(Value::as_str)
            && target(reference, &prepared.anchors).is_some_and(|target| empty.contains_key(&target))
            && !is_meant(model, part, &prepared.anchors)
        {
            is_apart = true;
            // It is looked at all the same: what nothing refers to is not.
            let looked_at = members.remove("$ref");
            *members = Map::from_iter([("anyOf".to_owned(), json!([true, { "$ref": looked_at }]))]);
        }
    }
    let primary =
        if is_apart { empty_parts(&apart).unwrap_or_default() } else { empty.keys().cloned().collect() };
    let analysis = Analysis { model, document: &document };
    let asserted = analysis.asserted();
    let mut deepest: Vec<(&str, Option<&UnsatisfiableReason>)> = empty
        .iter()
        .filter(|(pointer, _)| primary.contains(*pointer))
        .map(|(pointer, reason)| (pointer.as_str(), Some(reason)))
        .collect();
    let endless = unrolled.endless.iter().map(String::as_str).filter(|pointer| !empty.contains_key(*pointer));
    deepest.extend(endless.map(|pointer| (pointer, None)));
    deepest
        .retain(|(pointer, _)| asserted.contains(*pointer) && !is_meant(model, pointer, &prepared.anchors));
    deepest.sort_by_key(|(pointer, _)| Reverse(pointer.len()));
    let mut proofs: Vec<Proof> = Vec::new();
    for (pointer, reason) in deepest {
        let within = format!("{pointer}/");
        if !proofs.iter().any(|below| below.part.starts_with(&within)) {
            let found = analysis.contradiction(pointer, reason);
            proofs.push(Proof { part: pointer.to_owned(), found });
        }
    }
    if proofs.is_empty() {
        let links =
            asserted.into_iter().filter_map(|part| Some((analysis.neither_link_nor_object(&part)?, part)));
        proofs.extend(links.map(|(found, part)| Proof { part, found }));
        proofs.extend(analysis.no_body().map(|found| Proof { part: String::new(), found }));
    }
    proofs
}

struct Analysis<'a> {
    model: &'a Value,
    document: &'a PreparedDocument<'a>,
}

impl Analysis<'_> {
    /// Parts that say what a value is. What stands below `not` and `if` says what it is not, or asks.
    fn asserted(&self) -> BTreeSet<String> {
        let mut asserted = BTreeSet::new();
        let mut waiting = vec![String::new()];
        while let Some(pointer) = waiting.pop() {
            let Some(part) = self.model.pointer(&pointer) else { continue };
            for (keyword, holds, _) in HOLDERS {
                if keyword != "not" && keyword != "if" {
                    waiting.extend(held(&pointer, part, keyword, holds));
                }
            }
            asserted.insert(pointer);
        }
        asserted
    }

    fn is_empty(&self, pointer: &str) -> bool {
        let said = self.document.canonicalize_at(pointer);
        said.is_ok_and(|said| said.satisfiability() == Satisfiability::No)
    }

    /// A part that nothing fits.
    fn contradiction(&self, pointer: &str, reason: Option<&UnsatisfiableReason>) -> Found {
        let Some(reason) = reason else {
            return Found {
                pointer: pointer.to_owned(),
                what: "a value that must hold another of its kind never ends".to_owned(),
                mend: "let it be left out, or null, somewhere on the way".to_owned(),
            };
        };
        if let Some(name) = self.never_there(pointer) {
            return Found {
                pointer: format!("{pointer}/required"),
                what: format!("{} is required, and nothing can be there", echo(&name)),
                mend: "correct what it may be, or take it out of required".to_owned(),
            };
        }
        let mut named: Vec<(String, &str)> = Vec::new();
        for cause in causes(reason) {
            let below = cause.pointer.strip_prefix(pointer).unwrap_or(&cause.pointer);
            if cause.keywords.is_empty() {
                named.push((cause.pointer.clone(), below));
            }
            named
                .extend(cause.keywords.iter().map(|keyword| (format!("{}/{keyword}", cause.pointer), below)));
        }
        // Beside other keywords that contradict each other the type is what all of them speak of.
        if named.len() > 2 {
            named.retain(|(at, below)| !(below.is_empty() && at.ends_with("/type")));
        }
        let last = named.last().map_or_else(|| pointer.to_owned(), |(at, _)| at.clone());
        let words: Vec<String> = named
            .iter()
            .map(|(at, _)| echo(at.strip_prefix(pointer).unwrap_or(at).trim_start_matches('/')))
            .collect();
        let what = match words.as_slice() {
            [] => "nothing fits all of this".to_owned(),
            [one] => format!("nothing fits this {one}"),
            [most @ .., one] => format!("nothing fits {} and {one} together", most.join(", ")),
        };
        let mend = "correct one of them, or write false where nothing shall be".to_owned();
        Found { pointer: last, what, mend }
    }

    /// A name that a part requires and that can be nothing there.
    fn never_there(&self, pointer: &str) -> Option<String> {
        let part = self.model.pointer(pointer)?.as_object()?;
        let names = part.get("required")?.as_array()?;
        let is_empty = |part: Value| {
            let mut model = self.model.clone();
            *model.pointer_mut(pointer)? = part;
            let document = model::reading().prepare(&model).ok()?;
            let said = document.canonicalize_at(pointer).ok()?;
            Some(said.satisfiability() == Satisfiability::No)
        };
        let mut without = part.clone();
        without.remove("required");
        if is_empty(Value::Object(without.clone()))? {
            return None;
        }
        names.iter().take(NAMES_MAX).filter_map(Value::as_str).find_map(|name| {
            let mut only = without.clone();
            only.insert("required".to_owned(), json!([name]));
            is_empty(Value::Object(only))?.then(|| name.to_owned())
        })
    }

    /// A body is an object, without the key that bytes and links have.
    fn no_body(&self) -> Option<Found> {
        if self.is_empty("") {
            return Some(self.contradiction("", Some(&UnsatisfiableReason::Conflict(Vec::new()))));
        }
        let body = json!({"type": "object", "properties": {"/": false}});
        is_none_of(&self.document.canonicalize().ok()?, &body).then(|| Found {
            pointer: String::new(),
            what: "no body can be this".to_owned(),
            mend: "a body is an object, without the key /: describe its fields in properties".to_owned(),
        })
    }

    /// What has the key `/` is a link or bytes.
    fn neither_link_nor_object(&self, pointer: &str) -> Option<Found> {
        let part = self.model.pointer(pointer)?;
        let names = part.get("required")?.as_array()?;
        if !names.iter().any(|name| name == "/") {
            return None;
        }
        let mut shape = model::linked(true);
        shape.remove("type");
        is_none_of(&self.document.canonicalize_at(pointer).ok()?, &Value::Object(shape)).then(|| Found {
            pointer: format!("{pointer}/required"),
            what: "what has the key / is a link or bytes, and this is neither".to_owned(),
            mend: "write {\"$ref\": \"comms:link\"} or {\"$ref\": \"comms:bytes\"}".to_owned(),
        })
    }
}

/// The parts of a model that nothing fits.
fn empty_parts(model: &Value) -> Option<BTreeSet<String>> {
    Some(model::reading().prepare(model).ok()?.unsatisfiable().ok()?.into_keys().collect())
}

/// Whether a part says outright that there is nothing: `false`, `{"not": {}}`, or a reference to one that does.
fn is_meant(model: &Value, pointer: &str, anchors: &BTreeMap<String, String>) -> bool {
    let mut pointer = pointer.to_owned();
    let mut seen = BTreeSet::new();
    loop {
        let Some(part) = model.pointer(&pointer) else { return false };
        let Some(members) = part.as_object() else { return *part == Value::Bool(false) };
        let (1, Some((keyword, value))) = (members.len(), members.iter().next()) else { return false };
        match (keyword.as_str(), value) {
            ("not", Value::Bool(denied)) => return *denied,
            ("not", Value::Object(denied)) => return denied.is_empty(),
            ("$ref", Value::String(reference)) => match target(reference, anchors) {
                Some(next) if seen.insert(next.clone()) => pointer = next,
                _ => return false,
            },
            _ => return false,
        }
    }
}

fn is_none_of(said: &CanonicalSchema, shape: &Value) -> bool {
    let shape = model::reading().canonicalize(shape).ok();
    let both = shape.and_then(|shape| said.intersect(&shape).ok());
    both.is_some_and(|both| both.satisfiability() == Satisfiability::No)
}

fn causes(reason: &UnsatisfiableReason) -> &[Cause] {
    match reason {
        UnsatisfiableReason::Literal => &[],
        UnsatisfiableReason::Empty(cause) => std::slice::from_ref(cause),
        UnsatisfiableReason::Conflict(causes) => causes,
    }
}
