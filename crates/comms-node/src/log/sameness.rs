//! Whether what comes again is what is stored: all of it is compared, what the door made of it apart. Pure.

use comms_content::{Cid, Importer};
use comms_domain::limits::THRESHOLD_BYTES_MIN;
use comms_msg::{Body, DomainContent, Filled, Msg, Timestamp};

/// Whether `given`, of which the door filled in `filled`, is the message that is stored as `there`.
///
/// A byte field and the link that takes its place in a message are the same: which of them it is depends on the
/// threshold of the day.
pub(super) fn is_same(given: &Msg, filled: &Filled, there: &Msg) -> bool {
    let mut given = given.clone();
    filled.adopt(&mut given, there);
    adopt_time_of_caused(&mut given, there.metadata.time);
    if given.cid() == there.cid() {
        return true;
    }
    match (linked(given), linked(there.clone())) {
        (Some(given), Some(there)) => given.cid() == there.cid(),
        _ => false,
    }
}

/// A handler that runs again says the same at another time: of what was caused the first time stays.
pub(super) fn adopt_time_of_caused(given: &mut Msg, time: Timestamp) {
    if given.metadata.causation.is_some() {
        given.metadata.time = time;
    }
}

/// The message with links in the place of all byte fields that some threshold would have taken out of it; `None` if its
/// body is not in it, or has too many.
fn linked(mut msg: Msg) -> Option<Msg> {
    let Body::Inline(node) = msg.content.as_mut().map(DomainContent::body_mut)? else { return None };
    let fields = node.bytes_over(usize::try_from(THRESHOLD_BYTES_MIN).unwrap_or(usize::MAX)).ok()?;
    let links: Vec<_> = fields
        .into_iter()
        .map(|field| {
            let cid = file(node.bytes_of(&field));
            (field, cid)
        })
        .collect();
    *node = node.with_links(&links).ok()?;
    Some(msg)
}

/// The CID of these bytes as a file.
fn file(bytes: bytes::Bytes) -> Cid {
    let (mut importer, mut blocks) = (Importer::new(), Vec::new());
    importer.push(bytes, &mut blocks);
    importer.finish(&mut blocks).cid
}

#[cfg(test)]
mod tests {
    use comms_content::Node;
    use comms_msg::{Command, Hop, Metadata, MsgId, Owner, UserPairs};

    use super::*;

    fn msg(body: Body) -> Msg {
        let content = Command { type_name: "documents.AddDocument".parse().unwrap(), version: 1, body };
        let metadata = Metadata {
            owner: Owner::new("ada").unwrap(),
            time: Timestamp::from_unix_ms(7),
            sender: Some("desk".parse().unwrap()),
            correlation: MsgId::v7(7, 7),
            causation: None,
            user: UserPairs::default(),
        };
        let content = Some(DomainContent::Command(content));
        Msg { id: MsgId::v7(7, 7), metadata, content, hop: Hop::default() }
    }

    fn with(bytes: usize, title: &str) -> Msg {
        #[derive(serde::Serialize)]
        struct Titled<'a> {
            file: &'a serde_bytes::Bytes,
            title: &'a str,
        }
        let file = vec![7; bytes];
        let file = serde_bytes::Bytes::new(&file);
        msg(Body::Inline(Node::encode(&Titled { file, title }).unwrap()))
    }

    #[test]
    fn a_field_and_its_link_are_the_same_whatever_the_threshold_was() {
        let none = Filled::default();
        for bytes in [2_000, 70_000, 3_000_000 / 2] {
            let inline = with(bytes, "x");
            let out = linked(inline.clone()).unwrap();
            assert_ne!(inline.cid(), out.cid());
            assert!(is_same(&inline, &none, &out) && is_same(&out, &none, &inline));
            for other in [with(bytes + 1, "x"), with(bytes, "y")] {
                assert!(!is_same(&other, &none, &out) && !is_same(&out, &none, &other));
            }
        }
    }

    #[test]
    fn the_time_counts_where_its_sender_said_it() {
        let there = with(1, "x");
        let mut later = there.clone();
        later.metadata.time = Timestamp::from_unix_ms(8);
        assert!(!is_same(&later, &Filled::default(), &there));
        assert!(is_same(&later, &Filled { fields: vec!["/metadata/time"] }, &there));
        let mut caused = there.clone();
        caused.metadata.causation = Some(MsgId::v7(1, 1));
        let mut again = caused.clone();
        again.metadata.time = Timestamp::from_unix_ms(8);
        assert!(is_same(&again, &Filled::default(), &caused));
    }
}
