//! The line of messages for one subject: what waits there, and how it leaves.
//!
//! Where handlers read frames, what gathers leaves as one; elsewhere each message leaves alone. Who reads frames has
//! subscribed to the frames' own subject, so the server knows: it says "no responders" to what nobody reads
//! (`frames.rs` asks before the first frame; a frame of queries that comes back is sent again one by one).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_nats::Subject;
use comms_msg::TypeName;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::frame::{Frame, Items};
use crate::limits::{FRAME_BYTES_MAX, FRAME_MESSAGES_MAX, FRAMES_ASKED_AFTER, FRAMES_WAITING_MAX};
use crate::replies::{Token, Waiter};

/// Messages for one subject.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) subject: Subject,
    /// Where they go several at a time; none for a lane that never does that.
    pub(crate) frames: Option<Subject>,
    /// Where the server says that nobody reads frames, of messages that nobody answers.
    pub(crate) reply: Option<Subject>,
    type_name: TypeName,
    reads_frames: AtomicBool,
    state: Mutex<LaneState>,
    pub(crate) room: Notify,
}

/// What waits in a lane.
#[derive(Debug)]
pub(crate) struct LaneState {
    pub(crate) open: Frame,
    /// Those who wait for answers to the open frame, and where their answers come.
    pub(crate) waiters: Vec<Waiter>,
    pub(crate) token: Option<Token>,
    pub(crate) full: VecDeque<Outgoing>,
    /// Bytes of what is closed and waits.
    bytes: usize,
    /// Messages of what is closed and waits.
    messages: usize,
    /// Whether the lane is listed with the publisher.
    pub(crate) listed: bool,
    /// When it was last asked who reads frames.
    asked: Option<Instant>,
}

/// What leaves together, if somebody reads frames.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) items: Items,
    pub(crate) asked: Option<(Token, Vec<Waiter>)>,
}

impl LaneState {
    fn new() -> Self {
        Self {
            open: Frame::new(),
            waiters: Vec::new(),
            token: None,
            full: VecDeque::new(),
            bytes: 0,
            messages: 0,
            listed: false,
            asked: None,
        }
    }

    /// Whether another message may wait: as much as full frames hold, whatever it is packed in.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes < FRAMES_WAITING_MAX * FRAME_BYTES_MAX
            && self.messages < FRAMES_WAITING_MAX * FRAME_MESSAGES_MAX
    }

    pub(crate) fn close(&mut self, frame: Frame, waiters: Vec<Waiter>) {
        let asked = self.token.take().map(|token| (token, waiters));
        let items = frame.finish();
        self.bytes += items.bytes();
        self.messages += items.len();
        self.full.push_back(Outgoing { items, asked });
    }

    /// Closes the open frame, if anything is in it.
    pub(crate) fn close_open(&mut self) {
        if !self.open.is_empty() {
            let frame = self.open.take();
            let waiters = std::mem::take(&mut self.waiters);
            self.close(frame, waiters);
        }
    }
}

impl Lane {
    /// A lane of direct commands, or of queries, of one type; each message alone until somebody is known to read frames.
    pub(crate) fn new(
        subject: Subject,
        frames: Subject,
        reply: Option<Subject>,
        type_name: TypeName,
    ) -> Arc<Self> {
        Self::of(subject, Some(frames), reply, type_name, false)
    }

    /// A lane of answers to queries that came as a frame: who asks so reads so.
    pub(crate) fn of_answers(subject: Subject, type_name: TypeName) -> Arc<Self> {
        Self::of(subject.clone(), Some(subject), None, type_name, true)
    }

    fn of(
        subject: Subject,
        frames: Option<Subject>,
        reply: Option<Subject>,
        type_name: TypeName,
        reads_frames: bool,
    ) -> Arc<Self> {
        let (reads_frames, state) = (AtomicBool::new(reads_frames), Mutex::new(LaneState::new()));
        Arc::new(Self { subject, frames, reply, type_name, reads_frames, state, room: Notify::new() })
    }

    pub(crate) fn type_name(&self) -> &TypeName {
        &self.type_name
    }

    /// Whether somebody reads frames, as far as it is known.
    pub(crate) fn reads_frames(&self) -> bool {
        self.reads_frames.load(Ordering::Relaxed)
    }

    pub(crate) fn set_reads_frames(&self, reads: bool) {
        self.reads_frames.store(reads, Ordering::Relaxed);
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is worth asking who reads frames: it is not known that somebody does, and the last answer is old.
    pub(crate) fn is_to_be_asked(&self) -> bool {
        if self.reads_frames() {
            return false;
        }
        let (now, mut state) = (Instant::now(), self.state());
        if state.asked.is_some_and(|asked| now.duration_since(asked) < FRAMES_ASKED_AFTER) {
            return false;
        }
        state.asked = Some(now);
        true
    }

    pub(crate) fn take(&self) -> VecDeque<Outgoing> {
        let mut state = self.state();
        state.listed = false;
        state.close_open();
        (state.bytes, state.messages) = (0, 0);
        let out = std::mem::take(&mut state.full);
        drop(state);
        self.room.notify_waiters();
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_has_room_for_as_much_as_full_frames_hold() {
        for (item, most) in
            [(1, FRAMES_WAITING_MAX * FRAME_MESSAGES_MAX), (FRAME_BYTES_MAX, FRAMES_WAITING_MAX)]
        {
            let mut state = LaneState::new();
            let mut waiting = 0;
            while state.has_room() {
                assert!(state.open.push(|out| out.resize(out.len() + item, 0)).is_none());
                state.close_open();
                waiting += 1;
            }
            assert_eq!(waiting, most);
        }
    }

    #[test]
    fn it_is_asked_again_only_after_a_while() {
        let name = || "a.B".parse().expect("a name");
        let lane = Lane::new("l.command.a.B.desk".into(), "l.frames.command.a.B.desk".into(), None, name());
        assert!(lane.is_to_be_asked());
        assert!(!lane.is_to_be_asked());
        lane.state().asked = None;
        lane.set_reads_frames(true);
        assert!(!lane.is_to_be_asked(), "it is known");
        assert!(!Lane::of_answers("_INBOX.desk.x".into(), name()).is_to_be_asked());
    }
}
