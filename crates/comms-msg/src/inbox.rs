//! Where answers may go. The server never checks a reply subject: whoever answers has to, or it speaks for the asker on
//! subjects that the asker has no right to.

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

#[cfg(test)]
mod tests {
    use super::is_of;

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
