//! From a schema as written to one that is compiled: references of ours replaced, bodies closed, and everything
//! refused that would look elsewhere or never end.
//!
//! Closing is where JSON Schema is awkward. `additionalProperties: false` sees only the `properties` beside it, so
//! a body composed of parts (`allOf`, a `$ref` beside `properties`) would be refused by each of its parts. Such
//! a body is closed as a whole, with `unevaluatedProperties: false`, and its parts stay open.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value};

use super::dag;
use super::echo;
use super::place::POINTER_BYTES_MAX;
use super::tree::{HOLDERS, PLAIN, Speaks, held, target};
use crate::limits::SCHEMA_DEPTH_MAX;
use crate::nearest;

/// Something wrong at a part of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) pointer: String,
    pub(super) what: String,
    pub(super) mend: String,
}

/// Keywords of other dialects, and what says the same here.
const FOREIGN: [(&str, &str); 13] = [
    ("example", "write examples, with a list"),
    ("nullable", "write \"type\": [\"string\", \"null\"], with the type that it is"),
    ("additionalItems", "write items beside prefixItems"),
    ("dependencies", "write dependentRequired or dependentSchemas"),
    ("id", "leave it out; $anchor names a part"),
    ("divisibleBy", "write multipleOf"),
    ("extends", "write allOf"),
    ("disallow", "write not"),
    ("optional", "leave it out; what is not in required is optional"),
    ("discriminator", "write oneOf, with a const in each alternative"),
    ("formatMinimum", "write a pattern"),
    ("formatMaximum", "write a pattern"),
    ("$vocabulary", "leave it out: it belongs in a meta-schema"),
];

/// The one dialect that is read.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// A schema ready to be compiled.
pub(super) struct Prepared {
    pub(super) schema: Value,
    /// Where the schemas in it are, as pointers.
    pub(super) parts: Vec<String>,
    /// What `$anchor` names, as pointers.
    pub(super) anchors: BTreeMap<String, String>,
}

/// Checks a schema and answers it ready to be compiled.
pub(super) fn prepare(source: &Value) -> Result<Prepared, Vec<Found>> {
    let survey = Survey::of(source);
    if !survey.found.is_empty() {
        return Err(survey.found);
    }
    let open = survey.open_targets(source);
    let mut prepared = source.clone();
    for (pointer, part) in &survey.parts {
        let closing = if *part == Speaks::Part { closing(source, pointer, &open, &survey) } else { None };
        let Some(Value::Object(schema)) = prepared.pointer_mut(pointer) else { continue };
        if let Some(keyword) = closing {
            schema.insert(keyword.to_owned(), Value::Bool(false));
        }
        replace_reference(schema);
    }
    let parts = survey.parts.into_iter().map(|(pointer, _)| pointer).collect();
    Ok(Prepared { schema: prepared, parts, anchors: survey.anchors })
}

/// `{"$ref": "comms:bytes"}` becomes `{"comms:bytes": true}`.
fn replace_reference(schema: &mut Map<String, Value>) {
    let ours = schema.get("$ref").and_then(Value::as_str).filter(|text| is_ours(text)).map(str::to_owned);
    if let Some(keyword) = ours {
        schema.remove("$ref");
        schema.insert(keyword, Value::Bool(true));
    }
}

fn is_ours(reference: &str) -> bool {
    reference == dag::BYTES || reference == dag::LINK
}

/// Every schema of the file, in the order they are reached, and what is wrong with them.
struct Survey {
    parts: Vec<(String, Speaks)>,
    anchors: BTreeMap<String, String>,
    found: Vec<Found>,
}

impl Survey {
    fn of(source: &Value) -> Self {
        let mut survey = Self { parts: Vec::new(), anchors: BTreeMap::new(), found: Vec::new() };
        let mut waiting = VecDeque::from([(String::new(), Speaks::Part, 0_usize)]);
        while let Some((pointer, speaks, depth)) = waiting.pop_front() {
            let Some(schema) = source.pointer(&pointer) else { continue };
            if depth > SCHEMA_DEPTH_MAX || pointer.len() > POINTER_BYTES_MAX {
                survey.add(&pointer, "nested too deeply".to_owned(), "move inner parts to $defs");
                continue;
            }
            survey.look(&pointer, schema);
            let apart = alternatives_apart(schema, speaks);
            for (keyword, holds, spoken) in HOLDERS {
                // A closed `contains` would match less than its author wrote.
                let inner = if keyword == "contains" {
                    Speaks::Same
                } else if apart && (keyword == "anyOf" || keyword == "oneOf") {
                    Speaks::Part
                } else {
                    spoken
                };
                waiting.extend(
                    held(&pointer, schema, keyword, holds).into_iter().map(|below| (below, inner, depth + 1)),
                );
            }
            survey.parts.push((pointer, speaks));
        }
        survey.references(source);
        survey.cycles(source);
        survey
    }

