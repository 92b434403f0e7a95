//! What a watch got, and up to where it is known that this was all. Pure.
//!
//! nats-server passes over what it cannot read, and its own numbers show nothing. The node knows what it acknowledged, so
//! a watch asks it: about each stretch of a good many events, when it is quiet, and before it says that it has caught up.

use comms_msg::door::Tally;
use comms_msg::limits::TALLY_GOT_MAX;

/// Events whose stretch is not decided, at most: what comes beyond waits at the server.
const OPEN_MAX: usize = 4 * TALLY_GOT_MAX;

/// The account of one watch.
#[derive(Debug)]
pub(crate) struct Account {
    /// Where the watch began.
    begin: u64,
    /// Up to this sequence everything is known.
    checked: u64,
    /// What came from behind there, ascending.
    got: Vec<u64>,
    /// How far the present consumer is: what it did not bring from before there, it passed over.
    passed: u64,
    /// Whether there is something to ask about.
    is_due: bool,
    /// With this sequence the watch has caught up; none once that was said.
    end: Option<u64>,
    /// Whether the server says that the consumer stands still, since it was asked last.
    stands: bool,
    /// An event that can be read and did not come, when it was asked last while the consumer stood still.
    overdue: Option<u64>,
    /// One that was passed over and for which a new consumer was opened.
    fetched: Option<u64>,
    /// Where that begins.
    resume: Option<u64>,
}

/// A stretch to ask the node about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) after: u64,
    pub(crate) until: u64,
    /// How far behind `after` each event stands that came.
    pub(crate) got: Vec<u64>,
    /// How far the consumer was: it brings nothing more from before there.
    passed: u64,
    /// Whether it stood still.
    stands: bool,
}

/// What follows from an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Nobody can read them any more.
    pub(crate) missing: Vec<u64>,
    /// The operator went on without them.
    pub(crate) accepted: Vec<u64>,
    /// It can be read, and the server brings it no more.
    pub(crate) withheld: Option<u64>,
    /// It can be read: another consumer is to bring it.
    pub(crate) fetch: Option<u64>,
}

impl Account {
    /// Of a watch that begins behind `after`, and has caught up with `end`.
    pub(crate) fn new(after: u64, end: u64) -> Account {
        Account {
            begin: after,
            checked: after,
            got: Vec::new(),
            passed: after,
            is_due: false,
            end: Some(end),
            stands: false,
            overdue: None,
            fetched: None,
            resume: None,
        }
    }

    /// An event arrived. Whether it is to be handed on: not twice.
    pub(crate) fn got(&mut self, sequence: u64) -> bool {
        self.passed = self.passed.max(sequence);
        if sequence <= self.checked {
            return false;
        }
        match self.got.binary_search(&sequence) {
            Ok(_) => false,
            Err(at) => {
                self.got.insert(at, sequence);
                self.is_due |= self.got.len() >= TALLY_GOT_MAX;
                true
            }
        }
    }

    /// The server says that the consumer is at `sequence`, and everything it brought until then is here.
    pub(crate) fn quiet_at(&mut self, sequence: u64) {
        self.passed = self.passed.max(sequence);
        self.stands = true;
        // One that stands still before the end is asked about, too: it may be unable to go on.
        self.is_due |= self.target() > self.checked;
    }

    /// Everything that the server counted when the watch began is here, or nothing came for a while: what it cannot read it
    /// counts, too.
    pub(crate) fn may_be_all(&mut self) {
        self.is_due |= self.is_behind();
    }

    /// Whether the watch has yet to catch up.
    pub(crate) fn is_behind(&self) -> bool {
        self.end.is_some_and(|end| end > self.checked)
    }

    /// Whether nothing has come yet and nothing is known.
    pub(crate) fn is_fresh(&self) -> bool {
        self.got.is_empty() && self.checked == self.begin
    }

    /// The same watch, over another log.
    pub(crate) fn anew(&self, after: u64, until: u64) -> Account {
        Account { end: self.end.and(Some(until)), ..Account::new(after, until) }
    }

    /// A new consumer begins behind `sequence`.
    pub(crate) fn reopened(&mut self, sequence: u64) {
        self.passed = sequence;
    }

