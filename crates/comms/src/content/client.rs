//! [`Client`]: put and get, as one service, at one node.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use comms_content::{BLOCK_BYTES_MAX, Block, Cid, DAG_PB, RAW};
use comms_msg::TypeName;
use futures::StreamExt;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method};
use serde::{Deserialize, Deserializer, de};
use tokio::time::Instant;

use super::http::{self, Http};
use super::reader::Reader;
use super::source::Source;
use super::verifier::Verifier;
use crate::error::{Error, ErrorKind, Result};

/// How long a put may stand still: the node takes bytes as fast as its disk, and answers after the last sync.
const PUT_SILENCE_MAX: Duration = Duration::from_secs(60);
/// The answer to a put is a CID and three numbers.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Puts and gets content at a node, as one service. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: Http,
}

/// What was put. It is durable, and its CID is the one that IPFS computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Put {
    /// The address of the bytes.
    #[serde(deserialize_with = "text")]
    pub cid: Cid,
    /// How many there are.
    pub size: u64,
    /// In how many blocks.
    pub blocks: u64,
    /// Whether this service had not put them before.
    pub stored: bool,
}

impl Client {
    /// A client of the node at `url` (`http://127.0.0.1:4280`), with the token of a service. Connects when it is used.
    ///
    /// # Errors
    /// [`ErrorKind::Config`].
    pub fn new(url: &str, token: &str) -> Result<Self> {
        Ok(Self { http: Http::new(url, token)? })
    }

    /// Puts bytes of any length, in constant memory. Durable when it returns; putting the same again is harmless.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the source cannot be read; [`ErrorKind::Timeout`] if nothing moved for a minute; what
    /// the node refuses.
    pub async fn put(&self, source: impl Into<Source>) -> Result<Put> {
        self.upload(source.into(), &[]).await
    }

    /// Puts bytes that messages of this type will carry, so that whoever receives such messages may read them. If the
    /// service handles or answers the type, whoever sends or asks it may.
    ///
    /// Needed for what the node never sees: direct commands, queries and their answers.
    ///
    /// # Errors
    /// As [`Client::put`]; [`ErrorKind::Denied`] if the service has no part in the type.
    pub async fn put_for(&self, type_name: &TypeName, source: impl Into<Source>) -> Result<Put> {
        self.upload(source.into(), &[("for", &type_name.to_string())]).await
    }

    /// Puts one DAG-CBOR block that messages of this type will carry.
    ///
    /// # Errors
    /// As [`Client::put_for`]; [`ErrorKind::NotFound`] if it links to content that the service may not read.
    pub async fn put_block(&self, type_name: &TypeName, block: Bytes) -> Result<Put> {
        self.upload(block.into(), &[("codec", "dag-cbor"), ("for", &type_name.to_string())]).await
    }

    /// Lets messages of this type carry content that is there already: see [`Client::put_for`].
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the service may not read it; [`ErrorKind::Denied`] if it has no part in the type.
    pub async fn share(&self, cid: &Cid, type_name: &TypeName) -> Result<()> {
        let path = format!("/content/{cid}");
        let request = self.http.request(Method::POST, &path, &[("for", &type_name.to_string())]);
        self.http.send(request).await.map(drop)
    }

    /// The bytes of a content, from its beginning.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it is not there or not for this service. What goes wrong later comes from the reader.
    pub async fn get(&self, cid: &Cid) -> Result<Reader> {
        self.read(cid, None).await
    }

