//! Names that are one token of a subject: a domain, a service, a delivery. What a name *means* (which
//! services exist) is the definition's business.

use std::sync::Arc;

use crate::limits::{DELIVER_TOKEN_BYTES_MAX, NAME_BYTES_MAX};
use crate::text::text_type;
use crate::{Error, Result};

/// The rule of domain, service and context names, in words.
pub(crate) const LOWER_RULE: &str = "a lower-case letter, then at most 62 of a-z 0-9 _ -";

/// The name of a domain: the first token of all its subjects.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(Arc<str>);

impl DomainName {
    /// Takes `[a-z][a-z0-9_-]{0,62}`.
    pub fn new(text: &str) -> Result<DomainName> {
        DomainName::fits(text)?;
        Ok(DomainName(text.into()))
    }

    fn fits(text: &str) -> Result<()> {
        if is_lower_token(text) {
            return Ok(());
        }
        Err(Error::invalid(text, format!("a domain name: {LOWER_RULE}")))
    }
}

text_type!(DomainName, "a domain name");

/// The name of a service, or of a built-in user: the last token of everything it sends.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName(Arc<str>);

impl ServiceName {
    /// The built-in user of a person at this machine.
    pub const DEV: &'static str = "dev";
    /// The built-in user of whoever runs the node.
    pub const OPERATOR: &'static str = "operator";
    /// The node's own user, which no service may be called.
    pub const NODE: &'static str = "node";

    /// Takes `[a-z][a-z0-9_-]{0,62}` except `node`, which is the node's own user.
    ///
    /// `dev` and `operator` are names too; that a definition must not define them is checked there.
    pub fn new(text: &str) -> Result<ServiceName> {
        ServiceName::fits(text)?;
        Ok(ServiceName(text.into()))
    }

    fn fits(text: &str) -> Result<()> {
        if text == ServiceName::NODE {
            return Err(Error::invalid(text, "a service name other than that of the node itself"));
        }
        if is_lower_token(text) {
            return Ok(());
        }
        Err(Error::invalid(text, format!("a service name: {LOWER_RULE}")))
    }

    /// The built-in user `dev`.
    pub fn dev() -> ServiceName {
        ServiceName(ServiceName::DEV.into())
    }

    /// The built-in user `operator`.
    pub fn operator() -> ServiceName {
        ServiceName(ServiceName::OPERATOR.into())
    }

    /// Whether this is `dev` or `operator`, which a definition cannot define.
    pub fn is_built_in(&self) -> bool {
        matches!(self.as_str(), ServiceName::DEV | ServiceName::OPERATOR)
    }
}

text_type!(ServiceName, "a service name");

/// The last token of a delivery subject: chosen by the node, and not guessable.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliverToken(Arc<str>);

impl DeliverToken {
    /// Takes `[A-Za-z0-9_-]{1,128}`.
    pub fn new(text: &str) -> Result<DeliverToken> {
        DeliverToken::fits(text)?;
        Ok(DeliverToken(text.into()))
    }

    fn fits(text: &str) -> Result<()> {
        let fits = (1..=DELIVER_TOKEN_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if fits { Ok(()) } else { Err(Error::invalid(text, "a delivery token: 1 to 128 of A-Z a-z 0-9 _ -")) }
    }
}

text_type!(DeliverToken, "a delivery token");

/// `[a-z][a-z0-9_-]{0,62}`: domain, service and context names.
pub(crate) fn is_lower_token(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=NAME_BYTES_MAX).contains(&bytes.len())
        && bytes[0].is_ascii_lowercase()
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
}
