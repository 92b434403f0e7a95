//! Direct messages of one type as they arrive: alone, or in frames, which have a subject of their own.
//!
//! Subscribing to the frames is how a handler says that it reads them. A sender goes over from single messages to frames,
//! and every message before that is here before the first frame: so single messages that are here go first, and each
//! sender's messages keep their order.

use async_nats::{Client, Message, Subscriber};
use comms_msg::Filter;
use futures::{FutureExt, StreamExt};

use crate::error::{Error, ErrorKind, Result};
use crate::limits::SUBSCRIPTION_QUEUE;

/// Both subscriptions of one handler.
#[derive(Debug)]
pub(crate) struct Arrivals {
    alone: Subscriber,
    frames: Subscriber,
    /// A frame that waits for the single messages that were here before it, and how many those may still be.
    next: Option<(Message, usize)>,
}

impl Arrivals {
    /// Subscribes in a queue group, so that instances share what arrives.
    pub(crate) async fn subscribe(
        client: &Client,
        alone: &Filter,
        frames: &Filter,
        queue: &str,
    ) -> Result<Self> {
        let subscribe = async |filter: &Filter| {
            let subscribed = client.queue_subscribe(filter.to_string(), queue.to_owned()).await;
            subscribed.map_err(|error| {
                Error::new(ErrorKind::Unavailable, "the connection is closed").because(error)
            })
        };
        Ok(Self { alone: subscribe(alone).await?, frames: subscribe(frames).await?, next: None })
    }

    /// What comes next; `None` when nothing will. Safe to drop while waiting.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        if self.next.is_none() {
            tokio::select! {
                biased;
                Some(message) = self.alone.next() => return Some(message),
                // No more single messages can have been here than their queue holds.
                Some(frame) = self.frames.next() => self.next = Some((frame, SUBSCRIPTION_QUEUE)),
                else => return None,
            }
        }
        if let Some((_, left)) = &mut self.next
            && *left > 0
            && let Some(Some(message)) = self.alone.next().now_or_never()
        {
            *left -= 1;
            return Some(message);
        }
        self.next.take().map(|(frame, _)| frame)
    }

    /// Takes nothing new from the server; what it has sent until then still comes.
    pub(crate) async fn drain(&mut self) {
        // A connection that is closed has nothing more to send.
        let _ = self.alone.drain().await;
        let _ = self.frames.drain().await;
    }
}