    /// Some of the bytes: those of the range that exist.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get_range(&self, cid: &Cid, range: Range<u64>) -> Result<Reader> {
        if range.is_empty() {
            return Ok(Reader::from(Bytes::new()));
        }
        self.read(cid, Some(range)).await
    }

    /// The bytes of one block as they are, whatever they mean. At most 2 MiB.
    ///
    /// # Errors
    /// As [`Client::get`]; [`ErrorKind::Malformed`] if they are not those of the CID.
    pub async fn get_block(&self, cid: &Cid) -> Result<Bytes> {
        if let Some(bytes) = cid.inline() {
            return Ok(Bytes::copy_from_slice(bytes));
        }
        let request = self.http.request(Method::GET, &format!("/content/{cid}"), &[("format", "raw")]);
        let bytes = http::body(self.http.send(request).await?, BLOCK_BYTES_MAX).await?;
        let asked = *cid;
        let block = tokio::task::spawn_blocking(move || Block::verified(asked, bytes))
            .await
            .map_err(|error| Error::new(ErrorKind::Internal, "a block could not be verified").because(error))?
            .map_err(|error| {
                Error::new(ErrorKind::Malformed, "what the node sent is not the block asked for").because(error)
            })?;
        Ok(block.into_parts().1)
    }

    async fn read(&self, cid: &Cid, range: Option<Range<u64>>) -> Result<Reader> {
        // Only files have more than one block.
        if cid.inline().is_some() || ![RAW, DAG_PB].contains(&cid.codec()) {
            return self.read_block(cid, range).await;
        }
        let bytes = range.as_ref().map(|range| format!("{}:{}", range.start, range.end - 1));
        let mut query = vec![("format", "car")];
        query.extend(bytes.as_deref().map(|bytes| ("entity-bytes", bytes)));
        let request = self.http.request(Method::GET, &format!("/content/{cid}"), &query);
        let response = self.http.send(request).await?;
        Ok(Reader::verified(response, Verifier::new(*cid, range)))
    }

    async fn read_block(&self, cid: &Cid, range: Option<Range<u64>>) -> Result<Reader> {
        if cid.inline().is_some() && cid.codec() == DAG_PB {
            let message = format!("{cid} is a file in the place of a digest, which no content here is");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let bytes = self.get_block(cid).await?;
        let within = |at: u64| usize::try_from(at).map_or(bytes.len(), |at| at.min(bytes.len()));
        let part = range.map_or(0..bytes.len(), |range| within(range.start)..within(range.end));
        Ok(Reader::from(bytes.slice(part)))
    }

    async fn upload(&self, source: Source, query: &[(&str, &str)]) -> Result<Put> {
        let watch = Arc::new(Watch::new());
        let seen = Arc::clone(&watch);
        let pieces = source.pieces.map(move |piece| seen.pass(piece));
        let mut request = self
            .http
            .request(Method::POST, "/content", query)
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(Body::wrap_stream(pieces));
        if let Some(bytes) = source.bytes {
            request = request.header(CONTENT_LENGTH, bytes);
        }
        let mut sending = std::pin::pin!(request.send());
        let response = loop {
            match tokio::time::timeout_at(watch.deadline(), &mut sending).await {
                Ok(response) => break response,
                Err(_) if watch.deadline() > Instant::now() => {}
                Err(_) => {
                    let message = format!("the put stood still for {} s", PUT_SILENCE_MAX.as_secs());
                    return Err(Error::new(ErrorKind::Timeout, message).perhaps_done());
                }
            }
        };
        let response = match response {
            Ok(response) => http::accepted(response).await?,
            Err(error) => {
                return Err(match watch.failure() {
                    Some(source) => Error::new(ErrorKind::Invalid, "what was to be put cannot be read").because(source),
                    None => http::broken(error),
                });
            }
        };
        let answer = http::body(response, ANSWER_BYTES_MAX).await?;
        serde_json::from_slice(&answer)
            .map_err(|error| Error::new(ErrorKind::Malformed, "the node's answer to a put is not one").because(error))
    }
}

/// What is known of an upload from outside: when it last moved, and whether its source failed.
#[derive(Debug)]
struct Watch(Mutex<(Instant, Option<io::Error>)>);

impl Watch {
    fn new() -> Self {
        Self(Mutex::new((Instant::now(), None)))
    }

    /// Notes that a piece is on its way, and keeps the reason if there is none.
    fn pass(&self, piece: io::Result<Bytes>) -> io::Result<Bytes> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = Instant::now();
        piece.map_err(|error| {
            let kind = error.kind();
            state.1 = Some(error);
            kind.into()
        })
    }

    fn deadline(&self) -> Instant {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 + PUT_SILENCE_MAX
    }

    fn failure(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.take()
    }
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cid, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}
