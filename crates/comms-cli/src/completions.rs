//! `comms completions`: what a shell needs to complete this program's commands and options.

use clap::CommandFactory;
use clap_complete::generate;

use crate::args::{Arguments, Completions};
use crate::failure::Failure;
use crate::output;

/// Carries out `comms completions SHELL`.
pub(crate) fn completions(of: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    generate(of.shell, &mut Arguments::command(), env!("CARGO_BIN_NAME"), &mut script);
    output::own(&String::from_utf8_lossy(&script))
}
