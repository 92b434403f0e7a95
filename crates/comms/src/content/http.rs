//! One node's HTTP, as far as this library needs it: requests with the service's token, and refusals as errors.
//!
//! The node is on this machine, at the socket in its folder, where nobody else can listen: there is no TLS, no proxy is
//! ever used, and no redirect followed (the token would go along). The token changes whenever the node starts: it is read
//! for each request.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use comms_msg::door::Refusal;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};
use crate::folder::TokenFile;
use crate::local::SocketPath;

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
pub(crate) struct Http {
    client: reqwest::Client,
    base: Url,
    token: Token,
    /// Keeps the path of the socket good.
    _socket: Option<SocketPath>,
}

/// What a service shows.
#[derive(Clone)]
enum Token {
    Given(HeaderValue),
    Kept(TokenFile),
}

impl Token {
    fn header(&self) -> Result<HeaderValue> {
        match self {
            Token::Given(header) => Ok(header.clone()),
            Token::Kept(file) => authorization(&file.read()?),
        }
    }
}

fn authorization(token: &str) -> Result<HeaderValue> {
    let mut authorization = HeaderValue::try_from(format!("Bearer {}", token.trim())).map_err(|_| {
        Error::new(ErrorKind::Config, "the token of the service is not one that a node makes")
    })?;
    authorization.set_sensitive(true);
    Ok(authorization)
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
        let token = Token::Given(authorization(token)?);
        Ok(Self { client: client(None)?, base, token, _socket: None })
    }

    /// The node at a socket. The token is read when it is shown.
    pub(crate) fn local(socket: SocketPath, token: TokenFile) -> Result<Self> {
        let base = "http://node".parse().expect("a scheme and a host are an address");
        let client = client(Some(socket.as_path()))?;
        Ok(Self { client, base, token: Token::Kept(token), _socket: Some(socket) })
    }

    /// A request for a path such as `/content`, with this query.
    pub(super) fn request(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<RequestBuilder> {
        let mut url = self.base.clone();
        url.set_path(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(self.client.request(method, url).header(AUTHORIZATION, self.token.header()?))
    }

    /// A request for what the node tells anybody who reaches it.
    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(path);
        self.client.request(Method::GET, url)
    }

    /// A request that carries something.
    pub(crate) fn post(&self, path: &str) -> Result<RequestBuilder> {
        self.request(Method::POST, path, &[])
    }

    /// Sends what waits for no upload.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let response = tokio::time::timeout(ANSWER_WITHIN, request.send()).await.map_err(|_| {
            let message = format!("the node did not answer within {} s", ANSWER_WITHIN.as_secs());
            Error::new(ErrorKind::Timeout, message)
        })?;
        accepted(response.map_err(broken)?).await
    }
}

fn client(socket: Option<&Path>) -> Result<reqwest::Client> {
    let builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_WITHIN)
        .pool_idle_timeout(IDLE_MAX)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX);
    let builder = match socket {
        Some(socket) => builder.unix_socket(socket),
        None => builder,
    };
    builder
        .build()
        .map_err(|error| Error::new(ErrorKind::Config, "no HTTP client can be made").because(error))
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
pub(crate) async fn body(mut response: Response, max: usize) -> Result<Bytes> {
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
