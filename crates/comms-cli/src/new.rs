//! `comms new`: a small working domain in a new folder, with a service in Rust and one in Python.
//!
//! The files are those in `templates/`; two words in them are replaced. The demo starts from the same files, so
//! that what is shown is what is handed out.

use std::fs;
use std::io;
use std::path::Path;

use comms_msg::DomainName;

use crate::args;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::output::{Output, Row, Tone};
use crate::sample_pdf;

/// The document that a new domain comes with.
pub(crate) const DOCUMENT: &str = "report.pdf";

const TEMPLATES: [(&str, &str); 14] = [
    (".gitignore", include_str!("../templates/gitignore")),
    ("README.md", include_str!("../templates/README.md")),
    ("domain.toml", include_str!("../templates/domain.toml")),
    ("schemas/documents/AddDocument.json", include_str!("../templates/schemas/documents/AddDocument.json")),
    (
        "schemas/documents/DocumentAdded.json",
        include_str!("../templates/schemas/documents/DocumentAdded.json"),
    ),
    (
        "schemas/documents/FindDocuments.json",
        include_str!("../templates/schemas/documents/FindDocuments.json"),
    ),
    ("services/python/archive.py", include_str!("../templates/services/python/archive.py")),
    ("services/python/check_vectors.py", include_str!("../templates/services/python/check_vectors.py")),
    ("services/python/comms_local.py", include_str!("../templates/services/python/comms_local.py")),
    ("services/python/comms_msg.py", include_str!("../templates/services/python/comms_msg.py")),
    ("services/python/requirements.txt", include_str!("../templates/services/python/requirements.txt")),
    ("services/python/send.py", include_str!("../templates/services/python/send.py")),
    ("services/rust/Cargo.toml", include_str!("../templates/services/rust/Cargo.toml.txt")),
    ("services/rust/src/main.rs", include_str!("../templates/services/rust/src/main.rs")),
];

/// Carries out `comms new`.
pub(crate) fn run(new: &args::New, output: Output) -> Result<(), Failure> {
    let name = domain_name(new)?;
    make_empty(&new.dir)?;
    write(&new.dir, &name)?;
    let created = json::New {
        folder: new.dir.display().to_string(),
        domain: name.to_string(),
        files: TEMPLATES.iter().map(|(file, _)| (*file).to_owned()).chain([DOCUMENT.to_owned()]).collect(),
    };
    let parts = "domain.toml, schemas/, services/rust, services/python, README.md, report.pdf";
    output
        .say(&created, &Row::new("created").tone(Tone::Good).cell(parts))
        .and_then(|()| output.row(&Row::new("next").cell(format!("cd {} && comms up", new.dir.display()))))
        .map_err(|unheard| unheard.mend(format!("The domain is written: {}", created.folder)))
}

/// Writes the domain into a folder that exists and is empty.
pub(crate) fn write(dir: &Path, name: &DomainName) -> Result<(), Failure> {
    for (file, template) in TEMPLATES {
        let text = template.replace("{{name}}", name.as_str()).replace("{{comms}}", &library());
        put(&dir.join(file), text.as_bytes())?;
    }
    put(&dir.join(DOCUMENT), &sample_pdf::make())
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, bytes));
    written.map_err(|error| Failure::failed(format!("{} cannot be written", path.display())).because(&error))
}

fn domain_name(new: &args::New) -> Result<DomainName, Failure> {
    let (text, from) = match &new.name {
        Some(name) => (name.clone(), "--name"),
        None => (folder_name(&new.dir), "the folder"),
    };
    text.parse().map_err(|_| {
        Failure::usage(format!("{from} gives the domain the name {text:?}, which no domain can have")).mend(
            "A name is 1 to 63 of a-z, 0-9, _ and -, and begins with a letter: comms new DIR --name NAME",
        )
    })
}

fn folder_name(dir: &Path) -> String {
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    absolute.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

pub(crate) fn make_empty(dir: &Path) -> Result<(), Failure> {
    let found = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().transpose(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return create(dir),
        Err(error) => Err(error),
    };
    match found {
        Ok(None) => Ok(()),
        Ok(Some(entry)) => {
            Err(Failure::new(Exit::Usage, format!("{} is not empty", dir.display())).mend(format!(
                "It holds {}. Name a folder that is not there yet; nothing was written.",
                entry.file_name().to_string_lossy()
            )))
        }
        Err(error) => {
            Err(Failure::failed(format!("{} cannot be used as a new folder", dir.display())).because(&error))
        }
    }
}

fn create(dir: &Path) -> Result<(), Failure> {
    fs::create_dir_all(dir)
        .map_err(|error| Failure::failed(format!("{} cannot be made", dir.display())).because(&error))
}

/// How the new service finds the library: in the checkout that this binary was built from while it is there.
fn library() -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../comms");
    match source.canonicalize().ok().and_then(|path| path.to_str().map(quote)) {
        Some(path) => format!("path = {path}"),
        // Wherever the reader has it.
        None => "path = \"../../../comms/crates/comms\"".to_owned(),
    }
}

/// A string of TOML: one of JSON is that, too.
fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
