//! What follows from how the parts of a node answer, time and again: what to say of it, and when nats-server is started again.
//! Pure.
//!
//! One missed answer says nothing on a busy machine, so silence counts by how long it lasts. An error that the server
//! tells of itself counts at once.

use std::time::Duration;

use tokio::time::Instant;

use crate::server::{READY_WITHIN, Restart};

/// How long a part may be silent before that is told. With the probes' pause and patience it shows within ten seconds.
const SHOWN_AFTER: Duration = Duration::from_secs(4);
/// How long the server may answer nothing before it counts as hung and is killed. A machine that is so busy, or a disk
/// that is so slow, answers within that; what the server acknowledged is on the disk.
const HUNG_AFTER: Duration = Duration::from_secs(8);
/// How long the log alone may be silent before the server is started again: a slow disk can take seconds to sync.
const STALLED_AFTER: Duration = Duration::from_secs(15);
/// The pauses between two restarts while nothing gets better. Each costs everybody the connection.
const RESTART_PAUSE_FIRST: Duration = Duration::from_secs(5);
const RESTART_PAUSE_LONGEST: Duration = Duration::from_secs(60);

/// How one part answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sign {
    /// As it should.
    Well,
    /// Not in time.
    Silent,
    /// With what is wrong.
    Ill(String),
}

/// How all parts answered to one probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Round {
    /// When it began.
    pub(super) begun: Instant,
    /// nats-server itself.
    pub(super) server: Sign,
    /// The streams of the log.
    pub(super) log: Sign,
    /// What the server says of its store, where it may be asked.
    pub(super) store: Sign,
    /// The node's doors.
    pub(super) door: Sign,
}

/// What else is known.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// Why nothing new is taken.
    pub(super) short: Option<String>,
    /// Whether even endings find no room: then a restart would meet the same disk.
    pub(super) is_full: bool,
    /// Whether writers wait in vain.
    pub(super) is_stalled: bool,
    /// Whether the server is the node's own.
    pub(super) is_managed: bool,
    /// Its process, while there is one: another is another life.
    pub(super) process: Option<u32>,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judgement {
    /// What is wrong, for everybody.
    pub(super) ill: Option<String>,
    /// What is to be done.
    pub(super) restart: Option<Restart>,
}

/// What is remembered between two rounds.
#[derive(Debug, Default)]
pub(super) struct Vitals {
    server: Since,
    log: Since,
    door: Since,
    life: Option<Life>,
    restarted: Option<Instant>,
    pause: Option<Duration>,
}

/// One process of the server.
#[derive(Debug)]
struct Life {
    process: u32,
    since: Instant,
    /// Whether it has answered yet: one that reads a large store first does not hang.
    has_answered: bool,
}

/// Since when a part has not been well.
#[derive(Debug, Default)]
struct Since(Option<Instant>);

impl Since {
    /// How long it has been unwell by now.
    fn lasts(&mut self, is_well: bool, begun: Instant, now: Instant) -> Duration {
        if is_well {
            self.0 = None;
            return Duration::ZERO;
        }
        now.saturating_duration_since(*self.0.get_or_insert(begun))
    }
}

impl Vitals {
    /// Judges one round that ended `now`.
    pub(super) fn judge(&mut self, now: Instant, round: &Round, known: &Known) -> Judgement {
        self.follow(now, round, known.process);
        let lasts = |since: &mut Since, sign: &Sign| since.lasts(*sign == Sign::Well, round.begun, now);
        let server = lasts(&mut self.server, &round.server);
        let log = lasts(&mut self.log, &round.log);
        let door = lasts(&mut self.door, &round.door);
        let ill = ill(round, known, server, log, door);
        if ill.is_none() {
            self.pause = None;
        }
        let wanted = wanted(round, known, server, log);
        let restart = wanted.filter(|_| known.is_managed && self.is_up(now) && self.may_restart(now));
        if restart.is_some() {
            self.restarted = Some(now);
            self.pause = Some(self.pause.map_or(RESTART_PAUSE_FIRST, |p| (p * 2).min(RESTART_PAUSE_LONGEST)));
        }
        Judgement { ill, restart }
    }

