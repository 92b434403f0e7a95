//! A request as it arrived: from whom, in which form, and where its answer may go.

use bytes::Bytes;
use comms_msg::door::Form;
use comms_msg::{Subject, inbox};

/// One request at a door.
#[derive(Debug)]
pub(super) struct Request {
    /// What the subject says, or why it says nothing.
    pub(super) subject: Result<Subject, String>,
    pub(super) form: Form,
    pub(super) payload: Bytes,
}

impl Request {
    /// Reads a request and the subject its answer goes to; `None` where no answer may be given: the reply subject is
    /// missing, or is not in the inbox of the sender that the request's subject vouches for.
    ///
    /// Where services may answer too, an answer would prove nothing: such a request is answered with a refusal, and
    /// nothing is done.
    pub(super) fn read(message: &async_nats::Message) -> Option<(Request, async_nats::Subject)> {
        let reply = message.reply.clone()?;
        let sender = message.subject.rsplit('.').next()?;
        if message.status.is_some() || !inbox::is_of(&reply, sender) {
            return None;
        }
        let subject = if inbox::is_told(&reply, sender) {
            message.subject.parse::<Subject>().map_err(|e| e.to_string())
        } else {
            Err(format!(
                "doors do not answer at {reply}, where services may write; use another part of _INBOX.{sender}."
            ))
        };
        let form = Form::of(&message.payload);
        Some((Request { subject, form, payload: message.payload.clone() }, reply))
    }
}
