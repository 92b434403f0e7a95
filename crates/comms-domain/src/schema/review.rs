//! What a schema says that nothing would check, and what no body could ever be. Found when the definition is read: a
//! rule that its author believes in and that is not on the path is worse than no rule.
//!
//! Faults are refused. Notes are for keywords that say something to readers and nothing to the door, such as `default`.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::keywords::{FORMATS, LEAN_ON, NOTED, NUMBER_FORMATS, OBJECT, PAIRS, SPEAK_OF, is_annotation};
use super::place::escape;
use super::prepare::{Found, Prepared};
use super::tree::{HOLDERS, Speaks, held, target};
use super::{dag, echo};
use crate::nearest;

/// What a review found.
#[derive(Default)]
pub(super) struct Review {
    pub(super) faults: Vec<Found>,
    pub(super) notes: Vec<Found>,
}

/// How often schemas are looked at beside others, for all parts together: what a review may cost in time.
const GATHERED_MAX: usize = 1 << 18;

/// Looks through every part of a schema.
pub(super) fn review(prepared: &Prepared) -> Review {
    let mut reviewer = Reviewer { prepared, found: Review::default(), gathered: Cell::new(0) };
    for pointer in &prepared.parts {
        let Some(schema) = prepared.schema.pointer(pointer) else { continue };
        reviewer.look(pointer, schema);
        reviewer.names(pointer, schema);
    }
    reviewer.root();
    reviewer.endless();
    if reviewer.gathered.get() > GATHERED_MAX {
        let (pointer, what) = (String::new(), "combines its parts in too many ways".to_owned());
        let mend = "use fewer nested allOf, anyOf and oneOf".to_owned();
        reviewer.found.faults.push(Found { pointer, what, mend });
    }
    reviewer.found.faults.dedup();
    reviewer.found
}

struct Reviewer<'a> {
    prepared: &'a Prepared,
    found: Review,
    /// How often a schema was looked at beside another.
    gathered: Cell<usize>,
}

impl<'a> Reviewer<'a> {
    fn fault(&mut self, pointer: &str, keyword: &str, what: String, mend: impl Into<String>) {
        let pointer = format!("{pointer}/{}", escape(keyword));
        self.found.faults.push(Found { pointer, what, mend: mend.into() });
    }

    fn note(&mut self, pointer: &str, keyword: &str, what: String, mend: &str) {
        let pointer = format!("{pointer}/{}", escape(keyword));
        self.found.notes.push(Found { pointer, what, mend: mend.to_owned() });
    }

    /// What one schema says by itself.
    fn look(&mut self, pointer: &str, schema: &Value) {
        for (keyword, why, mend) in NOTED {
            if schema.get(keyword).is_some() {
                self.note(pointer, keyword, format!("{keyword} {why}"), mend);
            }
        }
        for (keyword, other) in LEAN_ON {
            if schema.get(keyword).is_some() && schema.get(other).is_none() {
                let what = format!("{keyword} without {other} is never checked");
                self.fault(pointer, keyword, what, format!("add {other}, or leave it out"));
            }
        }
        if schema.get("if").is_some() && schema.get("then").is_none() && schema.get("else").is_none() {
            self.note(
                pointer,
                "if",
                "if without then and else changes nothing".to_owned(),
                "add one of them",
            );
        }
        self.format(pointer, schema);
        self.applicable(pointer, schema);
        self.beside_bytes(pointer, schema);
        self.bounds(pointer, schema);
        self.options(pointer, schema);
    }

    fn format(&mut self, pointer: &str, schema: &Value) {
        let Some(format) = schema.get("format").and_then(Value::as_str) else { return };
        if FORMATS.contains(&format) {
            return;
        }
        let mend = if NUMBER_FORMATS.contains(&format) {
            "a format says how text is written; bound a number by minimum and maximum".to_owned()
        } else if matches!(format, "byte" | "binary" | "base64") {
            "bytes are {\"$ref\": \"comms:bytes\"}".to_owned()
        } else if let Some(meant) = nearest::word(format, FORMATS) {
            format!("did you mean {meant}?")
        } else {
            format!("known: {}; others as a pattern", FORMATS.join(", "))
        };
        self.fault(pointer, "format", format!("unknown format {}", echo(format)), mend);
    }

