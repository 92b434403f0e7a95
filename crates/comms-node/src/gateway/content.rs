//! Content over HTTP: put bytes, get them back by CID.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use comms_content::{BLOCK_BYTES_MAX, Block, Cid, DAG_CBOR, DAG_PB, File, Node, RAW};
use comms_msg::{ServiceName, TypeName};
use comms_store::Error as StoreError;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Gateway;
use super::auth::Caller;
use super::download::{self, Download};
use super::error::{Error, Result};
use super::limits::PUT_BYTES_MAX;
use super::range::{self, Wanted};
use super::upload::{pieces, whole};
use crate::access::Part;
use crate::current::InForce;

const CAR: &str = "application/vnd.ipld.car; version=1; order=dfs; dups=y";
const RAW_BLOCK: &str = "application/vnd.ipld.raw";
const CBOR_BLOCK: &str = "application/vnd.ipld.dag-cbor";
const BYTES: &str = "application/octet-stream";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PutQuery {
    #[serde(rename = "for")]
    carrier: Option<String>,
    codec: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct GetQuery {
    format: Option<String>,
    entity_bytes: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShareQuery {
    #[serde(rename = "for")]
    carrier: String,
}

/// The answer to a put.
#[derive(Serialize)]
struct Stored {
    cid: String,
    size: u64,
    blocks: u64,
    /// Whether the caller had not put it before. Whether somebody else had is nobody's business.
    stored: bool,
}

/// `POST /content`: the body becomes a file, or with `codec` one block. Everything is durable before the
/// answer.
pub(super) async fn put(
    State(gateway): State<Arc<Gateway>>,
    Extension(Caller(service)): Extension<Caller>,
    Extension(in_force): Extension<Arc<InForce>>,
    query: Result<Query<PutQuery>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    let query = parsed(query)?;
    let carrier = query.carrier.as_deref().map(|name| carrier(&in_force, &service, name)).transpose()?;
    let _place = place(&gateway.uploads)?;
    let file = match query.codec.as_deref() {
        None => gateway.blocks.put_file(pieces(&headers, body, PUT_BYTES_MAX)?).await?,
        Some(codec) => {
            let codec = block_codec(codec)?;
            put_block(&gateway, codec, whole(&headers, body, BLOCK_BYTES_MAX as u64).await?).await?
        }
    };
    let stored = gateway.access.grant_put(&file.cid, &service).await?;
    if let Some(name) = carrier {
        share_with(&gateway, &in_force, &file.cid, &service, &name).await?;
    }
    let cid = file.cid.to_string();
    let location = [(header::LOCATION, format!("/content/{cid}"))];
    let stored = Stored { cid, size: file.size, blocks: file.blocks, stored };
    Ok((StatusCode::CREATED, location, Json(stored)).into_response())
}

/// `POST /content/{cid}?for=<type>`: messages of the type may carry what the caller may read.
pub(super) async fn share(
    State(gateway): State<Arc<Gateway>>,
    Extension(Caller(service)): Extension<Caller>,
    Extension(in_force): Extension<Arc<InForce>>,
    Path(cid): Path<String>,
    query: Result<Query<ShareQuery>, QueryRejection>,
) -> Result<StatusCode> {
    let cid = parse_cid(&cid)?;
    let carrier = carrier(&in_force, &service, &parsed(query)?.carrier)?;
    share_with(&gateway, &in_force, &cid, &service, &carrier).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET` and `HEAD` of `/content/{cid}`.
pub(super) async fn get(
    State(gateway): State<Arc<Gateway>>,
    Extension(Caller(service)): Extension<Caller>,
    Extension(in_force): Extension<Arc<InForce>>,
    Path(cid): Path<String>,
    query: Result<Query<GetQuery>, QueryRejection>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response> {
    let cid = parse_cid(&cid)?;
    let query = parsed(query)?;
    let form = Form::asked(query.format.as_deref(), &headers)?;
    if !gateway.access.may_read(&in_force.domain, &service, &cid).await? {
        return Err(Error::NotFound(cid));
    }
    let _place = place(&gateway.downloads)?;
    let root = gateway.blocks.get(&cid).await.map_err(|error| match error {
        StoreError::Missing { cid } => Error::NotFound(cid),
        error => error.into(),
    })?;
    let download = Download { blocks: gateway.blocks.clone(), root, _place };
    let mut response = match form {
        Form::Plain => plain(download, &headers, &method)?,
        Form::Block => block(download, RAW_BLOCK, &method),
        Form::Car => car(download, query.entity_bytes.as_deref())?,
    };
    let tag = match form {
        Form::Plain => format!("\"{cid}\""),
        Form::Block => format!("\"{cid}.raw\""),
        Form::Car => format!("W/\"{cid}.car\""),
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, HeaderValue::try_from(tag).expect("a CID is plain text"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// What is wanted of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    Block,
    Car,
}

impl Form {
    /// The query wins over the header, as in the trustless gateway (IPIP-523).
    fn asked(format: Option<&str>, headers: &HeaderMap) -> Result<Self> {
        match format {
            Some("car") => return Ok(Self::Car),
            Some("raw") => return Ok(Self::Block),
            Some(other) => return Err(Error::Malformed(format!("format {other} is neither car nor raw"))),
            None => {}
        }
        let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let asked = accepted.flat_map(|value| value.split(',')).find_map(|media| {
            match media.split(';').next().unwrap_or_default().trim() {
                "application/vnd.ipld.car" => Some(Self::Car),
                "application/vnd.ipld.raw" => Some(Self::Block),
                _ => None,
            }
        });
        Ok(asked.unwrap_or(Self::Plain))
    }
}

fn plain(download: Download, headers: &HeaderMap, method: &Method) -> Result<Response> {
    let media = match download.root.cid().codec() {
        RAW | DAG_PB => BYTES,
        DAG_CBOR => return Ok(block(download, CBOR_BLOCK, method)),
        _ => return Ok(block(download, RAW_BLOCK, method)),
    };
    let size = download::size(&download.root).map_err(|error| Error::Invalid(error.to_string()))?;
    let wanted = if *method == Method::GET && is_unchanged(headers, download.root.cid()) {
        Wanted::parse(headers.get(header::RANGE).and_then(|value| value.to_str().ok()), size)
    } else {
        Wanted::All
    };
    let base = [(header::CONTENT_TYPE, media.to_owned()), (header::ACCEPT_RANGES, "bytes".to_owned())];
    let (status, length, range) = match wanted {
        Wanted::Outside => return Err(Error::Range { size }),
        Wanted::All => (StatusCode::OK, size, None),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range.end - range.start, Some(range)),
    };
    let part = range
        .as_ref()
        .map(|range| [(header::CONTENT_RANGE, format!("bytes {}-{}/{size}", range.start, range.end - 1))]);
    let body = if *method == Method::HEAD { Body::empty() } else { download.bytes(range) };
    let mut response = (status, base, [(header::CONTENT_LENGTH, length.to_string())], body).into_response();
    for (name, value) in part.into_iter().flatten() {
        response.headers_mut().insert(name, HeaderValue::try_from(value).expect("digits are plain text"));
    }
    Ok(response)
}

/// Whether a range, if one is asked for, is of the bytes that the client knows (`If-Range`). Content never
/// changes.
fn is_unchanged(headers: &HeaderMap, cid: &Cid) -> bool {
    headers.get(header::IF_RANGE).is_none_or(|tag| tag.as_bytes() == format!("\"{cid}\"").as_bytes())
}

fn block(download: Download, media: &'static str, method: &Method) -> Response {
    let data = download.root.data().clone();
    let head = [(header::CONTENT_TYPE, media.to_owned()), (header::CONTENT_LENGTH, data.len().to_string())];
    let body = if *method == Method::HEAD { Body::empty() } else { Body::from(data) };
    (head, body).into_response()
}

fn car(download: Download, entity_bytes: Option<&str>) -> Result<Response> {
    let cid = *download.root.cid();
    let head = [
        (header::CONTENT_TYPE, CAR.to_owned()),
        (header::ACCEPT_RANGES, "none".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{cid}.car\"")),
    ];
    // What is not a file has links that are contents of their own, to be asked for and allowed on their own.
    if ![RAW, DAG_PB].contains(&cid.codec()) {
        return Ok((head, download.car_of_root()).into_response());
    }
    let size = download::size(&download.root).map_err(|error| Error::Invalid(error.to_string()))?;
    let range = entity_bytes
        .map(|text| {
            range::entity_bytes(text, size)
                .ok_or_else(|| Error::Malformed(format!("entity-bytes={text} is no range")))
        })
        .transpose()?;
    Ok((head, download.car(range)).into_response())
}

async fn put_block(gateway: &Gateway, codec: u64, data: Bytes) -> Result<File> {
    let block = tokio::task::spawn_blocking(move || {
        if codec == DAG_CBOR {
            Node::from_cbor(data.clone())?;
        }
        Block::new(codec, data)
    })
    .await
    .map_err(|error| Error::Invalid(error.to_string()))?
    .map_err(|error| Error::Invalid(error.to_string()))?;
    gateway.blocks.put(&block).await?;
    let size = block.data().len() as u64;
    Ok(File { cid: *block.cid(), size, blocks: 1, dag_bytes: size })
}

/// Nodes of files are only made from the bytes of the file: put as a block, a node could link to what its
/// sender may not read, and would open it.
fn block_codec(name: &str) -> Result<u64> {
    match name {
        "dag-cbor" => Ok(DAG_CBOR),
        "raw" => Ok(RAW),
        other => {
            Err(Error::Malformed(format!("codec {other} cannot be put as a block; dag-cbor and raw can")))
        }
    }
}

fn carrier(in_force: &InForce, service: &ServiceName, name: &str) -> Result<TypeName> {
    let name: TypeName = name.parse().map_err(|error| Error::Malformed(format!("for={name}: {error}")))?;
    if Part::of(&in_force.domain, service, &name).any() {
        Ok(name)
    } else {
        Err(Error::Denied(format!("{service} neither sends, asks, emits, handles nor answers {name}")))
    }
}

async fn share_with(
    gateway: &Gateway,
    in_force: &InForce,
    cid: &Cid,
    service: &ServiceName,
    name: &TypeName,
) -> Result<()> {
    if !gateway.access.may_link(&in_force.domain, service, cid).await? {
        return Err(Error::NotFound(*cid));
    }
    gateway.access.grant_for(&in_force.domain, cid, service, name).await?;
    Ok(())
}

fn parse_cid(text: &str) -> Result<Cid> {
    text.parse().map_err(|error: comms_content::Error| Error::Malformed(error.to_string()))
}

fn parsed<Q>(query: Result<Query<Q>, QueryRejection>) -> Result<Q> {
    query.map(|Query(query)| query).map_err(|error| Error::Malformed(error.body_text()))
}

fn place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit> {
    Arc::clone(places).try_acquire_owned().map_err(|_| Error::Busy)
}
