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
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::limits::{DOWNLOAD_IDLE_MAX, READ_AHEAD_PIECES};

/// A content whose root was found, ready to be sent.
#[derive(Debug)]
pub(super) struct Download {
    pub(super) blocks: Blocks,
    pub(super) root: Block,
    /// One of the places for downloads; given back when the last byte is handed over.
    pub(super) _place: OwnedSemaphorePermit,
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
    #[error("the client took nothing for {} s", DOWNLOAD_IDLE_MAX.as_secs())]
    Stalled,
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
        let (prefix, data) = car::write_block(&self.root);
        Body::from([&car::write_header(self.root.cid())[..], &prefix, &data].concat())
    }

    fn file(self, range: Option<Range<u64>>, form: Form) -> Body {
        let (outlet, inlet) = mpsc::channel(READ_AHEAD_PIECES);
        let task = AbortOnDropHandle::new(tokio::spawn(self.read(range, form, outlet)));
        Body::from_stream(stream::try_unfold((inlet, task), |(mut inlet, task)| async move {
            match inlet.recv().await {
                Some(piece) => Ok(Some((piece, (inlet, task)))),
                None => task.await?.map(|()| None),
            }
        }))
    }

    async fn read(
        self,
        range: Option<Range<u64>>,
        form: Form,
        outlet: mpsc::Sender<Bytes>,
    ) -> Result<(), Cut> {
        let root = *self.root.cid();
        let sent = self.walk(range, form, &outlet).await;
        if let Err(error) = &sent
            && !matches!(error, Cut::Gone)
        {
            tracing::warn!(%root, %error, "a download was cut");
        }
        sent
    }

    async fn walk(
        self,
        range: Option<Range<u64>>,
        form: Form,
        outlet: &mpsc::Sender<Bytes>,
    ) -> Result<(), Cut> {
        let mut exporter = Exporter::new(*self.root.cid(), range);
        if form == Form::Car {
            send(outlet, car::write_header(self.root.cid()).into()).await?;
        }
        let mut root = Some(self.root);
        loop {
            match exporter.step()? {
                Step::Want(cid) => {
                    let block = match root.take() {
                        Some(root) => root,
                        None => self.blocks.get(&cid).await?,
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
}

async fn send(outlet: &mpsc::Sender<Bytes>, piece: Bytes) -> Result<(), Cut> {
    if piece.is_empty() {
        return Ok(());
    }
    outlet.send_timeout(piece, DOWNLOAD_IDLE_MAX).await.map_err(|error| match error {
        mpsc::error::SendTimeoutError::Timeout(_) => Cut::Stalled,
        mpsc::error::SendTimeoutError::Closed(_) => Cut::Gone,
    })
}

/// How many bytes the file of this root has; an error if it is not one.
pub(super) fn size(root: &Block) -> comms_content::Result<u64> {
    let mut exporter = Exporter::new(*root.cid(), None);
    if let Step::Want(_) = exporter.step()? {
        exporter.give(root.clone())?;
    }
    exporter.size().ok_or(comms_content::Error::Unwanted { cid: *root.cid() })
}
