//! What was acknowledged and is not there any more, as it is told to people and kept in the log. Pure.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use comms_domain::Domain;
use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;

use super::record::{Kind, Record, type_hash};
use crate::clock::date;

/// Messages that are named one by one. The rest is counted.
const PLACES_MAX: usize = 20;
/// Types that are counted by name. The rest is counted together.
const TYPES_MAX: usize = 32;

/// What the streams of a node lost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Stream by stream; only those that lost something.
    pub streams: Vec<StreamLoss>,
}

/// What one stream lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamLoss {
    /// The stream.
    pub stream: String,
    /// Its incarnation, which its positions have.
    pub log: String,
    /// What happened to it as a whole, where it is more than single messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Messages that are not there.
    pub missing: u64,
    /// Messages in whose place another stands.
    pub different: u64,
    /// The first position and the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<(String, String)>,
    /// When the first was acknowledged and when the last, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<(String, String)>,
    /// How many of which type, where that is known.
    pub types: BTreeMap<String, u64>,
    /// The first of them.
    pub places: Vec<Place>,
    #[serde(skip)]
    bounds: Bounds,
}

/// One message that was lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Where it stood.
    pub position: String,
    /// `missing` or `different`.
    pub what: String,
    /// What it was: an event, a command, …; none where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its type.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_name: Option<String>,
    /// When it was acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Bounds {
    sequences: Option<(u64, u64)>,
    times_ms: Option<(u64, u64)>,
}

/// How a message is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Missing,
    Different,
}

/// The names of types by what a ledger has of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names(HashMap<u32, String>);

impl Names {
    pub(crate) fn of<'a>(domains: impl IntoIterator<Item = &'a Domain>) -> Names {
        let mut names = HashMap::new();
        for domain in domains {
            for name in domain.commands.keys().chain(domain.events.keys()) {
                names.insert(type_hash(name.context(), name.name()), name.to_string());
            }
        }
        Names(names)
    }
}

impl Loss {
    /// Whether nothing was lost.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Messages that are missing or different, all streams together.
    pub fn count(&self) -> u64 {
        self.streams.iter().map(|stream| stream.missing + stream.different).sum()
    }

    /// Adds what another look found, without naming a stream twice.
    pub(crate) fn merge(&mut self, other: Loss) {
        let is_new = |stream: &StreamLoss| !self.streams.iter().any(|known| known.stream == stream.stream);
        let new: Vec<StreamLoss> = other.streams.into_iter().filter(is_new).collect();
        self.streams.extend(new);
    }
}

impl StreamLoss {
    pub(crate) fn new(stream: &str, log: &str) -> StreamLoss {
        StreamLoss {
            stream: stream.to_owned(),
            log: log.to_owned(),
            why: None,
            missing: 0,
            different: 0,
            range: None,
            times: None,
            types: BTreeMap::new(),
            places: Vec::new(),
            bounds: Bounds::default(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.why.is_none() && self.missing + self.different == 0
    }

    /// Counts the message at `sequence`; `record` is what is known of it.
    pub(crate) fn add(&mut self, how: How, sequence: u64, record: Option<&Record>, names: &Names) {
        match how {
            How::Missing => self.missing += 1,
            How::Different => self.different += 1,
        }
        let (first, last) = self.bounds.sequences.unwrap_or((sequence, sequence));
        let bounds = (first.min(sequence), last.max(sequence));
        self.bounds.sequences = Some(bounds);
        self.range = Some((self.position(bounds.0), self.position(bounds.1)));
        let type_name = record.and_then(|record| names.0.get(&record.type_hash)).cloned();
        if let Some(record) = record {
            let (since, until) = self.bounds.times_ms.unwrap_or((record.time_ms, record.time_ms));
            let times = (since.min(record.time_ms), until.max(record.time_ms));
            self.bounds.times_ms = Some(times);
            self.times = Some((text(times.0), text(times.1)));
            let name = type_name.clone().unwrap_or_else(|| "of no known type".to_owned());
            let is_full = self.types.len() >= TYPES_MAX && !self.types.contains_key(&name);
            *self.types.entry(if is_full { "of other types".to_owned() } else { name }).or_default() += 1;
        }
        if self.places.len() < PLACES_MAX {
            let id = record.filter(|record| record.id != [0; 16]);
            self.places.push(Place {
                position: self.position(sequence),
                what: if how == How::Missing { "missing" } else { "different" }.to_owned(),
                kind: record.filter(|record| record.kind != Kind::Other).map(|r| r.kind.word().to_owned()),
                type_name,
                time: record.map(|record| text(record.time_ms)),
                id: id.map(|record| uuid::Uuid::from_bytes(record.id).to_string()),
            });
        }
    }

    fn position(&self, sequence: u64) -> String {
        format!("{sequence}@{}", self.log)
    }
}

fn text(unix_ms: u64) -> String {
    date(unix_ms).format(&Rfc3339).unwrap_or_else(|_| format!("{unix_ms} ms"))
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, stream) in self.streams.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{stream}")?;
        }
        Ok(())
    }
}

impl fmt::Display for StreamLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.stream)?;
        if let Some(why) = &self.why {
            write!(f, " {why};")?;
        }
        write!(f, " {} missing, {} different", self.missing, self.different)?;
        if let Some((first, last)) = &self.range {
            write!(f, ", positions {first} to {last}")?;
        }
        if let Some((since, until)) = &self.times {
            write!(f, ", acknowledged {since} to {until}")?;
        }
        for (name, count) in &self.types {
            write!(f, "\n  {count} x {name}")?;
        }
        for place in &self.places {
            write!(f, "\n  {} {}", place.position, place.what)?;
            let parts = [&place.kind, &place.type_name, &place.time, &place.id];
            parts.into_iter().flatten().try_for_each(|part| write!(f, "  {part}"))?;
        }
        match self.missing + self.different - self.places.len() as u64 {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{LIBRARY, domain};

    #[test]
    fn what_is_lost_is_named_and_what_is_too_much_is_counted() {
        let names = Names::of([&*domain(LIBRARY)]);
        let mut loss = StreamLoss::new("EVENT_n", "k3f9x2aa");
        assert!(loss.is_empty());
        let record =
            |n: u64| Record::of("library.event.documents.d.DocumentAdded", b"", None, 1_795_255_334_000 + n);
        (10..=34).for_each(|n| loss.add(How::Missing, n, Some(&record(n)), &names));
        loss.add(How::Different, 7, None, &names);
        assert_eq!((loss.missing, loss.different, loss.places.len()), (25, 1, PLACES_MAX));
        assert_eq!(loss.types, BTreeMap::from([("documents.DocumentAdded".to_owned(), 25)]));
        let text = loss.to_string();
        for part in [
            "EVENT_n: 25 missing, 1 different, positions 7@k3f9x2aa to 34@k3f9x2aa",
            "acknowledged 2026-11-21T10:02:14.01Z to 2026-11-21T10:02:14.034Z",
            "10@k3f9x2aa missing  event  documents.DocumentAdded  2026-11-21T10:02:14.01Z",
            "and 6 more",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn a_second_look_names_no_stream_twice() {
        let mut loss = Loss { streams: vec![StreamLoss::new("a", "k3f9x2aa")] };
        loss.merge(Loss {
            streams: vec![StreamLoss::new("a", "k3f9x2ab"), StreamLoss::new("b", "k3f9x2aa")],
        });
        assert_eq!(loss.streams.iter().map(|s| s.stream.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    }
}
