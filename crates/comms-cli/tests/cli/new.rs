//! `comms new`: what it writes can be used as it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::binary::{comms, objects};
use crate::shapes;

/// A new domain called `library` in a folder that goes away with the first value.
pub(crate) fn library() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    comms(place.path(), &["new", "library"]).done();
    let folder = place.path().join("library");
    (place, folder)
}

#[test]
fn a_new_domain_is_whole_and_right() {
    let place = tempfile::tempdir().unwrap();
    let object = objects(&comms(place.path(), &["new", "library", "--json"]).done()).remove(0);
    shapes::assert_fits("new", &object);
    assert_eq!(object["domain"], "library");
    let folder = place.path().join("library");
    for file in object["files"].as_array().unwrap() {
        let path = folder.join(file.as_str().unwrap());
        let text = String::from_utf8(fs::read(&path).unwrap()).unwrap_or_default();
        assert!(!text.contains("{{"), "{}", path.display());
    }
    let checked = objects(&comms(&folder, &["domain", "check", "--json"]).done()).remove(0);
    shapes::assert_fits("domain-check", &checked);
    assert_eq!(checked["checked"]["domain"], "library");
    // From below, too: a definition is found upwards.
    comms(&folder.join("services/rust"), &["domain", "check"]).done();
}

#[test]
fn text_for_people_names_the_parts_and_the_next_step() {
    let place = tempfile::tempdir().unwrap();
    let out = comms(place.path(), &["new", "library"]).done();
    assert_eq!(
        out,
        "created\tdomain.toml, schemas/, services/rust, services/python, README.md, report.pdf\nnext\tcd library && \
         comms up\n"
    );
}

#[test]
fn a_folder_with_something_in_it_is_left_alone() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("mine"), "text").unwrap();
    let err = comms(place.path(), &["new", ".", "--name", "library"]).failed(2);
    assert!(err.starts_with("error: . is not empty\n  It holds mine."), "{err}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    let err = comms(place.path(), &["new", "mine", "--name", "library"]).failed(1);
    assert!(err.starts_with("error: mine cannot be used as a new folder\n"), "{err}");
}

#[test]
fn a_name_that_no_domain_can_have_is_said_before_anything_is_written() {
    let place = tempfile::tempdir().unwrap();
    let err = comms(place.path(), &["new", "My Library"]).failed(2);
    assert!(err.contains("\"My Library\"") && err.contains("--name"), "{err}");
    assert!(!place.path().join("My Library").exists());
    comms(place.path(), &["new", "My Library", "--name", "library"]).done();
}

#[test]
fn only_the_readme_speaks_as_dev() {
    let (_place, folder) = library();
    for file in files(&folder) {
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
        let uses = words.filter(|word| *word == "dev").count();
        assert!(uses == 0 || file.ends_with("README.md"), "{} speaks of dev", file.display());
    }
}

#[test]
fn the_service_in_rust_finds_the_library_it_was_made_with() {
    let (_place, folder) = library();
    let manifest = fs::read_to_string(folder.join("services/rust/Cargo.toml")).unwrap();
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../comms").canonicalize().unwrap();
    assert!(
        manifest.contains(&format!("comms = {{ path = {:?} }}", library.to_str().unwrap())),
        "{manifest}"
    );
    // Its own workspace, so that it builds inside another one, too.
    assert!(manifest.contains("\n[workspace]\n"), "{manifest}");
}

#[test]
fn the_scripts_in_python_are_python() {
    let (_place, folder) = library();
    let python = std::env::var_os("COMMS_PYTHON").unwrap_or_else(|| "python3".into());
    let mut compile = Command::new(python);
    compile.args(["-c", "import ast, sys; [ast.parse(open(f).read(), f) for f in sys.argv[1:]]"]);
    compile.args(files(&folder).into_iter().filter(|file| file.extension().is_some_and(|e| e == "py")));
    let compiled = compile.output().unwrap();
    assert!(compiled.status.success(), "{compiled:?}");
}

/// `check_vectors.py` compares them with what the services in Python compute.
#[test]
fn the_golden_vectors_are_what_python_computes() {
    let (_place, folder) = library();
    let python = std::env::var_os("COMMS_PYTHON").unwrap_or_else(|| "python3".into());
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/vectors/msg.json");
    let mut check = Command::new(python);
    check.arg("-B").arg(folder.join("services/python/check_vectors.py")).arg(vectors);
    let checked = check.output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}
