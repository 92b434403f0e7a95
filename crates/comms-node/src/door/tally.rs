//! The door where a reader asks whether it got everything.
//!
//! It is the one question that reads a ledger, so few of them are answered at once; each is bounded by itself.

use comms_domain::Domain;
use comms_msg::door::{Refusal, RefusalKind, Tally, TallyAsk};
use comms_msg::{Position, ServiceName};

use super::Doors;
use crate::share::{Limit, Share, Shares};
use crate::witness::{Doubt, Doubts, Wanted};

/// Questions answered at once, of all services together: each holds a thread for some milliseconds, of hundreds that there
/// are.
const AT_ONCE_MAX: u64 = 32;
/// Who is over it asks again; how many readers there are is bounded by the key.
const AT_ONCE: Limit = Limit { what: "questions for what is missing", key: "limits.watches", least: 1 };

/// How many questions each service asks at once.
#[derive(Debug)]
pub(crate) struct Tallies(Shares);

impl Tallies {
    pub(crate) fn new(services: usize) -> Tallies {
        Tallies(Shares::new(AT_ONCE, AT_ONCE_MAX, services))
    }

    fn take(&self, sender: &ServiceName, services: usize) -> Result<Share, Refusal> {
        self.0.follow(AT_ONCE_MAX, services);
        Ok(self.0.take(sender, 1)?)
    }
}

impl Doors {
    /// What was acknowledged in a stretch of the log and is not among what was got.
    pub(super) async fn tally(
        &self,
        domain: &Domain,
        sender: &ServiceName,
        ask: TallyAsk,
    ) -> Result<Tally, Refusal> {
        self.may_observe_all(domain, sender, &ask.types)?;
        let TallyAsk { types, entity, after, until, got } = ask;
        let incarnation = self.log.incarnation();
        if after.log() != incarnation {
            let message = format!("/after  position {after} is not of this log ({incarnation})");
            return Err(Refusal::new(RefusalKind::NotFound, message));
        }
        let got = sequences(after, until, &got).ok_or_else(|| {
            Refusal::new(RefusalKind::Invalid, "/got  ascending, and no further than /until")
        })?;
        let _share = self.tallies.take(sender, domain.services.len())?;
        let (wanted, stream) = (Wanted::of(types, entity), self.log.event_stream_name());
        let unavailable = |reason| Refusal::new(RefusalKind::Unavailable, reason);
        let witness = &self.log.witness;
        let doubts = witness.doubts(stream, wanted.clone(), after.sequence(), until, got).await;
        let Doubts { through, found } = doubts.map_err(unavailable)?;
        let mut tally = Tally { through, ..Tally::default() };
        for (sequence, doubt) in found {
            if doubt == Doubt::Accepted {
                tally.accepted.push(sequence);
                continue;
            }
            match self.log.event_subject(sequence).await.map_err(|e| self.refusal(e))? {
                Some(subject) if wanted.is_met_by(&subject) => {
                    tally.through = sequence - 1;
                    tally.present = Some(sequence);
                    break;
                }
                Some(_) => {}
                None if witness.is_lost(stream, sequence).map_err(unavailable)? => {
                    tally.missing.push(sequence)
                }
                None => {}
            }
        }
        witness.unreadable(stream, &tally.missing);
        Ok(tally)
    }
}

/// The sequences of what was got; none where that is no list of them.
fn sequences(after: Position, until: u64, got: &[u64]) -> Option<Vec<u64>> {
    let mut last = after.sequence();
    let mut sequences = Vec::with_capacity(got.len());
    for distance in got {
        let sequence = after.sequence().checked_add(*distance)?;
        if sequence <= last || sequence > until {
            return None;
        }
        last = sequence;
        sequences.push(sequence);
    }
    (until <= Position::SEQUENCE_MAX).then_some(sequences)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_got_is_ascending_and_in_its_stretch() {
        let after = Position::new("k3f9x2aa", 7).unwrap();
        let read = |until, got: &[u64]| sequences(after, until, got);
        assert_eq!(read(20, &[1, 2, 13]), Some(vec![8, 9, 20]));
        assert_eq!(read(3, &[]), Some(vec![]));
        for (until, got) in
            [(20, &[0][..]), (20, &[2, 2]), (20, &[14]), (u64::MAX, &[u64::MAX]), (u64::MAX, &[])]
        {
            assert_eq!(read(until, got), None, "{until} {got:?}");
        }
    }
}
