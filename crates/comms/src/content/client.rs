//! [`Client`]: put and get, as one service, at one node.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use comms_content::{BLOCK_BYTES_MAX, Block, Cid, DAG_PB, RAW};
use comms_msg::{ServiceName, TypeName};
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
use crate::folder::Folder;

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
    /// A client of whoever listens at `url` (`http://127.0.0.1:4280`), to whom the token is shown: nothing proves that
    /// it is a node. [`Comms::content`](crate::Comms::content) is one that does. Connects when it is used.
    ///
    /// # Errors
    /// [`ErrorKind::Config`].
    pub fn new(url: &str, token: &str) -> Result<Self> {
        Ok(Self { http: Http::new(url, token)? })
    }

    /// A client of the node that holds a folder.
    pub(crate) fn local(folder: &Folder, service: &ServiceName) -> Result<Self> {
        Ok(Self { http: Http::local(folder.socket()?, folder.token(service))? })
    }

    /// Puts bytes of any length, in constant memory. Durable when it returns; putting the same again is
    /// harmless.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the source cannot be read; [`ErrorKind::Timeout`] if nothing moved for a
    /// minute; what the node refuses.
    pub async fn put(&self, source: impl Into<Source>) -> Result<Put> {
        self.upload(source.into(), &[]).await
    }

    /// Puts bytes that messages of this type will carry, so that whoever receives such messages may read them.
    /// If the service handles or answers the type, whoever sends or asks it may.
    ///
    /// Needed for what the node never sees: direct commands, queries and their answers.
    ///
    /// # Errors
    /// As [`Client::put`]; [`ErrorKind::Denied`] if the service has no part in the type.
    pub async fn put_for(&self, type_name: &TypeName, source: impl Into<Source>) -> Result<Put> {
        self.upload(source.into(), &[("for", type_name.as_ref())]).await
    }

    /// Puts one DAG-CBOR block that messages of this type will carry.
    ///
    /// # Errors
    /// As [`Client::put_for`]; [`ErrorKind::NotFound`] if it links to content that the service may not read.
    pub async fn put_block(&self, type_name: &TypeName, block: Bytes) -> Result<Put> {
        self.upload(block.into(), &[("codec", "dag-cbor"), ("for", type_name.as_ref())]).await
    }

    /// Lets messages of this type carry content that is there already: see [`Client::put_for`].
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the service may not read it; [`ErrorKind::Denied`] if it has no part in the
    /// type.
    pub async fn share(&self, cid: &Cid, type_name: &TypeName) -> Result<()> {
        let path = format!("/content/{cid}");
        let request = self.http.request(Method::POST, &path, &[("for", type_name.as_ref())])?;
        self.http.send(request).await.map(drop)
    }

    /// The bytes of a content, from its beginning.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it is not there or not for this service. What goes wrong later comes from the
    /// reader.
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
        let request = self.http.request(Method::GET, &format!("/content/{cid}"), &[("format", "raw")])?;
        let bytes = http::body(self.http.send(request).await?, BLOCK_BYTES_MAX).await?;
        let asked = *cid;
        let block = tokio::task::spawn_blocking(move || Block::verified(asked, bytes))
            .await
            .map_err(|error| Error::new(ErrorKind::Internal, "a block could not be verified").because(error))?
            .map_err(|error| {
                Error::new(ErrorKind::Malformed, "what the node sent is not the block asked for")
                    .because(error)
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
        let request = self.http.request(Method::GET, &format!("/content/{cid}"), &query)?;
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
            .request(Method::POST, "/content", query)?
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
                    Some(source) => {
                        Error::new(ErrorKind::Invalid, "what was to be put cannot be read").because(source)
                    }
                    None => http::broken(error),
                });
            }
        };
        let answer = http::body(response, ANSWER_BYTES_MAX).await?;
        serde_json::from_slice(&answer).map_err(|error| {
            Error::new(ErrorKind::Malformed, "the node's answer to a put is not one").because(error)
        })
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

