//! As much of YAML as `docker-compose.yml` is written in: maps and lists by indentation, lists in brackets on one line,
//! texts with and without quotes, folded texts (`>-`), comments. Anything else fails the test that reads it.

use serde_json::{Map, Value};

/// One line: how far it is indented, and what it says.
type Line<'a> = (usize, &'a str);

/// Reads a file.
pub(super) fn read(text: &str) -> Value {
    let lines: Vec<Line<'_>> = text
        .lines()
        .map(|line| (line.len() - line.trim_start().len(), line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let mut rest = &lines[..];
    let value = block(&mut rest);
    assert!(rest.is_empty(), "not read: {:?}", rest[0]);
    value
}

/// Everything from here on that is indented as far as the first line.
fn block(rest: &mut &[Line<'_>]) -> Value {
    let indent = rest[0].0;
    let (mut list, mut map) = (Vec::new(), Map::new());
    while let Some(&(at, line)) = rest.first() {
        if at < indent {
            break;
        }
        assert_eq!(at, indent, "indented further than expected: {line}");
        *rest = &rest[1..];
        if let Some(item) = line.strip_prefix("- ") {
            list.push(value(item, indent, rest));
        } else {
            let (key, item) = line.split_once(':').unwrap_or_else(|| panic!("no key: {line}"));
            let twice = map.insert(key.to_owned(), value(item.trim(), indent, rest));
            assert!(twice.is_none(), "{key} twice");
        }
    }
    assert!(list.is_empty() || map.is_empty(), "a list and a map in one");
    if list.is_empty() { Value::Object(map) } else { Value::Array(list) }
}

/// What stands behind a key or a dash, there or on the lines below.
fn value(text: &str, indent: usize, rest: &mut &[Line<'_>]) -> Value {
    let is_below = rest.first().is_some_and(|(at, _)| *at > indent);
    match text {
        ">-" => {
            let mut folded = Vec::new();
            while let Some((_, line)) = rest.first().filter(|(at, _)| *at > indent) {
                folded.push(*line);
                *rest = &rest[1..];
            }
            Value::from(folded.join(" "))
        }
        "" if is_below => block(rest),
        "" => Value::Null,
        quoted if quoted.starts_with(['"', '[']) => {
            serde_json::from_str(quoted).unwrap_or_else(|e| panic!("{quoted}: {e}"))
        }
        plain => {
            assert!(!plain.contains(['#', '{', '&', '*', '!', '|', '\'']), "not read: {plain}");
            Value::from(plain)
        }
    }
}

#[test]
fn what_is_read_is_what_is_written() {
    let text = "# comment\na:\n  b: [\"x\", \"y\"]\n  c:\n    - \"one: two\"\n    - >-\n      three\n      four\n  d: e f\nz:\n";
    let wanted = serde_json::json!({ "a": { "b": ["x", "y"], "c": ["one: two", "three four"], "d": "e f" }, "z": null });
    assert_eq!(read(text), wanted);
}
