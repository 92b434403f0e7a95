//! A nats-server that a dead node left behind: found by its pid file, recognised by its command line, and ended.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use super::place::Place;
use crate::Error;
use crate::folder::{file_error, read_lossy};
use crate::pace::Pace;

/// Most are about to die with their node. What is still there after this is asked to end.
const DIES_WITHIN: Duration = Duration::from_millis(500);
/// How long it may take to end when asked.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
/// How long the system may take to end it when killed.
const KILLED_WITHIN: Duration = Duration::from_secs(5);

/// Makes sure that no server uses this place. The caller holds the folder, so that whoever started one is dead.
pub(super) async fn end(place: &Place) -> Result<(), Error> {
    let path = place.pid_file();
    let Some(text) = read_lossy(&path)? else { return Ok(()) };
    if let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) {
        let ours = || is_server_of(place, pid);
        let mut ended = gone_within(DIES_WITHIN, ours).await;
        for (signal, within) in [(Signal::TERM, ENDS_WITHIN), (Signal::KILL, KILLED_WITHIN)] {
            if ended {
                break;
            }
            tracing::warn!(pid = pid.as_raw_pid(), "ending the nats-server of a node that is gone");
            // It may end between the look and the signal; then there is nothing to signal.
            let _ = kill_process(pid, signal);
            ended = gone_within(within, ours).await;
        }
        if !ended {
            let why = format!("the one of an earlier node (process {}) does not end", pid.as_raw_pid());
            return Err(Error::Server { why, log: String::new() });
        }
    }
    fs::remove_file(&path).map_err(|source| file_error("remove", &path, source))
}

async fn gone_within(within: Duration, there: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + within;
    let mut pace = Pace::default();
    while there() {
        if Instant::now() >= deadline {
            return false;
        }
        sleep(pace.next_pause()).await;
    }
    true
}

/// Whether that process runs on the configuration in this place. A process id alone says nothing: the system gives
/// it to others.
fn is_server_of(place: &Place, pid: Pid) -> bool {
    let configuration = place.configuration();
    command_line(pid)
        .is_some_and(|arguments| arguments.iter().any(|argument| Path::new(argument) == configuration))
}

#[cfg(target_os = "linux")]
fn command_line(pid: Pid) -> Option<Vec<std::ffi::OsString>> {
    use std::os::unix::ffi::OsStringExt as _;
    // Empty for a process that has ended and was not reaped.
    let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_pid())).ok()?;
    Some(
        line.split(|byte| *byte == 0)
            .map(|argument| std::ffi::OsString::from_vec(argument.to_vec()))
            .collect(),
    )
}

#[cfg(not(target_os = "linux"))]
fn command_line(pid: Pid) -> Option<Vec<std::ffi::OsString>> {
    let pid = pid.as_raw_pid().to_string();
    let ps = std::process::Command::new("ps").args(["-ww", "-o", "args=", "-p", &pid]).output().ok()?;
    let line = String::from_utf8_lossy(&ps.stdout).into_owned();
    // The path of the configuration is the last argument or stands before `--port`.
    let path = line.split(" --config ").nth(1)?.split(" --port ").next()?.trim().to_owned();
    Some(vec![path.into()])
}