    /// A life begins without a past.
    fn follow(&mut self, now: Instant, round: &Round, process: Option<u32>) {
        if self.life.as_ref().map(|life| life.process) != process {
            (self.server, self.log, self.door) = Default::default();
            self.life = process.map(|process| Life { process, since: now, has_answered: false });
        }
        if let Some(life) = &mut self.life {
            life.has_answered |= round.server == Sign::Well;
        }
    }

    /// Whether there is a process that should answer by now. One that ended is started again without being asked for.
    fn is_up(&self, now: Instant) -> bool {
        let is_late = |life: &Life| now.saturating_duration_since(life.since) >= READY_WITHIN;
        self.life.as_ref().is_some_and(|life| life.has_answered || is_late(life))
    }

    fn may_restart(&self, now: Instant) -> bool {
        match (self.restarted, self.pause) {
            (Some(restarted), Some(pause)) => now.saturating_duration_since(restarted) >= pause,
            _ => true,
        }
    }
}

/// What is wrong, the cause before what it causes.
fn ill(round: &Round, known: &Known, server: Duration, log: Duration, door: Duration) -> Option<String> {
    let mend = if known.is_managed { "it is started again" } else { "look at it, and start it again" };
    let seconds = |duration: Duration| duration.as_secs();
    if server >= SHOWN_AFTER {
        return Some(format!("nats-server has not answered for {} s; {mend}", seconds(server)));
    }
    if let Sign::Ill(why) = &round.store {
        return Some(match &known.short {
            Some(short) if known.is_full => format!("nats-server cannot write: {why}; {short}"),
            _ => format!("nats-server cannot write: {why}; {mend}"),
        });
    }
    if known.is_stalled {
        return Some(format!("nats-server stores nothing: writes to the log get no answer; {mend}"));
    }
    match &round.log {
        Sign::Ill(why) if log >= SHOWN_AFTER => return Some(format!("the log cannot be written: {why}")),
        Sign::Silent if log >= SHOWN_AFTER => {
            return Some(format!("the log has not answered for {} s", seconds(log)));
        }
        Sign::Well | Sign::Silent | Sign::Ill(_) => {}
    }
    if door >= SHOWN_AFTER && server.is_zero() {
        return Some(format!("the node's doors have not answered for {} s", seconds(door)));
    }
    known.short.as_ref().map(|short| format!("nothing new is taken: {short}"))
}

