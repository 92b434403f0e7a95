//! `comms bench` measures what it says, and says it in the documented shape. How fast anything is, is not looked at.

use std::collections::BTreeSet;

use crate::binary::{comms, objects};
use crate::shapes::assert_fits;

/// The rows of messages: those of 1 GiB measure the disk for minutes.
const ROWS: [&str; 8] =
    ["direct", "check", "query", "query_256", "command_one", "command_many", "append_one", "append_many"];

#[test]
fn every_row_is_measured_beside_its_peers() {
    let folder = tempfile::tempdir().unwrap();
    let rows = ROWS.iter().flat_map(|row| ["--row", row]);
    let arguments: Vec<&str> =
        ["bench", "--json", "--runs", "1", "--seconds", "1"].into_iter().chain(rows).collect();
    let lines = objects(&comms(folder.path(), &arguments).done());
    for line in &lines {
        assert_fits("bench", line);
        for number in ["ours", "peer", "ratio"] {
            assert!(line[number].as_f64().is_some_and(|number| number > 0.0), "{line}");
        }
        assert_eq!(line["runs"].as_array().map(Vec::len), Some(1), "{line}");
        assert!(line["unit"].as_str().is_some_and(|unit| unit.ends_with("/s")), "{line}");
    }
    let rows: BTreeSet<&str> = lines.iter().map(|line| line["row"].as_str().unwrap()).collect();
    assert_eq!(rows, BTreeSet::from(ROWS));
    let named: BTreeSet<(&str, &str)> = lines
        .iter()
        .map(|line| (line["row"].as_str().unwrap(), line["peer_name"].as_str().unwrap()))
        .collect();
    assert_eq!(named.len(), lines.len(), "a peer of a row is told once");
}