    /// Where a new consumer is to begin: behind what came last, or before what did not come.
    pub(crate) fn resume(&self) -> u64 {
        let came = self.got.last().copied().unwrap_or(self.checked);
        self.resume.unwrap_or(came)
    }

    /// Whether so much is undecided that nothing more is to be taken.
    pub(crate) fn is_full(&self) -> bool {
        self.got.len() >= OPEN_MAX
    }

    /// Whether the watch has caught up; true once.
    pub(crate) fn catches_up(&mut self) -> bool {
        self.end.take_if(|end| *end <= self.checked).is_some()
    }

    fn target(&self) -> u64 {
        let got = self.got.last().copied().unwrap_or(0);
        self.passed.max(got).max(self.end.unwrap_or(0))
    }

    /// What is to be asked now; nothing more then, until the answer is here.
    pub(crate) fn question(&mut self) -> Option<Question> {
        if !std::mem::take(&mut self.is_due) {
            return None;
        }
        let until = match self.got.get(TALLY_GOT_MAX - 1) {
            Some(last) => *last,
            None => self.target(),
        };
        let got = self.got.iter().take(TALLY_GOT_MAX).map(|sequence| sequence - self.checked).collect();
        let stands = std::mem::take(&mut self.stands);
        (until > self.checked).then_some(Question {
            after: self.checked,
            until,
            got,
            passed: self.passed,
            stands,
        })
    }

    /// There was no answer: the question is asked again when there is another reason to.
    pub(crate) fn unanswered(&mut self) {
        self.is_due |= self.got.len() >= TALLY_GOT_MAX;
    }

