//! How far this node has come in the logs of others. Pure; the stream of foreign events is the truth behind it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::wire::{Feed, Origin};

/// Incarnations of one node's log that are remembered. One is the rule; another comes when a node lost its log. A node that
/// claims new ones for ever forgets its own.
const LOGS_MAX: usize = 4;

/// A place in one incarnation of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Empty where it was not kept.
    pub(super) log: String,
    pub(super) sequence: u64,
}

/// What is stored of each node, and how far each feed is dealt with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Places {
    /// By node, the last that was stored of each incarnation of its log, the newest last.
    origins: BTreeMap<String, Vec<Place>>,
    /// By peer: what it logged itself.
    own: BTreeMap<String, Place>,
    /// By peer: what it got from others.
    others: BTreeMap<String, Place>,
}

impl Places {
    /// Behind what to ask `peer`.
    pub(super) fn ask(&self, peer: &str, feed: Feed) -> Place {
        let known = match feed {
            Feed::Own => self.own.get(peer),
            Feed::Others => self.others.get(peer),
        };
        known.cloned().unwrap_or_default()
    }

    /// Whether an event of `origin` is not stored yet. Those of one log come in its order.
    pub(super) fn is_new(&self, origin: &Origin) -> bool {
        let Some(places) = self.origins.get(origin.node.as_str()) else { return true };
        Self::of(places, &origin.log).is_none_or(|at| origin.sequence > places[at].sequence)
    }

    /// The place that counts for `log`. A log that is not known by name is the one that stands there, and the other way
    /// round: it was stored before names were kept.
    fn of(places: &[Place], log: &str) -> Option<usize> {
        let named = places.iter().position(|place| place.log == log);
        named.or_else(|| match log {
            "" => places.len().checked_sub(1),
            _ => places.iter().position(|place| place.log.is_empty()),
        })
    }

    /// An event of `origin` is stored.
    pub(super) fn stored(&mut self, origin: &Origin) {
        let node = origin.node.as_str().to_owned();
        let places = self.origins.entry(node.clone()).or_default();
        let at = Self::of(places, &origin.log).unwrap_or_else(|| {
            if places.len() == LOGS_MAX {
                places.remove(0);
            }
            places.push(Place::default());
            places.len() - 1
        });
        let place = &mut places[at];
        if place.log.is_empty() {
            place.log.clone_from(&origin.log);
        }
        place.sequence = place.sequence.max(origin.sequence);
        let own = self.own.entry(node).or_default();
        if own.log != place.log || own.sequence < place.sequence {
            own.clone_from(place);
        }
    }

    /// Everything of a feed up to `place` is stored, or refused.
    pub(super) fn dealt_with(&mut self, peer: &str, feed: Feed, place: Place) {
        let feeds = match feed {
            Feed::Own => &mut self.own,
            Feed::Others => &mut self.others,
        };
        feeds.insert(peer.to_owned(), place);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origin(log: &str, sequence: u64) -> Origin {
        Origin { node: "leafa".parse().unwrap(), log: log.into(), sequence }
    }

    fn place(log: &str, sequence: u64) -> Place {
        Place { log: log.into(), sequence }
    }

    #[test]
    fn what_is_stored_is_not_new() {
        let mut places = Places::default();
        assert!(places.is_new(&origin("a", 1)));
        places.stored(&origin("a", 5));
        assert!(!places.is_new(&origin("a", 5)) && !places.is_new(&origin("a", 1)));
        assert!(places.is_new(&origin("a", 6)));
        assert!(places.is_new(&origin("b", 1)), "another log begins anew");
        assert_eq!(places.ask("leafa", Feed::Own), place("a", 5));
        assert_eq!(places.ask("leafa", Feed::Others), place("", 0));
        places.dealt_with("leafa", Feed::Own, place("a", 9));
        places.stored(&origin("a", 7));
        assert_eq!(places.ask("leafa", Feed::Own), place("a", 9), "what was refused is not asked for again");
    }

    #[test]
    fn a_log_without_a_name_gets_the_next_one() {
        let mut places = Places::default();
        places.stored(&origin("", 100));
        assert_eq!(places.ask("leafa", Feed::Own), place("", 100));
        assert!(!places.is_new(&origin("a", 100)) && places.is_new(&origin("a", 101)));
        places.stored(&origin("a", 101));
        assert_eq!(places.ask("leafa", Feed::Own), place("a", 101));
        assert!(!places.is_new(&origin("", 101)));
        assert!(places.is_new(&origin("b", 1)));
    }

    #[test]
    fn claims_of_new_logs_are_bounded() {
        let mut places = Places::default();
        for n in 0..100 {
            places.stored(&origin(&n.to_string(), 1));
        }
        assert_eq!(places.origins["leafa"].len(), LOGS_MAX);
        assert!(!places.is_new(&origin("99", 1)));
    }

    proptest! {
        /// However often, and from wherever on, a log is told again: each of its events is stored once and in order.
        #[test]
        fn a_log_that_is_told_again_is_stored_once(tellings in prop::collection::vec((0u64..40, 0u64..20), 1..30)) {
            let (mut places, mut stored) = (Places::default(), Vec::new());
            for (from, count) in tellings {
                for sequence in from..from + count {
                    let origin = origin("a", sequence);
                    if places.is_new(&origin) {
                        places.stored(&origin);
                        stored.push(sequence);
                    }
                }
            }
            prop_assert!(stored.windows(2).all(|two| two[0] < two[1]), "{stored:?}");
        }
    }
}
