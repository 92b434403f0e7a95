//! Large fields leave the message before it does.
//!
//! Each byte string over the domain's threshold is put as content, for the type that carries it, and replaced by
//! its link: so a title stays in the message and a file gets the CID it has in IPFS. Only if the rest is still over
//! the threshold does the whole body become one DAG-CBOR block. What then is over the block's limit is refused.

use bytes::Bytes;
use comms_content::{BLOCK_BYTES_MAX, DAG_CBOR, Node};
use comms_msg::{Body, TypeName};
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;

use crate::comms::Comms;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::UPLOADS_AT_ONCE;

/// Encodes a body.
pub(crate) fn node<T: Serialize>(type_name: &TypeName, body: &T) -> Result<Node> {
    Node::encode(body).map_err(|error| {
        Error::new(ErrorKind::Invalid, format!("this {type_name} cannot be written as DAG-CBOR"))
            .because(error)
    })
}

/// Puts what is too large in an answer to a query of this type. An answer has no body that could be elsewhere: only its
/// byte fields leave it, and the rest must fit a message.
pub(crate) async fn reduce_answer(comms: &Comms, type_name: &TypeName, node: Node) -> Result<Node> {
    let threshold = comms.rights().threshold;
    let node = if node.as_bytes().len() <= threshold {
        node
    } else {
        put_large(comms, type_name, node, threshold).await?
    };
    share(comms, type_name, &node).await?;
    Ok(node)
}

/// Puts what is too large for a message.
pub(crate) async fn reduce(comms: &Comms, type_name: &TypeName, node: Node) -> Result<Body> {
    let threshold = comms.rights().threshold;
    if node.as_bytes().len() <= threshold {
        return Ok(Body::Inline(node));
    }
    let rest = put_large(comms, type_name, node, threshold).await?;
    let bytes = rest.as_bytes();
    if bytes.len() <= threshold {
        return Ok(Body::Inline(rest));
    }
    if bytes.len() > BLOCK_BYTES_MAX {
        let message = format!(
            "this {type_name} has {} bytes beside its large byte fields; at most {BLOCK_BYTES_MAX} fit: put parts of \
             it as content and link them",
            bytes.len()
        );
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    Ok(Body::Link(comms.content().put_block(type_name, bytes.clone()).await?.cid))
}

/// Lets whoever receives a message that no door sees read what it links to.
pub(crate) async fn share(comms: &Comms, type_name: &TypeName, node: &Node) -> Result<()> {
    // Almost no message has a link, and looking for the head of one costs far less than walking the value.
    if !node.as_bytes().windows(LINK_HEAD.len()).any(|window| window == LINK_HEAD) {
        return Ok(());
    }
    for cid in node.links() {
        comms.share(&cid, type_name).await?;
    }
    Ok(())
}

/// How every link begins in DAG-CBOR: tag 42, then a byte string with a length in one byte.
const LINK_HEAD: [u8; 3] = [0xd8, 42, 0x58];

async fn put_large(comms: &Comms, type_name: &TypeName, node: Node, threshold: usize) -> Result<Node> {
    let large = node.bytes_over(threshold)?;
    let linked = futures::stream::iter(large.into_iter().map(|field| {
        let bytes = node.bytes_of(&field);
        async move {
            let put = comms.content().put_for(type_name, bytes).await?;
            Ok::<_, Error>((field, put.cid))
        }
    }))
    .buffered(UPLOADS_AT_ONCE)
    .try_collect::<Vec<_>>()
    .await?;
    Ok(node.with_links(&linked)?)
}

/// The fields of a body that came: those of the message, or of the block that it links.
pub(crate) async fn fetch(comms: &Comms, body: &Body) -> Result<Node> {
    read(body, block(comms, body).await?)
}

/// The block that a body links, if it links one. What cannot be fetched now may be there later.
pub(crate) async fn block(comms: &Comms, body: &Body) -> Result<Option<Bytes>> {
    match body {
        Body::Link(cid) if cid.codec() == DAG_CBOR => comms.content().get_block(cid).await.map(Some),
        Body::Link(_) | Body::Inline(_) | Body::Sealed(_) => Ok(None),
    }
}

/// The fields of a body whose block is here. What cannot be read now never can.
pub(crate) fn read(body: &Body, block: Option<Bytes>) -> Result<Node> {
    match body {
        Body::Inline(node) => Ok(node.clone()),
        // Links inside a block of another codec were not checked when it was sent.
        Body::Link(cid) if cid.codec() != DAG_CBOR => {
            Err(Error::new(ErrorKind::Malformed, format!("the body's link {cid} is not a DAG-CBOR block")))
        }
        Body::Link(_) => Ok(Node::from_cbor(block.unwrap_or_default())?),
        Body::Sealed(sealed) => {
            let message =
                format!("the body is sealed with the key {}, which this program does not have", sealed.key);
            Err(Error::new(ErrorKind::Denied, message))
        }
    }
}
