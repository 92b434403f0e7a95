//! The state machine of commands against a model: seeded worlds in which answers get lost, handlers are faster than
//! acknowledgements, nodes are killed and senders repeat themselves. What must hold: a command is stored once, ends once,
//! none that was accepted is lost, and nothing is kept of what is over.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;

const SENDERS: [&str; 3] = ["desk", "lender", "evil"];
/// Room for so many, and parts of so many senders: two for each, and six for whoever comes first.
const ROOM: (u64, usize) = (12, 3);

fn command(n: u64) -> PendingCommand {
    let sender: ServiceName = SENDERS[(n % 3) as usize].parse().unwrap();
    let type_name: TypeName = "documents.Add".parse().unwrap();
    // Two senders share each id.
    let id = MsgId::v7(1_000 + n / 2, 0);
    PendingCommand {
        key: MsgKey::new(Kind::Command, &sender, &type_name, id),
        id,
        type_name,
        sender,
        owner: Owner::new("ada").unwrap(),
        correlation: id,
        cid: *comms_content::Block::new(comms_content::DAG_CBOR, bytes::Bytes::from_static(&[0xa0]))
            .unwrap()
            .cid(),
        time: Timestamp::from_unix_ms(n),
        failed: 0,
    }
}

/// A request that is bringing a command in.
struct Request {
    command: PendingCommand,
    /// Behind what it stands, if it was stored.
    after: u64,
    /// Whether an earlier request may have stored it.
    is_doubtful: bool,
    /// Where the stream stored it, if it did.
    stored: Option<u64>,
    is_sent: bool,
}

/// An answer that is ending a command.
struct Answer {
    sequence: u64,
    command: PendingCommand,
    is_stored: bool,
}

/// The stream and the index, which outlive the node, and the node's memory, which does not.
struct World {
    random: SmallRng,
    queue: BTreeMap<u64, PendingCommand>,
    next: u64,
    index: BTreeSet<MsgKey>,
    stored_times: BTreeMap<MsgKey, u32>,
    ended_times: BTreeMap<MsgKey, u32>,
    accepted: BTreeSet<MsgKey>,
    commands: Commands,
    requests: Vec<Request>,
    answers: Vec<Answer>,
    now: u64,
}

