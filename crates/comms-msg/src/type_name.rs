//! The name of a command, query or event type, with its context.

use std::sync::Arc;

use crate::limits::NAME_BYTES_MAX;
use crate::name::is_lower_token;
use crate::text::text_type;
use crate::{Error, Result};

/// A type with its context: `documents.AddDocument`. It takes two tokens of a subject.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeName(Arc<str>);

impl TypeName {
    /// Takes `context.Type`: context `[a-z][a-z0-9_-]{0,62}`, type `[A-Z][A-Za-z0-9]{0,62}`.
    pub fn new(text: &str) -> Result<TypeName> {
        TypeName::fits(text)?;
        Ok(TypeName(text.into()))
    }

    fn fits(text: &str) -> Result<()> {
        let fits = text.split_once('.').is_some_and(|(context, name)| fits(context, name));
        if fits { Ok(()) } else { Err(refused(text)) }
    }

    /// Joins a context and a type.
    pub fn of(context: &str, name: &str) -> Result<TypeName> {
        if fits(context, name) {
            Ok(TypeName(format!("{context}.{name}").into()))
        } else {
            Err(refused(&format!("{context}.{name}")))
        }
    }

    /// The context: `documents` of `documents.AddDocument`.
    pub fn context(&self) -> &str {
        self.parts().0
    }

    /// The type within its context: `AddDocument` of `documents.AddDocument`.
    pub fn name(&self) -> &str {
        self.parts().1
    }

    fn parts(&self) -> (&str, &str) {
        self.0.split_once('.').expect("the constructor found exactly one dot")
    }
}

text_type!(TypeName, "a type name such as documents.AddDocument");

fn fits(context: &str, name: &str) -> bool {
    is_lower_token(context)
        && (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.as_bytes()[0].is_ascii_uppercase()
        && name.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn refused(text: &str) -> Error {
    Error::invalid(
        text,
        "a type with its context, such as documents.AddDocument: the context in lower case, the type \
         beginning with a capital, letters and digits only",
    )
}
