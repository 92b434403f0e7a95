//! Row `check`: what a door does with a command of three hundred bytes before it is written: read, completed, held against
//! its schema, encoded, and its CID made.
//!
//! Ours: the calls that the door makes, on one thread. Peer: the same by way of a tree of JSON, as it is done where a
//! validator takes nothing else: the body as a tree, a second one in its right form, the same validator over it, both
//! compared, and the message encoded once for its CID and once to be stored.

use std::time::{Duration, Instant};

use bytes::Bytes;
use comms::{MsgId, ServiceName, Timestamp, TypeName};
use comms_domain::Domain;
use comms_msg::{Body, Defaults, Draft, Kind, Msg};

use super::contest::Contest;
use super::load::rate;
use super::message::{self, SCHEMA, SENDER};
use crate::failure::Failure;

/// Messages that take turns, so that no one of them is all that the processor sees.
const MESSAGES: u64 = 64;

/// The contest.
pub(super) struct Check {
    domain: Domain,
    validator: jsonschema::Validator,
    payloads: Vec<Bytes>,
    sender: ServiceName,
    type_name: TypeName,
}

impl Check {
    /// Makes the messages, and both validators.
    pub(super) fn prepare() -> Result<Check, Failure> {
        let cannot =
            |error: &dyn std::error::Error| Failure::failed("what is checked cannot be made").because(&error);
        let domain = message::domain().map_err(|error| cannot(&error))?;
        let schema = serde_json::from_str(SCHEMA).map_err(|error| cannot(&error))?;
        let validator = jsonschema::options()
            .offline()
            .should_validate_formats(true)
            .build(&schema)
            .map_err(|error| cannot(&error))?;
        let payloads: Result<_, _> = (0..MESSAGES).map(message::kept).collect();
        let payloads = payloads.map_err(|error| cannot(&error))?;
        let sender = SENDER.parse().map_err(|error| cannot(&error))?;
        let type_name = "bench.Keep".parse().map_err(|error| cannot(&error))?;
        Ok(Check { domain, validator, payloads, sender, type_name })
    }

    fn whole(&self, payload: &Bytes) -> Result<Msg, Failure> {
        let (id, now) = (MsgId::v7(0, 0), Timestamp::from_unix_ms(0));
        let (sender, type_name) = (self.sender.clone(), self.type_name.clone());
        let defaults = Defaults::new(id, now, sender, Kind::Command, type_name);
        let (msg, _) = Draft::read(payload)
            .and_then(|draft| draft.complete(defaults))
            .map_err(|error| Failure::failed("check: a message is none").because(&error))?;
        Ok(msg)
    }

    /// As the door does it.
    fn door(&self, payload: &Bytes) -> Result<usize, Failure> {
        let mut msg = self.whole(payload)?;
        let refused = || Failure::failed("check: a message that fits was refused");
        let content = msg.content.as_mut().ok_or_else(refused)?;
        let spec = self.domain.spec(content.type_name()).ok_or_else(refused)?;
        let Body::Inline(body) = content.body_mut() else { return Err(refused()) };
        if let Some(right) = spec.fit(body).map_err(|_| refused())? {
            *body = right;
        }
        let encoded = msg.encoded();
        std::hint::black_box(encoded.cid);
        Ok(encoded.bytes.len())
    }

    /// By way of a tree.
    fn tree(&self, payload: &Bytes) -> Result<usize, Failure> {
        let msg = self.whole(payload)?;
        let refused = || Failure::failed("check: a message that fits was refused");
        let Some(Body::Inline(body)) = msg.content.as_ref().map(|content| content.body()) else {
            return Err(refused());
        };
        let given = body.to_value();
        let right = given.clone();
        if !self.validator.is_valid(&right) || right != given {
            return Err(refused());
        }
        std::hint::black_box(msg.cid());
        Ok(msg.to_cbor().len())
    }

    fn measure(
        &self,
        span: Duration,
        check: impl Fn(&Self, &Bytes) -> Result<usize, Failure>,
    ) -> Result<f64, Failure> {
        let (begin, mut done) = (Instant::now(), 0);
        while begin.elapsed() < span {
            for payload in &self.payloads {
                if check(self, payload)? != payload.len() {
                    return Err(Failure::failed("check: a whole message is stored as other bytes"));
                }
            }
            done += MESSAGES;
        }
        Ok(rate(done, begin.elapsed()))
    }
}

impl Contest for Check {
    const UNIT: &'static str = "checks/s";

    fn peers(&self) -> Vec<&'static str> {
        vec!["the same by a tree of JSON"]
    }

    async fn ours(&mut self, span: Duration) -> Result<f64, Failure> {
        tokio::task::block_in_place(|| self.measure(span, Self::door))
    }

    async fn peer(&mut self, _: usize, span: Duration) -> Result<f64, Failure> {
        tokio::task::block_in_place(|| self.measure(span, Self::tree))
    }

    async fn end(self) -> Result<(), Failure> {
        Ok(())
    }
}