    fn applicable(&mut self, pointer: &str, schema: &Value) {
        let Some(types) = types(schema) else { return };
        for (keyword, of) in SPEAK_OF {
            if schema.get(keyword).is_some() && !of.iter().any(|of| types.contains(of)) {
                let what = format!("{keyword} says nothing of {}", types.join(" or "));
                self.note(pointer, keyword, what, "leave it out, or correct the type");
            }
        }
    }

    fn beside_bytes(&mut self, pointer: &str, schema: &Value) {
        let Some(members) = schema.as_object() else { return };
        let Some(ours) = [dag::BYTES, dag::LINK].into_iter().find(|ours| members.contains_key(*ours)) else {
            return;
        };
        for keyword in members.keys() {
            if keyword != ours && !is_annotation(keyword) {
                let what = format!("{} says nothing of {ours}", echo(keyword));
                self.fault(pointer, keyword, what, format!("leave it out beside {{\"$ref\": \"{ours}\"}}"));
            }
        }
    }

    fn bounds(&mut self, pointer: &str, schema: &Value) {
        for (low, high) in PAIRS {
            let bound = |keyword| schema.get(keyword).and_then(Value::as_f64);
            // Without a word of its own the least is one entry.
            let least = bound(low).or((low == "minContains").then_some(1.0));
            if let (Some(least), Some(most)) = (least, bound(high))
                && least > most
            {
                let what = format!("nothing has {low} {least} and {high} {most}");
                self.fault(pointer, high, what, "correct one of them");
            }
        }
        let Some((at, what)) = empty_range(schema) else { return };
        self.fault(pointer, at, what, "correct one of them");
    }

    fn options(&mut self, pointer: &str, schema: &Value) {
        let types = types(schema);
        let fits = |value: &Value| types.as_ref().is_none_or(|types| types.iter().any(|of| is_of(value, of)));
        let excluded =
            |value: &Value| format!("{} is not of the type that is asked for", echo(&value.to_string()));
        if let Some(options) = schema.get("enum").and_then(Value::as_array) {
            if options.is_empty() {
                self.fault(
                    pointer,
                    "enum",
                    "an empty enum allows nothing".to_owned(),
                    "list what is allowed",
                );
            }
            let mut seen = BTreeSet::new();
            for (index, option) in options.iter().enumerate() {
                let keyword = format!("enum/{index}");
                let at = |what: String, mend: &str| Found {
                    pointer: format!("{pointer}/{keyword}"),
                    what,
                    mend: mend.to_owned(),
                };
                if !seen.insert(super::sorted(option).to_string()) {
                    let what = format!("{} is listed twice", echo(&option.to_string()));
                    self.found.faults.push(at(what, "list it once"));
                } else if !fits(option) {
                    self.found.faults.push(at(excluded(option), "correct it, or the type"));
                }
            }
        }
        if let Some(value) = schema.get("const") {
            if !fits(value) {
                self.fault(pointer, "const", excluded(value), "correct it, or the type");
            } else if let Some(options) = schema.get("enum").and_then(Value::as_array)
                && !options.iter().any(|option| jsonschema::json::cmp::equal(option, value))
            {
                let what = format!("{} is not in enum", echo(&value.to_string()));
                self.fault(pointer, "const", what, "leave out one of the two");
            }
        }
    }

