//! What a schema says of each place of a body, worked out once: which numbers are expected, what is bytes, and
//! which names are known there.
//!
//! A place of a body may be spoken of by several schemas at once (`allOf`, alternatives, references). They are
//! gathered into one shape, so that nothing has to be decided while a body is read.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Number, Value};

use super::dag;
use super::outline::{Correction, Item, Outline};
use super::tree::{HOLDERS, Speaks, held, target};
use crate::limits::{CHECKS_MAX, SCHEMA_DEPTH_MAX, SHAPES_DEPTH_MAX, SHAPES_MAX};

/// All shapes of a schema; the first is the body's.
pub(super) struct Shapes {
    all: Vec<Shape>,
    /// How many times more often a part is checked than what it is part of, at most. More than one where several
    /// alternatives look into the same part.
    growth: u64,
}

#[derive(Default)]
pub(super) struct Shape {
    numbers: Numbers,
    /// Whether it, or a shape of any part, expects one form of numbers.
    reaches_numbers: bool,
    bytes: bool,
    properties: BTreeMap<String, usize>,
    other: Option<usize>,
    first: Vec<usize>,
    items: Option<usize>,
}

/// Which numbers a schema expects in a place.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Numbers {
    /// It does not say, or allows both.
    #[default]
    Any,
    Integer,
    Float,
}

impl Shapes {
    /// `None` if there would be more than [`SHAPES_MAX`].
    pub(super) fn of(prepared: &Value) -> Option<Self> {
        let mut builder = Builder {
            root: prepared,
            anchors: anchors(prepared),
            known: BTreeMap::new(),
            shapes: Vec::new(),
            gathered: 0,
            depth: 0,
            growth: 1,
        };
        builder.shape(&BTreeSet::from([String::new()]))?;
        let mut all = builder.shapes;
        mark_numbers(&mut all);
        Some(Self { all, growth: builder.growth })
    }

    /// Whether checking this body against the schema stays within [`CHECKS_MAX`]. Where alternatives look into the
    /// same part the work multiplies with every level, and the depth is the sender's choice.
    pub(super) fn can_check(&self, body: &Outline<'_>) -> bool {
        self.growth <= 1 || self.spend(body, 0, 1, &mut { CHECKS_MAX }).is_some()
    }

    fn spend(&self, body: &Outline<'_>, entry: usize, each: u64, left: &mut u64) -> Option<()> {
        *left = left.checked_sub(each)?;
        let below = each.saturating_mul(self.growth);
        body.parts(entry).try_for_each(|(_, part)| self.spend(body, part, below, left))
    }

    /// The numbers of a body that the schema wants in another form, in their order: `1.0` becomes `1` where an integer
    /// is expected and `1` becomes `1.0` where any number is. Only exact conversions are made.
    pub(super) fn corrections(&self, body: &Outline<'_>) -> Vec<Correction> {
        let mut corrections = Vec::new();
        if body.has_numbers() {
            self.correct(0, body, 0, &mut corrections);
        }
        corrections
    }

    fn correct(&self, at: usize, body: &Outline<'_>, entry: usize, corrections: &mut Vec<Correction>) {
        let shape = &self.all[at];
        if !shape.reaches_numbers {
            return;
        }
        match (body.item(entry), shape.numbers) {
            (Item::Float(_), Numbers::Integer) | (Item::Unsigned(_) | Item::Negative(_), Numbers::Float) => {
                let given = body.number_of(entry).expect("a number");
                let number = if shape.numbers == Numbers::Integer {
                    to_integer(given.clone())
                } else {
                    to_float(given.clone())
                };
                if number != given {
                    corrections.push(Correction { entry, number });
                }
            }
            (Item::Array { .. }, _) => {
                for (index, (_, part)) in body.parts(entry).enumerate() {
                    if let Some(next) = shape.item(index) {
                        self.correct(next, body, part, corrections);
                    }
                }
            }
            (Item::Map { .. }, _) => {
                for (key, part) in body.parts(entry) {
                    if let Some(next) = shape.member(key) {
                        self.correct(next, body, part, corrections);
                    }
                }
            }
            _ => {}
        }
    }

    /// The same on a tree of JSON: what [`Shapes::corrections`] is held against.
    #[cfg(test)]
    pub(super) fn normalise_tree(&self, body: Value) -> Value {
        self.normalise_at(0, body)
    }

