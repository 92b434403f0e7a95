//! What the server says about a delivered message, in the message's reply subject. Pure.
//!
//! `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>`, or with the JetStream
//! domain and a hash of the account after `$JS.ACK`, and possibly a random token at the end. A message with any
//! other reply subject was not delivered by a consumer.

use std::time::Duration;

/// One delivery of a stored message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// How often the message has been delivered, this time included.
    pub(crate) tries: u32,
    /// Its place in the stream.
    pub(crate) stream_sequence: u64,
    /// Its place in what the consumer has delivered: without gaps unless something was lost.
    pub(crate) consumer_sequence: u64,
}

/// The start of every acknowledgement subject.
pub(crate) const ACK_PREFIX: &str = "$JS.ACK.";

/// Tokens of the two forms, `$JS` and `ACK` included.
const TOKENS_SHORT: usize = 9;
const TOKENS_LONG: [usize; 2] = [11, 12];
const TOKENS_MAX: usize = 13;

impl Delivery {
    /// Reads an acknowledgement subject.
    pub(crate) fn parse(reply: &str) -> Option<Self> {
        if !reply.starts_with(ACK_PREFIX) {
            return None;
        }
        let mut tokens = [""; TOKENS_MAX];
        let mut count = 0;
        for token in reply.split('.').take(TOKENS_MAX) {
            tokens[count] = token;
            count += 1;
        }
        let delivered = match count {
            TOKENS_SHORT => 4,
            count if TOKENS_LONG.contains(&count) => 6,
            _ => return None,
        };
        Some(Self {
            tries: tokens[delivered].parse().ok()?,
            stream_sequence: tokens[delivered + 1].parse().ok()?,
            consumer_sequence: tokens[delivered + 2].parse().ok()?,
        })
    }
}

/// The message is done.
pub(crate) const ACK: &str = "+ACK";
/// The message is being worked on: its lease begins anew.
pub(crate) const WORKING: &str = "+WPI";

/// The message is to be delivered again, after `wait`.
pub(crate) fn later(wait: Duration) -> String {
    format!("-NAK {{\"delay\":{}}}", wait.as_nanos())
}

/// The message is to be delivered again, at once and to anybody.
pub(crate) const NOW: &str = "-NAK";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let wanted = Some(Delivery { tries: 2, stream_sequence: 12, consumer_sequence: 13 });
        assert_eq!(Delivery::parse("$JS.ACK.COMMAND_n.c.2.12.13.1795255334.0"), wanted);
        assert_eq!(Delivery::parse("$JS.ACK._.hash.COMMAND_n.c.2.12.13.1795255334.0"), wanted);
        assert_eq!(Delivery::parse("$JS.ACK.dom.hash.COMMAND_n.c.2.12.13.1795255334.0.r4nd"), wanted);
    }

    #[test]
    fn anything_else_is_not_a_delivery() {
        for reply in [
            "",
            "_INBOX.desk.x",
            "$JS.ACK",
            "$JS.ACK.a.b.1.2.3",
            "$JS.ACK.a.b.one.2.3.4.5",
            "$JS.ACK.a.b.1.2.3.4.5.6",
            "$JS.ACK.a.b.c.d.1.2.3.4.5.6.7.8.9",
            "$JS.FC.a.b.1.2.3.4.5",
        ] {
            assert_eq!(Delivery::parse(reply), None, "{reply}");
        }
    }

    #[test]
    fn a_wait_is_told_in_nanoseconds() {
        assert_eq!(later(Duration::from_millis(5)), r#"-NAK {"delay":5000000}"#);
    }
}
