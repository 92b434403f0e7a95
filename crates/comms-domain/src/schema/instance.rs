//! A body as the validator sees it: its DAG-CBOR, in the shape of its DAG-JSON, without a tree in between.
//!
//! Bytes are `{"/": {"bytes": …}}` and links `{"/": …}` to every keyword, as they are in the JSON of the same body; only
//! what is asked for is spelled out.

use std::borrow::Cow;

use jsonschema::JsonType;
use jsonschema::json::{self, NodeIdentity, cmp};
use serde_json::{Number, Value};

use super::outline::{Item, Outline};

/// The representation, for the validator.
pub(super) struct Dag;

/// One value of a body.
#[derive(Clone, Copy)]
pub(super) enum Instance<'a> {
    /// An item.
    Item(&'a Outline<'a>, usize),
    /// What stands under `/` for bytes: `{"bytes": …}`.
    Wrapped(&'a Outline<'a>, usize),
    /// The text of a CID, or of bytes.
    Spelled(&'a Outline<'a>, usize),
    /// A field's name.
    Name(&'a str),
}

/// The key of links and bytes in DAG-JSON.
const RESERVED: &str = "/";
/// The key of bytes below it.
const BYTES: &str = "bytes";

/// Members that are looked through for one name that a schema asks for, before each name is looked up by itself.
const MEMBERS_PER_NAME: usize = 4;

impl<'a> Instance<'a> {
    /// The body.
    pub(super) fn root(outline: &'a Outline<'a>) -> Self {
        Self::Item(outline, 0)
    }

    /// Whether it is a link.
    pub(super) fn is_link(self) -> bool {
        matches!(self, Self::Item(outline, entry) if matches!(outline.item(entry), Item::Link))
    }

    /// Whether it is bytes.
    pub(super) fn is_bytes(self) -> bool {
        matches!(self, Self::Item(outline, entry) if matches!(outline.item(entry), Item::Bytes))
    }
}

impl json::Json for Dag {
    type Node<'a> = Instance<'a>;
    type PreparedKey = Box<str>;
    type StringBuffer = ();

    const KEYS_PER_LOOKUP: usize = MEMBERS_PER_NAME;

    fn prepare_key(key: &str) -> Box<str> {
        key.into()
    }

    fn with_string_node<T>((): &mut (), name: &str, f: impl FnOnce(Instance<'_>) -> T) -> T {
        f(Instance::Name(name))
    }
}

impl<'a> json::Node<'a, Dag> for Instance<'a> {
    type Object = Object<'a>;
    type Array = Array<'a>;
    type Number = Number;

    fn as_object(&self) -> Option<Object<'a>> {
        match *self {
            Self::Item(outline, entry) => match outline.item(entry) {
                Item::Map { len, .. } => Some(Object::Map(outline, entry, len)),
                Item::Bytes => Some(Object::One(RESERVED, Self::Wrapped(outline, entry))),
                Item::Link => Some(Object::One(RESERVED, Self::Spelled(outline, entry))),
                _ => None,
            },
            Self::Wrapped(outline, entry) => Some(Object::One(BYTES, Self::Spelled(outline, entry))),
            Self::Spelled(..) | Self::Name(_) => None,
        }
    }

    fn as_array(&self) -> Option<Array<'a>> {
        match *self {
            Self::Item(outline, entry) => match outline.item(entry) {
                Item::Array { len } => Some(Array { outline, entry, len }),
                _ => None,
            },
            Self::Wrapped(..) | Self::Spelled(..) | Self::Name(_) => None,
        }
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        match *self {
            Self::Item(outline, entry) => match outline.item(entry) {
                Item::Text(text) => Some(Cow::Borrowed(text)),
                _ => None,
            },
            Self::Wrapped(..) => None,
            Self::Spelled(outline, entry) => Some(Cow::Owned(spelled(outline, entry))),
            Self::Name(name) => Some(Cow::Borrowed(name)),
        }
    }

    fn as_number(&self) -> Option<Number> {
        match *self {
            Self::Item(outline, entry) => outline.number_of(entry),
            Self::Wrapped(..) | Self::Spelled(..) | Self::Name(_) => None,
        }
    }

    fn as_boolean(&self) -> Option<bool> {
        match *self {
            Self::Item(outline, entry) => match outline.item(entry) {
                Item::Bool(value) => Some(value),
                _ => None,
            },
            Self::Wrapped(..) | Self::Spelled(..) | Self::Name(_) => None,
        }
    }

    fn is_null(&self) -> bool {
        self.json_type() == JsonType::Null
    }

    fn is_number(&self) -> bool {
        self.json_type() == JsonType::Number
    }

    fn json_type(&self) -> JsonType {
        match *self {
            Self::Item(outline, entry) => match outline.item(entry) {
                Item::Null => JsonType::Null,
                Item::Bool(_) => JsonType::Boolean,
                Item::Unsigned(_) | Item::Negative(_) | Item::Float(_) => JsonType::Number,
                Item::Text(_) => JsonType::String,
                Item::Array { .. } => JsonType::Array,
                Item::Map { .. } | Item::Bytes | Item::Link => JsonType::Object,
            },
            Self::Wrapped(..) => JsonType::Object,
            Self::Spelled(..) | Self::Name(_) => JsonType::String,
        }
    }

    fn equals_value(&self, expected: &Value) -> bool {
        if let Some(text) = self.as_string() {
            return expected.as_str() == Some(&*text);
        }
        if let Some(number) = self.as_number() {
            return expected.as_number().is_some_and(|expected| cmp::equal_numbers(&number, expected));
        }
        match expected {
            Value::String(_) | Value::Number(_) => false,
            Value::Null => self.is_null(),
            Value::Bool(expected) => self.as_boolean() == Some(*expected),
            // Part by part, so that a large value costs nothing where it differs from a small option.
            Value::Array(expected) => self.as_array().is_some_and(|array| {
                let same = |(element, expected): (Instance<'_>, &Value)| element.equals_value(expected);
                array.len == expected.len() && json::Array::elements(&array).zip(expected).all(same)
            }),
            Value::Object(expected) => self.as_object().is_some_and(|object| {
                let same = |(key, member): (&str, Instance<'_>)| {
                    expected.get(key).is_some_and(|expected| member.equals_value(expected))
                };
                json::Object::len(&object) == expected.len() && json::Object::members(&object).all(same)
            }),
        }
    }

    fn to_value(&self) -> Cow<'a, Value> {
        Cow::Owned(match *self {
            Self::Item(outline, entry) => outline.value(entry),
            Self::Wrapped(outline, entry) => outline.value(entry)[RESERVED].take(),
            Self::Spelled(outline, entry) => spelled(outline, entry).into(),
            Self::Name(name) => name.into(),
        })
    }

    fn identity(&self) -> Option<NodeIdentity> {
        let (outline, entry, part) = match *self {
            Self::Item(outline, entry) => (outline, entry, 0),
            Self::Wrapped(outline, entry) => (outline, entry, 1),
            Self::Spelled(outline, entry) => (outline, entry, 2),
            // A name holds nothing, so no reference can go round in it.
            Self::Name(_) => return None,
        };
        Some(NodeIdentity::tagged(outline.address(entry), part))
    }
}

