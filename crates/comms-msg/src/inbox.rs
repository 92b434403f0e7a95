//! Where answers may go. The server never checks a reply subject: whoever answers has to, or it speaks for the asker on
//! subjects that the asker has no right to.
//!
//! An inbox has two parts. Into `_INBOX.{service}.ask.>` everybody may publish who answers queries, so the answers to
//! queries come there, and nothing else may. Everywhere else below `_INBOX.{service}.` the node alone answers: the reply
//! tokens of many clients are a sequence, and whoever is asked twice knows the next one.

/// The token that begins the part of an inbox where services answer.
pub const ASK: &str = "ask";

/// Whether `reply` is a plain subject below `_INBOX.{sender}.`, and so one that only `sender` hears.
pub fn is_of(reply: &str, sender: &str) -> bool {
    let below = reply
        .strip_prefix("_INBOX.")
        .and_then(|rest| rest.strip_prefix(sender))
        .and_then(|r| r.strip_prefix('.'));
    below.is_some_and(|rest| {
        rest.split('.').all(|token| !token.is_empty() && token != "*" && token != ">")
            && !rest.bytes().any(|b| b.is_ascii_whitespace())
    })
}

/// Whether `reply` is in the part of the inbox of `sender` where services answer queries.
pub fn is_asked(reply: &str, sender: &str) -> bool {
    is_of(reply, sender) && {
        let mut tokens = reply.split('.').skip(2);
        tokens.next() == Some(ASK) && tokens.next().is_some()
    }
}

/// Whether `reply` is in the part of the inbox of `sender` where the node alone answers.
pub fn is_told(reply: &str, sender: &str) -> bool {
    is_of(reply, sender) && reply.split('.').nth(2) != Some(ASK)
}

#[cfg(test)]
mod tests {
    use super::{is_asked, is_of, is_told};

    #[test]
    fn services_and_the_node_answer_in_different_parts() {
        for reply in ["_INBOX.desk.ask.x1", "_INBOX.desk.ask.x1.y2"] {
            assert!(is_asked(reply, "desk") && !is_told(reply, "desk"), "{reply}");
        }
        for reply in ["_INBOX.desk.x1", "_INBOX.desk.x1.y2", "_INBOX.desk.door.x1.y2", "_INBOX.desk.asks.x"] {
            assert!(!is_asked(reply, "desk") && is_told(reply, "desk"), "{reply}");
        }
        // Nobody is to answer there: it is in no part.
        assert!(!is_asked("_INBOX.desk.ask", "desk") && !is_told("_INBOX.desk.ask", "desk"));
        for reply in ["_INBOX.ask.ask.x", "_INBOX.desk2.ask.x", "_INBOX.desk.ask.*", "_INBOX.desk.ask."] {
            assert!(!is_asked(reply, "desk") && !is_told(reply, "desk"), "{reply}");
        }
    }

    #[test]
    fn answers_go_to_the_senders_inbox_only() {
        assert!(is_of("_INBOX.desk.x1", "desk"));
        assert!(is_of("_INBOX.desk.x1.y2", "desk"));
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
            assert!(!is_of(reply, "desk"), "{reply}");
        }
    }
}