    /// Takes an answer in.
    pub(crate) fn answered(&mut self, question: &Question, tally: Tally) -> Finding {
        let Tally { through, missing, accepted, present } = tally;
        let through = through.min(question.until);
        let has_moved = through > self.checked;
        self.checked = self.checked.max(through);
        let checked = self.checked;
        self.got.retain(|sequence| *sequence > checked);
        // The rest of the stretch, and what came meanwhile.
        let is_more = through < question.until && present.is_none() && has_moved;
        self.is_due |= is_more || self.got.len() >= TALLY_GOT_MAX;
        let mut finding = Finding { missing, accepted, withheld: None, fetch: None };
        let before = self.overdue.take();
        match present {
            None => {}
            // It came meanwhile.
            Some(sequence) if self.got.binary_search(&sequence).is_ok() => self.is_due = true,
            Some(sequence) if sequence <= question.passed => {
                if self.fetched.replace(sequence) == Some(sequence) {
                    finding.withheld = Some(sequence);
                    self.got(sequence);
                    self.is_due = true;
                } else {
                    finding.fetch = Some(sequence);
                }
            }
            // It may be on its way, unless the consumer stood still the last time, too.
            Some(sequence) if question.stands && before == present => finding.fetch = Some(sequence),
            Some(_) if question.stands => self.overdue = present,
            Some(_) => self.overdue = before,
        }
        self.resume = finding.fetch.map(|_| self.checked);
        finding
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(through: u64) -> Tally {
        Tally { through, ..Tally::default() }
    }

    #[test]
    fn an_intact_log_is_asked_about_once_before_the_watch_has_caught_up() {
        let mut account = Account::new(0, 9);
        for sequence in [2, 5, 9] {
            assert!(account.got(sequence));
        }
        assert!(!account.got(5), "the same again");
        assert_eq!(account.question(), None);
        account.may_be_all();
        let question = account.question().unwrap();
        assert_eq!(question, Question { after: 0, until: 9, got: vec![2, 5, 9], passed: 9, stands: false });
        assert_eq!(account.question(), None, "one at a time");
        assert!(!account.catches_up());
        assert_eq!(account.answered(&question, through(9)), Finding::default());
        assert!(account.catches_up() && !account.catches_up());
        assert_eq!((account.resume(), account.question()), (9, None));
        account.quiet_at(9);
        assert_eq!(account.question(), None, "nothing happened since");
        account.quiet_at(12);
        assert_eq!(
            account.question().unwrap(),
            Question { after: 9, until: 12, got: vec![], passed: 12, stands: true }
        );
    }

    #[test]
    fn a_long_log_is_asked_about_piece_by_piece_and_nothing_grows() {
        let mut account = Account::new(0, 0);
        assert!(account.catches_up());
        let most = TALLY_GOT_MAX as u64;
        for sequence in 1..=most {
            assert_eq!(account.question(), None);
            account.got(sequence);
        }
        let question = account.question().unwrap();
        assert_eq!((question.until, question.got.len()), (most, TALLY_GOT_MAX));
        for sequence in most + 1..=4 * most {
            account.got(sequence);
        }
        assert!(account.is_full());
        account.answered(&question, through(most / 2));
        assert!(!account.is_full());
        let question = account.question().unwrap();
        assert_eq!((question.after, question.until), (most / 2, most / 2 + most));
        account.unanswered();
        assert_eq!(account.question(), Some(question), "asked again");
    }

    #[test]
    fn what_is_missing_is_told_and_the_rest_goes_on() {
        let mut account = Account::new(3, 9);
        account.got(5);
        account.quiet_at(9);
        let question = account.question().unwrap();
        assert_eq!(question, Question { after: 3, until: 9, got: vec![2], passed: 9, stands: true });
        let tally = Tally { through: 7, missing: vec![4], accepted: vec![6], present: None };
        let finding = account.answered(&question, tally);
        assert_eq!((finding.missing, finding.accepted), (vec![4], vec![6]));
        assert!(!account.catches_up());
        let question = account.question().unwrap();
        assert_eq!(question, Question { after: 7, until: 9, got: vec![], passed: 9, stands: false });
        account.answered(&question, through(9));
        assert!(account.catches_up());
    }

    #[test]
    fn what_was_passed_over_is_fetched_once_and_then_told() {
        let mut account = Account::new(0, 9);
        account.got(4);
        account.got(9);
        account.may_be_all();
        let question = account.question().unwrap();
        let present = |sequence| Tally { through: sequence - 1, present: Some(sequence), ..Tally::default() };
        assert_eq!(account.answered(&question, present(6)).fetch, Some(6));
        assert_eq!(account.resume(), 5);
        account.reopened(5);
        assert!(!account.got(9), "it was handed on");
        account.may_be_all();
        let question = account.question().unwrap();
        assert_eq!(question.got, [4], "behind 5");
        let finding = account.answered(&question, present(6));
        assert_eq!((finding.fetch, finding.withheld), (None, Some(6)));
        let question = account.question().unwrap();
        assert_eq!(question.got, [1, 4]);
        account.answered(&question, through(9));
        assert!(account.catches_up());
    }

    #[test]
    fn what_may_be_on_its_way_is_waited_for_and_then_fetched_and_never_called_lost() {
        let present = Tally { through: 7, present: Some(8), ..Tally::default() };
        let mut account = Account::new(0, 9);
        account.got(7);
        for _ in 0..3 {
            account.may_be_all();
            let question = account.question().unwrap();
            assert_eq!(account.answered(&question, present.clone()), Finding::default());
            assert_eq!(account.question(), None, "not asked about in a circle");
        }
        // One that comes while the question is on its way is in no doubt.
        let mut other = Account::new(0, 9);
        other.may_be_all();
        let question = other.question().unwrap();
        other.got(1);
        other.got(4);
        let one = Tally { through: 0, present: Some(1), ..Tally::default() };
        assert_eq!(other.answered(&question, one), Finding::default());
        assert_eq!(other.question().unwrap().got, [1, 4]);
        for _ in 0..3 {
            let mut found = Vec::new();
            for _ in 0..2 {
                account.quiet_at(7);
                let question = account.question().unwrap();
                found.push(account.answered(&question, present.clone()));
            }
            let fetch = Finding { fetch: Some(8), ..Finding::default() };
            assert_eq!(found, [Finding::default(), fetch], "a consumer that stands still is given up");
            assert_eq!(account.resume(), 7);
            account.reopened(7);
        }
        assert!(account.got(8));
        account.quiet_at(9);
        let question = account.question().unwrap();
        account.answered(&question, through(9));
        assert!(account.catches_up());
        assert_eq!(account.resume(), 9);
    }
}
