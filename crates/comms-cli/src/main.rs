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

use std::process::ExitCode;

use clap::Parser;
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
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return explain(&error).into(),
    };
    if let Command::GuardNatsServer { arguments } = arguments.command {
        return comms_node::guard::run(arguments);
    }
    withhold(&arguments.command);
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

/// Closes what this process makes to others, whatever mask it was started with: all of a node's files, as nats-server
/// inherits the mask, and to writing whatever else is made.
fn withhold(command: &Command) {
    use rustix::fs::Mode;
    let at_least = match command {
        Command::Up(_) | Command::Demo(_) | Command::Bench(_) => Mode::RWXG | Mode::RWXO,
        _ => Mode::WOTH,
    };
    let before = rustix::process::umask(at_least);
    rustix::process::umask(before | at_least);
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
        Command::GuardNatsServer { .. } => unreachable!("carried out before any thread was started"),
    }
}

fn version(output: Output) -> Result<(), Failure> {
    let version = json::Version { version: env!("CARGO_PKG_VERSION").to_owned() };
    if output.is_json() { output.json(&version) } else { output.text(&format!("comms {}", version.version)) }
}

/// Help and versions are answers; everything else the parser says is a mistake in the command line.
fn explain(error: &clap::Error) -> Exit {
    let output = Output::detect(false);
    let text = error.render();
    if error.use_stderr() {
        output::usage(&text.to_string());
        return Exit::Usage;
    }
    let said = if output.is_coloured() { text.ansi().to_string() } else { text.to_string() };
    match output::own(&said) {
        Ok(()) => Exit::Done,
        Err(failure) => {
            output.failure(&failure);
            failure.exit()
        }
    }
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
