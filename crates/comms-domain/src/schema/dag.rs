//! The two keywords that `{"$ref": "comms:bytes"}` and `{"$ref": "comms:link"}` stand for.
//!
//! Each is there twice: for a body in DAG-CBOR, which decides, and for the same body as a tree of JSON, in which what
//! does not fit is told.

use comms_content::Cid;
use jsonschema::{Keyword, ValidationError};
use serde_json::Value;

use super::instance::{Dag, Instance};

/// What `comms:bytes` and its keyword are called.
pub(super) const BYTES: &str = "comms:bytes";
/// What `comms:link` and its keyword are called.
pub(super) const LINK: &str = "comms:link";

/// Bytes, or a link that took their place.
pub(super) struct BytesOrLink;

/// A link.
pub(super) struct Link;

const BYTES_EXPECTED: &str = "must be bytes ({\"/\": {\"bytes\": base64}}) or a link ({\"/\": CID})";
const LINK_EXPECTED: &str = "must be a link ({\"/\": CID})";

impl<'i> Keyword<'i, Dag> for BytesOrLink {
    fn validate(&self, instance: Instance<'i>) -> Result<(), ValidationError<'i>> {
        expected(instance.is_bytes() || instance.is_link(), BYTES_EXPECTED)
    }

    fn is_valid(&self, instance: Instance<'i>) -> bool {
        instance.is_bytes() || instance.is_link()
    }
}

impl<'i> Keyword<'i, Dag> for Link {
    fn validate(&self, instance: Instance<'i>) -> Result<(), ValidationError<'i>> {
        expected(instance.is_link(), LINK_EXPECTED)
    }

    fn is_valid(&self, instance: Instance<'i>) -> bool {
        instance.is_link()
    }
}

impl<'i> Keyword<'i> for BytesOrLink {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        expected(is_bytes(instance) || is_link(instance), BYTES_EXPECTED)
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        is_bytes(instance) || is_link(instance)
    }
}

impl<'i> Keyword<'i> for Link {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        expected(is_link(instance), LINK_EXPECTED)
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        is_link(instance)
    }
}

fn expected<'i>(is_so: bool, message: &'static str) -> Result<(), ValidationError<'i>> {
    if is_so { Ok(()) } else { Err(ValidationError::custom(message)) }
}

/// The one value of an object whose one key is `key`.
fn only<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    let members = value.as_object()?;
    if members.len() == 1 { members.get(key) } else { None }
}

/// Whether the value is a link in DAG-JSON.
fn is_link(value: &Value) -> bool {
    only(value, "/").and_then(Value::as_str).is_some_and(|text| text.parse::<Cid>().is_ok())
}

/// Whether the value is bytes in DAG-JSON. Under `/` stands nothing else than text or bytes, in what was a node.
fn is_bytes(value: &Value) -> bool {
    only(value, "/").and_then(|inner| only(inner, "bytes")).is_some_and(Value::is_string)
}
