//! Schemas that hold themselves, without their references: what such a schema allows at most, and which of its parts
//! would need another of their kind for ever.

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::canonical::Satisfiability;
use serde_json::Value;

use super::model;
use super::tree::{HOLDERS, held, target};

/// Parts that refer back to themselves and are looked into. Each costs as many looks as there are of them.
const TARGETS_MAX: usize = 24;

/// Places at which less is said, in one schema.
const LOOSENED_MAX: usize = 32;

/// A model without references that lead back to where they are.
pub(super) struct Unrolled {
    /// Allows all that the schema allows, and no less: in the place of a reference that leads back may be anything.
    pub(super) open: Value,
    /// Parts that nothing finite fits, though each step of them could be.
    pub(super) endless: Vec<String>,
}

/// Takes the references that lead back out of a model; `None` if there are too many of them.
pub(super) fn unrolled(mut model: Value, anchors: &BTreeMap<String, String>) -> Option<Unrolled> {
    let mut back = references_back(&model, anchors);
    for _ in 0..LOOSENED_MAX {
        if !loosen(&mut model, back.keys()) {
            break;
        }
        back = references_back(&model, anchors);
    }
    if loosen(&mut model.clone(), back.keys()) {
        return None;
    }
    if back.is_empty() {
        return Some(Unrolled { open: model, endless: Vec::new() });
    }
    let targets: BTreeSet<&String> = back.values().collect();
    if targets.len() > TARGETS_MAX {
        return None;
    }
    let everything = |_: &String| true;
    // From nothing on: what is found to be, given what was found before, until nothing more is.
    let mut found: BTreeSet<&String> = BTreeSet::new();
    loop {
        let step = replaced(&model, &back, |target| found.contains(target));
        let document = model::reading().prepare(&step).ok()?;
        let is_possible = |target: &&String| {
            let said = document.canonicalize_at(target);
            said.map_or(true, |said| said.satisfiability() != Satisfiability::No)
        };
        let more: Vec<&String> =
            targets.iter().copied().filter(|target| !found.contains(target)).filter(is_possible).collect();
        if more.is_empty() {
            break;
        }
        found.extend(more);
    }
    let endless = targets.into_iter().filter(|target| !found.contains(target)).cloned().collect();
    Some(Unrolled { open: replaced(&model, &back, everything), endless })
}

/// The parts whose `$ref` leads to a part that holds them, with where it leads.
fn references_back(model: &Value, anchors: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut next: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut references = BTreeMap::new();
    let mut waiting = vec![String::new()];
    while let Some(pointer) = waiting.pop() {
        let Some(part) = model.pointer(&pointer) else { continue };
        let mut below = Vec::new();
        for (keyword, holds, _) in HOLDERS {
            let parts = held(&pointer, part, keyword, holds);
            waiting.extend(parts.iter().cloned());
            // What is defined there is of no value until it is referred to.
            if keyword != "$defs" && keyword != "definitions" {
                below.extend(parts);
            }
        }
        if let Some(leads) =
            part.get("$ref").and_then(Value::as_str).and_then(|reference| target(reference, anchors))
        {
            below.push(leads.clone());
            references.insert(pointer.clone(), leads);
        }
        next.insert(pointer, below);
    }
    references.retain(|from, to| reaches(&next, to, from));
    references
}

fn reaches(next: &BTreeMap<String, Vec<String>>, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(pointer) = waiting.pop() {
        if pointer == to {
            return true;
        }
        if seen.insert(pointer) {
            waiting.extend(next.get(pointer).into_iter().flatten().map(String::as_str));
        }
    }
    false
}

/// Says less at one place where more that fits at one of these parts would mean less that fits around it: no `not`, no
/// condition, no upper bound of `contains`, and any of several in the place of one. `false` if there is none such.
fn loosen<'a>(model: &mut Value, parts: impl Iterator<Item = &'a String>) -> bool {
    for part in parts {
        for (end, _) in part.match_indices('/') {
            let Some(Value::Object(around)) = model.pointer_mut(&part[..end]) else { continue };
            let entered = part[end + 1..].split('/').next().unwrap_or_default();
            let changed = match entered {
                "not" => around.remove("not").is_some(),
                "if" => {
                    ["if", "then", "else"].map(|keyword| around.remove(keyword)).iter().any(Option::is_some)
                }
                "contains" => around.remove("maxContains").is_some(),
                "oneOf" => {
                    around.remove("oneOf").map(|several| around.entry("anyOf").or_insert(several)).is_some()
                }
                _ => false,
            };
            if changed {
                return true;
            }
        }
    }
    false
}

/// The model with anything, or nothing, in the place of each of these references.
fn replaced(model: &Value, back: &BTreeMap<String, String>, is: impl Fn(&String) -> bool) -> Value {
    let mut model = model.clone();
    for (from, to) in back {
        let Some(part) = model.pointer_mut(from) else { continue };
        if !is(to) {
            *part = Value::Bool(false);
        } else if let Value::Object(members) = part {
            members.remove("$ref");
        }
    }
    model
}