    fn add(&mut self, pointer: &str, what: String, mend: &str) {
        self.found.push(Found { pointer: pointer.to_owned(), what, mend: mend.to_owned() });
    }

    /// Keywords of one schema.
    fn look(&mut self, pointer: &str, schema: &Value) {
        let Value::Object(members) = schema else { return };
        for (key, value) in members {
            let at = format!("{pointer}/{}", super::place::escape(key));
            match key.as_str() {
                "$schema" if pointer.is_empty() => {
                    let named = value.as_str().unwrap_or_default();
                    if named.trim_end_matches('#') != DIALECT {
                        self.add(
                            &at,
                            format!("written for another JSON Schema: {}", echo(named)),
                            "write it for 2020-12, or leave $schema out",
                        );
                    }
                }
                "$schema" | "$id" if !pointer.is_empty() => self.add(
                    &at,
                    format!("{key} inside a schema"),
                    "a schema file is one schema: leave it out, and refer by #/$defs/…",
                ),
                "$dynamicRef" | "$dynamicAnchor" | "$recursiveRef" | "$recursiveAnchor" => {
                    self.add(&at, format!("{key} is not supported"), "use $ref and $defs");
                }
                "$anchor" => {
                    if let Some(name) = value.as_str()
                        && let Some(first) = self.anchors.insert(name.to_owned(), pointer.to_owned())
                    {
                        self.add(
                            &at,
                            format!("$anchor {} is there twice, also at {}", echo(name), echo(&first)),
                            "give one of them another name, or refer by #/$defs/…",
                        );
                    }
                }
                other => self.keyword(&at, other),
            }
        }
    }

    /// JSON Schema ignores unknown keywords, and one of another dialect or a misspelt one would silently allow everything.
    fn keyword(&mut self, at: &str, key: &str) {
        let known = || HOLDERS.iter().map(|(keyword, _, _)| *keyword).chain(PLAIN);
        if key == dag::BYTES || key == dag::LINK {
            self.add(at, format!("{key} is no keyword"), &format!("write {{\"$ref\": \"{key}\"}}"));
            return;
        }
        if key.starts_with("x-") || known().any(|keyword| keyword == key) {
            return;
        }
        let foreign = FOREIGN.iter().find(|(foreign, _)| *foreign == key);
        let mend = match (foreign, nearest::word(key, known())) {
            (Some((_, mend)), _) => (*mend).to_owned(),
            (None, Some(meant)) => format!("did you mean {meant}?"),
            (None, None) => format!("nothing checks it: leave it out, or call it x-{}", echo(key)),
        };
        self.add(at, format!("unknown keyword {}", echo(key)), &mend);
    }

    fn references(&mut self, source: &Value) {
        let known: BTreeSet<&str> = self.parts.iter().map(|(pointer, _)| pointer.as_str()).collect();
        let mut found = Vec::new();
        for (pointer, _) in &self.parts {
            let Some(reference) =
                source.pointer(pointer).and_then(|schema| schema.get("$ref")).and_then(Value::as_str)
            else {
                continue;
            };
            if is_ours(reference) {
                continue;
            }
            let at = format!("{pointer}/$ref");
            if !reference.starts_with('#') {
                let meant = nearest::word(reference, [dag::BYTES, dag::LINK]);
                found.push(Found {
                    pointer: at,
                    what: format!("refers to something outside this file: {}", echo(reference)),
                    mend: meant.map_or_else(
                        || "only #/$defs/…, comms:bytes and comms:link can be referred to".to_owned(),
                        |meant| format!("did you mean {meant}?"),
                    ),
                });
            } else if target(reference, &self.anchors).is_none_or(|target| !known.contains(target.as_str())) {
                found.push(Found {
                    pointer: at,
                    what: format!("refers to no schema of this file: {}", echo(reference)),
                    mend: "write it below $defs, or correct the reference".to_owned(),
                });
            }
        }
        self.found.extend(found);
    }

