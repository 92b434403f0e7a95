//! The id of an entity: what has one history of events.

use crate::limits::ENTITY_BYTES_MAX;
use crate::text::text_type;
use crate::{Error, Result};

/// The opaque id of an entity, one token of an event's subject. Never personal data: it stays in the log
/// for ever.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityId(Box<str>);

impl EntityId {
    /// Takes `[A-Za-z0-9_=-]{1,128}`.
    pub fn new(text: &str) -> Result<EntityId> {
        EntityId::fits(text)?;
        Ok(EntityId(text.into()))
    }

    fn fits(text: &str) -> Result<()> {
        let fits = (1..=ENTITY_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'=' | b'-'));
        if fits { Ok(()) } else { Err(Error::invalid(text, "an entity id: 1 to 128 of A-Z a-z 0-9 _ = -")) }
    }
}

text_type!(EntityId, "an entity id");