    #[cfg(test)]
    fn normalise_at(&self, at: usize, value: Value) -> Value {
        let shape = &self.all[at];
        match value {
            Value::Number(number) => Value::Number(match shape.numbers {
                Numbers::Any => number,
                Numbers::Integer => to_integer(number),
                Numbers::Float => to_float(number),
            }),
            Value::Array(items) => {
                let normal = |(index, item)| match shape.item(index) {
                    Some(next) => self.normalise_at(next, item),
                    None => item,
                };
                items.into_iter().enumerate().map(normal).collect()
            }
            Value::Object(members) => {
                let normal = |(key, member): (String, Value)| match shape.member(&key) {
                    Some(next) => (key, self.normalise_at(next, member)),
                    None => (key, member),
                };
                Value::Object(members.into_iter().map(normal).collect())
            }
            other => other,
        }
    }

    /// Whether the field at these steps is bytes or a link to them.
    pub(super) fn is_bytes<'a>(&self, steps: impl Iterator<Item = Step<'a>>) -> bool {
        self.at(steps).is_some_and(|shape| shape.bytes)
    }

    /// The shape of the place that these steps lead to.
    fn at<'a>(&self, mut steps: impl Iterator<Item = Step<'a>>) -> Option<&Shape> {
        let at = steps.try_fold(0, |at, step| match step {
            Step::Member(key) => self.all[at].member(key),
            Step::Item(index) => self.all[at].item(index),
            // What stands in a pointer may be either.
            Step::Named(name) => self.all[at]
                .member(name)
                .or_else(|| name.parse().ok().and_then(|index| self.all[at].item(index))),
        })?;
        Some(&self.all[at])
    }

    /// Names that the schema knows at a place of a body.
    pub(super) fn names<'a>(&self, steps: impl Iterator<Item = Step<'a>>) -> impl Iterator<Item = &str> {
        self.at(steps).into_iter().flat_map(|shape| shape.properties.keys().map(String::as_str))
    }

    /// Paths of byte fields, `*` for any entry or any other name, at most `max`.
    pub(super) fn byte_fields(&self, max: usize) -> Vec<String> {
        let mut fields = Vec::new();
        let mut above = Vec::new();
        self.byte_fields_at(0, &mut String::new(), &mut above, &mut fields, max);
        fields
    }

    fn byte_fields_at(
        &self,
        at: usize,
        path: &mut String,
        above: &mut Vec<usize>,
        fields: &mut Vec<String>,
        max: usize,
    ) {
        // A shape within itself has no end of paths; the first says enough.
        if fields.len() >= max || above.contains(&at) || above.len() > SCHEMA_DEPTH_MAX {
            return;
        }
        let shape = &self.all[at];
        if shape.bytes {
            fields.push(path.clone());
        }
        above.push(at);
        let first = shape.first.iter().enumerate().map(|(index, next)| (index.to_string(), *next));
        let rest = shape.items.iter().chain(&shape.other).map(|next| ("*".to_owned(), *next));
        let named = shape.properties.iter().map(|(key, next)| (super::place::escape(key), *next));
        for (step, next) in named.chain(first).chain(rest) {
            let length = path.len();
            path.push('/');
            path.push_str(&step);
            self.byte_fields_at(next, path, above, fields, max);
            path.truncate(length);
        }
        above.pop();
    }
}

