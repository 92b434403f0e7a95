//! Whether the server that this node started holds its port at this moment.

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use tokio::sync::watch;

use super::State;
use super::place::Place;

/// Knows of one server. Clones ask the same one.
#[derive(Debug, Clone)]
pub(crate) struct Vouch {
    pub(super) state: watch::Receiver<State>,
    pub(super) place: Place,
}

impl Vouch {
    /// Which start of the server holds the port; none while none does.
    ///
    /// A server tells its port when it has bound it, and what it told is forgotten before the next start. That the
    /// process lives is asked of the system: the supervisor hears of its end a moment later.
    pub(crate) fn start(&self) -> Option<u32> {
        let State::Running { pid, restarts } = *self.state.borrow() else { return None };
        (self.place.port().is_some() && lives(pid)).then_some(restarts)
    }
}

fn lives(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // Looks and does not take: the supervisor awaits the process.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    pid.is_some_and(|pid| matches!(waitid(WaitId::Pid(pid), options), Ok(None)))
}
