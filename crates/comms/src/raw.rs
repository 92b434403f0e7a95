//! The same without types: type names and values, for tools that serve any domain.

use std::future::IntoFuture;
use std::pin::Pin;
use std::time::Duration;

use comms_content::Node;
use comms_msg::{Body, TypeName};

use crate::ask;
use crate::comms::{Comms, LaneOf};
use crate::error::Result;
use crate::label::{Label, label_methods};
use crate::offload;
use crate::publish::{self, Place, Published, place_methods};
use crate::rights::Right;
use crate::send::{self, Sent, Told};
use crate::watch::WatchBuilder;

/// The version of a schema, unless it is said.
const VERSION: u32 = 1;

/// Sending, asking, publishing and watching by name. From [`Comms::raw`].
#[derive(Clone, Debug)]
pub struct Raw {
    comms: Comms,
}

impl Raw {
    pub(crate) fn new(comms: Comms) -> Self {
        Self { comms }
    }

    /// Sends a command, durable or direct as the definition says.
    pub fn send(&self, type_name: TypeName, body: Node) -> RawSend {
        RawSend { comms: self.comms.clone(), type_name, body, version: VERSION, label: Label::default() }
    }

    /// Asks a query.
    pub fn ask(&self, type_name: TypeName, body: Node) -> RawAsk {
        RawAsk { comms: self.comms.clone(), type_name, body, version: VERSION, label: Label::default() }
    }

    /// Publishes an event.
    pub fn publish(&self, type_name: TypeName, body: Node) -> RawPublish {
        let (comms, label, place) = (self.comms.clone(), Label::default(), Place::default());
        RawPublish { comms, type_name, body, version: VERSION, label, place }
    }

    /// Watches the events of these types.
    pub fn watch(&self, types: impl IntoIterator<Item = TypeName>) -> WatchBuilder<Body> {
        self.comms.watch_types(types)
    }

    /// How a command ended, for a sender that comes back later.
    pub fn outcome(&self, type_name: TypeName, id: comms_msg::MsgId) -> crate::AwaitOutcome {
        crate::AwaitOutcome::new(self.comms.clone(), Ok(type_name), id)
    }
}

/// What came of sending a command by name.
#[derive(Clone, Debug)]
pub enum RawSent {
    /// It is durable, and kept.
    Sent(Box<Sent>),
    /// It is direct, and stands in line to leave.
    Told(Told),
}

/// The methods of every builder here.
macro_rules! raw_methods {
    () => {
        label_methods!();

        /// The version of the schema that the body is written for.
        pub fn version(mut self, version: u32) -> Self {
            self.version = version;
            self
        }
    };
}

/// A command about to be sent; awaiting it sends it.
#[derive(Debug)]
#[must_use = "a command is sent by awaiting this"]
pub struct RawSend {
    comms: Comms,
    type_name: TypeName,
    body: Node,
    version: u32,
    label: Label,
}

impl RawSend {
    raw_methods!();

    /// How long this may take, its outcome included; see [`Send::within`](crate::Send::within).
    pub fn within(mut self, within: Duration) -> Self {
        self.label.within(within);
        self
    }

    async fn send(self) -> Result<RawSent> {
        let Self { comms, type_name, body, version, label } = self;
        let rights = comms.check(Right::Send { durable: None }, &type_name).await?;
        let durable = rights.is_durable(&type_name).unwrap_or(true);
        let body = offload::reduce(&comms, &type_name, body).await?;
        if durable {
            return Ok(RawSent::Sent(Box::new(send::keep(comms, type_name, version, body, label).await?)));
        }
        let lane = comms.lane(LaneOf::Command, type_name.as_str()).await?;
        Ok(RawSent::Told(send::tell(&comms, &lane, version, body, label).await?))
    }
}

/// A query about to be asked; awaiting it gives the answer.
#[derive(Debug)]
#[must_use = "a query is asked by awaiting this"]
pub struct RawAsk {
    comms: Comms,
    type_name: TypeName,
    body: Node,
    version: u32,
    label: Label,
}

impl RawAsk {
    raw_methods!();

    /// How long to wait for the answer; see [`Ask::within`](crate::Ask::within).
    pub fn within(mut self, within: Duration) -> Self {
        self.label.within(within);
        self
    }

    async fn ask(self) -> Result<Node> {
        let Self { comms, type_name, body, version, label } = self;
        let lane = comms.lane(LaneOf::Query, type_name.as_str()).await?;
        let body = offload::reduce(&comms, &type_name, body).await?;
        ask::ask(&comms, &lane, version, body, label, None).await
    }
}

/// An event about to be published; awaiting it publishes it.
#[derive(Debug)]
#[must_use = "an event is published by awaiting this"]
pub struct RawPublish {
    comms: Comms,
    type_name: TypeName,
    body: Node,
    version: u32,
    label: Label,
    place: Place,
}

impl RawPublish {
    raw_methods!();
    place_methods!();

    async fn publish(self) -> Result<Published> {
        let Self { comms, type_name, body, version, label, place } = self;
        comms.check(Right::Emit, &type_name).await?;
        let body = offload::reduce(&comms, &type_name, body).await?;
        publish::append(&comms, type_name, version, body, label, place).await
    }
}

impl IntoFuture for RawSend {
    type Output = Result<RawSent>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl IntoFuture for RawAsk {
    type Output = Result<Node>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.ask())
    }
}

impl IntoFuture for RawPublish {
    type Output = Result<Published>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.publish())
    }
}