/// What would help.
fn wanted(round: &Round, known: &Known, server: Duration, log: Duration) -> Option<Restart> {
    if server >= HUNG_AFTER {
        return Some(Restart::Hung);
    }
    let is_silent = round.log == Sign::Silent && log >= STALLED_AFTER && server.is_zero();
    let stores_nothing = known.is_stalled || matches!(round.store, Sign::Ill(_)) || is_silent;
    // On a full disk it would meet the same error again; the moment there is room it is started.
    (stores_nothing && !known.is_full).then_some(Restart::InOrder)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn well(begun: Instant) -> Round {
        Round { begun, server: Sign::Well, log: Sign::Well, store: Sign::Well, door: Sign::Well }
    }

    fn silent(begun: Instant) -> Round {
        Round { begun, server: Sign::Silent, log: Sign::Silent, store: Sign::Silent, door: Sign::Silent }
    }

    fn managed() -> Known {
        Known { is_managed: true, process: Some(1), ..Known::default() }
    }

    /// What is remembered of a server that has answered once.
    fn known_well(now: Instant) -> Vitals {
        let mut vitals = Vitals::default();
        assert_eq!(vitals.judge(now, &well(now), &managed()), Judgement { ill: None, restart: None });
        vitals
    }

    /// Rounds of that kind, one each second that take two, and what was said and done at which second.
    fn run(
        vitals: &mut Vitals,
        start: Instant,
        seconds: u32,
        round: fn(Instant) -> Round,
        known: &Known,
    ) -> (Option<u32>, Vec<(u32, Restart)>) {
        let (mut shown, mut restarts) = (None, Vec::new());
        for second in 0..seconds {
            let begun = start + SECOND * second;
            let judged = vitals.judge(begun + 2 * SECOND, &round(begun), known);
            if judged.ill.is_some() {
                shown.get_or_insert(second + 2);
            }
            restarts.extend(judged.restart.map(|restart| (second + 2, restart)));
        }
        (shown, restarts)
    }

    #[tokio::test(start_paused = true)]
    async fn a_hung_server_shows_within_ten_seconds_and_is_killed() {
        let start = Instant::now();
        let (shown, restarts) = run(&mut known_well(start), start, 9, silent, &managed());
        assert_eq!(shown, Some(4));
        assert_eq!(restarts, [(8, Restart::Hung)]);
        let (shown, restarts) = run(&mut Vitals::default(), Instant::now(), 60, silent, &Known::default());
        assert_eq!((shown, restarts.len()), (Some(4), 0), "somebody else's server is theirs to start");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_reads_a_large_store_is_given_time() {
        let start = Instant::now();
        let (shown, restarts) = run(&mut Vitals::default(), start, 61, silent, &managed());
        assert_eq!((shown, restarts), (Some(4), vec![(62, Restart::Hung)]));
        let down = Known { process: None, ..managed() };
        let (shown, restarts) = run(&mut known_well(start), start, 200, silent, &down);
        assert_eq!((shown, restarts), (Some(4), vec![]), "the supervisor starts it");
    }

    #[tokio::test(start_paused = true)]
    async fn one_missed_answer_is_none() {
        let start = Instant::now();
        let mut vitals = known_well(start);
        for second in 0..100 {
            let begun = start + SECOND * second;
            let round = if second % 3 == 0 { well(begun) } else { silent(begun) };
            let judged = vitals.judge(begun + SECOND, &round, &managed());
            assert_eq!(judged, Judgement { ill: None, restart: None }, "{second}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn restarts_have_growing_pauses_until_it_is_well() {
        let frozen = |begun| Round { store: Sign::Ill("its disk is full".into()), ..well(begun) };
        let start = Instant::now();
        let mut vitals = known_well(start);
        let (shown, restarts) = run(&mut vitals, start, 200, frozen, &managed());
        let at: Vec<u32> = restarts.iter().map(|(at, _)| *at).collect();
        assert_eq!((shown, &at[..]), (Some(2), &[2, 7, 17, 37, 77, 137, 197][..]));
        let later = start + SECOND * 300;
        assert_eq!(run(&mut vitals, later, 1, well, &managed()), (None, vec![]));
        let again = run(&mut vitals, later + SECOND, 1, frozen, &managed());
        assert_eq!(again.1, [(2, Restart::InOrder)], "at once, since it was well");
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_disk_is_waited_for() {
        let frozen = |begun| Round { store: Sign::Ill("its disk is full".into()), ..well(begun) };
        let full = Known { short: Some("the disk is full".into()), is_full: true, ..managed() };
        let start = Instant::now();
        let mut vitals = known_well(start);
        assert_eq!(run(&mut vitals, start, 100, frozen, &full), (Some(2), vec![]));
        let freed = run(&mut vitals, start + SECOND * 100, 1, frozen, &managed());
        assert_eq!(freed.1, [(2, Restart::InOrder)], "in the moment in which there is room");
    }

    #[tokio::test(start_paused = true)]
    async fn each_part_is_named() {
        let door = |begun| Round { door: Sign::Silent, ..well(begun) };
        let log = |begun| Round { log: Sign::Silent, ..well(begun) };
        let gone = |begun| Round { log: Sign::Ill("no stream is there".into()), ..well(begun) };
        let short = Known { short: Some("the disk of content is full".into()), ..managed() };
        let stalled = Known { is_stalled: true, ..managed() };
        for (round, known, words, restarts) in [
            (door as fn(Instant) -> Round, managed(), "doors have not answered", 0),
            (log, managed(), "the log has not answered", 1),
            (gone, managed(), "no stream is there", 0),
            (well, short, "nothing new is taken: the disk of content is full", 0),
            (well, stalled, "writes to the log get no answer", 1),
        ] {
            let start = Instant::now();
            let mut vitals = known_well(start);
            let (_, restarted) = run(&mut vitals, start, 16, round, &known);
            let judged = vitals.judge(start + SECOND * 20, &round(start + SECOND * 18), &known);
            let restarted = restarted.len() + usize::from(judged.restart.is_some());
            assert_eq!(restarted.min(1), restarts, "{words}");
            let mut vitals = known_well(start);
            vitals.judge(start, &round(start), &known);
            let said = vitals.judge(start + SECOND * 5, &round(start + SECOND * 4), &known).ill.unwrap();
            assert!(said.contains(words), "{said}");
        }
    }
}