/// One step into a body.
pub(super) enum Step<'a> {
    Member(&'a str),
    Item(usize),
    /// A member, or an entry by its number.
    Named(&'a str),
}

impl Shape {
    fn member(&self, key: &str) -> Option<usize> {
        self.properties.get(key).copied().or(self.other)
    }

    fn item(&self, index: usize) -> Option<usize> {
        self.first.get(index).copied().or(self.items)
    }
}

/// Marks every shape from which one that expects one form of numbers can be reached.
fn mark_numbers(all: &mut [Shape]) {
    let mut above: Vec<Vec<usize>> = vec![Vec::new(); all.len()];
    for (at, shape) in all.iter().enumerate() {
        let below = shape.properties.values().chain(&shape.first).chain(&shape.other).chain(&shape.items);
        below.for_each(|below| above[*below].push(at));
    }
    let mut waiting: Vec<usize> = (0..all.len()).filter(|at| all[*at].numbers != Numbers::Any).collect();
    while let Some(at) = waiting.pop() {
        if !std::mem::replace(&mut all[at].reaches_numbers, true) {
            waiting.extend(&above[at]);
        }
    }
}

fn anchors(root: &Value) -> BTreeMap<String, String> {
    let mut anchors = BTreeMap::new();
    let mut waiting = vec![String::new()];
    while let Some(pointer) = waiting.pop() {
        let Some(schema) = root.pointer(&pointer) else { continue };
        for (keyword, holds, _) in HOLDERS {
            waiting.extend(held(&pointer, schema, keyword, holds));
        }
        if let Some(name) = schema.get("$anchor").and_then(Value::as_str) {
            anchors.insert(name.to_owned(), pointer);
        }
    }
    anchors
}

struct Builder<'a> {
    root: &'a Value,
    anchors: BTreeMap<String, String>,
    known: BTreeMap<BTreeSet<String>, usize>,
    shapes: Vec<Shape>,
    gathered: usize,
    /// How deep in the body the place is that is being worked out.
    depth: usize,
    growth: u64,
}

/// Schemas gathered for all places together: what building may cost in time.
const GATHERED_MAX: usize = SHAPES_MAX * 16;

impl Builder<'_> {
    /// The shape of a place that all of these schemas speak of.
    fn shape(&mut self, named: &BTreeSet<String>) -> Option<usize> {
        let mut gathered = BTreeSet::new();
        for pointer in named {
            let (counted, said) = self.gather(pointer)?;
            self.growth = self.growth.max(self.growth_below(&counted));
            gathered.extend(said);
        }
        if let Some(known) = self.known.get(&gathered) {
            return Some(*known);
        }
        if self.shapes.len() >= SHAPES_MAX || self.depth >= SHAPES_DEPTH_MAX {
            return None;
        }
        let at = self.shapes.len();
        self.shapes.push(Shape::default());
        self.known.insert(gathered.clone(), at);

        let schemas: Vec<(&String, &Value)> =
            gathered.iter().filter_map(|pointer| Some((pointer, self.root.pointer(pointer)?))).collect();
        let numbers = numbers(schemas.iter().map(|(_, schema)| *schema));
        let bytes = schemas.iter().any(|(_, schema)| schema.get(dag::BYTES).is_some());

        let mut members: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut other = BTreeSet::new();
        let mut first: Vec<BTreeSet<String>> = Vec::new();
        let mut items = BTreeSet::new();
        for (pointer, schema) in schemas {
            if let Some(Value::Object(properties)) = schema.get("properties") {
                for key in properties.keys() {
                    let below = format!("{pointer}/properties/{}", super::place::escape(key));
                    members.entry(key.clone()).or_default().insert(below);
                }
            }
            for (keyword, holds, _) in HOLDERS {
                let below = held(pointer, schema, keyword, holds);
                match keyword {
                    "patternProperties" | "additionalProperties" | "unevaluatedProperties" => {
                        other.extend(below)
                    }
                    "items" | "unevaluatedItems" => items.extend(below),
                    "prefixItems" => {
                        for (index, below) in below.into_iter().enumerate() {
                            if first.len() == index {
                                first.push(BTreeSet::new());
                            }
                            first[index].insert(below);
                        }
                    }
                    _ => {}
                }
            }
        }
        let mut shape = Shape { numbers, bytes, ..Shape::default() };
        self.depth += 1;
        for (key, below) in members {
            shape.properties.insert(key, self.shape(&below)?);
        }
        for below in first {
            shape.first.push(self.shape(&below)?);
        }
        if !other.is_empty() {
            shape.other = Some(self.shape(&other)?);
        }
        if !items.is_empty() {
            shape.items = Some(self.shape(&items)?);
        }
        self.depth -= 1;
        self.shapes[at] = shape;
        Some(at)
    }

    /// All schemas that are checked against the same value as this one, each with how often; and those among them
    /// that say what the value is, which what stands under `not` does not.
    fn gather(&mut self, pointer: &str) -> Option<(BTreeMap<String, u64>, BTreeSet<String>)> {
        let mut counted: BTreeMap<String, u64> = BTreeMap::new();
        let mut said = BTreeSet::new();
        let mut waiting = vec![(pointer.to_owned(), false)];
        while let Some((pointer, denied)) = waiting.pop() {
            self.gathered += 1;
            if self.gathered > GATHERED_MAX {
                return None;
            }
            let Some(schema) = self.root.pointer(&pointer) else { continue };
            for (keyword, holds, speaks) in HOLDERS {
                if speaks == Speaks::Same {
                    let denied = denied || keyword == "not";
                    waiting.extend(
                        held(&pointer, schema, keyword, holds).into_iter().map(|below| (below, denied)),
                    );
                }
            }
            if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
                waiting.extend(target(reference, &self.anchors).map(|target| (target, denied)));
            }
            *counted.entry(pointer.clone()).or_default() += 1;
            // What only refers elsewhere says nothing itself: left out, equal places have equal shapes.
            if !denied && !only_refers(schema) {
                said.insert(pointer);
            }
        }
        Some((counted, said))
    }

    /// How many of these schemas look into the same part, for the part that most look into.
    fn growth_below(&self, counted: &BTreeMap<String, u64>) -> u64 {
        let mut named: BTreeMap<&str, u64> = BTreeMap::new();
        let (mut others, mut items) = (0_u64, 0_u64);
        for (pointer, count) in counted {
            let Some(schema) = self.root.pointer(pointer) else { continue };
            for (keyword, holds, speaks) in HOLDERS {
                let below = held(pointer, schema, keyword, holds);
                let checked =
                    below.iter().filter(|below| self.root.pointer(below).is_some_and(Value::is_object));
                match keyword {
                    "properties" => {
                        for key in
                            schema["properties"].as_object().into_iter().flat_map(|members| members.keys())
                        {
                            *named.entry(key).or_default() += count;
                        }
                    }
                    "prefixItems" if !below.is_empty() => items += count,
                    "items" | "contains" | "unevaluatedItems" => items += count * checked.count() as u64,
                    _ if speaks == Speaks::Part
                        && !matches!(keyword, "$defs" | "definitions" | "propertyNames") =>
                    {
                        others += count * checked.count() as u64;
                    }
                    _ => {}
                }
            }
        }
        let most = named.into_values().max().unwrap_or(0);
        (most + others).max(items)
    }
}

