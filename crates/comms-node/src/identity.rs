//! What a node is called: by its file, by the log that lies in its folder, or anew.
//!
//! The names of streams and ledgers come from the name of the node, so that one under another name does not find them: it would
//! begin a second log beside the first. Where the file is gone, the log says the name; where the two differ, nobody is asked
//! to guess.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use comms_domain::NodeName;
use rand::RngExt as _;

use crate::Error;
use crate::folder::{Folder, file_error, read_lossy};

/// Random characters of a node's name: a billion names, and short enough to read aloud.
const NAME_RANDOM: usize = 6;
/// How the names of a node's streams begin.
const STREAMS: [&str; 3] = ["EVENT_", "COMMAND_", "FOREIGN_"];

/// What a node is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) name: NodeName,
    /// Whether the file that says so is gone and the log said it.
    pub(crate) is_found: bool,
}

/// The name of the node of that folder. Writes nothing.
pub(crate) fn name(folder: &Folder, given: Option<&NodeName>) -> Result<Named, Error> {
    let logs = logs(folder)?;
    let kept = match folder.kept_name() {
        // A file that says nothing is worth nothing where the log says it.
        Err(Error::Malformed { .. }) if logs.len() == 1 => None,
        kept => kept?,
    };
    decide(folder, kept, given, &logs)
}

fn decide(
    folder: &Folder,
    kept: Option<NodeName>,
    given: Option<&NodeName>,
    logs: &BTreeSet<NodeName>,
) -> Result<Named, Error> {
    let unclear = |written: Option<&NodeName>| Error::NameUnclear {
        path: folder.name_file(),
        written: written.map(NodeName::to_string),
        logs: logs.iter().map(NodeName::to_string).collect(),
    };
    let refused = |kept: &NodeName, given: &NodeName| Error::NameKept {
        kept: kept.to_string(),
        given: given.to_string(),
    };
    let found = || logs.first().filter(|_| logs.len() == 1);
    match (kept, given) {
        (Some(kept), _) if !logs.is_empty() && !logs.contains(&kept) => Err(unclear(Some(&kept))),
        (Some(kept), Some(given)) if *given != kept => Err(refused(&kept, given)),
        (Some(kept), _) => Ok(Named { name: kept, is_found: false }),
        (None, Some(given)) if logs.contains(given) => Ok(Named { name: given.clone(), is_found: true }),
        (None, given) => match (found(), given) {
            (Some(found), Some(given)) => Err(refused(found, given)),
            (Some(found), None) => Ok(Named { name: found.clone(), is_found: true }),
            (None, _) if !logs.is_empty() => Err(unclear(None)),
            (None, given) => Ok(Named { name: given.cloned().unwrap_or_else(random), is_found: false }),
        },
    }
}

/// The nodes whose log lies there: by streams of a managed nats-server, by ledgers, and by the lists of these.
fn logs(folder: &Folder) -> Result<BTreeSet<NodeName>, Error> {
    let mut names = entries(&folder.streams())?;
    let ledgers = entries(&folder.log())?.into_iter();
    names.extend(ledgers.filter_map(|name| name.strip_suffix(".ledger").map(str::to_owned)));
    for list in folder.lists() {
        let listed =
            read_lossy(&list)?.and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
        let listed = listed.as_ref().and_then(|listed| listed["generations"].as_object());
        names.extend(listed.into_iter().flat_map(|listed| listed.keys().cloned()));
    }
    let node = |name: &String| STREAMS.iter().find_map(|stream| name.strip_prefix(stream)?.parse().ok());
    Ok(names.iter().filter_map(node).collect())
}

/// The names in a folder; none where it is not there.
fn entries(folder: &Path) -> Result<Vec<String>, Error> {
    let unread = |source| file_error("read", folder, source);
    match fs::read_dir(folder) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()).map_err(unread))
            .collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(unread(source)),
    }
}

fn random() -> NodeName {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut random = rand::rng();
    let mut name = String::from("n-");
    name.extend((0..NAME_RANDOM).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())])));
    name.parse().expect("a lower-case letter, a dash, letters and digits are a node name")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written, asked for and lies there, and what comes of it: a name, or words of the refusal. The name that a
    /// log said has a star.
    #[test]
    fn what_a_node_is_called() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::beside(home.path()).unwrap();
        let of = |name: &str| name.parse::<NodeName>().ok();
        for (kept, given, logs, wanted) in [
            ("", "", &[][..], "n-"),
            ("", "a", &[], "a"),
            ("a", "", &[], "a"),
            ("a", "b", &[], "cannot become b"),
            ("a", "a", &["a"], "a"),
            ("a", "", &["a", "b"], "a"),
            ("", "", &["a"], "a*"),
            ("", "a", &["a"], "a*"),
            ("", "b", &["a"], "the node a, whose log it holds; it cannot become b"),
            ("", "b", &["a", "b"], "b*"),
            ("", "", &["a", "b"], "of the nodes a, b"),
            ("b", "", &["a"], "says b, and the log that lies here is of the node a"),
            ("b", "b", &["a"], "write a into"),
            ("b", "a", &["a"], "write a into"),
        ] {
            let found = logs.iter().filter_map(|name| of(name)).collect();
            let said = match decide(&folder, of(kept), of(given).as_ref(), &found) {
                Ok(named) => format!("{}{}", named.name, if named.is_found { "*" } else { "" }),
                Err(error) => error.to_string(),
            };
            let is_right = said == wanted || wanted == "n-" || wanted.contains(' ');
            assert!(said.contains(wanted) && is_right, "{kept:?} {given:?} {logs:?}: {said}, not {wanted}");
        }
    }

    #[test]
    fn streams_ledgers_and_lists_name_their_node() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::beside(home.path()).unwrap();
        assert!(logs(&folder).unwrap().is_empty());
        for (path, text) in [
            (folder.streams().join("EVENT_n-store/meta.inf"), ""),
            (folder.streams().join("KV_other/meta.inf"), ""),
            (folder.log().join("COMMAND_n_ledger.ledger"), ""),
            (folder.log().join("index.redb"), ""),
            (folder.node().join("ledgers.json"), r#"{"generations":{"EVENT_n-list":0}}"#),
            (folder.node().join("witnessed.json"), "{"),
        ] {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let found = logs(&folder).unwrap();
        assert_eq!(found.iter().map(NodeName::as_str).collect::<Vec<_>>(), ["n-list", "n-store", "n_ledger"]);
        assert_eq!(name(&folder, Some(&"n-list".parse().unwrap())).unwrap().name.as_str(), "n-list");
        fs::write(folder.name_file(), [0xff]).unwrap();
        assert!(matches!(name(&folder, None), Err(Error::Malformed { .. })), "three could be meant");
    }
}