    /// Schemas that speak of the same value as `pointer`, one step away.
    fn beside(&self, source: &Value, pointer: &str) -> Vec<String> {
        let Some(schema) = source.pointer(pointer) else { return Vec::new() };
        let mut beside: Vec<String> = HOLDERS
            .iter()
            .filter(|(_, _, speaks)| *speaks == Speaks::Same)
            .flat_map(|(keyword, holds, _)| held(pointer, schema, keyword, *holds))
            .collect();
        beside.extend(self.referred(schema));
        beside
    }

    fn referred(&self, schema: &Value) -> Option<String> {
        target(schema.get("$ref")?.as_str()?, &self.anchors)
    }

    /// A schema that leads back to itself without entering a part of the value would be checked for ever.
    fn cycles(&mut self, source: &Value) {
        let mut incoming: BTreeMap<String, usize> =
            self.parts.iter().map(|(pointer, _)| (pointer.clone(), 0)).collect();
        for (pointer, _) in &self.parts {
            for next in self.beside(source, pointer) {
                if let Some(count) = incoming.get_mut(&next) {
                    *count += 1;
                }
            }
        }
        let mut free: Vec<String> =
            incoming.iter().filter(|(_, count)| **count == 0).map(|(pointer, _)| pointer.clone()).collect();
        while let Some(pointer) = free.pop() {
            incoming.remove(&pointer);
            for next in self.beside(source, &pointer) {
                if let Some(count) = incoming.get_mut(&next) {
                    *count -= 1;
                    if *count == 0 {
                        free.push(next);
                    }
                }
            }
        }
        if let Some(pointer) = incoming.into_keys().next() {
            self.add(
                &pointer,
                "refers to itself without going deeper into the body".to_owned(),
                "refer to it from properties or items only",
            );
        }
    }

    /// Schemas that are referred to as one of several parts of a body. They stay open where they stand, and are
    /// closed where they are used.
    fn open_targets(&self, source: &Value) -> BTreeSet<String> {
        let mut open = BTreeSet::new();
        let mut waiting: Vec<String> = self
            .parts
            .iter()
            .filter_map(|(pointer, speaks)| {
                let schema = source.pointer(pointer)?;
                let target = self.referred(schema)?;
                (*speaks == Speaks::Same || composed(schema)).then_some(target)
            })
            .collect();
        while let Some(pointer) = waiting.pop() {
            if let Some(next) = source.pointer(&pointer).and_then(|schema| self.referred(schema))
                && !open.contains(&next)
            {
                waiting.push(next);
            }
            open.insert(pointer);
        }
        open
    }

    /// Whether this schema or one that speaks of the same value names properties.
    fn names_properties(&self, source: &Value, pointer: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut waiting = vec![pointer.to_owned()];
        while let Some(pointer) = waiting.pop() {
            if source.pointer(&pointer).is_some_and(|schema| schema.get("properties").is_some()) {
                return true;
            }
            waiting.extend(self.beside(source, &pointer).into_iter().filter(|next| !seen.contains(next)));
            seen.insert(pointer);
        }
        false
    }
}

/// Whether alternatives are the whole of what a schema says, so that each can be closed by itself.
fn alternatives_apart(schema: &Value, speaks: Speaks) -> bool {
    let has = |keyword| schema.get(keyword).is_some();
    let others = ["properties", "patternProperties", "allOf", "$ref", "if", "dependentSchemas"];
    speaks == Speaks::Part && !others.into_iter().any(has) && !(has("anyOf") && has("oneOf"))
}

/// Whether a schema adds something to what its `$ref` says of the same value.
fn composed(schema: &Value) -> bool {
    let others = ["properties", "patternProperties", "allOf", "anyOf", "oneOf", "if", "dependentSchemas"];
    schema.get("$ref").is_some() && others.into_iter().any(|keyword| schema.get(keyword).is_some())
}

/// The keyword that closes the bodies of this schema, unless it says itself what else they may hold.
fn closing(source: &Value, pointer: &str, open: &BTreeSet<String>, survey: &Survey) -> Option<&'static str> {
    let schema = source.pointer(pointer)?;
    let has = |keyword: &str| schema.get(keyword).is_some();
    if open.contains(pointer) || has("additionalProperties") || has("unevaluatedProperties") {
        return None;
    }
    let through_reference = survey.referred(schema).is_some_and(|target| open.contains(&target));
    let alternatives = (has("anyOf") || has("oneOf")) && !alternatives_apart(schema, Speaks::Part);
    if has("allOf") || has("if") || has("dependentSchemas") || alternatives || through_reference {
        return survey.names_properties(source, pointer).then_some("unevaluatedProperties");
    }
    has("properties").then_some("additionalProperties")
}
