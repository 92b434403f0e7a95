//! The definition of a domain as files: read with bounds, and kept as it was applied.
//!
//! What the files mean is known in `comms-domain`. The definition in force is kept in `.comms/applied` as one file,
//! replaced as a whole: the next change is judged against it, not against files that somebody may have edited since.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use comms_domain::Domain;
use comms_domain::limits::{DEFINITION_BYTES_MAX, SCHEMA_BYTES_MAX, TYPES_MAX};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::folder::{Durability, Folder, Held, file_error, replace};

/// Name of the definition's file.
pub const DOMAIN_TOML: &str = "domain.toml";
/// Folder of the JSON Schemas beside it.
pub const SCHEMAS: &str = "schemas";
/// Schema files: one per type, one per answer, and as many again that these refer to.
pub const SCHEMAS_MAX: usize = 3 * TYPES_MAX;
/// All schemas together. A definition travels whole when it is applied.
pub const SCHEMAS_BYTES_MAX: usize = 16 << 20;
/// Folders within the folder of schemas: one per context, and room to sort what they share.
const SCHEMAS_DEPTH_MAX: usize = 4;

/// The text of a definition: what a person writes and what is sent to be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sources {
    /// How problems call the definition's file.
    pub file: String,
    /// The text of `domain.toml`.
    pub definition: String,
    /// The texts of the schemas by their path below the folder of schemas, with `/`.
    pub schemas: BTreeMap<String, String>,
}

impl Sources {
    /// Reads `domain.toml` and every `.json` in the folder `schemas` beside it.
    pub fn read(file: &Path) -> Result<Sources, Error> {
        let definition = read_text(file, DEFINITION_BYTES_MAX)?;
        let mut schemas = Schemas { root: file.with_file_name(SCHEMAS), texts: BTreeMap::new(), bytes: 0 };
        let root = schemas.root.clone();
        schemas.read(&root, 0)?;
        Ok(Sources { file: file.display().to_string(), definition, schemas: schemas.texts })
    }

    /// What it means, or everything that is wrong with it.
    pub fn parse(&self) -> Result<Domain, Error> {
        Domain::parse(&self.file, &self.definition, &self.schemas).map_err(Error::Definition)
    }

    /// The definition in force, as it was applied; `None` in a folder where none was.
    pub fn applied(folder: &Folder) -> Result<Option<Sources>, Error> {
        let path = applied_file(folder);
        // JSON needs at most six bytes for one of text.
        let text = match read_text(&path, 6 * (DEFINITION_BYTES_MAX + SCHEMAS_BYTES_MAX)) {
            Ok(text) => text,
            Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        serde_json::from_str(&text).map(Some).map_err(|error| Error::Malformed {
            path,
            expected: "a definition as it was applied",
            why: error.to_string(),
        })
    }

    /// Keeps this definition as the one in force. It outlives a power failure when this returns.
    pub fn keep(&self, held: &Held) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(self).expect("text and maps of text are JSON");
        replace(&applied_file(held.folder()), &text, Durability::Synced)
    }
}

fn applied_file(folder: &Folder) -> PathBuf {
    folder.applied().join("definition.json")
}

struct Schemas {
    root: PathBuf,
    texts: BTreeMap<String, String>,
    bytes: usize,
}

impl Schemas {
    fn read(&mut self, folder: &Path, depth: usize) -> Result<(), Error> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            // A domain without schemas is one.
            Err(error) if depth == 0 && error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(file_error("read", folder, source)),
        };
        for entry in entries {
            let path = entry.map_err(|source| file_error("read", folder, source))?.path();
            if path.is_dir() {
                if depth == SCHEMAS_DEPTH_MAX {
                    return Err(too_much(&path, "folders within folders of schemas", SCHEMAS_DEPTH_MAX));
                }
                self.read(&path, depth + 1)?;
            } else if path.extension().is_some_and(|extension| extension == "json") {
                self.add(&path)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &Path) -> Result<(), Error> {
        let text = read_text(path, SCHEMA_BYTES_MAX)?;
        self.bytes += text.len();
        if self.texts.len() == SCHEMAS_MAX {
            return Err(too_much(&self.root, "schema files", SCHEMAS_MAX));
        }
        if self.bytes > SCHEMAS_BYTES_MAX {
            return Err(too_much(&self.root, "bytes of schemas", SCHEMAS_BYTES_MAX));
        }
        let below = path.strip_prefix(&self.root).expect("what was listed in a folder is below it");
        let parts: Vec<String> = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        self.texts.insert(parts.join("/"), text);
        Ok(())
    }
}

