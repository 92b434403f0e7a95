//! The body of a response, read from the store while it is being sent.
//!
//! A task reads and verifies ahead of the socket, a few pieces and no more. It belongs to the body: when the
//! client goes away, the body is dropped, and the task ends. When a block turns out to be missing or damaged
//! the body ends with an error, and the connection is cut: the client sees too few bytes, or a CAR without its
//! end.

use std::ops::Range;

use axum::body::Body;
use bytes::Bytes;
use comms_content::{Block, Exporter, Step, car};
use comms_store::Blocks;
use futures::stream;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::limits::READ_AHEAD_PIECES;
use crate::share::Share;

/// A content whose root was found, ready to be sent.
#[derive(Debug)]
pub(super) struct Download {
    pub(super) blocks: Blocks,
    pub(super) root: Block,
    /// One of the caller's places for downloads; given back when the last byte was handed to the connection.
    pub(super) place: Share,
}

/// What is sent of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Its bytes.
    Bytes,
    /// The blocks that prove them, as a CAR.
    Car,
}

/// Why a body ends early.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error(transparent)]
    Store(#[from] comms_store::Error),
    #[error(transparent)]
    Content(#[from] comms_content::Error),
    #[error("the client went away")]
    Gone,
    #[error("the task that reads ended early")]
    Task(#[from] tokio::task::JoinError),
}

impl Download {
    /// The bytes of a file, or those of a range of it.
    pub(super) fn bytes(self, range: Option<Range<u64>>) -> Body {
        self.file(range, Form::Bytes)
    }

    /// The blocks that prove a file or a range of it, in the order in which they are needed (DFS), each as
    /// often as it is needed: so whoever reads has nothing to remember.
    pub(super) fn car(self, range: Option<Range<u64>>) -> Body {
        self.file(range, Form::Car)
    }

    /// A CAR of the root alone.
    pub(super) fn car_of_root(self) -> Body {
        let header = car::write_header(self.root.cid());
        // What is in the CID itself needs no block.
        if self.root.cid().inline().is_some() {
            return Body::from(header.to_vec());
        }
        let (prefix, data) = car::write_block(&self.root);
        Body::from([&header[..], &prefix, &data].concat())
    }

    fn file(self, range: Option<Range<u64>>, form: Form) -> Body {
        let (outlet, inlet) = mpsc::channel(READ_AHEAD_PIECES);
        let task = AbortOnDropHandle::new(tokio::spawn(read(self.blocks, self.root, range, form, outlet)));
        let sent = (inlet, task, self.place);
        Body::from_stream(stream::try_unfold(sent, |(mut inlet, task, place)| async move {
            match inlet.recv().await {
                Some(piece) => Ok(Some((piece, (inlet, task, place)))),
                None => task.await?.map(|()| None),
            }
        }))
    }
}

async fn read(
    blocks: Blocks,
    root: Block,
    range: Option<Range<u64>>,
    form: Form,
    outlet: mpsc::Sender<Bytes>,
) -> Result<(), Cut> {
    let cid = *root.cid();
    let sent = walk(blocks, root, range, form, &outlet).await;
    if let Err(error) = &sent
        && !matches!(error, Cut::Gone)
    {
        tracing::warn!(root = %cid, %error, "a download was cut");
    }
    sent
}

async fn walk(
    blocks: Blocks,
    root: Block,
    range: Option<Range<u64>>,
    form: Form,
    outlet: &mpsc::Sender<Bytes>,
) -> Result<(), Cut> {
    let mut exporter = Exporter::new(*root.cid(), range);
    if form == Form::Car {
        send(outlet, car::write_header(root.cid()).into()).await?;
    }
    let mut root = Some(root);
    loop {
        match exporter.step()? {
            Step::Want(cid) => {
                let block = match root.take() {
                    Some(root) => root,
                    None => blocks.get(&cid).await?,
                };
                if form == Form::Car {
                    let (prefix, data) = car::write_block(&block);
                    send(outlet, prefix.into()).await?;
                    send(outlet, data).await?;
                }
                exporter.give(block)?;
            }
            Step::Bytes(bytes) if form == Form::Bytes => send(outlet, bytes).await?,
            Step::Bytes(_) => {}
            Step::Done => return Ok(()),
        }
    }
}

async fn send(outlet: &mpsc::Sender<Bytes>, piece: Bytes) -> Result<(), Cut> {
    if piece.is_empty() {
        return Ok(());
    }
    outlet.send(piece).await.map_err(|_| Cut::Gone)
}

/// How many bytes the file of this root has; an error if it is not one.
pub(super) fn size(root: &Block) -> comms_content::Result<u64> {
    let mut exporter = Exporter::new(*root.cid(), None);
    if let Step::Want(_) = exporter.step()? {
        exporter.give(root.clone())?;
    }
    exporter.size().ok_or(comms_content::Error::Unwanted { cid: *root.cid() })
}
