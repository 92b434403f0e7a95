//! A handler without its types: from a body to what the handler made of it.
//!
//! Here bodies are decoded, fetched first if they are elsewhere, and panics become failures. What then happens to the
//! message is decided by `commands.rs`, `direct.rs`, `queries.rs` and `events.rs`.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use comms_content::Node;
use comms_msg::{Body, TypeName};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;

use crate::commit::Commit;
use crate::comms::Comms;
use crate::context::{CommandContext, EventContext, QueryContext};
use crate::error::ErrorKind;
use crate::failure::{Failure, chain};
use crate::message::{Command, Delivery, Event, Query};
use crate::offload;
use crate::recorded::{Recorded, Unread};

type Run<M, C, T> = Arc<dyn Fn(M, C) -> BoxFuture<'static, Result<T, Failure>> + Send + Sync>;

/// The handler of one type.
pub(crate) struct Handler<M, C, T> {
    pub(crate) type_name: TypeName,
    run: Run<M, C, T>,
}

/// Of a command: from its body to the events it caused.
pub(crate) type CommandHandler = Handler<Body, CommandContext, Commit>;
/// Of a query: from its body to the answer.
pub(crate) type QueryHandler = Handler<Body, QueryContext, Node>;
/// Of an event that is listened to.
pub(crate) type EventHandler = Handler<Unread, EventContext, ()>;

impl<M, C, T> fmt::Debug for Handler<M, C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handler({})", self.type_name)
    }
}

impl<M, C, T> Clone for Handler<M, C, T> {
    fn clone(&self) -> Self {
        Self { type_name: self.type_name.clone(), run: Arc::clone(&self.run) }
    }
}

impl<M, C, T> Handler<M, C, T> {
    /// Runs the handler; a panic is a failure like any other.
    pub(crate) fn run(&self, message: M, cx: C) -> BoxFuture<'static, Result<T, Failure>> {
        (self.run)(message, cx)
    }
}

impl CommandHandler {
    pub(crate) fn of<C, R, F, Fut>(type_name: TypeName, handler: F) -> Self
    where
        C: Command,
        R: Into<Commit>,
        F: Fn(C, CommandContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, Failure>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let run: Run<_, _, _> = Arc::new(move |body: Body, cx: CommandContext| {
            let handler = Arc::clone(&handler);
            caught(async move {
                let command: C = decode(cx.comms(), &body, C::TYPE).await?;
                drop(body);
                handler(command, cx).await.map(Into::into)
            })
        });
        debug_assert_eq!(type_name.as_str(), C::TYPE, "{}", C::Delivery::DURABLE);
        Self { type_name, run }
    }
}

impl QueryHandler {
    pub(crate) fn of<Q, F, Fut>(type_name: TypeName, handler: F) -> Self
    where
        Q: Query,
        F: Fn(Q, QueryContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Q::Answer, Failure>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let name = type_name.clone();
        let run: Run<_, _, _> = Arc::new(move |body: Body, cx: QueryContext| {
            let (handler, name) = (Arc::clone(&handler), name.clone());
            caught(async move {
                let query: Q = decode(cx.comms(), &body, Q::TYPE).await?;
                drop(body);
                let comms = cx.comms().clone();
                let answer = handler(query, cx).await?;
                let node = offload::node(&name, &answer)?;
                drop(answer);
                Ok(offload::reduce_answer(&comms, &name, node).await?)
            })
        });
        Self { type_name, run }
    }
}

impl EventHandler {
    pub(crate) fn of<E, F, Fut>(type_name: TypeName, handler: F) -> Self
    where
        E: Event,
        F: Fn(Recorded<E>, EventContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let run: Run<_, _, _> = Arc::new(move |event: Unread, cx: EventContext| {
            let handler = Arc::clone(&handler);
            caught(async move {
                let block = event.block(cx.comms()).await?;
                let event: Recorded<E> = event.read(block).map_err(|error| Failure::bury(chain(&error)))?;
                handler(event, cx).await
            })
        });
        Self { type_name, run }
    }
}

/// The body as a type of the program. One that does not fit will not fit later either; one that cannot be fetched may.
async fn decode<T: DeserializeOwned>(comms: &Comms, body: &Body, type_name: &str) -> Result<T, Failure> {
    let node = offload::fetch(comms, body).await.map_err(|error| match error.kind() {
        ErrorKind::Malformed | ErrorKind::Denied => Failure::bury(chain(&error)),
        _ => Failure::from(error),
    })?;
    node.decode()
        .map_err(|error| Failure::bury(format!("{type_name} does not decode in this program: {error}")))
}

fn caught<T: 'static>(
    future: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> BoxFuture<'static, Result<T, Failure>> {
    // What a panic leaves half done is the handler's own; nothing of ours is shared with it.
    AssertUnwindSafe(future)
        .catch_unwind()
        .map(|ended| {
            ended.unwrap_or_else(|panic| Err(Failure::again(format!("panicked: {}", words(&*panic)))))
        })
        .boxed()
}

fn words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a text")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Decision;

    #[tokio::test]
    async fn a_panic_is_a_failure_with_its_words() {
        let failure = caught::<()>(async { panic!("the shelf {} is gone", 7) }).await.expect_err("panics");
        assert_eq!(failure.decision, Decision::Again);
        assert_eq!(failure.reason(), "panicked: the shelf 7 is gone");
    }
}