/// The text that stands for a link or bytes.
fn spelled(outline: &Outline<'_>, entry: usize) -> String {
    let mut value = outline.value(entry);
    let inner = value[RESERVED].take();
    let text = if inner.is_string() { &inner } else { &inner[BYTES] };
    text.as_str().unwrap_or_default().to_owned()
}

/// The members of an object.
pub(super) enum Object<'a> {
    Map(&'a Outline<'a>, usize, usize),
    One(&'static str, Instance<'a>),
}

/// Steps through them.
pub(super) enum Members<'a> {
    Map { outline: &'a Outline<'a>, next: usize, end: usize },
    One(Option<(&'static str, Instance<'a>)>),
}

impl<'a> json::Object<'a, Dag> for Object<'a> {
    type Node = Instance<'a>;
    type MemberName = &'a str;
    type MembersIter = Members<'a>;

    fn len(&self) -> usize {
        match self {
            Self::Map(_, _, len) => *len,
            Self::One(..) => 1,
        }
    }

    fn get(&self, key: &Box<str>) -> Option<Instance<'a>> {
        match *self {
            Self::Map(outline, entry, _) => {
                outline.member(entry, key).map(|found| Instance::Item(outline, found))
            }
            Self::One(known, instance) => (known == &**key).then_some(instance),
        }
    }

    fn members(&self) -> Members<'a> {
        match *self {
            Self::Map(outline, entry, _) => {
                Members::Map { outline, next: entry + 1, end: outline.end(entry) }
            }
            Self::One(key, instance) => Members::One(Some((key, instance))),
        }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, Instance<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Map { outline, next, end } => {
                let (key, after) = outline.part(*next, *end)?;
                let member = Instance::Item(outline, *next);
                *next = after;
                Some((key, member))
            }
            Self::One(one) => one.take(),
        }
    }
}

/// The entries of an array.
pub(super) struct Array<'a> {
    outline: &'a Outline<'a>,
    entry: usize,
    len: usize,
}

/// Steps through them.
pub(super) struct Elements<'a> {
    outline: &'a Outline<'a>,
    next: usize,
    end: usize,
}

impl<'a> json::Array<'a, Dag> for Array<'a> {
    type Node = Instance<'a>;
    type ElementsIter = Elements<'a>;

    fn len(&self) -> usize {
        self.len
    }

    fn elements(&self) -> Elements<'a> {
        Elements { outline: self.outline, next: self.entry + 1, end: self.outline.end(self.entry) }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Instance<'a>;

    fn next(&mut self) -> Option<Instance<'a>> {
        let (_, after) = self.outline.part(self.next, self.end)?;
        let element = Instance::Item(self.outline, self.next);
        self.next = after;
        Some(element)
    }
}
