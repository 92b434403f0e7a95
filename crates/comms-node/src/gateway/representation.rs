//! What is sent of a content: in which form, under which tag, and how much of it.

use std::ops::Range;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use comms_content::{DAG_CBOR, DAG_PB, RAW};
use futures::stream;

use super::condition::{self, Tag, Verdict};
use super::download::{self, Download};
use super::error::{Error, Result};
use super::range::{self, Wanted};

const CAR: &str = "application/vnd.ipld.car; version=1; order=dfs; dups=y";
const RAW_BLOCK: &str = "application/vnd.ipld.raw";
const CBOR_BLOCK: &str = "application/vnd.ipld.dag-cbor";
const BYTES: &str = "application/octet-stream";

/// What is wanted of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The bytes of a file; of anything else its block.
    Plain,
    Block,
    Car,
}

impl Form {
    /// The query wins over the header, as in the trustless gateway (IPIP-523).
    pub(super) fn asked(format: Option<&str>, headers: &HeaderMap) -> Result<Self> {
        match format {
            Some("car") => return Ok(Self::Car),
            Some("raw") => return Ok(Self::Block),
            Some(other) => return Err(Error::Malformed(format!("format {other} is neither car nor raw"))),
            None => {}
        }
        let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut best = (Self::Plain, 0);
        for (form, weight) in accepted.flat_map(|value| value.split(',')).filter_map(Self::accepted) {
            if weight > best.1 {
                best = (form, weight);
            }
        }
        Ok(best.0)
    }

    /// The form that a media range names, and its weight in thousandths.
    fn accepted(range: &str) -> Option<(Self, u16)> {
        let (media, parameters) = range.split_once(';').unwrap_or((range, ""));
        let form = match media.trim().to_ascii_lowercase().as_str() {
            "application/vnd.ipld.car" => Self::Car,
            "application/vnd.ipld.raw" => Self::Block,
            _ => return None,
        };
        let weight = parameters.split(';').find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then(|| weight(value.trim()))
        });
        Some((form, weight.unwrap_or(1000)))
    }
}

/// A weight in thousandths; what is none counts as zero.
fn weight(text: &str) -> u16 {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let thousandths = format!("{rest:0<3}").parse();
    match (whole, thousandths) {
        ("1", Ok(0)) => 1000,
        ("0", Ok(weight @ 0..1000)) if rest.len() <= 3 => weight,
        _ => 0,
    }
}

/// A content in the form in which it was asked for.
#[derive(Debug)]
pub(super) struct Representation {
    download: Download,
    shape: Shape,
    tag: Tag,
}

#[derive(Debug)]
enum Shape {
    /// The bytes of a file of this size.
    File(u64),
    /// The root's block.
    Block(&'static str),
    /// The blocks of a file, or those of a range of it.
    Car(Option<Range<u64>>),
    /// The root's block as a CAR: what is not a file has links that are contents of their own, to be asked for and
    /// allowed on their own.
    CarOfRoot,
}

impl Representation {
    pub(super) fn new(download: Download, form: Form, entity_bytes: Option<&str>) -> Result<Self> {
        let cid = *download.root.cid();
        let is_file = [RAW, DAG_PB].contains(&cid.codec());
        let size = || download::size(&download.root).map_err(|error| Error::Invalid(error.to_string()));
        let (shape, tag) = match form {
            Form::Plain if is_file => (Shape::File(size()?), Tag::strong(cid.to_string())),
            Form::Plain => {
                let media = if cid.codec() == DAG_CBOR { CBOR_BLOCK } else { RAW_BLOCK };
                (Shape::Block(media), Tag::strong(cid.to_string()))
            }
            Form::Block => (Shape::Block(RAW_BLOCK), Tag::strong(format!("{cid}.raw"))),
            Form::Car if is_file => {
                let range = entity_bytes.map(|text| entity_range(text, size()?)).transpose()?;
                let part =
                    range.as_ref().map_or(String::new(), |range| format!(".{}-{}", range.start, range.end));
                size()?;
                (Shape::Car(range), Tag::weak(format!("{cid}.car{part}")))
            }
            Form::Car => (Shape::CarOfRoot, Tag::weak(format!("{cid}.car"))),
        };
        Ok(Self { download, shape, tag })
    }

