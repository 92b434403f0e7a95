//! The command line: every command, its words and its help.
//!
//! Nothing is done here and nothing is looked up; what a word means beyond its form (a type, a position) is
//! checked by whoever carries the command out.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use comms_domain::NodeName;
use comms_msg::ServiceName;

use crate::bench::RowName;

/// How a domain talks: commands, queries and events over localhost.
#[derive(Debug, Parser)]
#[command(name = "comms", bin_name = "comms", version, max_term_width = 110)]
#[command(after_help = EXITS)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXITS: &str = "\
Exit codes: 0 done, 1 failed, 2 usage, 3 refused, 4 not found or not allowed,
5 no answer in time (it may have happened), 64 configuration.";

const FIELDS: &str = "\
Fields: field=text, field:=JSON, field=@file, field=- (standard input); a.b=text goes one level down.
field==text is always text, as title==@ada and title==\"$NAME\". Text stays text: a number is field:=3.
A file becomes bytes in the message, or a link when it is large.";

const SETTINGS: &str = "\
Each option may also be a variable (COMMS_LISTEN, COMMS_LEAFS=a,b) or stand in comms.toml beside domain.toml
(listen = \"…\", leafs = [\"a\", \"b\"]). A flag counts before a variable, a variable before the file.";

/// What every command understands.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Say results as JSON, one object per line (shapes: schemas/cli.schema.json)
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Speak under this name, with its credentials from .comms [default: dev; operator for plan and apply]
    // A field of its own name: commands have a `name` too, and the parser knows arguments by their field.
    #[arg(long = "as", value_name = "NAME", global = true)]
    speaks_as: Option<String>,
    /// Work in this folder instead of the current one
    #[arg(long, short = 'C', value_name = "DIR", global = true)]
    pub(crate) folder: Option<PathBuf>,
}

impl Global {
    /// Who speaks: a person on this machine, unless another name was given.
    pub(crate) fn speaker(&self) -> &str {
        self.speaks_as.as_deref().unwrap_or(ServiceName::DEV)
    }

    /// Who changes the definition, unless another name was given.
    pub(crate) fn operator(&self) -> &str {
        self.speaks_as.as_deref().unwrap_or(ServiceName::OPERATOR)
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the node of the domain in this folder, and keep it running until Ctrl-C
    #[command(after_help = SETTINGS)]
    Up(Up),
    /// Write a small working domain into a new folder
    New(New),
    /// Show the whole way of one large document, on a node of its own, and clean up
    Demo(Demo),
    /// Send a command, and say what became of it
    #[command(after_help = FIELDS)]
    Send(Send),
    /// Ask a query, and print the answer
    #[command(after_help = FIELDS)]
    Ask(Ask),
    /// Append an event to the history of an entity
    #[command(after_help = FIELDS)]
    Publish(Publish),
    /// Print events as they happen
    Watch(Watch),
    /// Keep a file, and print its CID
    Put(Put),
    /// Fetch content by its CID
    Get(Get),
    /// Check, explain, plan and apply the definition of the domain
    #[command(subcommand)]
    Domain(Domain),
    /// Measure messages, events and content beside bare NATS and bare files, on a node of its own, and clean up
    Bench(Bench),
    /// Say which version this is
    Version,
    /// Print what a shell needs to complete these commands; put it where your shell reads it. In the folder of a domain it
    /// completes its types and services too
    Completions(Completions),
}

/// `comms up`
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Use this nats-server instead of starting one
    #[arg(long, value_name = "URL", conflicts_with = "listen")]
    pub(crate) nats: Option<String>,
    /// Where the nats-server that is started listens; port 0 takes any [default: 127.0.0.1:4222, or a free port beside
    /// another node]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// Where content is put and fetched over HTTP, on loopback; port 0 takes any [default: 127.0.0.1:7180, or a free
    /// port beside another node]
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<String>,
    /// The name of this node among others [default: as before, at first drawn]
    #[arg(long, value_name = "NODE")]
    pub(crate) name: Option<NodeName>,
    /// Go on without what was acknowledged and is lost; says so in the log, as comms.LossAccepted
    #[arg(long)]
    pub(crate) accept_loss: bool,
    /// Let leafs join here: other nodes of the domain, on other machines
    #[arg(long, value_name = "ADDR", conflicts_with_all = ["join", "nats"])]
    pub(crate) leaf_listen: Option<String>,
    /// A leaf that may join; may be given several times
    #[arg(long = "leaf", value_name = "NODE")]
    pub(crate) leafs: Vec<NodeName>,
    /// Join the hub that listens there
    #[arg(long, value_name = "URL", conflicts_with = "nats")]
    pub(crate) join: Option<String>,
    /// The key that the hub made for this leaf
    #[arg(long, value_name = "FILE")]
    pub(crate) join_key: Option<PathBuf>,
    /// The hub's name
    #[arg(long, value_name = "NODE")]
    pub(crate) hub: Option<NodeName>,
    /// Another leaf of the hub whose events are wanted here; may be given several times
    #[arg(long = "sibling", value_name = "NODE")]
    pub(crate) siblings: Vec<NodeName>,
    /// What the log may take of its disk, as 10GiB; beyond it only what ends a command is stored [default: what the disk
    /// has]
    #[arg(long, value_name = "SIZE")]
    pub(crate) log_max: Option<String>,
    /// What is kept free of each disk for ending commands, as 1GiB [default: 512MiB, or a sixteenth of a smaller disk]
    #[arg(long, value_name = "SIZE")]
    pub(crate) keep_free: Option<String>,
    /// Say what is in force, and where each value came from, instead of starting
    #[arg(long)]
    pub(crate) show_config: bool,
}

