//! The README of a new domain: every command in it does what the text around it says.

use std::fs;
use std::process::Command;

use crate::binary::{command, comms};
use crate::node::{Process, archive, python, start};

/// The commands of the README, in order.
fn commands(readme: &str) -> Vec<&str> {
    readme.lines().filter_map(|line| line.strip_prefix("$ ")).collect()
}

#[test]
fn every_command_works_in_the_order_it_is_given() {
    let (_place, folder) = crate::new::library();
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    let mut running = Vec::new();
    for line in commands(&readme) {
        if line == "comms up" {
            // On free ports, for other tests run beside this one.
            let node = start(&folder);
            node.line_with("ready");
            running.push(node);
        } else if line.starts_with("cargo run ") {
            running.push(archive(&folder));
        } else if line.starts_with("python3 -m venv ") {
            // What it installs is what COMMS_PYTHON names.
        } else if let Some(script) = line.strip_prefix(".venv/bin/python ") {
            let words: Vec<&str> = match script.split_once('"') {
                Some((script, rest)) => {
                    let (title, file) = rest.split_once('"').unwrap();
                    vec![script.trim(), title, file.trim()]
                }
                None => vec![script],
            };
            let Some(process) = python(&folder, &words) else { continue };
            if script.contains("archive.py") {
                let archive = Process::start(process);
                archive.line_with("listening");
                running.push(archive);
            } else {
                succeed(process, line);
            }
        } else if line.starts_with("comms ") {
            let mut shell = command(&folder, &[]);
            let binary = shell.get_program().to_owned();
            shell = Command::new("sh");
            shell.current_dir(&folder).env("USER", "ada").env_remove("COMMS_CREDENTIALS");
            shell.arg("-c").arg(format!("comms() {{ '{}' \"$@\"; }}; {line}", binary.to_str().unwrap()));
            succeed(shell, line);
        } else {
            panic!("the README has a command that no test knows: {line}");
        }
    }
    assert!(running.len() >= 2);
    drop(running);
    comms(&folder, &["domain", "check"]).done();
}

fn succeed(mut command: Command, line: &str) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
}
