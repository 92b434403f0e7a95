//! What two nodes say to each other: an ask, beats while it is held, and the batch that ends it.
//!
//! Pure: bytes in, values out. Whatever a peer may send is taken without a panic and without memory beyond its bytes.

use bytes::Bytes;
use comms_content::cbor::{Reader, Writer};
use comms_domain::NodeName;
use serde::{Deserialize, Serialize};

/// The version of this talk.
const VERSION: u64 = 1;
/// Events in one batch at most: enough that the pauses between batches do not count.
pub(super) const ITEMS_MAX: usize = 256;
/// Bytes of an ask or of a beat at most; they hold a few numbers.
const SMALL_BYTES_MAX: usize = 512;
/// Characters of the nonce of an ask: 64 bits, so that nobody who does not see it can answer.
const NONCE_CHARS: usize = 16;

/// Which events are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Feed {
    /// Those that the peer logged itself.
    Own,
    /// Those that a hub got from others.
    Others,
}

impl Feed {
    /// The token of the subject.
    pub(super) fn word(self) -> &'static str {
        match self {
            Feed::Own => "own",
            Feed::Others => "others",
        }
    }
}

/// Events behind a place, please.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask {
    v: u64,
    /// The incarnation of the stream that `after` counts in; empty for one that is not known.
    pub(super) log: String,
    /// The last sequence that the asker has dealt with.
    pub(super) after: u64,
    /// How much is wanted at once. One event comes whatever its size.
    pub(super) bytes: u64,
}

impl Ask {
    pub(super) fn new(log: String, after: u64, bytes: u64) -> Ask {
        Ask { v: VERSION, log, after, bytes }
    }

    pub(super) fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("numbers and text have a form").into()
    }

    /// `None` for anything that is not an ask of this version.
    pub(super) fn decode(payload: &[u8]) -> Option<Ask> {
        let ask: Ask = serde_json::from_slice(payload.get(..payload.len().min(SMALL_BYTES_MAX))?).ok()?;
        (payload.len() <= SMALL_BYTES_MAX && ask.v == VERSION && (ask.log.is_empty() || is_log(&ask.log)))
            .then_some(ask)
    }
}

/// A beat: the ask is held, and so many bytes are about to come.
pub(super) fn beat(bytes: usize) -> Bytes {
    bytes.to_string().into()
}

pub(super) fn read_beat(payload: &[u8]) -> Option<u64> {
    std::str::from_utf8(payload.get(..payload.len().min(SMALL_BYTES_MAX))?).ok()?.parse().ok()
}

/// One event as it crosses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// Where it stands in the feed.
    pub(super) at: u64,
    /// The node that logged it, and where in that node's log.
    pub(super) origin: Origin,
    /// The subject under which it is stored there.
    pub(super) subject: String,
    pub(super) payload: Bytes,
}

/// Where an event was logged first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin {
    pub(super) node: NodeName,
    /// The incarnation of its stream; empty where that was not kept.
    pub(super) log: String,
    pub(super) sequence: u64,
}

impl Origin {
    /// As the stream of foreign events knows it: the id of its message.
    pub(super) fn key(&self) -> String {
        format!("from:{}:{}:{}", self.node, self.log, self.sequence)
    }

    /// Reads a stored message's origin back, from its id or from what nats-server wrote when it still brought events over
    /// by itself: `EVENT_{node}:{hash} {sequence} …`.
    pub(super) fn of_stored(key: Option<&str>, source: Option<&str>) -> Option<Origin> {
        if let Some(rest) = key.and_then(|key| key.strip_prefix("from:")) {
            let mut parts = rest.split(':');
            let (node, log, sequence) = (parts.next()?, parts.next()?, parts.next()?);
            let (node, sequence) = (node.parse().ok()?, sequence.parse().ok()?);
            return Some(Origin { node, log: log.to_owned(), sequence });
        }
        let mut parts = source?.split(' ');
        let (stream, sequence) = (parts.next()?, parts.next()?);
        let node = stream.split(':').next()?.strip_prefix("EVENT_")?;
        Some(Origin { node: node.parse().ok()?, log: String::new(), sequence: sequence.parse().ok()? })
    }
}

/// The answer to an ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    /// The incarnation of the stream that it was read from.
    pub(super) log: String,
    /// Everything of the feed up to here is in it, or in one before.
    pub(super) through: u64,
    pub(super) items: Vec<Item>,
}

impl Batch {
    pub(super) fn encode(&self) -> Bytes {
        let payloads: usize = self.items.iter().map(|item| item.payload.len() + 512).sum();
        let mut out = Vec::with_capacity(payloads + 64);
        let mut writer = Writer::new(&mut out);
        writer.array(4);
        writer.unsigned(VERSION);
        writer.text(&self.log);
        writer.unsigned(self.through);
        writer.array(self.items.len());
        for item in &self.items {
            writer.array(6);
            writer.unsigned(item.at);
            writer.text(item.origin.node.as_str());
            writer.text(&item.origin.log);
            writer.unsigned(item.origin.sequence);
            writer.text(&item.subject);
            writer.bytes(&item.payload);
        }
        out.into()
    }

    /// # Errors
    /// What is wrong with it as a whole. What each item holds is somebody else's to judge.
    pub(super) fn decode(payload: &Bytes) -> Result<Batch, String> {
        let batch = Self::read(payload).map_err(|error| error.to_string())?;
        let batch = batch.ok_or("not a batch of this version")?;
        let rises = batch.items.windows(2).all(|two| two[0].at < two[1].at);
        let is_within = batch.items.last().is_none_or(|last| last.at <= batch.through);
        if rises && is_within { Ok(batch) } else { Err("its numbers do not rise to its end".to_owned()) }
    }

