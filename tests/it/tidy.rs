//! Rules of the house that a machine can hold, over the whole checkout: how files begin and how long they get, who may
//! name what, who may wait how. Drift of generated schemas is tested where they are generated.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use comms_tests::binary::checkout;
use serde_json::Value;

/// Lines with code in one file, at most.
const CODE_LINES_MAX: usize = 500;
/// Folders that are not the project's own words: built, installed, or found by fuzzing.
const NOT_OURS: [&str; 9] =
    ["target", ".git", ".tools", ".comms", "node_modules", "__pycache__", "corpus", "artifacts", "found"];
/// Places of somebody's own machine. Put together here, so that this file does not name them.
const MACHINE_PATHS: [&str; 6] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/tm", "p/"),
    concat!("C:", "\\"),
];

/// Files of the checkout by their path in it.
fn files() -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    visit(checkout(), &mut files);
    assert!(files.len() > 200, "the checkout is where it is expected: {}", files.len());
    files
}

fn visit(folder: &Path, files: &mut BTreeMap<PathBuf, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // In a worktree of git, `.git` is a file.
        if NOT_OURS.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            visit(&path, files);
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            files.insert(path.strip_prefix(checkout()).unwrap().to_owned(), text);
        }
    }
}

fn rust() -> impl Iterator<Item = (PathBuf, String)> {
    files().into_iter().filter(|(path, _)| path.extension().is_some_and(|extension| extension == "rs"))
}

/// Lines that are neither empty nor a comment, with their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = (1..).zip(text.lines().map(str::trim));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with("//"))
}

/// Fails with everything that breaks a rule, at once.
fn none(rule: &str, found: impl IntoIterator<Item = String>) {
    let found: Vec<String> = found.into_iter().collect();
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}

/// Lines of code that have one of these words in them, in files for which `is` holds.
fn lines_with(words: &[&str], is: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in rust().filter(|(path, _)| is(path)) {
        let hits = code(&text).filter(|(_, line)| words.iter().any(|word| line.contains(word)));
        found.extend(hits.map(|(number, line)| format!("{}:{number}  {line}", path.display())));
    }
    found
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent = rust().filter(|(_, text)| !text.starts_with("//! "));
    none("a file begins with //! and what it is for", silent.map(|(path, _)| path.display().to_string()));
}

#[test]
fn files_stay_short_and_are_found_by_their_name() {
    let long = rust().filter_map(|(path, text)| {
        let lines = code(&text).count();
        (lines > CODE_LINES_MAX).then(|| format!("{}  {lines}", path.display()))
    });
    none(&format!("a file has at most {CODE_LINES_MAX} lines of code"), long);
    let nameless = rust().map(|(path, _)| path).filter(|path| path.ends_with("mod.rs"));
    none("a module is foo.rs and foo/", nameless.map(|path| path.display().to_string()));
}

#[test]
fn only_those_who_talk_to_the_broker_know_its_client() {
    let words = [concat!("async", "_nats"), concat!("async", "-nats")];
    let may = ["crates/comms/", "crates/comms-node/", "crates/comms-cli/src/bench", "tests/"];
    let strange =
        lines_with(&words, |path| !may.iter().any(|folder| path.to_string_lossy().starts_with(folder)));
    none("the client of nats-server is named in comms, comms-node, the benchmark and the tests", strange);
}

/// By the dependencies that a package names itself, followed through the packages of the workspace.
#[test]
fn what_is_pure_depends_on_nothing_that_does_something() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(checkout());
    let metadata: Value = serde_json::from_slice(&cargo.output().unwrap().stdout).unwrap();
    let packages: BTreeMap<&str, BTreeSet<&str>> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let built = dependencies
                .filter(|dependency| dependency["kind"].is_null() || dependency["kind"] == "build");
            (
                package["name"].as_str().unwrap(),
                built.map(|dependency| dependency["name"].as_str().unwrap()).collect(),
            )
        })
        .collect();
    let impure = ["tokio", "async-nats", "object_store", "reqwest", "axum", "rand", "hyper", "tempfile"];
    for pure in ["comms-content", "comms-msg", "comms-domain"] {
        let (mut reached, mut next) = (BTreeSet::new(), vec![pure]);
        while let Some(package) = next.pop() {
            if reached.insert(package) {
                next.extend(packages.get(package).into_iter().flatten());
            }
        }
        none(
            &format!("{pure} computes and does nothing else"),
            impure.iter().filter(|name| reached.contains(*name)).map(|name| (*name).to_owned()),
        );
    }
    assert!(packages["comms-node"].contains("tokio"), "dependencies are found");
}

#[test]
fn tests_wait_for_conditions_and_not_for_time() {
    let sleeping = lines_with(&[concat!("sleep", "(")], |path| {
        let is_test = path.starts_with("tests") || path.components().any(|part| part.as_os_str() == "tests");
        is_test && !path.ends_with("harness/wait.rs")
    });
    none("tests wait by harness/wait.rs", sleeping);
    let ignored = lines_with(&[concat!("#[ig", "nore")], |_| true);
    none("a test that is not run is no test", ignored);
}

#[test]
fn nothing_is_without_a_bound() {
    none("every queue has a limit", lines_with(&[concat!("un", "bounded")], |_| true));
}

#[test]
fn nobodys_machine_is_named() {
    let named = files().into_iter().flat_map(|(path, text)| {
        let hits: Vec<String> = (1..)
            .zip(text.lines())
            .filter(|(_, line)| MACHINE_PATHS.iter().any(|machine| line.contains(machine)))
            .map(|(number, line)| format!("{}:{number}  {:.120}", path.display(), line.trim()))
            .collect();
        hits
    });
    none("paths of one machine mean nothing on another", named);
}
