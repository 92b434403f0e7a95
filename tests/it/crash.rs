//! Nothing that was acknowledged is lost, nothing is doubled, nothing is torn: node and nats-server are killed at random,
//! most of the time in the middle of a write, while writers, handlers and a watch go on.
//!
//! A process of its own keeps the log of sends, acknowledgements and reads ([`journal`]), and a pure checker judges it
//! ([`checker`]), which is itself tested on doctored logs ([`doctored`]). The kills are drawn from `COMMS_SEED` (printed;
//! random if it is not set): the same seed aims the same kills, and what the processes are doing at that moment is theirs.

mod aim;
mod checker;
mod doctored;
mod journal;
mod writer;

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use comms::{CommandContext, Commit, Comms, End, Failure, MsgId, Recorded, Running, WatchFrom};
use comms_msg::{Expect, Msg, ServiceName};
use comms_tests::node::{alive, kill_now};
use comms_tests::wait::SOON;
use comms_tests::{TestNode, wait_until};
use futures::StreamExt;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use self::aim::{Aim, Moment};
use self::checker::{Problem, check};
use self::journal::{Entry, Journal, Read, Target, text};
use self::writer::{Desk, Line, REFUSE, Writer};
use crate::vocabulary::{DocumentRetitled, RetitleDocument};

const KILLS: usize = 50;
/// Of them at least this many must hit a write that has left and is not acknowledged.
const INTO_UNACKED_MIN: usize = 25;
/// Writers of each kind. Those whose write was hit wait for its answer; the others go on.
const WRITERS: usize = 16;
/// Writes of each kind that are allowed for each kill.
const WRITES_PER_KILL: usize = 8;
/// Commands that an instance handles at a time: few, since their events stand in one line with all appends.
const HANDLED_AT_ONCE: usize = 4;
/// Writes of each kind that are decided between a kill and an aimed one: what is killed is at work again.
const DECIDED_BETWEEN: usize = 2;
/// The longest pause between the moment that is aimed at and the kill; a synced write takes about as long.
const LATE_US_MAX: u64 = 6_000;
/// How long the moment that is aimed at may be waited for, and how often more writes are allowed meanwhile.
const AIMED: Duration = Duration::from_secs(60);
const MORE_WRITES_EVERY: Duration = Duration::from_millis(500);
/// How long all commands may take to end when the kills are over: the lease of a delivery that was lost is 30 s.
const ENDED: Duration = Duration::from_secs(100);
/// How long the reads may take to come to the end of the log: a watch notices after 16 s that it hears nothing.
const READ: Duration = Duration::from_secs(60);
/// Commands whose ends are asked for at the same time.
const ASKED_AT_ONCE: usize = 32;
/// The entity of the last event of all.
const LAST: &str = "last";

/// One kill.
#[derive(Debug, Clone, Copy)]
struct Kill {
    target: Target,
    /// None: as soon as what was killed before is back, while everybody is still finding each other.
    moment: Option<Moment>,
    late: Duration,
}

/// What a failure prints.
struct Situation {
    seed: u64,
    doing: String,
}

impl fmt::Display for Situation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "COMMS_SEED={}; last: {}", self.seed, self.doing)
    }
}