    fn read(payload: &Bytes) -> comms_content::Result<Option<Batch>> {
        let mut reader = Reader::new(payload);
        if reader.array()? != 4 || reader.unsigned()? != VERSION {
            return Ok(None);
        }
        let (log, through, count) = (reader.text()?.to_owned(), reader.unsigned()?, reader.array()?);
        if !is_log(&log) || count > ITEMS_MAX {
            return Ok(None);
        }
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            if reader.array()? != 6 {
                return Ok(None);
            }
            let (at, node, log) = (reader.unsigned()?, reader.text()?, reader.text()?.to_owned());
            let (Ok(node), true) = (node.parse(), log.is_empty() || is_log(&log)) else { return Ok(None) };
            let origin = Origin { node, log, sequence: reader.unsigned()? };
            let subject = reader.text()?.to_owned();
            items.push(Item { at, origin, subject, payload: payload.slice_ref(reader.bytes()?) });
        }
        reader.finish()?;
        Ok(Some(Batch { log, through, items }))
    }
}

/// A nonce for one ask.
pub(super) fn nonce(random: u64) -> String {
    format!("{random:0NONCE_CHARS$x}")
}

/// Whether a token is a nonce, and so may stand in the subject of an answer.
pub(super) fn is_nonce(text: &str) -> bool {
    text.len() == NONCE_CHARS && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Whether this is the incarnation of a stream.
fn is_log(text: &str) -> bool {
    comms_msg::Position::new(text, 1).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOG: &str = "abcdefgh";

    pub(crate) fn item(at: u64) -> Item {
        let origin = Origin { node: "leafa".parse().unwrap(), log: LOG.into(), sequence: at };
        Item {
            at,
            origin,
            subject: "library.event.lending.l-1.Lent".into(),
            payload: Bytes::from(vec![7; 9]),
        }
    }

    fn batch(items: Vec<Item>, through: u64) -> Batch {
        Batch { log: LOG.into(), through, items }
    }

    #[test]
    fn what_is_written_is_read() {
        for batch in [batch(Vec::new(), 0), batch(vec![item(3), item(9)], 9), batch(vec![item(3)], u64::MAX)]
        {
            assert_eq!(Batch::decode(&batch.encode()).unwrap(), batch);
        }
        let ask = Ask::new(LOG.into(), u64::MAX, 1);
        assert_eq!(Ask::decode(&ask.encode()), Some(ask));
        assert_eq!(read_beat(&beat(700_000)), Some(700_000));
        let origin = item(4).origin;
        assert_eq!(Origin::of_stored(Some(&origin.key()), None), Some(origin));
    }

    #[test]
    fn what_nats_server_brought_over_keeps_its_origin() {
        let source = "EVENT_leafa:geY5lhmk 100 > > library.event.lending.l-1.Lent VjryZrnc";
        let read = Origin::of_stored(Some("event:lender:019"), Some(source)).unwrap();
        assert_eq!((read.node.as_str(), read.log.as_str(), read.sequence), ("leafa", "", 100));
        for wrong in ["", "EVENT_leafa", "EVENT_ 1", "COMMAND_leafa 1", "EVENT_leafa x", "EVENT_LEAF 1"] {
            assert_eq!(Origin::of_stored(None, Some(wrong)), None, "{wrong}");
        }
        assert_eq!(Origin::of_stored(Some("from:leafa:abcdefgh:x"), None), None);
    }

    #[test]
    fn numbers_that_fall_back_are_no_batch() {
        for wrong in
            [batch(vec![item(9), item(3)], 9), batch(vec![item(3), item(3)], 9), batch(vec![item(9)], 8)]
        {
            assert!(Batch::decode(&wrong.encode()).is_err(), "{wrong:?}");
        }
        let many = (1..=ITEMS_MAX as u64 + 1).map(item).collect();
        assert!(Batch::decode(&batch(many, u64::MAX).encode()).is_err());
    }

    #[test]
    fn an_ask_of_another_kind_is_none() {
        for wrong in [
            r#"{"v":2,"log":"","after":0,"bytes":1}"#,
            r#"{"v":1,"log":"$JS.API","after":0,"bytes":1}"#,
            r#"{"v":1,"log":"","after":-1,"bytes":1}"#,
            r#"{"v":1,"log":"","after":18446744073709551616,"bytes":1}"#,
            r#"{"v":1,"log":"","after":0,"bytes":1,"reply":"x"}"#,
            "",
            "null",
        ] {
            assert_eq!(Ask::decode(wrong.as_bytes()), None, "{wrong}");
        }
        let long = format!("{}{}", r#"{"v":1,"log":"","after":0,"bytes":1}"#, " ".repeat(SMALL_BYTES_MAX));
        assert_eq!(Ask::decode(long.as_bytes()), None);
        for wrong in ["", "*", ">", "a.b", "0123456789abcdeF", "0123456789abcde", "0123456789abcdef0"] {
            assert!(!is_nonce(wrong), "{wrong}");
        }
        assert!(is_nonce(&nonce(0)) && is_nonce(&nonce(u64::MAX)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = (Ask::decode(&bytes), read_beat(&bytes));
            let _ = Batch::decode(&bytes.into());
        }

        #[test]
        fn a_damaged_batch_is_taken(at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let mut bytes = batch(vec![item(1), item(2)], 2).encode().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = to;
            let _ = Batch::decode(&bytes.into());
        }
    }
}