fn only_refers(schema: &Value) -> bool {
    schema.as_object().is_some_and(|members| {
        members.contains_key("$ref")
            && members.keys().all(|key| matches!(key.as_str(), "$ref" | "title" | "description" | "$comment"))
    })
}

/// What all these schemas together expect of a number.
fn numbers<'a>(schemas: impl Iterator<Item = &'a Value>) -> Numbers {
    let (mut integer, mut float) = (false, false);
    for schema in schemas {
        let named: Vec<&str> = match schema.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        integer |= named.contains(&"integer");
        float |= named.contains(&"number");
        if named.is_empty() {
            let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
            for number in listed.chain(schema.get("const")).filter_map(Value::as_number) {
                integer |= !number.is_f64();
                float |= number.is_f64();
            }
        }
    }
    match (integer, float) {
        (true, false) => Numbers::Integer,
        (false, true) => Numbers::Float,
        (true, true) | (false, false) => Numbers::Any,
    }
}

/// The same number as an integer, if it is one that 64 bits hold.
fn to_integer(number: Number) -> Number {
    /// 2 to the power of 63 and of 64: the first floats that are too large.
    const I64_END: f64 = 9_223_372_036_854_775_808.0;
    const U64_END: f64 = 18_446_744_073_709_551_616.0;
    if !number.is_f64() {
        return number;
    }
    match number.as_f64() {
        Some(float) if float.fract() == 0.0 && (-I64_END..0.0).contains(&float) => Number::from(float as i64),
        Some(float) if float.fract() == 0.0 && (0.0..U64_END).contains(&float) => Number::from(float as u64),
        _ => number,
    }
}

/// The same number as a float, if one holds it exactly.
fn to_float(number: Number) -> Number {
    let exact = |float: f64, integer: i128| (float as i128 == integer).then_some(float);
    let float = match (number.as_u64(), number.as_i64()) {
        (Some(unsigned), _) => exact(unsigned as f64, i128::from(unsigned)),
        (None, Some(signed)) => exact(signed as f64, i128::from(signed)),
        (None, None) => None,
    };
    float.and_then(Number::from_f64).unwrap_or(number)
}