#[cfg(test)]
mod tests {
    use comms_content::{Importer, car};
    use comms_msg::door::{Refusal, RefusalKind};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A node that gives every request this answer and then closes.
    async fn node(answer: Vec<u8>) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
            }
        });
        Client::new(&url, "token").unwrap()
    }

    fn response(status: &str, body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    }

    /// A file of three blocks, and its CAR.
    fn file() -> (Cid, Vec<u8>, Vec<u8>) {
        let data: Vec<u8> = (0..1024 * 1024 + 9).map(|at| (at * 7 + at / 255) as u8).collect();
        let (mut importer, mut blocks) = (Importer::new(), Vec::new());
        importer.push(data.clone().into(), &mut blocks);
        let root = importer.finish(&mut blocks).cid;
        blocks.sort_by_key(|block| *block.cid() != root);
        let sections = blocks.iter().map(car::write_block);
        let body = sections.flat_map(|(prefix, data)| [&prefix[..], &data].concat());
        (root, data, car::write_header(&root).into_iter().chain(body).collect())
    }

    #[tokio::test]
    async fn a_byte_flipped_on_the_way_is_not_handed_on() {
        let (root, data, car) = file();
        let client = node(response("200 OK", &car)).await;
        assert_eq!(client.get(&root).await.unwrap().into_bytes(data.len()).await.unwrap(), data);
        for at in [3, 100, car.len() / 2, car.len() - 1] {
            let mut flipped = car.clone();
            flipped[at] ^= 4;
            let client = node(response("200 OK", &flipped)).await;
            let mut read = Vec::new();
            let error = client.get(&root).await.unwrap().read_to_end(&mut read).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{at}");
            assert!(read.len() < data.len() && data.starts_with(&read), "{at}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_cut_is_an_error_and_no_end() {
        let (root, data, car) = file();
        let whole = response("200 OK", &car);
        for length in [whole.len() - 1, whole.len() / 2, whole.len() - car.len()] {
            let client = node(whole[..length].to_vec()).await;
            let error = client.get(&root).await.unwrap().into_bytes(data.len()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{length}");
        }
        // An answer that says that it is whole, and is not.
        let client = node(response("200 OK", &car[..car.len() / 2])).await;
        assert!(client.get(&root).await.unwrap().into_bytes(data.len()).await.is_err());
    }

    #[tokio::test]
    async fn refusals_and_nonsense_are_told_apart() {
        let (root, _, _) = file();
        let refusal = Refusal::new(RefusalKind::NotFound, "no such content");
        let refusal = serde_json::json!({ "error": refusal }).to_string();
        for (answer, kind) in [
            (response("404 Not Found", refusal.as_bytes()), ErrorKind::NotFound),
            (response("500 Internal Server Error", b"<html>"), ErrorKind::Malformed),
            (response("302 Found\r\nLocation: http://127.0.0.1:1/", b""), ErrorKind::Malformed),
            (b"nonsense\r\n\r\n".to_vec(), ErrorKind::Unavailable),
            (Vec::new(), ErrorKind::Unavailable),
        ] {
            let client = node(answer).await;
            assert_eq!(client.get(&root).await.unwrap_err().kind(), kind);
            assert_eq!(client.get_block(&root).await.unwrap_err().kind(), kind);
            assert_eq!(client.put(vec![1]).await.unwrap_err().kind(), kind);
        }
        let block = node(response("200 OK", b"another block")).await.get_block(&root).await;
        assert_eq!(block.unwrap_err().kind(), ErrorKind::Malformed);
    }

    #[tokio::test]
    async fn bytes_in_the_cid_itself_need_no_node() {
        let client = Client::new("http://127.0.0.1:1", "token").unwrap();
        let inline: Cid = "bafkqabtimvwgy3yk".parse().unwrap();
        assert_eq!(client.get(&inline).await.unwrap().into_bytes(6).await.unwrap(), &b"hello\n"[..]);
        let elsewhere = client.get(&Cid::raw(b"x")).await.unwrap_err();
        assert_eq!(elsewhere.kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn an_address_or_token_that_cannot_be_is_refused_at_once() {
        for (url, token) in [
            ("nonsense", "token"),
            ("https://127.0.0.1:1", "token"),
            ("nats://127.0.0.1:1", "token"),
            ("http://127.0.0.1:1", "to\nken"),
        ] {
            assert_eq!(Client::new(url, token).unwrap_err().kind(), ErrorKind::Config, "{url}");
        }
        assert!(!format!("{:?}", Client::new("http://127.0.0.1:1", "secret").unwrap()).contains("secret"));
    }
}
