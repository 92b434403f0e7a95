//! A request as it arrived: from whom, in which form, and where its answer may go.

use bytes::Bytes;
use comms_msg::Subject;
use comms_msg::door::Form;

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
    pub(super) fn read(message: &async_nats::Message) -> Option<(Request, async_nats::Subject)> {
        let reply = message.reply.clone()?;
        let sender = message.subject.rsplit('.').next()?;
        if message.status.is_some() || !in_inbox_of(&reply, sender) {
            return None;
        }
        let subject = message.subject.parse::<Subject>().map_err(|e| e.to_string());
        let form = Form::of(&message.payload);
        Some((Request { subject, form, payload: message.payload.clone() }, reply))
    }
}

/// Whether `reply` is a plain subject below `_INBOX.{sender}.`.
fn in_inbox_of(reply: &str, sender: &str) -> bool {
    let below = reply
        .strip_prefix("_INBOX.")
        .and_then(|rest| rest.strip_prefix(sender))
        .and_then(|r| r.strip_prefix('.'));
    below.is_some_and(|rest| {
        rest.split('.').all(|token| !token.is_empty() && token != "*" && token != ">")
            && !rest.bytes().any(|b| b.is_ascii_whitespace())
    })
}

#[cfg(test)]
mod tests {
    use super::in_inbox_of;

    #[test]
    fn answers_go_to_the_senders_inbox_only() {
        assert!(in_inbox_of("_INBOX.desk.x1", "desk"));
        assert!(in_inbox_of("_INBOX.desk.x1.y2", "desk"));
        for reply in [
            "_INBOX.desk",
            "_INBOX.desk.",
            "_INBOX.desk2.x",
            "_INBOX.x.desk",
            "lib.command.a.B.desk",
            "_INBOX.desk.*",
            "_INBOX.desk.a b",
            "$JS.ACK.x",
        ] {
            assert!(!in_inbox_of(reply, "desk"), "{reply}");
        }
    }
}