/// `comms new`
#[derive(Debug, Args)]
pub(crate) struct New {
    /// The folder to make; its name becomes the domain's
    pub(crate) dir: PathBuf,
    /// The domain's name, if it is not the folder's
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) name: Option<String>,
}

/// `comms demo`
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The document to send [default: a PDF made on the spot]
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Leave the demo's folder, with the document in it, in this new folder
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
}

/// `comms send`
#[derive(Debug, Args)]
pub(crate) struct Send {
    /// The command: context.Type
    #[arg(value_name = "TYPE")]
    pub(crate) type_name: String,
    /// What it says
    #[arg(value_name = "FIELD")]
    pub(crate) fields: Vec<String>,
    #[command(flatten)]
    pub(crate) envelope: Envelope,
    /// Wait this long for the outcome [default: the command's deadline]
    #[arg(long, value_name = "TIME", value_parser = span, conflicts_with = "no_wait")]
    pub(crate) wait: Option<Duration>,
    /// Do not wait for the outcome
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// `comms ask`
#[derive(Debug, Args)]
pub(crate) struct Ask {
    /// The query: context.Type
    #[arg(value_name = "TYPE")]
    pub(crate) type_name: String,
    /// What it says
    #[arg(value_name = "FIELD")]
    pub(crate) fields: Vec<String>,
    #[command(flatten)]
    pub(crate) envelope: Envelope,
    /// Wait this long for the answer [default: the query's deadline]
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub(crate) wait: Option<Duration>,
}

/// `comms publish`
#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// The event: context.Type
    #[arg(value_name = "TYPE")]
    pub(crate) type_name: String,
    /// What it says
    #[arg(value_name = "FIELD")]
    pub(crate) fields: Vec<String>,
    /// Whose history it belongs to
    #[arg(long, value_name = "ID")]
    pub(crate) entity: String,
    /// Append only if the entity is there: `absent` (it has no events yet) or the position of its last event
    #[arg(long, value_name = "absent|POSITION")]
    pub(crate) expect: Option<String>,
    #[command(flatten)]
    pub(crate) envelope: Envelope,
}

/// What goes with every message.
#[derive(Debug, Clone, Args)]
pub(crate) struct Envelope {
    /// Who answers for it [default: $USER]
    #[arg(long, value_name = "NAME")]
    pub(crate) owner: Option<String>,
    /// The message's id: sending it again with the same id is safe [default: a new one]
    #[arg(long, value_name = "UUID")]
    pub(crate) id: Option<String>,
    /// The conversation it belongs to [default: its own id]
    #[arg(long, value_name = "UUID")]
    pub(crate) correlation: Option<String>,
    /// A pair of your own that travels with it; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) pair: Vec<String>,
}