impl World {
    fn new(seed: u64) -> World {
        World {
            random: SmallRng::seed_from_u64(seed),
            queue: BTreeMap::new(),
            next: 1,
            index: BTreeSet::new(),
            stored_times: BTreeMap::new(),
            ended_times: BTreeMap::new(),
            accepted: BTreeSet::new(),
            commands: Commands::new(ROOM.0, ROOM.1),
            requests: Vec::new(),
            answers: Vec::new(),
            now: 0,
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    fn pick(&mut self, of: usize) -> Option<usize> {
        (of > 0).then(|| self.random.random_range(0..of))
    }

    /// A sender asks the door.
    fn ask(&mut self, n: u64) {
        let command = command(n);
        let high = self.commands.high();
        match self.commands.arrive(command.key, &command.sender) {
            Arrival::New { after } => {
                if self.index.contains(&command.key) {
                    self.commands.not_stored(command.key, &command.sender, None, self.now);
                    self.accepted.insert(command.key);
                    return;
                }
                self.requests.push(Request {
                    command,
                    after: after.unwrap_or(high),
                    is_doubtful: after.is_some(),
                    stored: None,
                    is_sent: after.is_none(),
                });
            }
            Arrival::Known { sequence } => {
                // It stands there, or has just gone because it ended.
                assert!(
                    self.queue.get(&sequence).is_some_and(|there| there.key == command.key)
                        || self.index.contains(&command.key),
                    "answered for a command that is nowhere"
                );
                self.accepted.insert(command.key);
            }
            Arrival::Underway | Arrival::Over(_) | Arrival::Doubtful => {}
        }
    }

    /// The stream takes what a request sends, or it gets lost; what may stand there is looked for first.
    fn deliver(&mut self, at: usize) {
        let request = &mut self.requests[at];
        if request.stored.is_some() {
            return;
        }
        if !request.is_sent {
            let after = request.after;
            let found = self.queue.range(after + 1..).find(|(_, there)| there.key == request.command.key);
            request.is_sent = true;
            if let Some((sequence, _)) = found {
                request.stored = Some(*sequence);
                return;
            }
            if self.index.contains(&request.command.key) {
                // It ended meanwhile: the stream does not say so, the index does.
                let request = self.requests.remove(at);
                self.commands.not_stored(request.command.key, &request.command.sender, None, self.now);
                return;
            }
        }
        let sequence = self.next;
        self.next += 1;
        self.queue.insert(sequence, request.command.clone());
        request.stored = Some(sequence);
        *self.stored_times.entry(request.command.key).or_default() += 1;
    }

    /// The request hears how it ended, or gives up without knowing.
    fn answer_request(&mut self, at: usize, is_heard: bool) {
        let request = self.requests.remove(at);
        match request.stored {
            Some(sequence) if is_heard => {
                self.commands.stored(sequence, request.command.clone(), self.now);
                self.accepted.insert(request.command.key);
            }
            Some(_) => {
                let after = Some(request.after);
                self.commands.not_stored(request.command.key, &request.command.sender, after, self.now);
            }
            None => {
                let after = request.is_doubtful.then_some(request.after);
                self.commands.not_stored(request.command.key, &request.command.sender, after, self.now);
            }
        }
    }

    /// A handler answers for what was delivered to it.
    fn handle(&mut self) {
        let Some(at) = self.pick(self.queue.len()) else { return };
        let (sequence, command) = self.queue.iter().nth(at).map(|(s, c)| (*s, c.clone())).unwrap();
        let known = self.commands.at(sequence).cloned().unwrap_or(command);
        match self.commands.begin_end(sequence, &known) {
            Right::Open { is_doubtful } => {
                let is_ended = self.index.contains(&known.key);
                assert!(!is_ended || is_doubtful || self.is_early(&known.key), "an end was forgotten");
                if is_ended {
                    self.commands.ended(&known.key);
                } else {
                    self.answers.push(Answer { sequence, command: known, is_stored: false });
                }
            }
            Right::Underway => assert!(self.answers.iter().any(|answer| answer.command.key == known.key)),
            Right::Ended => assert!(self.index.contains(&known.key)),
        }
    }

    /// After a restart the memory of what ended is the index alone.
    fn is_early(&self, key: &MsgKey) -> bool {
        self.index.contains(key)
    }

    fn store_answer(&mut self, at: usize) {
        let answer = &mut self.answers[at];
        if !answer.is_stored {
            answer.is_stored = true;
            let key = answer.command.key;
            if self.index.insert(key) {
                *self.ended_times.entry(key).or_default() += 1;
            }
        }
    }

    fn hear_answer(&mut self, at: usize, is_heard: bool) {
        let answer = self.answers.remove(at);
        if answer.is_stored && is_heard {
            self.commands.ended(&answer.command.key);
        } else {
            self.commands.gave_up(&answer.command.key, answer.is_stored);
        }
        let _ = answer.sequence;
    }

    /// The stream lets go of one that ended and says so.
    fn settle(&mut self) {
        let ended = self
            .queue
            .iter()
            .filter(|(_, c)| self.index.contains(&c.key))
            .map(|(s, _)| *s)
            .collect::<Vec<_>>();
        let Some(at) = self.pick(ended.len()) else { return };
        let key = self.queue[&ended[at]].key;
        // The node acknowledges what it knows to have ended.
        if self.answers.iter().any(|answer| answer.command.key == key) {
            return;
        }
        self.queue.remove(&ended[at]);
        self.commands.settled(ended[at]);
    }

    /// kill -9: requests and answers in hand are gone, and so is the memory.
    fn restart(&mut self) {
        self.requests.clear();
        self.answers.clear();
        self.commands = Commands::new(ROOM.0, ROOM.1);
        for (sequence, command) in &self.queue {
            self.commands.restore(*sequence, command.clone());
        }
    }

    fn step(&mut self) {
        self.now += 1;
        match self.random.random_range(0..100) {
            0..30 => {
                let n = self.random.random_range(0..24);
                self.ask(n);
            }
            30..50 => {
                if let Some(at) = self.pick(self.requests.len()) {
                    self.deliver(at);
                }
            }
            50..62 => {
                if let Some(at) = self.pick(self.requests.len()) {
                    let is_heard = self.chance(80);
                    self.answer_request(at, is_heard);
                }
            }
            62..75 => self.handle(),
            75..85 => {
                if let Some(at) = self.pick(self.answers.len()) {
                    self.store_answer(at);
                }
            }
            85..92 => {
                if let Some(at) = self.pick(self.answers.len()) {
                    let is_heard = self.chance(80);
                    self.hear_answer(at, is_heard);
                }
            }
            92..99 => self.settle(),
            _ => self.restart(),
        }
        self.check();
    }

    fn check(&self) {
        for (key, times) in &self.stored_times {
            assert!(*times <= 1, "{key} was stored {times} times");
        }
        for (key, times) in &self.ended_times {
            assert!(*times <= 1, "{key} ended {times} times");
        }
        for key in &self.accepted {
            let stands = self.queue.values().any(|command| command.key == *key);
            assert!(stands || self.index.contains(key), "{key} was accepted and is lost");
        }
        let mut of: HashMap<&ServiceName, u64> = HashMap::new();
        for standing in self.commands.standing.values() {
            *of.entry(&standing.command.sender).or_default() += 1;
        }
        for request in &self.requests {
            if !self.commands.standing.contains_key(&request.command.key) {
                *of.entry(&request.command.sender).or_default() += 1;
            }
        }
        for sender in SENDERS {
            let sender: ServiceName = sender.parse().unwrap();
            let has = of.get(&sender).copied().unwrap_or(0);
            assert_eq!(self.commands.shares.held(&sender), has, "what {sender} has here");
        }
    }

    /// Lets everything that is under way come to its end.
    fn run_out(&mut self) {
        while !self.requests.is_empty() {
            let before = self.requests.len();
            self.deliver(0);
            if self.requests.len() == before {
                self.answer_request(0, true);
            }
        }
        while !self.answers.is_empty() {
            self.store_answer(0);
            self.hear_answer(0, true);
        }
        while !self.queue.is_empty() {
            self.handle();
            while !self.answers.is_empty() {
                self.store_answer(0);
                self.hear_answer(0, true);
            }
            self.settle();
        }
        self.check();
        assert_eq!(self.commands.len(), 0, "nothing is kept of what is over");
        assert_eq!((self.commands.shares.in_use(), self.commands.by_sequence.len()), (0, 0));
    }
}

/// Seeds that are tried; `COMMS_SEEDS` tries more.
fn seeds() -> u64 {
    std::env::var("COMMS_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5_000)
}

#[test]
fn a_command_is_stored_once_and_ends_once_whatever_gets_lost() {
    for seed in 0..seeds() {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..200 {
                world.step();
            }
            world.run_out();
        });
        assert!(run.is_ok(), "seed {seed}: see above");
    }
}

#[test]
fn nobody_takes_the_room_of_others() {
    let mut commands = Commands::new(ROOM.0, ROOM.1);
    let sender = |name: &str| name.parse::<ServiceName>().unwrap();
    let keyed = |n: u64, name: &str| {
        MsgKey::new(Kind::Command, &sender(name), &"documents.Add".parse().unwrap(), MsgId::v7(n, 0))
    };
    for n in 0..8 {
        assert_eq!(commands.arrive(keyed(n, "evil"), &sender("evil")), Arrival::New { after: None });
    }
    assert!(matches!(commands.arrive(keyed(9, "evil"), &sender("evil")), Arrival::Over(_)));
    assert_eq!(commands.arrive(keyed(9, "desk"), &sender("desk")), Arrival::New { after: None });
    assert_eq!(commands.arrive(keyed(9, "desk"), &sender("desk")), Arrival::Underway);
    commands.not_stored(keyed(1, "evil"), &sender("evil"), None, 0);
    assert_eq!(commands.arrive(keyed(9, "evil"), &sender("evil")), Arrival::New { after: None });
}
