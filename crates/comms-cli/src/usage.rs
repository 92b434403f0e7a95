//! What the parser says of a command line: help, or a mistake. Words of the command line are quoted in it and forge no line.

use std::ffi::OsString;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::args::Arguments;
use crate::exit::Exit;
use crate::output::{self, Output, visible};

/// Reads a command line, the program's name first.
///
/// `comms help --help` is `comms help`, and `comms help send --help` is `comms help send`: the parser takes what follows
/// `help` for the names of commands alone.
pub(crate) fn parse(words: Vec<OsString>) -> Result<Arguments, clap::Error> {
    let error = match Arguments::try_parse_from(&words) {
        Ok(arguments) => return Ok(arguments),
        Err(error) => error,
    };
    let is_help = |word: &str| matches!(word, "--help" | "-h");
    let asks_for_help = error.kind() == ErrorKind::InvalidSubcommand
        && matches!(error.get(ContextKind::InvalidSubcommand), Some(ContextValue::String(word)) if is_help(word));
    if !asks_for_help {
        return Err(error);
    }
    Arguments::try_parse_from(words.into_iter().filter(|word| !word.to_str().is_some_and(is_help)))
}

/// Help and versions are answers; everything else the parser says is a mistake in the command line.
pub(crate) fn explain(error: clap::Error) -> Exit {
    let output = Output::detect(false);
    if error.use_stderr() {
        output::usage(&mistake(error));
        return Exit::Usage;
    }
    let text = error.render();
    let said = if output.is_coloured() { text.ansi().to_string() } else { text.to_string() };
    match output::own(&said) {
        Ok(()) => Exit::Done,
        Err(failure) => {
            output.failure(&failure);
            failure.exit()
        }
    }
}

/// The text of a mistake, in which what was typed stays on its line.
fn mistake(mut error: clap::Error) -> String {
    let shown = |value: &ContextValue| match value {
        ContextValue::String(text) => Some(ContextValue::String(visible(text).into_owned())),
        ContextValue::Strings(texts) => {
            Some(ContextValue::Strings(texts.iter().map(|text| visible(text).into_owned()).collect()))
        }
        ContextValue::StyledStr(text) => {
            Some(ContextValue::StyledStr(visible(&text.to_string()).into_owned().into()))
        }
        ContextValue::StyledStrs(texts) => Some(ContextValue::StyledStrs(
            texts.iter().map(|text| visible(&text.to_string()).into_owned().into()).collect(),
        )),
        _ => None,
    };
    // How the command is used has lines of its own, and nothing in it was typed.
    let typed = error.context().filter(|(kind, _)| *kind != ContextKind::Usage);
    let typed: Vec<_> = typed.filter_map(|(kind, value)| Some((kind, shown(value)?))).collect();
    for (kind, value) in typed {
        error.insert(kind, value);
    }
    error.render().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        ["comms"].iter().chain(words).map(OsString::from).collect()
    }

    #[test]
    fn what_was_typed_forges_no_line() {
        let forged = "x\nerror: forged";
        for typed in [
            &[forged][..],
            &["help", forged],
            &["completions", forged],
            &["domain", forged],
            &["domain", "show", forged],
            &["send", "t.Do", "--wait", forged],
            &["send", "t.Do", &format!("--{forged}")],
            &["send", "t.Do", &format!("--{forged}=1")],
            &["up", "--name", forged],
            &["up", "--leaf", forged],
            &["bench", "--row", forged],
            &["bench", "--seconds", forged],
            &["version", forged],
            &["watch", "*", "--count", forged],
        ] {
            let text = mistake(parse(words(typed)).unwrap_err());
            assert!(!text.lines().any(|line| line.starts_with("error: forged")), "{typed:?}: {text}");
            assert!(text.contains("\\n"), "{typed:?}: {text}");
        }
    }

    #[test]
    fn help_of_help_is_help() {
        for typed in
            [&["help", "--help"][..], &["help", "-h"], &["help", "send", "--help"], &["--json", "help", "-h"]]
        {
            let error = parse(words(typed)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::DisplayHelp, "{typed:?}");
        }
        assert_eq!(parse(words(&["--helpp"])).unwrap_err().exit_code(), 2);
    }
}
