//! The binary `comms`: arguments in, text or `--json` out.
//!
//! One file per noun carries its commands out; `output.rs` prints, `failure.rs` says what is wrong and chooses
//! the exit code. Nothing here knows how a message travels: that is the library's and the node's business.

mod accounts;
mod apply;
mod args;
mod bench;
mod completions;
mod content;
mod definition;
mod demo;
mod domain;
mod exit;
mod failure;
mod fields;
mod json;
mod message;
mod new;
mod output;
mod sample_pdf;
mod session;
mod settings;
mod signals;
mod up;
mod usage;

use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use crate::args::{Arguments, Command, Global};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// What is logged, with the filters of `tracing`: `COMMS_LOG=info`, `COMMS_LOG=comms_node=debug`.
const LOG: &str = "COMMS_LOG";
/// What a node logs if nothing is said: what somebody should look at. A command that ends says it by itself.
const LOG_OF_A_NODE: &str = "comms=warn,comms_node=warn,comms_store=warn";

fn main() -> ExitCode {
    if let Some(arguments) = comms_node::guard::asked(std::env::args_os()) {
        return comms_node::guard::run(arguments);
    }
    let arguments = match usage::parse(std::env::args_os().collect()) {
        Ok(arguments) => arguments,
        Err(error) => return usage::explain(error).into(),
    };
    withhold(&arguments.command);
    if has_node(&arguments.command) {
        comms_node::open_as_many_as_possible();
    }
    log(matches!(arguments.command, Command::Up(_)));
    let output = Output::detect(arguments.global.json);
    match run(arguments, output) {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            output.failure(&failure);
            failure.exit().into()
        }
    }
}

/// Sets what is withheld from the files that this process makes, whatever mask it was started with. All of a node's
/// files are its user's alone, and nats-server inherits the mask. What else is made is as open to others as the mask says, but
/// never to everybody's writing; and from the user nothing is withheld, since what is made is read and written again.
fn withhold(command: &Command) {
    use rustix::fs::Mode;
    let others = Mode::RWXG | Mode::RWXO;
    let before = rustix::process::umask(others);
    if !has_node(command) {
        rustix::process::umask((before & others) | Mode::WOTH);
    }
}

/// Whether a node runs in this process.
fn has_node(command: &Command) -> bool {
    matches!(command, Command::Up(_) | Command::Demo(_) | Command::Bench(_))
}

fn run(arguments: Arguments, output: Output) -> Result<(), Failure> {
    let Arguments { global, command } = arguments;
    if let Some(folder) = &global.folder {
        std::env::set_current_dir(folder).map_err(|error| {
            Failure::new(Exit::Config, format!("{} is not a folder to work in", folder.display()))
                .because(&error)
        })?;
    }
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::failed("the threads that this needs cannot be made").because(&error))?;
    let ended = runtime.block_on(carry_out(command, &global, output));
    // What still waits for standard input must not keep the process.
    runtime.shutdown_background();
    ended
}

async fn carry_out(command: Command, global: &Global, output: Output) -> Result<(), Failure> {
    match command {
        Command::Up(up) => up::up(up, output).await,
        Command::New(new) => new::run(&new, output),
        Command::Demo(demo) => demo::demo(&demo, output).await,
        Command::Send(send) => message::send(&send, global, output).await,
        Command::Ask(ask) => message::ask(&ask, global, output).await,
        Command::Publish(publish) => message::publish(&publish, global, output).await,
        Command::Watch(watch) => message::watch(&watch, global, output).await,
        Command::Put(put) => content::put(&put, global, output).await,
        Command::Get(get) => content::get(&get, global, output).await,
        Command::Domain(command) => domain::run(&command, global, output).await,
        Command::Bench(bench) => bench::bench(&bench, output).await,
        Command::Version => version(output),
        Command::Completions(of) => completions::completions(&of),
    }
}

fn version(output: Output) -> Result<(), Failure> {
    let version = json::Version { version: env!("CARGO_PKG_VERSION").to_owned() };
    if output.is_json() { output.json(&version) } else { output.text(&format!("comms {}", version.version)) }
}

/// Events of the log go to standard error, each on one line.
fn log(is_node: bool) {
    let filter = match EnvFilter::try_from_env(LOG) {
        Ok(filter) => filter,
        Err(_) if is_node => EnvFilter::new(LOG_OF_A_NODE),
        Err(_) => return,
    };
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(|| output::Log).init();
}
