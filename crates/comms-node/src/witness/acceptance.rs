//! An accepted loss as an event of the log: who reads the log later sees that something is missing, what, and since when.

use comms_content::Node;
use comms_domain::LOSS_ACCEPTED;
use comms_msg::{
    Body, DomainContent, EntityId, Event, Filled, Hop, Metadata, Msg, MsgId, Owner, ServiceName, Timestamp,
    TypeName,
};

use super::loss::Loss;
use crate::Error;
use crate::clock::now_ms;
use crate::log::{EventLog, NewEvent};

/// Stores that `loss` was accepted, as an event of the entity `node`.
///
/// # Errors
/// If it is not stored; it is tried again at the next start, so that it may stand in the log twice and never not at all.
pub(crate) async fn record(log: &EventLog, node: &str, loss: &Loss) -> Result<(), Error> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Request {
        doing: "record the accepted loss in the log".to_owned(),
        source,
    };
    let event = event(node, loss).map_err(|e| failed(Box::new(e)))?;
    log.append(vec![event], 0).await.map(drop).map_err(|e| failed(Box::new(e)))
}

fn event(node: &str, loss: &Loss) -> Result<NewEvent, comms_msg::Error> {
    let now = Timestamp::from_unix_ms(now_ms());
    let id = MsgId::v7(now.unix_ms(), rand::random());
    let operator = ServiceName::OPERATOR;
    let mut metadata = Metadata::root(id, operator.parse::<Owner>()?, now);
    metadata.sender = Some(operator.parse()?);
    let (type_name, entity) = (TypeName::new(LOSS_ACCEPTED)?, EntityId::new(node)?);
    let body = Body::Inline(Node::encode(loss).expect("a loss is text and numbers"));
    let content = Event { type_name, version: 1, entity, previous: None, body };
    let msg = Msg { id, metadata, content: Some(DomainContent::Event(content)), hop: Hop::default() };
    Ok(NewEvent::of(msg, Filled::default(), None).expect("an event with a sender"))
}
