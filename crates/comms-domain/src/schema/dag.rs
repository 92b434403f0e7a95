//! The two keywords that `{"$ref": "comms:bytes"}` and `{"$ref": "comms:link"}` stand for.

use comms_content::Cid;
use jsonschema::{Keyword, ValidationError};
use serde_json::Value;

/// What `comms:bytes` and its keyword are called.
pub(super) const BYTES: &str = "comms:bytes";
/// What `comms:link` and its keyword are called.
pub(super) const LINK: &str = "comms:link";

/// Bytes, or a link that took their place.
pub(super) struct BytesOrLink;

/// A link.
pub(super) struct Link;

impl<'i> Keyword<'i> for BytesOrLink {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        if Keyword::is_valid(self, instance) {
            return Ok(());
        }
        Err(ValidationError::custom("must be bytes ({\"/\": {\"bytes\": base64}}) or a link ({\"/\": CID})"))
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        is_bytes(instance) || is_link(instance)
    }
}

impl<'i> Keyword<'i> for Link {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        if is_link(instance) {
            return Ok(());
        }
        Err(ValidationError::custom("must be a link ({\"/\": CID})"))
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        is_link(instance)
    }
}

/// The one value of an object whose one key is `key`.
fn only<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    let members = value.as_object()?;
    if members.len() == 1 { members.get(key) } else { None }
}

/// Whether the value is a link in DAG-JSON.
pub(super) fn is_link(value: &Value) -> bool {
    only(value, "/").and_then(Value::as_str).is_some_and(|text| text.parse::<Cid>().is_ok())
}

/// Whether the value is bytes in DAG-JSON.
pub(super) fn is_bytes(value: &Value) -> bool {
    let text = only(value, "/").and_then(|inner| only(inner, "bytes")).and_then(Value::as_str);
    // Base64 without padding: a length of 4n+1 cannot come from whole bytes.
    text.is_some_and(|text| {
        text.len() % 4 != 1 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
    })
}
