//! The step between a node and its nats-server that makes the server die with the node, however the node dies.
//!
//! The node starts its own executable again, as a guard; `main` of that executable hands the arguments to [`run`].
//! On Linux the guard asks the kernel to be killed when its parent ends, checks that the parent is still there, and
//! becomes nats-server by `exec`, which keeps that wish (unless the program file carries capabilities or runs as another
//! user, neither of which nats-server needs). Elsewhere it stays: it starts nats-server, obeys what the
//! node writes to its standard input, and kills the server when that input ends, as it does when the node dies.
//!
//! The kernel counts the *thread* that started the guard as the parent, so [`crate::server`] starts and awaits it on
//! a thread that lives as long as the server.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use crate::server::{Leash, Order};

/// The first argument by which an executable asks itself for [`run`]. It is no subcommand: help and completions know nothing of it.
pub const SUBCOMMAND: &str = "guard-nats-server";

/// How a node starts its guard.
#[derive(Debug, Clone)]
pub struct Guard {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) manner: Manner,
}

/// What the guard does with itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Becomes nats-server.
    Become,
    /// Stays in between.
    Stay,
}

impl Guard {
    /// The executable that is running now, with [`SUBCOMMAND`] as its first argument.
    pub fn this_executable() -> io::Result<Guard> {
        // The link stays right when the file behind it is replaced while the node runs, as an update does.
        let program = if cfg!(target_os = "linux") {
            PathBuf::from("/proc/self/exe")
        } else {
            std::env::current_exe()?
        };
        Ok(Guard::new(program, [SUBCOMMAND]))
    }

    /// A program that hands what follows `args` to [`run`].
    pub fn new(program: impl Into<PathBuf>, args: impl IntoIterator<Item = impl Into<OsString>>) -> Guard {
        let manner = if cfg!(target_os = "linux") { Manner::Become } else { Manner::Stay };
        Guard { program: program.into(), args: args.into_iter().map(Into::into).collect(), manner }
    }

    /// The command that runs `program` guarded. Its own standard input must be a pipe when the guard stays.
    pub(crate) fn command(&self, program: &OsStr) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).arg(std::process::id().to_string()).arg(self.manner.word()).arg(program);
        command.stdin(match self.manner {
            Manner::Become => Stdio::null(),
            Manner::Stay => Stdio::piped(),
        });
        command
    }
}

impl Manner {
    fn word(self) -> &'static str {
        match self {
            Manner::Become => "become",
            Manner::Stay => "stay",
        }
    }
}

/// What an executable hands to [`run`], if these arguments (with the program's name first) ask for it.
pub fn asked(arguments: impl IntoIterator<Item = OsString>) -> Option<Vec<OsString>> {
    let mut arguments = arguments.into_iter().skip(1);
    (arguments.next()? == SUBCOMMAND).then(|| arguments.collect())
}

/// The guard's `main`: `args` are what follows [`SUBCOMMAND`], namely the process id of the node, a manner, the
/// program and its arguments.
///
/// Returns only when it cannot become the program, or when the program it stayed with has ended.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match guarded(args) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // The node reads standard error when the server does not come up; a guard has nobody else to tell.
            let _ = writeln!(io::stderr(), "cannot start nats-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn guarded(args: impl IntoIterator<Item = OsString>) -> io::Result<u8> {
    let usage =
        || io::Error::new(io::ErrorKind::InvalidInput, "expected: PARENT become|stay PROGRAM ARGUMENT…");
    let mut args = args.into_iter();
    let parent: i32 = args.next().and_then(|pid| pid.to_str()?.parse().ok()).ok_or_else(usage)?;
    let manner = args.next().ok_or_else(usage)?;
    let program = args.next().ok_or_else(usage)?;
    let mut command = Command::new(program);
    command.args(args);
    match manner.to_str() {
        Some("become") => Err(become_it(parent, &mut command)),
        Some("stay") => stay(parent, &mut command),
        _ => Err(usage()),
    }
}

#[cfg(target_os = "linux")]
fn become_it(parent: i32, command: &mut Command) -> io::Error {
    use rustix::process::{Signal, set_parent_process_death_signal};
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    // Asked after the wish is in place: a node that ended before it is noticed here, a later end by the kernel.
    if let Err(error) = still_wanted(parent) {
        return error;
    }
    command.exec()
}

#[cfg(not(target_os = "linux"))]
fn become_it(_parent: i32, _command: &mut Command) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this system does not end a process with its parent")
}

fn still_wanted(parent: i32) -> io::Result<()> {
    match rustix::process::getppid() {
        Some(now) if now.as_raw_pid() == parent => Ok(()),
        _ => Err(io::Error::other("the node that asked for it has ended")),
    }
}

fn stay(parent: i32, command: &mut Command) -> io::Result<u8> {
    still_wanted(parent)?;
    let mut child = command.stdin(Stdio::null()).process_group(0).spawn()?;
    let leash = Arc::new(Leash::default());
    leash.hold(&mut child);
    let obedient = Arc::clone(&leash);
    std::thread::Builder::new().name("orders".into()).spawn(move || obey(io::stdin().lock(), &obedient))?;
    let status = leash.wait(&mut child)?;
    // What a shell answers for a signal.
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}

/// One byte is one order; the end of the input is the end of the node.
fn obey(mut input: impl io::Read, leash: &Leash) {
    let mut byte = [0];
    loop {
        match input.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => {
                if let Some(order) = Order::from_byte(byte[0]) {
                    leash.order(order);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    leash.order(Order::Kill);
}
