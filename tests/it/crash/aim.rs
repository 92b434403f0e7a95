//! Where a kill is aimed: the moment is wanted by whoever kills, and told by whoever sees it come.

use std::sync::Mutex;

use comms_msg::MsgId;
use tokio::sync::oneshot;

/// A moment inside a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// A write has left, after this many others; nothing is known of it.
    Left { after: usize },
    /// The first event of a write of several has been stored; the others may be on their way to the disk.
    Halfway,
}

/// The moment that is waited for, if one is.
#[derive(Debug, Default)]
pub(super) struct Aim {
    wanted: Mutex<Option<(Moment, oneshot::Sender<MsgId>)>>,
}

impl Aim {
    /// Waits for the next such moment; what comes is the write that it is of.
    pub(super) fn at(&self, moment: Moment) -> oneshot::Receiver<MsgId> {
        let (tell, told) = oneshot::channel();
        *self.wanted.lock().expect("no panic holds it") = Some((moment, tell));
        told
    }

    /// A write has left and is not acknowledged.
    pub(super) fn left(&self, write: MsgId) {
        self.reached(write, |moment| match moment {
            Moment::Left { after: 0 } => true,
            Moment::Left { after } => {
                *after -= 1;
                false
            }
            Moment::Halfway => false,
        });
    }

    /// The first of several events of a write was seen.
    pub(super) fn halfway(&self, write: MsgId) {
        self.reached(write, |moment| *moment == Moment::Halfway);
    }

    fn reached(&self, write: MsgId, is_it: impl FnOnce(&mut Moment) -> bool) {
        let mut wanted = self.wanted.lock().expect("no panic holds it");
        if wanted.as_mut().is_some_and(|(moment, _)| is_it(moment))
            && let Some((_, tell)) = wanted.take()
        {
            // Whoever waited may have waited long enough.
            let _ = tell.send(write);
        }
    }
}