impl Drop for Situation {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{self}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_or_doubled_by_kills() {
    let seed = std::env::var("COMMS_SEED")
        .map_or_else(|_| rand::random(), |s| s.parse().expect("COMMS_SEED is a number"));
    println!("COMMS_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let kills: Vec<Kill> = (0..KILLS).map(|_| draw(&mut random)).collect();
    let mut now = Situation { seed, doing: "starting".to_owned() };

    let mut node = TestNode::start().await;
    let journal = Arc::new(Journal::start(&node.path().join("witness.log")));
    let desk = Arc::new(Desk {
        journal: journal.clone(),
        aim: Aim::default(),
        commands: Line::default(),
        appends: Line::default(),
        acked: Mutex::default(),
        known: Mutex::default(),
    });
    let watching = tokio::spawn(read_all(node.connect("indexer").await, journal.clone(), Entry::Watched));
    let handlers = [handler(&node, &journal, 0).await, handler(&node, &journal, 1).await];
    let mut eyes = JoinSet::new();
    eyes.spawn(look_for_halves(node.raw("indexer").await.0, desk.clone()));
    let mut writers = JoinSet::new();
    for n in 0..WRITERS {
        for service in ["desk", "archive"] {
            let random = StdRng::seed_from_u64(random.random());
            let service_name = ServiceName::new(service).unwrap();
            let client = node.raw(service).await.0;
            let writer = Writer { desk: desk.clone(), client, service: service_name, random };
            if service == "desk" {
                writers.spawn(writer.send_commands())
            } else {
                writers.spawn(writer.append_events())
            };
        }
        now.doing = format!("writer {n} of each kind is there");
    }

    let begin = Instant::now();
    for (n, kill) in kills.into_iter().enumerate() {
        now.doing = format!("kill {n} of {KILLS}, {kill:?}, after {:.1} s", begin.elapsed().as_secs_f32());
        desk.lines().into_iter().for_each(|line| line.wanted.add_permits(WRITES_PER_KILL));
        let aimed_into = match kill.moment {
            Some(moment) => Some(aimed(&desk, moment).await),
            None => None,
        };
        // Not a wait for something: the distance from the moment is part of what is drawn.
        let at = Instant::now();
        while at.elapsed() < kill.late {
            std::hint::spin_loop();
        }
        strike(&mut node, kill.target, aimed_into, &journal).await;
        if let Some(Err(error)) = writers.try_join_next() {
            std::panic::resume_unwind(error.into_panic());
        }
    }
    let killing = begin.elapsed();

    now.doing = "the writers finish".to_owned();
    desk.commands.wanted.close();
    desk.appends.wanted.close();
    while let Some(ended) = writers.join_next().await {
        ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    }
    now.doing = "commands end".to_owned();
    let commands = std::mem::take(&mut *desk.acked.lock().unwrap());
    ask_for_ends(&node, commands, &journal).await;
    now.doing = "everything is read".to_owned();
    let mut last = Writer {
        desk,
        client: node.raw("archive").await.0,
        service: ServiceName::new("archive").unwrap(),
        random,
    };
    last.append(LAST.to_owned(), Expect::Absent, 1).await;
    drop(last);
    tokio::time::timeout(READ, watching).await.expect("the watch comes to the end").unwrap();
    let finding = read_all(node.connect("indexer").await, journal.clone(), Entry::Found);
    tokio::time::timeout(READ, finding).await.expect("the log is read to its end");
    eyes.shutdown().await;
    for running in handlers {
        running.stop().await.unwrap();
    }

    now.doing = "judging".to_owned();
    let entries = journal.close();
    let (facts, problems) = check(&entries);
    println!(
        "{facts:#?}\nkilling {:.1} s, all {:.1} s",
        killing.as_secs_f32(),
        begin.elapsed().as_secs_f32()
    );
    assert!(
        problems.is_empty(),
        "{} problems, the first of them: {:#?}",
        problems.len(),
        &problems[..problems.len().min(10)]
    );
    assert_eq!(facts.kills, KILLS);
    println!(
        "{} of {} kills hit a write that had left and was not acknowledged",
        facts.into_unacked, facts.kills
    );
    assert!(facts.into_unacked >= INTO_UNACKED_MIN, "{facts:?}");
    mistakes_in_this_log_are_found(&entries);
    assert_eq!(node.stop().await.code(), Some(0));
}

fn draw(random: &mut StdRng) -> Kill {
    let target = if random.random_range(0..5) < 2 { Target::Node } else { Target::Server };
    let moment = match random.random_range(0..10) {
        0 => None,
        1 | 2 => Some(Moment::Halfway),
        _ => Some(Moment::Left { after: random.random_range(0..WRITES_PER_KILL / 2) }),
    };
    let late = match moment {
        Some(Moment::Left { .. }) => Duration::from_micros(random.random_range(0..LATE_US_MAX)),
        Some(Moment::Halfway) | None => Duration::ZERO,
    };
    Kill { target, moment, late }
}

/// Waits for the moment; what comes is the write that it is in.
async fn aimed(desk: &Desk, moment: Moment) -> MsgId {
    let decided = || desk.lines().map(|line| line.decided.load(Ordering::Relaxed));
    let before = decided();
    wait_until("writes to be decided", AIMED, async || {
        let now = decided();
        let lags = [0, 1].map(|line| now[line] < before[line] + DECIDED_BETWEEN);
        for (line, _) in desk.lines().into_iter().zip(lags).filter(|(_, lags)| *lags) {
            line.more(1);
        }
        if lags.contains(&true) { Err((before, now)) } else { Ok(()) }
    })
    .await;
    let begin = Instant::now();
    let mut told: oneshot::Receiver<MsgId> = desk.aim.at(moment);
    while begin.elapsed() < AIMED {
        if let Ok(write) = tokio::time::timeout(MORE_WRITES_EVERY, &mut told).await {
            return write.expect("one moment is waited for at a time");
        }
        // Those that were allowed may have had no such moment, or may all wait for an answer.
        desk.lines().into_iter().for_each(|line| line.more(1));
    }
    panic!("{moment:?} did not come within {} s", AIMED.as_secs());
}

/// Kills, and returns when what was killed is back where it was.
async fn strike(node: &mut TestNode, target: Target, aimed_into: Option<MsgId>, journal: &Journal) {
    let server = node.nats_pid();
    kill_now(match target {
        Target::Node => node.pid(),
        Target::Server => server,
    });
    journal.write(&Entry::Killed { target, aimed_into });
    let begin = Instant::now();
    match target {
        Target::Node => {
            node.kill().await;
            node.up().await;
        }
        Target::Server => {
            let file = node.comms_folder().join("nats/nats-server.pid");
            wait_until("another nats-server", SOON, async || {
                let pid = std::fs::read_to_string(&file).ok().and_then(|pid| pid.trim().parse().ok());
                if pid.is_some_and(|pid| pid != server && alive(pid)) { Ok(()) } else { Err(node.output()) }
            })
            .await;
        }
    }
    journal.write(&Entry::Back { after_ms: u64::try_from(begin.elapsed().as_millis()).unwrap() });
}

/// An instance of the service that handles: it makes of each command what the command says.
async fn handler(node: &TestNode, journal: &Arc<Journal>, instance: usize) -> Running {
    let journal = journal.clone();
    let handle = move |command: RetitleDocument, cx: CommandContext| {
        journal.write(&Entry::Handled { command: cx.id(), instance, tries: cx.tries() });
        async move {
            if command.title == REFUSE {
                return Err(Failure::reject("as it asked for"));
            }
            let count: usize = command.title.parse()?;
            let events = (0..count).map(|n| DocumentRetitled { title: text(cx.id(), n, count) });
            Ok::<Commit, Failure>(cx.entity(&command.document).emit_all(events))
        }
    };
    node.connect("archive").await.handle(handle).at_once(HANDLED_AT_ONCE).start().await.unwrap()
}

/// Sees, by the events that the server hands out as it stores them, when a write of several is halfway.
async fn look_for_halves(client: async_nats::Client, desk: Arc<Desk>) {
    let mut live = client.subscribe("library.live.event.documents.*.DocumentRetitled").await.unwrap();
    while let Some(message) = live.next().await {
        let msg = Msg::from_cbor(&message.payload).expect("an event");
        if let Some((write, 0, 2..)) = place(&msg) {
            desk.aim.halfway(write);
        }
    }
}

/// The write that an event is of, its ordinal there, and the count, as its text says.
fn place(msg: &Msg) -> Option<(MsgId, usize, usize)> {
    let comms_msg::Body::Inline(node) = msg.content.as_ref()?.body() else { return None };
    let event: DocumentRetitled = node.decode().ok()?;
    let mut parts = event.title.split('/');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Reads from the start of the log to its last event, and says so entry by entry.
async fn read_all(indexer: Comms, journal: Arc<Journal>, entry: fn(Read) -> Entry) {
    let mut watch = indexer.watch::<DocumentRetitled>().from(WatchFrom::Start).await.unwrap();
    while let Some(event) = watch.next().await {
        let event: Recorded<DocumentRetitled> = event.unwrap();
        let entity = event.entity().as_str().to_owned();
        let is_last = entity == LAST;
        journal.write(&entry(Read {
            position: event.position(),
            id: event.id(),
            entity,
            causation: event.msg().metadata.causation,
            text: event.into_event().title,
        }));
        if is_last {
            return;
        }
    }
    panic!("the watch ended before the log did");
}

/// Asks for the ends of commands, and writes down what is said.
async fn ask_for_ends(node: &TestNode, commands: Vec<MsgId>, journal: &Journal) {
    let asking = node.connect("desk").await;
    let ends = futures::stream::iter(commands).map(|command| {
        let asking = &asking;
        async move { (command, asking.outcome::<RetitleDocument>(command).within(ENDED).await) }
    });
    let mut ends = ends.buffer_unordered(ASKED_AT_ONCE);
    while let Some((command, outcome)) = ends.next().await {
        let (state, events) = match outcome {
            Ok(outcome) => {
                let state = match outcome.end {
                    End::Done => "done".to_owned(),
                    End::Rejected(_) => "rejected".to_owned(),
                    End::Dead(reason) => format!("dead: {reason}"),
                    End::Pending => "pending".to_owned(),
                };
                (state, outcome.events.into_iter().map(|event| (event.id, event.position)).collect())
            }
            Err(error) => (format!("{:?}: {error}", error.kind()), Vec::new()),
        };
        journal.write(&Entry::Ended { command, state, events });
    }
}

/// The checker is no better than what it finds: a loss and a double, put into the very log that it has passed.
fn mistakes_in_this_log_are_found(entries: &[Entry]) {
    let acked =
        entries.iter().filter_map(|e| if let Entry::AppendAcked { ids, .. } = e { Some(ids) } else { None });
    let single: Vec<MsgId> = acked.filter(|ids| ids.len() == 1).map(|ids| ids[0]).collect();
    let event = single[single.len() / 2];
    let (_, problems) = check(&doctored::without(entries, event));
    assert!(problems.contains(&Problem::Lost { write: event, event }), "a planted loss: {problems:?}");
    let (_, problems) = check(&doctored::doubled(entries, event));
    let is_it =
        |problem: &Problem| matches!(problem, Problem::Doubled { event: found, .. } if *found == event);
    assert!(problems.iter().any(is_it), "a planted double: {problems:?}");
}