    /// The answer to a `GET` or `HEAD` of it.
    pub(super) fn respond(self, headers: &HeaderMap, method: &Method) -> Result<Response> {
        let tag = HeaderValue::try_from(self.tag.to_string()).expect("a CID is plain text");
        let mut response = match condition::evaluate(headers, method, &self.tag) {
            Verdict::Failed => return Err(Error::Condition),
            Verdict::NotModified => (StatusCode::NOT_MODIFIED, unsent()).into_response(),
            Verdict::Go => self.whole_or_part(headers, method)?,
        };
        let headers = response.headers_mut();
        headers.insert(header::ETAG, tag);
        headers.insert(header::VARY, HeaderValue::from_static("accept"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Ok(response)
    }

    fn whole_or_part(self, headers: &HeaderMap, method: &Method) -> Result<Response> {
        let cid = *self.download.root.cid();
        let range = || wanted(headers, method, &self.tag);
        match self.shape {
            Shape::File(size) => {
                let part = Part::of(size, range())?;
                Ok(part.respond(BYTES, method, |range| self.download.bytes(range)))
            }
            Shape::Block(media) => {
                let data = self.download.root.data().clone();
                let part = Part::of(data.len() as u64, range())?;
                Ok(part.respond(media, method, |range| {
                    let index = |at: u64| usize::try_from(at).expect("a part lies within the block");
                    Body::from(
                        range.map_or(data.clone(), |range| data.slice(index(range.start)..index(range.end))),
                    )
                }))
            }
            Shape::Car(range) => Ok(car(&cid.to_string(), method, || self.download.car(range))),
            Shape::CarOfRoot => Ok(car(&cid.to_string(), method, || self.download.car_of_root())),
        }
    }
}

fn entity_range(text: &str, size: u64) -> Result<Range<u64>> {
    range::entity_bytes(text, size)
        .ok_or_else(|| Error::Malformed(format!("entity-bytes={text} is no range")))
}

/// The `Range` that counts: there is one, of `GET`, and of the bytes that the client knows.
fn wanted<'a>(headers: &'a HeaderMap, method: &Method, tag: &Tag) -> Option<&'a str> {
    let mut values = headers.get_all(header::RANGE).iter();
    let value = values.next()?.to_str().ok()?;
    let counts =
        *method == Method::GET && values.next().is_none() && condition::is_range_wanted(headers, tag);
    counts.then_some(value)
}

/// Some of the bytes of a representation, or all of them.
struct Part {
    size: u64,
    range: Option<Range<u64>>,
}

impl Part {
    fn of(size: u64, range: Option<&str>) -> Result<Self> {
        match Wanted::parse(range, size) {
            Wanted::Outside => Err(Error::Range { size }),
            Wanted::All => Ok(Self { size, range: None }),
            Wanted::Part(range) => Ok(Self { size, range: Some(range) }),
        }
    }

    fn respond(
        self,
        media: &str,
        method: &Method,
        body: impl FnOnce(Option<Range<u64>>) -> Body,
    ) -> Response {
        let Self { size, range } = self;
        let mut headers = HeaderMap::new();
        let mut set = |name: HeaderName, value: String| {
            headers.insert(name, HeaderValue::try_from(value).expect("words and digits are plain text"));
        };
        set(header::CONTENT_TYPE, media.to_owned());
        set(header::ACCEPT_RANGES, "bytes".to_owned());
        let (status, length) = match &range {
            None => (StatusCode::OK, size),
            Some(range) => {
                set(header::CONTENT_RANGE, format!("bytes {}-{}/{size}", range.start, range.end - 1));
                (StatusCode::PARTIAL_CONTENT, range.end - range.start)
            }
        };
        set(header::CONTENT_LENGTH, length.to_string());
        let body = if *method == Method::HEAD { unsent() } else { body(range) };
        (status, headers, body).into_response()
    }
}

fn car(cid: &str, method: &Method, body: impl FnOnce() -> Body) -> Response {
    let head = [
        (header::CONTENT_TYPE, CAR.to_owned()),
        (header::ACCEPT_RANGES, "none".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{cid}.car\"")),
    ];
    let body = if *method == Method::HEAD { unsent() } else { body() };
    (head, body).into_response()
}

/// The body of an answer that has none. An empty one would be given the length 0, which is not that of what is not sent.
fn unsent() -> Body {
    Body::from_stream(stream::empty::<Result<bytes::Bytes, std::io::Error>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_form_is_sent_and_the_query_wins() {
        for (accept, form) in [
            ("", Form::Plain),
            ("*/*", Form::Plain),
            ("application/vnd.ipld.car", Form::Car),
            ("Application/VND.ipld.CAR; version=1", Form::Car),
            ("text/html, application/vnd.ipld.raw;q=0.1", Form::Block),
            ("application/vnd.ipld.raw;q=0.5, application/vnd.ipld.car", Form::Car),
            ("application/vnd.ipld.raw, application/vnd.ipld.car", Form::Block),
            ("application/vnd.ipld.car;q=0", Form::Plain),
            ("application/vnd.ipld.car; q=0.000, application/vnd.ipld.raw; Q=0.001", Form::Block),
            ("application/vnd.ipld.car;q=nonsense", Form::Plain),
            ("application/vnd.ipld.car;q=7", Form::Plain),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(Form::asked(None, &headers).unwrap(), form, "{accept}");
            assert_eq!(Form::asked(Some("raw"), &headers).unwrap(), Form::Block);
        }
        Form::asked(Some("tar"), &HeaderMap::new()).unwrap_err();
    }
}
