//! Content over HTTP: put bytes, get them back by CID.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use comms_content::{BLOCK_BYTES_MAX, Block, Cid, DAG_CBOR, Node, RAW};
use comms_msg::door::{Refusal, RefusalKind};
use comms_msg::{ServiceName, TypeName};
use comms_store::{Error as StoreError, Staged};
use futures::StreamExt;
use serde::{Deserialize, Serialize};

use super::auth::Caller;
use super::download::Download;
use super::error::{Error, Result};
use super::limits::PUT_BYTES_MAX;
use super::representation::{Form, Representation};
use super::upload::{pieces, whole};
use super::{Gateway, coding};
use crate::access::{Budget, Part};
use crate::current::InForce;
use crate::room::Upload;

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
    coding::bytes_alone(&headers)?;
    let mut upload = gateway.admin.room.upload();
    room(&mut upload, Bytes::new())?;
    let _place = gateway.places.uploads.take(&service, 1)?;
    let staged = match query.codec.as_deref() {
        None => {
            let pieces = pieces(&headers, body, PUT_BYTES_MAX)?;
            gateway
                .blocks
                .stage_file(pieces.map(|piece| piece.and_then(|piece| room(&mut upload, piece))))
                .await?
        }
        Some(codec) => {
            let codec = block_codec(codec)?;
            let data = room(&mut upload, whole(&headers, body, BLOCK_BYTES_MAX as u64).await?)?;
            stage_block(&gateway, codec, data).await?
        }
    };
    // Recorded before it is kept, so that nothing is ever in the store that nobody answers for.
    let stored = gateway.access.grant_put(&staged.file().cid, &service).await?;
    let file = staged.keep().await?;
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
    let place = gateway.places.downloads.take(&service, 1)?;
    let download = Download { blocks: gateway.blocks.clone(), root: root(&gateway, cid).await?, place };
    Representation::new(download, form, query.entity_bytes.as_deref())?.respond(&headers, &method)
}

/// The block that a CID names; what is in the CID itself is nowhere else.
async fn root(gateway: &Gateway, cid: Cid) -> Result<Block> {
    let found = match cid.inline() {
        Some(data) => Block::verified(cid, Bytes::copy_from_slice(data)).map_err(StoreError::from),
        None => gateway.blocks.get(&cid).await,
    };
    found.map_err(|error| match error {
        StoreError::Missing { cid } => Error::NotFound(cid),
        error => error.into(),
    })
}

async fn stage_block(gateway: &Gateway, codec: u64, data: Bytes) -> Result<Staged> {
    let block = tokio::task::spawn_blocking(move || {
        if codec == DAG_CBOR {
            Node::from_cbor(data.clone())?;
        }
        Block::new(codec, data)
    })
    .await
    .map_err(|error| Error::Invalid(error.to_string()))?
    .map_err(|error| Error::Invalid(error.to_string()))?;
    Ok(gateway.blocks.stage_block(block).await?)
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
    let domain = &in_force.domain;
    let followed = gateway.access.follow(domain, service, &[*cid], &mut Budget::of_request()).await?;
    let linked = followed.map_err(Error::NotFound)?;
    gateway.access.grant_for(domain, &linked, service, name).await?;
    Ok(())
}

fn parse_cid(text: &str) -> Result<Cid> {
    text.parse().map_err(|error: comms_content::Error| Error::Malformed(error.to_string()))
}

fn parsed<Q>(query: Result<Query<Q>, QueryRejection>) -> Result<Q> {
    query.map(|Query(query)| query).map_err(|error| Error::Malformed(error.body_text()))
}

/// The bytes, if there is room for them.
fn room(upload: &mut Upload, bytes: Bytes) -> Result<Bytes> {
    let came = upload.comes(bytes.len() as u64);
    came.map_err(|shortage| Refusal::new(RefusalKind::Full, format!("there is no room: {shortage}")))
        .map_err(Error::Refused)?;
    Ok(bytes)
}
