//! Who answers for a message.

use crate::limits::OWNER_BYTES_MAX;
use crate::text::text_type;
use crate::{Error, Result};

/// The opaque id of the person or agent who answers for a message. Never personal data: it stays in the
/// log for ever.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(Box<str>);

impl Owner {
    /// Takes 1 to 128 bytes of text without control characters.
    pub fn new(text: &str) -> Result<Owner> {
        Owner::fits(text)?;
        Ok(Owner(text.into()))
    }

    fn fits(text: &str) -> Result<()> {
        if (1..=OWNER_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control) {
            return Ok(());
        }
        Err(Error::invalid(text, "an owner: 1 to 128 bytes without control characters"))
    }
}

text_type!(Owner, "an owner");
