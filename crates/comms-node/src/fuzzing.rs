//! Whole requests at the doors, made out of bytes: the real [`Doors`](crate::door::Doors) of a small domain, over a log in
//! memory, with content on disk. What must hold after each is judged by what stands in the streams, not by what the doors
//! say of it (`verdict.rs`).
//!
//! `fuzz/` feeds it with what libFuzzer finds, its tests with bytes of a seed. No part of what is handed out.

mod choices;
mod message;
mod model;
mod request;
mod scene;
#[cfg(test)]
mod tests;
mod verdict;

use std::time::Duration;

use comms_msg::door::{OutcomeState, Refusal};
use comms_msg::{Door, Form};
use tokio::task::JoinHandle;

use self::choices::Choices;
use self::model::Model;
use self::request::{Known, Request};
use self::scene::Scene;
use self::verdict::Judged;
use crate::door::Answer;

/// Requests of one input.
const REQUESTS_MAX: usize = 16;
/// The longest that a request may take that waits for nothing.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// A question that waits for less may be over before its command ends.
const LONG_MS: u64 = 10_000;
/// Turns that others get before a question counts as one that waits.
const TURNS: usize = 64;

/// What one input came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Requests that were made, those of the checks included.
    pub requests: u64,
    /// Those that were answered with what was asked for.
    pub granted: u64,
    /// Messages that were stored.
    pub stored: u64,
}

/// Makes the requests that `input` says. Panics where something does not hold.
pub fn run(input: &[u8]) -> Tally {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().expect("a runtime of one thread needs nothing");
    runtime.block_on(async {
        let mut world = World::open().await;
        let mut choices = Choices::of(input);
        for _ in 0..REQUESTS_MAX {
            if choices.is_over() {
                break;
            }
            world.step(&mut choices).await;
        }
        world.end().await;
        world.tally
    })
}

struct World {
    scene: Scene,
    model: Model,
    history: Vec<Request>,
    /// Questions that wait for the end of a command.
    waiting: Vec<(Request, JoinHandle<Result<Answer, Refusal>>)>,
    tally: Tally,
}

impl World {
    async fn open() -> World {
        let scene = Scene::open().await;
        let model = Model::default();
        World { scene, model, history: Vec::new(), waiting: Vec::new(), tally: Tally::default() }
    }

    async fn step(&mut self, choices: &mut Choices<'_>) {
        match choices.below(32) {
            0 => return self.restart().await,
            1 => return self.scene.keep_up().await,
            _ => {}
        }
        let way = choices.below(16);
        let request = {
            let known = Known { scene: &self.scene, model: &self.model, history: &self.history };
            request::make(choices, &known)
        };
        match way {
            0 | 1 => self.lost(&request).await,
            2 | 3 => self.twice_at_once(&request).await,
            _ => {
                if let Some(answer) = self.ask(&request, Judged::Heard).await
                    && answer.is_ok()
                {
                    self.again(&request, &answer).await;
                }
            }
        }
        self.history.push(request);
    }

    /// One request and what must hold behind it; none where it waits for the end of a command.
    async fn ask(&mut self, request: &Request, judged: Judged) -> Option<Result<Answer, Refusal>> {
        self.tally.requests += 1;
        let before = self.scene.all();
        let answer = if matches!(request.door, Door::Outcome(_)) {
            let (doors, asked) = (self.scene.doors(), request.clone());
            let mut task = tokio::spawn(async move { perform(&doors, &asked).await });
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
            if !task.is_finished() {
                self.model.may_wait(&self.scene, request);
                self.waiting.push((request.clone(), task));
                return None;
            }
            (&mut task).await.unwrap_or_else(|error| panic!("{request:?}: {error}"))
        } else {
            let doors = self.scene.doors();
            tokio::time::timeout(ANSWERED_WITHIN, perform(&doors, request))
                .await
                .unwrap_or_else(|_| panic!("no answer to {request:?}"))
        };
        self.judge(request, &answer, &before, judged);
        Some(answer)
    }

