//! How a running server is told something, without ever telling a stranger that got its process id.

use std::io::Write as _;
use std::process::{Child, ChildStdin, ExitStatus};
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// What a server can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Read the configuration again.
    Reload,
    /// End in order.
    End,
    /// End now.
    Kill,
}

impl Order {
    fn signal(self) -> Signal {
        match self {
            Order::Reload => Signal::HUP,
            Order::End => Signal::TERM,
            Order::Kill => Signal::KILL,
        }
    }

    fn byte(self) -> u8 {
        match self {
            Order::Reload => b'r',
            Order::End => b'e',
            Order::Kill => b'k',
        }
    }

    /// What the node wrote to a guard that stays in between.
    pub(crate) fn from_byte(byte: u8) -> Option<Order> {
        [Order::Reload, Order::End, Order::Kill].into_iter().find(|order| order.byte() == byte)
    }
}

/// Holds a child for as long as it has not been reaped: until then its process id cannot be anybody else's.
#[derive(Debug, Default)]
pub(crate) struct Leash(Mutex<Option<Held>>);

#[derive(Debug)]
enum Held {
    Process(Pid),
    /// A guard stands in between and reads orders.
    Guard(ChildStdin),
}

impl Leash {
    /// Holds `child`, through its standard input where that is a pipe.
    pub(crate) fn hold(&self, child: &mut Child) {
        let held = child.stdin.take().map_or_else(|| Held::Process(Pid::from_child(child)), Held::Guard);
        self.set(Some(held));
    }

    /// Tells it. False if nothing is held or it cannot be reached any more.
    pub(crate) fn order(&self, order: Order) -> bool {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            None => false,
            Some(Held::Process(pid)) => kill_process(*pid, order.signal()).is_ok(),
            Some(Held::Guard(orders)) => orders.write_all(&[order.byte()]).is_ok(),
        }
    }

    /// Waits for the end of the child that is held, lets it go, and only then reaps it.
    pub(crate) fn wait(&self, child: &mut Child) -> std::io::Result<ExitStatus> {
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while let Err(Errno::INTR) = waitid(WaitId::Pid(Pid::from_child(child)), ended) {}
        self.set(None);
        child.wait()
    }

    fn set(&self, held: Option<Held>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }
}