    /// Names that are required and cannot be there.
    fn names(&mut self, pointer: &str, schema: &Value) {
        let is_false = |keyword| schema.get(keyword) == Some(&Value::Bool(false));
        let whole = is_false("unevaluatedProperties");
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            for name in required(schema) {
                if properties.get(name) == Some(&Value::Bool(false)) {
                    let what = format!("{} is required and not allowed", echo(name));
                    self.fault(pointer, "required", what, "take it out of one of the two");
                }
            }
        }
        if !whole && !is_false("additionalProperties") {
            return;
        }
        let same = self.same(pointer);
        let named_by: Vec<&Value> = if whole { same.iter().map(|(_, s)| *s).collect() } else { vec![schema] };
        let is_open = |part: &Value| {
            let says = |keyword| part.get(keyword).is_some_and(|value| *value != Value::Bool(false));
            part.get("patternProperties").is_some()
                || says("additionalProperties")
                || says("unevaluatedProperties")
        };
        if named_by.iter().any(|part| is_open(part)) {
            return;
        }
        let known: BTreeSet<&str> = named_by
            .iter()
            .filter_map(|part| part.get("properties")?.as_object())
            .flat_map(|properties| properties.keys().map(String::as_str))
            .collect();
        for (at, part) in &same {
            let dependent = part.get("dependentRequired").and_then(Value::as_object);
            let dependent =
                dependent.into_iter().flat_map(|names| names.values()).filter_map(Value::as_array);
            let dependent =
                dependent.flatten().filter_map(Value::as_str).map(|name| ("dependentRequired", name));
            for (keyword, name) in required(part).map(|name| ("required", name)).chain(dependent) {
                if !known.contains(name) {
                    let what = format!("{} is required, and is none of the properties", echo(name));
                    let mend = match nearest::word(name, known.iter().copied()) {
                        Some(meant) => format!("did you mean {meant}?"),
                        None => "add it to properties; a body has no other field".to_owned(),
                    };
                    self.fault(at, keyword, what, mend);
                }
            }
        }
    }

    /// Schemas that speak of the same value as `pointer` does, itself included, without what is denied or asked.
    fn same(&self, pointer: &str) -> Vec<(String, &'a Value)> {
        self.gather(pointer, |keyword| !matches!(keyword, "not" | "if"))
    }

    /// Those among them that always do.
    fn always(&self, pointer: &str) -> Vec<(String, &'a Value)> {
        self.gather(pointer, |keyword| keyword == "allOf")
    }

    fn gather(&self, pointer: &str, through: impl Fn(&str) -> bool) -> Vec<(String, &'a Value)> {
        let mut seen = BTreeSet::new();
        let mut gathered = Vec::new();
        let mut waiting = vec![pointer.to_owned()];
        while let Some(pointer) = waiting.pop() {
            self.gathered.set(self.gathered.get() + 1);
            if self.gathered.get() > GATHERED_MAX {
                break;
            }
            let Some(schema) = self.prepared.schema.pointer(&pointer) else { continue };
            if !seen.insert(pointer.clone()) {
                continue;
            }
            for (keyword, holds, speaks) in HOLDERS {
                if speaks == Speaks::Same && through(keyword) {
                    waiting.extend(held(&pointer, schema, keyword, holds));
                }
            }
            let reference = schema.get("$ref").and_then(Value::as_str);
            waiting.extend(reference.and_then(|reference| target(reference, &self.prepared.anchors)));
            gathered.push((pointer, schema));
        }
        gathered
    }

    /// A body is an object.
    fn root(&mut self) {
        let mend = "a body is an object: describe its fields in properties";
        let always: Vec<(String, &str)> = self
            .always("")
            .into_iter()
            .filter_map(|(at, schema)| {
                let excludes = types(schema).is_some_and(|types| !types.contains(&"object"));
                let ours = [dag::BYTES, dag::LINK].into_iter().any(|ours| schema.get(ours).is_some());
                (excludes || ours).then_some((at, if excludes { "type" } else { "$ref" }))
            })
            .collect();
        for (at, keyword) in always {
            self.fault(&at, keyword, "no body can be this".to_owned(), mend);
        }
    }

    /// A part that must hold a part of its own kind, which must hold another, and so on, is never whole.
    fn endless(&mut self) {
        let mut needs: BTreeMap<&str, BTreeSet<String>> = self
            .prepared
            .parts
            .iter()
            .filter(|pointer| self.is_object(pointer))
            .map(|pointer| (pointer.as_str(), self.needs(pointer)))
            .collect();
        needs.retain(|_, needed| !needed.is_empty());
        // What needs nothing that needs something is whole; so is, then, what needs only that.
        let mut needed_by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut open: BTreeMap<&str, usize> = BTreeMap::new();
        for (pointer, needed) in &needs {
            let needed = needed.iter().filter(|needed| needs.contains_key(needed.as_str()));
            open.insert(pointer, needed.clone().count());
            needed.for_each(|needed| needed_by.entry(needed).or_default().push(pointer));
        }
        let mut whole: Vec<&str> = open.iter().filter(|(_, left)| **left == 0).map(|(at, _)| *at).collect();
        while let Some(pointer) = whole.pop() {
            open.remove(pointer);
            for above in needed_by.get(pointer).into_iter().flatten() {
                if let Some(left) = open.get_mut(above) {
                    *left -= 1;
                    if *left == 0 {
                        whole.push(above);
                    }
                }
            }
        }
        if let Some(pointer) = open.into_keys().next().map(str::to_owned) {
            let what = "a value that must hold another of its kind never ends".to_owned();
            self.fault(&pointer, "required", what, "let it be left out, or null, somewhere on the way");
        }
    }

    /// Whether what fits must be an object.
    fn is_object(&self, pointer: &str) -> bool {
        pointer.is_empty()
            || self
                .always(pointer)
                .iter()
                .any(|(_, schema)| types(schema).is_some_and(|types| types == OBJECT))
    }

    /// The parts that must be there.
    fn needs(&self, pointer: &str) -> BTreeSet<String> {
        let always = self.always(pointer);
        let names: BTreeSet<&str> = always.iter().flat_map(|(_, schema)| required(schema)).collect();
        let below = |(at, schema): &(String, &Value)| {
            let properties = schema.get("properties").and_then(Value::as_object);
            let there =
                names.iter().filter(|name| properties.is_some_and(|known| known.contains_key(**name)));
            there.map(|name| format!("{at}/properties/{}", escape(name))).collect::<Vec<_>>()
        };
        always.iter().flat_map(below).collect()
    }
}

