//! One node's HTTP, as far as this library needs it: requests with the service's token, and refusals as errors.
//!
//! The address is on this machine: there is no TLS, no proxy is ever used, and no redirect followed (the token
//! would go along).

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use comms_msg::door::Refusal;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};

/// How long the node may take to accept a connection; it is on this machine.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long the node may take to begin an answer that waits for no upload.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Idle connections are closed after this, well before the node closes them.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Idle connections kept.
const IDLE_CONNECTIONS_MAX: usize = 8;
/// A refusal names fields, not files.
const REFUSAL_BYTES_MAX: usize = 256 * 1024;

/// The node's HTTP for one service.
#[derive(Clone)]
pub(super) struct Http {
    client: reqwest::Client,
    base: Url,
    authorization: HeaderValue,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Refused {
    error: Refusal,
}

impl Http {
    pub(super) fn new(url: &str, token: &str) -> Result<Self> {
        let config = |message: String| Error::new(ErrorKind::Config, message);
        let base: Url = url
            .parse()
            .map_err(|error| config(format!("{url} is not the address of a node")).because(error))?;
        if base.scheme() != "http" {
            return Err(config(format!("{url}: a node is reached over http, on this machine")));
        }
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", token.trim()))
            .map_err(|_| config("the token of the service is not one that a node makes".to_owned()))?;
        authorization.set_sensitive(true);
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_WITHIN)
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build()
            .map_err(|error| config("no HTTP client can be made".to_owned()).because(error))?;
        Ok(Self { client, base, authorization })
    }

    /// A request for a path such as `/content`, with this query.
    pub(super) fn request(&self, method: Method, path: &str, query: &[(&str, &str)]) -> RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.client.request(method, url).header(AUTHORIZATION, self.authorization.clone())
    }

    /// Sends what waits for no upload.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let response = tokio::time::timeout(ANSWER_WITHIN, request.send()).await.map_err(|_| {
            let message =
                format!("the node at {} did not answer within {} s", self.base, ANSWER_WITHIN.as_secs());
            Error::new(ErrorKind::Timeout, message)
        })?;
        accepted(response.map_err(broken)?).await
    }
}

/// The response, unless it is a refusal.
pub(super) async fn accepted(response: Response) -> Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = body(response, REFUSAL_BYTES_MAX).await?;
    match serde_json::from_slice::<Refused>(&body) {
        Ok(refused) => Err(refused.error.into()),
        Err(_) => {
            let message =
                format!("the node answered {status} without saying why; is it a node that answers there?");
            Err(Error::new(ErrorKind::Malformed, message))
        }
    }
}

/// The whole body of a response, if it is at most `max` bytes.
pub(super) async fn body(mut response: Response, max: usize) -> Result<Bytes> {
    let mut all = BytesMut::new();
    loop {
        let chunk = tokio::time::timeout(ANSWER_WITHIN, response.chunk())
            .await
            .map_err(|_| Error::new(ErrorKind::Timeout, "the node stopped in the middle of an answer"))?;
        let Some(chunk) = chunk.map_err(broken)? else { return Ok(all.freeze()) };
        if all.len() + chunk.len() > max {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("the node answered with more than {max} bytes"),
            ));
        }
        all.extend_from_slice(&chunk);
    }
}

/// A connection that could not be made, or broke.
pub(super) fn broken(error: reqwest::Error) -> Error {
    // The address names what was asked for, and is in the message of the caller already.
    let error = error.without_url();
    if error.is_connect() {
        Error::new(ErrorKind::Unavailable, "the node's HTTP does not answer; is it running? comms up")
            .because(error)
    } else {
        Error::new(ErrorKind::Unavailable, "the connection to the node's HTTP broke").because(error)
    }
}