fn read_text(path: &Path, bytes_max: usize) -> Result<String, Error> {
    let mut bytes = Vec::new();
    // A pipe would be waited for, and a device may have no end.
    let kind = fs::metadata(path).map_err(|source| file_error("read", path, source))?;
    if !kind.is_file() {
        return Err(Error::Malformed {
            path: path.to_owned(),
            expected: "a regular file",
            why: "it is a folder, a pipe or a device".to_owned(),
        });
    }
    File::open(path)
        .and_then(|file| file.take(bytes_max as u64 + 1).read_to_end(&mut bytes))
        .map_err(|source| file_error("read", path, source))?;
    if bytes.len() > bytes_max {
        return Err(too_much(path, "bytes", bytes_max));
    }
    String::from_utf8(bytes).map_err(|error| Error::Malformed {
        path: path.to_owned(),
        expected: "text in UTF-8",
        why: error.utf8_error().to_string(),
    })
}

fn too_much(path: &Path, of: &'static str, max: usize) -> Error {
    Error::Malformed {
        path: path.to_owned(),
        expected: "a definition of a size that can be read",
        why: format!("there are more than {max} {of}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain_folder() -> (tempfile::TempDir, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join(DOMAIN_TOML);
        fs::write(&file, "name = \"library\"\n").unwrap();
        (home, file)
    }

    #[test]
    fn schemas_are_found_by_their_path() {
        let (home, file) = domain_folder();
        assert!(Sources::read(&file).unwrap().schemas.is_empty());
        let context = home.path().join(SCHEMAS).join("documents");
        fs::create_dir_all(&context).unwrap();
        fs::write(context.join("AddDocument.json"), "{}").unwrap();
        fs::write(context.join("notes.txt"), "not a schema").unwrap();
        let sources = Sources::read(&file).unwrap();
        assert_eq!(
            sources.schemas.into_iter().collect::<Vec<_>>(),
            [("documents/AddDocument.json".into(), "{}".into())]
        );
    }

    #[test]
    fn sizes_at_and_above_the_bound() {
        let (home, file) = domain_folder();
        fs::create_dir(home.path().join(SCHEMAS)).unwrap();
        let schema = home.path().join(SCHEMAS).join("a.json");
        fs::write(&schema, vec![b' '; SCHEMA_BYTES_MAX]).unwrap();
        Sources::read(&file).unwrap();
        fs::write(&schema, vec![b' '; SCHEMA_BYTES_MAX + 1]).unwrap();
        assert!(matches!(Sources::read(&file), Err(Error::Malformed { .. })));
        fs::write(&schema, [0xff]).unwrap();
        assert!(matches!(Sources::read(&file), Err(Error::Malformed { .. })));
    }

    #[test]
    fn a_pipe_is_refused_and_not_waited_for() {
        let (home, file) = domain_folder();
        let schemas = home.path().join(SCHEMAS);
        fs::create_dir(&schemas).unwrap();
        let made = std::process::Command::new("mkfifo").arg(schemas.join("a.json")).status().unwrap();
        assert!(made.success());
        let refused = Sources::read(&file).unwrap_err();
        assert!(matches!(&refused, Error::Malformed { path, .. } if path.ends_with("a.json")), "{refused}");
        std::os::unix::fs::symlink("/dev/zero", schemas.join("b.json")).unwrap();
        fs::remove_file(schemas.join("a.json")).unwrap();
        assert!(matches!(Sources::read(&file), Err(Error::Malformed { .. })));
    }

    #[test]
    fn a_ring_of_folders_ends() {
        let (home, file) = domain_folder();
        let schemas = home.path().join(SCHEMAS);
        fs::create_dir(&schemas).unwrap();
        std::os::unix::fs::symlink(&schemas, schemas.join("again")).unwrap();
        assert!(matches!(Sources::read(&file), Err(Error::Malformed { .. })));
    }

    #[test]
    fn what_was_applied_is_read_back() {
        let (home, file) = domain_folder();
        let held = Folder::beside(home.path()).unwrap().hold().unwrap();
        assert_eq!(Sources::applied(held.folder()).unwrap(), None);
        let sources = Sources::read(&file).unwrap();
        sources.keep(&held).unwrap();
        assert_eq!(Sources::applied(held.folder()).unwrap(), Some(sources));
    }
}
