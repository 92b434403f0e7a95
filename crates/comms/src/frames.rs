//! Asking the server whether anybody reads frames of a lane.
//!
//! A message without content goes to the frames' subject, and after it a question to the node. The server says of the
//! first at once if nobody is subscribed, and it says things in order: when the node's answer is here and no such word
//! came before, somebody is.

use std::sync::Arc;

use async_nats::Client;
use bytes::Bytes;
use comms_msg::{DomainName, ServiceName};
use tokio::sync::mpsc;

use crate::comms::hello;
use crate::lane::Lane;
use crate::limits::DOOR_WITHIN;
use crate::replies::Replies;

/// What asking needs.
#[derive(Debug)]
pub(crate) struct Asker {
    pub(crate) client: Client,
    pub(crate) replies: Arc<Replies>,
    pub(crate) domain: DomainName,
    pub(crate) service: ServiceName,
}

impl Asker {
    /// Asks about each lane that comes, until the connection ends.
    pub(crate) async fn run(self, mut lanes: mpsc::Receiver<Arc<Lane>>) {
        while let Some(lane) = lanes.recv().await {
            if self.is_read(&lane).await {
                lane.set_reads_frames(true);
            }
        }
    }

    async fn is_read(&self, lane: &Lane) -> bool {
        let Some(frames) = lane.frames.clone() else { return false };
        let (reply, mut unread) = self.replies.expect_unread(frames.clone()).await;
        if self.client.publish_with_reply(frames, reply, Bytes::new()).await.is_err() {
            return false;
        }
        tokio::select! {
            biased;
            // Whatever is said to it, nobody who reads frames says anything.
            _ = unread.answer() => false,
            answered = hello(&self.client, &self.replies, &self.domain, &self.service, DOOR_WITHIN) => answered.is_ok(),
        }
    }
}