fn required(schema: &Value) -> impl Iterator<Item = &str> {
    schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// The types that a schema names.
fn types(schema: &Value) -> Option<Vec<&str>> {
    match schema.get("type")? {
        Value::String(one) => Some(vec![one]),
        Value::Array(several) => Some(several.iter().filter_map(Value::as_str).collect()),
        _ => None,
    }
}

fn is_of(value: &Value, of: &str) -> bool {
    match value {
        Value::Null => of == "null",
        Value::Bool(_) => of == "boolean",
        Value::Number(number) => {
            of == "number" || of == "integer" && number.as_f64().is_none_or(|float| float.fract() == 0.0)
        }
        Value::String(_) => of == "string",
        Value::Array(_) => of == "array",
        Value::Object(_) => of == "object",
    }
}

/// The keyword at which the numbers that are allowed turn out to be none, and why.
fn empty_range(schema: &Value) -> Option<(&'static str, String)> {
    let bound = |keyword| schema.get(keyword).and_then(Value::as_f64);
    let least = [("minimum", false), ("exclusiveMinimum", true)];
    let most = [("maximum", false), ("exclusiveMaximum", true)];
    let whole = types(schema).is_some_and(|types| !types.contains(&"number") && types.contains(&"integer"));
    for (low, above) in least {
        for (high, below) in most {
            let (Some(from), Some(to)) = (bound(low), bound(high)) else { continue };
            let none = if whole {
                let first = if above { from.floor() + 1.0 } else { from.ceil() };
                let last = if below { to.ceil() - 1.0 } else { to.floor() };
                first > last
            } else {
                from > to || (from == to && (above || below))
            };
            if none {
                return Some((high, format!("no number has {low} {from} and {high} {to}")));
            }
        }
    }
    None
}
