//! A connection under the name that was asked for, and what the library's and the node's errors are for people.
//!
//! Everything that talks to a running node begins here.

use std::error::Error as _;

use comms::{Comms, ErrorKind};
use comms_node::{Error as NodeError, Socket};

use crate::args::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;

/// Connects under the name of `--as`.
pub(crate) async fn connect(global: &Global) -> Result<Comms, Failure> {
    Ok(Comms::connect(global.speaker()).await?)
}

impl From<comms::Error> for Failure {
    fn from(error: comms::Error) -> Self {
        let exit = match error.kind() {
            ErrorKind::Config => Exit::Config,
            ErrorKind::Unknown | ErrorKind::NotFound | ErrorKind::Denied => Exit::NotFound,
            ErrorKind::Invalid
            | ErrorKind::Conflict
            | ErrorKind::Rejected
            | ErrorKind::TooLarge
            | ErrorKind::Malformed => Exit::Refused,
            ErrorKind::Timeout => Exit::NoAnswer,
            _ if error.may_have_happened() => Exit::NoAnswer,
            _ => Exit::Failed,
        };
        // What is wrong comes first, what would be right after a semicolon.
        let mut clauses = error.message().split("; ");
        let mut failure = Failure::new(exit, clauses.next().unwrap_or_default());
        failure = clauses.fold(failure, Failure::mend);
        failure =
            failure.problems(error.problems().iter().map(|problem| json::Problem {
                path: problem.path.clone(),
                problem: problem.problem.clone(),
            }));
        if error.may_have_happened() {
            failure = failure.mend("it may have happened.");
        }
        match error.source() {
            Some(source) => failure.because(source),
            None => failure,
        }
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        let exit = match error {
            NodeError::Definition(_)
            | NodeError::Held { .. }
            | NodeError::Lost { .. }
            | NodeError::Malformed { .. }
            | NodeError::Misplaced { .. }
            | NodeError::NameKept { .. }
            | NodeError::NameUnclear { .. }
            | NodeError::Planted { .. }
            | NodeError::Forbidden { .. }
            | NodeError::NotText { .. }
            | NodeError::NoServer { .. } => Exit::Config,
            _ => Exit::Failed,
        };
        let option = match &error {
            NodeError::Listen { socket, .. } => Some(match socket {
                Socket::NatsServer => "--listen",
                Socket::Leafs => "--leaf-listen",
                Socket::Http => "--http",
            }),
            _ => None,
        };
        let text = error.to_string();
        let mut lines = text.lines().map(|line| line.strip_prefix("  ").unwrap_or(line));
        let failure = Failure::new(exit, lines.next().unwrap_or_default());
        let mut failure = lines.fold(failure, Failure::mend);
        if let Some(option) = option {
            failure =
                failure.mend(format!("Another address: comms up {option} HOST:PORT, where port 0 takes any"));
        }
        if let NodeError::Lost { is_untouched, .. } = &error {
            failure = failure
                .mend(match is_untouched {
                    true => "Nothing was changed: nats-server was not started.",
                    false => {
                        "The node changed nothing. nats-server has started on the store meanwhile, and cuts damaged blocks off \
                         where it does: make a copy of .comms before anything else."
                    }
                })
                .mend("Put the store back (.comms/nats/store) from a copy and start again,")
                .mend("or go on without it: comms up --accept-loss");
        }
        match error.source() {
            Some(source) => failure.because(source),
            None => failure,
        }
    }
}
