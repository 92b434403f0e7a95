//! Who asks: a bearer token per service, and nobody who is not on this machine or sits behind a web page.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use comms_msg::ServiceName;
use ring::digest::{SHA256, digest};

use super::Gateway;
use super::error::{Error, Result};

/// The tokens that open the gateway, each with the service it stands for.
///
/// Kept as digests and looked up by digest: what an attacker could learn from the time of a lookup is about a
/// value he cannot choose, and a dump of memory holds no token.
#[derive(Clone, Default)]
pub struct Tokens(HashMap<[u8; 32], ServiceName>);

impl Tokens {
    /// These tokens, and no others.
    pub fn of(tokens: impl IntoIterator<Item = (ServiceName, String)>) -> Tokens {
        Tokens(tokens.into_iter().map(|(service, token)| (key(token.trim()), service)).collect())
    }

    fn service(&self, token: &str) -> Option<ServiceName> {
        self.0.get(&key(token)).cloned()
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(..)")
    }
}

fn key(token: &str) -> [u8; 32] {
    digest(&SHA256, token.as_bytes()).as_ref().try_into().expect("a SHA-256 digest has 32 bytes")
}

/// The service that asks, as its token proves.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub(crate) ServiceName);

/// Lets through what is addressed to this node and does not come from a web page.
///
/// A page in a browser on this machine can reach loopback addresses. It cannot forge `Host` (which stops a
/// foreign name that resolves to 127.0.0.1) nor leave out `Origin` where it matters.
pub(crate) async fn guard(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
    next: Next,
) -> Result<Response> {
    let headers = request.headers();
    if !only(headers, &header::HOST).is_some_and(|host| is_loopback(host, gateway.port)) {
        return Err(Error::Host);
    }
    if headers.contains_key(header::ORIGIN) {
        return Err(Error::Origin);
    }
    Ok(next.run(request).await)
}

/// Lets through who shows the token of a service, and says who it is.
pub(crate) async fn authenticate(
    State(gateway): State<Arc<Gateway>>,
    mut request: Request,
    next: Next,
) -> Result<Response> {
    let in_force = gateway.current.get();
    let service = only(request.headers(), &header::AUTHORIZATION)
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .and_then(|(_, token)| in_force.tokens.service(token.trim()))
        .ok_or(Error::Unauthorized)?;
    // What let the caller in also judges what it asks.
    request.extensions_mut().insert(in_force);
    request.extensions_mut().insert(Caller(service));
    Ok(next.run(request).await)
}

/// The value of a header that is there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn is_loopback(host: &str, port: u16) -> bool {
    host.rsplit_once(':').is_some_and(|(name, text)| {
        text.parse() == Ok(port)
            && (name.eq_ignore_ascii_case("localhost") || name == "127.0.0.1" || name == "[::1]")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_with_the_port_are_this_host() {
        for host in ["127.0.0.1:8080", "localhost:8080", "LocalHost:8080", "[::1]:8080"] {
            assert!(is_loopback(host, 8080), "{host}");
        }
        for host in [
            "127.0.0.1",
            "127.0.0.1:80",
            "localhost",
            "evil.example:8080",
            "127.0.0.1.evil.example:8080",
            "::1:8080",
            "127.0.0.2:8080",
            "",
            ":8080",
            "localhost:8080:8080",
            "user@localhost:8080",
        ] {
            assert!(!is_loopback(host, 8080), "{host}");
        }
    }

    #[test]
    fn tokens_are_found_by_what_they_are_and_never_printed() {
        let archive: ServiceName = "archive".parse().unwrap();
        let tokens = Tokens::of([(archive.clone(), "one\n".to_owned())]);
        assert_eq!(tokens.service("one"), Some(archive));
        assert_eq!(tokens.service("One"), None);
        assert_eq!(format!("{tokens:?}"), "Tokens(..)");
    }
}
