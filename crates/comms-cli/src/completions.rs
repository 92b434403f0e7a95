//! `comms completions`: what a shell needs to complete this program's commands and options.
//!
//! In the folder of a domain the names of its types and services are completed too, as its definition has them now; elsewhere,
//! and where the definition has mistakes, they are left to whoever types.

use clap::builder::PossibleValuesParser;
use clap::{Command, CommandFactory};
use clap_complete::generate;
use comms_domain::Domain;
use comms_msg::Kind;

use crate::args::{Arguments, Completions};
use crate::definition::Definition;
use crate::failure::Failure;
use crate::output;

/// Carries out `comms completions SHELL`.
pub(crate) fn completions(of: &Completions) -> Result<(), Failure> {
    let domain = Definition::find().and_then(|definition| definition.domain()).ok();
    let mut command = match &domain {
        Some(domain) => knowing(Arguments::command(), domain),
        None => Arguments::command(),
    };
    let mut script = Vec::new();
    generate(of.shell, &mut command, env!("CARGO_BIN_NAME"), &mut script);
    output::own(&String::from_utf8_lossy(&script))
}

/// The command line with the names of a domain in the places where they belong. For scripts alone: what is typed is
/// checked by whoever carries it out.
fn knowing(command: Command, domain: &Domain) -> Command {
    let types = |kind| names(domain.types(kind));
    // Each argument in its place: what takes a word by its position keeps it.
    let one = |command: Command, name: &'static str, names: PossibleValuesParser| {
        command.mut_args(|argument| match argument.get_id() == name {
            true => argument.value_parser(names.clone()),
            false => argument,
        })
    };
    let all = Kind::ALL.into_iter().flat_map(|kind| domain.types(kind));
    one(command, "speaks_as", names(domain.services.keys()))
        .mut_subcommand("send", |command| one(command, "type_name", types(Kind::Command)))
        .mut_subcommand("ask", |command| one(command, "type_name", types(Kind::Query)))
        .mut_subcommand("publish", |command| one(command, "type_name", types(Kind::Event)))
        .mut_subcommand("watch", |command| one(command, "patterns", types(Kind::Event)))
        .mut_subcommand("domain", |command| {
            command.mut_subcommand("explain", |command| one(command, "type_name", names(all)))
        })
}

fn names(names: impl Iterator<Item = impl ToString>) -> PossibleValuesParser {
    // The parser keeps names for as long as the program runs, which ends when they are printed.
    let names: Vec<&'static str> = names.map(|name| &*name.to_string().leak()).collect();
    names.into()
}