/// `comms watch`
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Which events: a type, or a pattern like 'documents.*' or '*'
    #[arg(value_name = "PATTERN", required = true)]
    pub(crate) patterns: Vec<String>,
    /// Where to begin: `new`, `start`, a position, or a time like 2026-11-01 or 2026-11-01T10:00:00Z
    #[arg(long, value_name = "FROM", default_value = "new")]
    pub(crate) from: String,
    /// End after so many events
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// End after the events that are there already
    #[arg(long)]
    pub(crate) until_now: bool,
    /// Only the history of this entity
    #[arg(long, value_name = "ID")]
    pub(crate) entity: Option<String>,
}

/// `comms completions`
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// `comms put`
#[derive(Debug, Args)]
pub(crate) struct Put {
    /// The file, or - for standard input
    pub(crate) file: PathBuf,
}

/// `comms get`
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The CID
    pub(crate) cid: String,
    /// The file to write, or - for standard output [default: standard output, if that is not a terminal]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// `comms domain …`
#[derive(Debug, Subcommand)]
pub(crate) enum Domain {
    /// Read domain.toml and the schemas, and report every problem
    Check,
    /// Say what applying the definition would change in the running node
    Plan,
    /// Change the running node to the definition
    Apply {
        /// Go on where the plan warns that somebody could not change the definition any more
        #[arg(long)]
        yes: bool,
    },
    /// Say everything about one type: subject, stream, who sends, handles, emits and observes, what is offloaded
    Explain {
        /// The type: context.Type
        #[arg(value_name = "TYPE")]
        type_name: String,
    },
    /// List what the definition names
    Show {
        /// Only these
        #[arg(value_enum)]
        what: Option<Shown>,
    },
    /// Print what a nats-server of your own must include: accounts, users, permissions
    Accounts {
        /// The file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// `comms bench`
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Only this row; may be given several times [default: all, in under four minutes]
    #[arg(long = "row", value_name = "ROW", value_enum)]
    pub(crate) rows: Vec<RowName>,
    /// Seconds for each measurement of each side
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
    /// Measurements of each side; 3 at most where a gibibyte is moved
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) runs: u16,
}

/// What `comms domain show` lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shown {
    /// Command types.
    Commands,
    /// Query types.
    Queries,
    /// Event types.
    Events,
    /// Services.
    Services,
    /// What all services share on a node, and how much of it is kept for each.
    Limits,
}

/// Reads a time span: `500ms`, `30s`, `2m`, `1h`.
fn span(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let millis = match unit.trim_start() {
        "ms" => 1,
        "s" | "" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(millis)) {
        Some(total) if total > 0 => Ok(Duration::from_millis(total)),
        _ => Err("a time is written 500ms, 30s, 2m or 1h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_tree_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_name_that_a_command_takes_is_not_the_speaker() {
        let parsed = Arguments::parse_from(["comms", "up", "--name", "hub"]);
        let Command::Up(up) = parsed.command else { panic!("{parsed:?}") };
        assert_eq!(
            (up.name.map(|name| name.to_string()).as_deref(), parsed.global.speaker()),
            (Some("hub"), "dev")
        );
        let parsed = Arguments::parse_from(["comms", "--as", "desk", "new", "dir", "--name", "library"]);
        let Command::New(new) = parsed.command else { panic!("{parsed:?}") };
        assert_eq!((new.name.as_deref(), parsed.global.speaker()), (Some("library"), "desk"));
    }

    #[test]
    fn times() {
        for (text, millis) in
            [("500ms", 500), ("30s", 30_000), ("30 s", 30_000), ("2m", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(span(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1s", "1d", "0s", "1.5s", "99999999999999999999s", "18446744073709551615h"] {
            assert!(span(text).is_err(), "{text}");
        }
    }
}
