//! Asking a query: to whichever instance of the answering service is free, with a deadline that travels.
//!
//! Queries of one type that wait leave together, and each gets its own answer. A query changes nothing, so after an
//! error it may simply be asked again.

use std::future::IntoFuture;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use comms_content::Node;
use comms_msg::{Body, DomainContent, Hop, Msg};

use crate::comms::{Comms, LaneOf};
use crate::error::{Error, ErrorKind, Result};
use crate::ids;
use crate::label::{Label, label_methods};
use crate::lane::Lane;
use crate::message::Query;
use crate::offload;

/// A query about to be asked; awaiting it gives the answer.
#[derive(Debug)]
#[must_use = "a query is asked by awaiting this"]
pub struct Ask<Q> {
    comms: Comms,
    query: Q,
    label: Label,
    /// When whoever caused this query stops waiting.
    until: Option<comms_msg::Timestamp>,
    answer: PhantomData<fn() -> Q>,
}

impl<Q: Query> Ask<Q> {
    pub(crate) fn new(comms: Comms, query: Q, label: Label, until: Option<comms_msg::Timestamp>) -> Self {
        Self { comms, query, label, until, answer: PhantomData }
    }

    label_methods!();

    /// How long to wait for the answer, instead of as long as the definition says for this query. Who answers sees
    /// the deadline, and does not begin after it.
    pub fn within(mut self, within: Duration) -> Self {
        self.label.within(within);
        self
    }
}

impl<Q: Query> IntoFuture for Ask<Q> {
    type Output = Result<Q::Answer>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { comms, query, label, until, answer: _ } = self;
        Box::pin(async move {
            let lane = comms.lane(LaneOf::Query, Q::TYPE).await?;
            let node = offload::node(lane.type_name(), &query)?;
            drop(query);
            let body = offload::reduce(&comms, lane.type_name(), node).await?;
            let answer = ask(&comms, &lane, Q::VERSION, body, label, until).await?;
            answer.decode().map_err(|error| {
                let message = format!("the answer to {} is not what this program expects", Q::TYPE);
                Error::new(ErrorKind::Malformed, message).because(error)
            })
        })
    }
}

/// Asks, and waits for the answer.
pub(crate) async fn ask(
    comms: &Comms,
    lane: &Arc<Lane>,
    version: u32,
    body: Body,
    label: Label,
    until: Option<comms_msg::Timestamp>,
) -> Result<Node> {
    let type_name = lane.type_name();
    crate::send::share(comms, type_name, &body).await?;
    let within = label.patience().unwrap_or_else(|| comms.rights().query_deadline(type_name));
    let (id, metadata) = label.complete(comms)?;
    // Whoever waits for us waits no longer than this.
    let within = until.map_or(within, |until| within.min(ids::left(metadata.time, until)));
    let end = ids::moment_after(within);
    let deadline = Some(ids::after(metadata.time, within));
    let query = comms_msg::Query { type_name: type_name.clone(), version, body };
    let msg = Msg {
        id,
        metadata,
        content: Some(DomainContent::Query(query)),
        hop: Hop { deadline, ..Hop::default() },
    };
    crate::send::check(&msg)?;
    let answered = tokio::time::timeout_at(end, async {
        let (waiter, waiting) = comms.replies().waiter(id).await;
        let token = comms.publisher().ask(lane, waiter, |out| msg.write_cbor(out)).await;
        waiting.answer(comms.replies(), token).await
    });
    answered.await.unwrap_or_else(|_| {
        let message = format!("no answer to {type_name} within {} ms", within.as_millis());
        Err(Error::new(ErrorKind::Timeout, message))
    })
}
