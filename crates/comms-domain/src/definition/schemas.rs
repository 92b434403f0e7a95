//! The schema files beside a definition, found by name: `schemas/documents/AddDocument.json`.

use std::collections::BTreeMap;

use comms_msg::{Kind, TypeName};

use super::reader::Reader;
use super::types::Types;
use crate::nearest;
use crate::schema::{Schema, echo};

/// Schemas by type.
pub(super) type Compiled = BTreeMap<TypeName, Schema>;

/// Compiles the schema of every type that has one, and reports files that belong to none.
pub(super) fn compile(reader: &mut Reader<'_>, files: &BTreeMap<String, String>, types: &Types) -> Compiled {
    let mut compiled = Compiled::new();
    for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".json")) {
        let file = beside(reader.file(), path);
        let Some(name) = type_of(path) else {
            reader.problem_in(
                file,
                "",
                0,
                "belongs to no type by its name".to_owned(),
                "schemas are found as schemas/<context>/<Type>.json".to_owned(),
            );
            continue;
        };
        if types.known.contains_key(&name) {
            match Schema::compile(text) {
                Ok(schema) => {
                    for note in schema.notes().iter().cloned() {
                        reader.note_in(file.clone(), text, note.offset, note.what, note.mend);
                    }
                    compiled.insert(name, schema);
                }
                Err(faults) => {
                    for fault in faults {
                        reader.problem_in(file.clone(), text, fault.offset, fault.what, fault.mend);
                    }
                }
            }
        } else if !types.broken.contains(name.as_str()) && !reader.is_full() {
            let mend = match nearest::type_name(name.as_str(), types.known.keys()) {
                Some(meant) => {
                    format!("did you mean schemas/{}/{}.json?", meant.context(), meant.name())
                }
                None => format!(
                    "add [{}.\"{name}\"] to the definition, or remove the file",
                    Kind::Command.as_str()
                ),
            };
            reader.problem_in(file, "", 0, format!("there is no type {name}"), mend);
        }
    }
    compiled
}

/// The type a path below the folder `schemas` belongs to.
fn type_of(path: &str) -> Option<TypeName> {
    let (context, name) = path.strip_suffix(".json")?.split_once('/')?;
    TypeName::of(context, name).ok()
}

/// The path of a schema as seen from where the definition is named.
fn beside(definition: &str, path: &str) -> String {
    let folder = definition.rfind(['/', '\\']).map_or("", |end| &definition[..=end]);
    format!("{folder}schemas/{}", echo(path))
}