    fn judge(
        &mut self,
        request: &Request,
        answer: &Result<Answer, Refusal>,
        before: &[scene::Messages; 2],
        judged: Judged,
    ) {
        let broken = self.scene.doors().counts.broken.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(broken, 0, "{request:?} ended in a mistake of the node's own");
        self.tally.granted += u64::from(answer.is_ok());
        let after = self.scene.all();
        let new = self.model.take(request, before, &after);
        self.tally.stored += (new.events.len() + new.endings.len() + new.commands.len()) as u64;
        verdict::judge(&self.scene, &self.model, request, answer, &new, judged);
    }

    /// What was granted and can safely be said again is answered the same, and stored once.
    async fn again(&mut self, request: &Request, first: &Result<Answer, Refusal>) {
        let Ok(first) = first else { return };
        if let Some(second) = self.ask(request, Judged::Heard).await {
            verdict::same(request, first, &second);
        }
        let asked = verdict::outcome_of(&self.model, request, first);
        if let Some(outcome) = asked {
            let answer = self.ask(&outcome, Judged::Heard).await;
            assert!(
                matches!(answer, Some(Ok(_))),
                "{request:?} ended a command, and its sender hears {answer:?}"
            );
        }
    }

    /// The answer of the stream does not come; said again it does.
    async fn lost(&mut self, request: &Request) {
        self.scene.lose_answers(true);
        let first = self.ask(request, Judged::Lost).await;
        self.scene.lose_answers(false);
        let second = self.ask(request, Judged::Heard).await;
        if let (Some(Ok(first)), Some(second)) = (&first, &second) {
            verdict::same(request, first, second);
        }
    }

    /// Two of the same at the same moment.
    async fn twice_at_once(&mut self, request: &Request) {
        if matches!(request.door, Door::Outcome(_)) {
            return;
        }
        self.tally.requests += 2;
        let before = self.scene.all();
        let doors = self.scene.doors();
        let both = async { tokio::join!(perform(&doors, request), perform(&doors, request)) };
        let (one, other) = tokio::time::timeout(ANSWERED_WITHIN, both)
            .await
            .unwrap_or_else(|_| panic!("no answers to two of {request:?}"));
        for answer in [&one, &other] {
            self.judge(request, answer, &before, Judged::Beside);
        }
        if let Ok(answer) = one.or(other)
            && let Some(third) = self.ask(request, Judged::Heard).await
        {
            verdict::same(request, &answer, &third);
        }
    }

    /// The node is gone in a moment, with all that it held in memory, and comes again.
    async fn restart(&mut self) {
        for (_, task) in self.waiting.drain(..) {
            task.abort();
            let _ = task.await;
        }
        self.scene.restart().await;
    }

    /// Whoever waits for a command that ended has heard of it.
    async fn end(&mut self) {
        for (request, task) in std::mem::take(&mut self.waiting) {
            if !self.model.has_ended(&request) {
                task.abort();
                continue;
            }
            let answer = tokio::time::timeout(ANSWERED_WITHIN, task).await;
            let Ok(Ok(Ok(Answer::Outcome(outcome)))) = &answer else {
                panic!("{request:?} waits for a command that ended, and hears {answer:?}");
            };
            let is_over = self.model.asked_of(&request).is_some_and(|(_, ask)| ask.wait_ms < LONG_MS);
            // Its wait may have been over before.
            assert!(is_over || outcome.state != OutcomeState::Pending, "{request:?}: the command ended");
        }
    }
}

/// As a transport does it; the answer is written too, and can be read.
async fn perform(doors: &crate::door::Doors, request: &Request) -> Result<Answer, Refusal> {
    let form = Form::of(&request.payload);
    let answer = async {
        let ask = crate::door::Ask::read(request.door.clone(), form, &request.payload)?;
        doors.perform(&request.sender, ask).await
    }
    .await;
    let written = match &answer {
        Ok(answer) => answer.write(form),
        Err(refusal) => form.refusal(refusal),
    };
    let read =
        form.read(&written).unwrap_or_else(|e| panic!("the answer to {request:?} cannot be read: {e}"));
    let key = if answer.is_ok() { "ok" } else { "error" };
    assert!(read.to_value().get(key).is_some(), "{request:?}: {answer:?} is written as {}", read.to_json());
    answer
}
