//! The reply subject of a message that JetStream delivered, read back: which stream, which consumer, which message,
//! which try. Pure.
//!
//! `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>` (v1), or with the domain and
//! a hash of the account after `$JS.ACK`, and possibly a random last token (v2, ADR-15).

/// What an acknowledgement subject says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeliverySubject<'a> {
    pub(crate) stream: &'a str,
    pub(crate) consumer: &'a str,
    /// 1 on the first delivery.
    pub(crate) delivered: u32,
    pub(crate) stream_sequence: u64,
}

impl<'a> DeliverySubject<'a> {
    /// Reads it; `None` where it is not one.
    pub(crate) fn parse(subject: &'a str) -> Option<DeliverySubject<'a>> {
        if subject.len() > 1_024 || subject.bytes().any(|b| b.is_ascii_whitespace() || b == b'*' || b == b'>')
        {
            return None;
        }
        let tokens: Vec<&str> = subject.strip_prefix("$JS.ACK.")?.split('.').collect();
        let rest = match tokens.len() {
            7 => &tokens[..],
            9 | 10 => &tokens[2..],
            _ => return None,
        };
        Some(DeliverySubject {
            stream: rest[0],
            consumer: rest[1],
            delivered: rest[2].parse().ok()?,
            // Streams count from 1.
            stream_sequence: rest[3].parse().ok().filter(|sequence| *sequence > 0)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_are_read() {
        let wanted =
            DeliverySubject { stream: "COMMAND_n", consumer: "c", delivered: 2, stream_sequence: 12 };
        assert_eq!(DeliverySubject::parse("$JS.ACK.COMMAND_n.c.2.12.13.1795255334.0"), Some(wanted.clone()));
        assert_eq!(
            DeliverySubject::parse("$JS.ACK.dom.hash.COMMAND_n.c.2.12.13.1795255334.0.r4nd"),
            Some(wanted)
        );
    }

    #[test]
    fn anything_else_is_not_one() {
        for subject in [
            "",
            "$JS.ACK",
            "$JS.ACK.a.b.c.d.e.f.g",
            "$JS.ACK.a.b.1.2.*.4.5",
            "lib.command.a.B.c",
            "$JS.ACK.a.b.1.2",
            "$JS.ACK.a.b.1.0.1.1795255334.0",
        ] {
            assert_eq!(DeliverySubject::parse(subject), None, "{subject}");
        }
    }
}
