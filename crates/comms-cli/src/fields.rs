//! The body of a message from the command line: `field=text`, `field==text`, `field:=JSON`, `field=@file`, `field=-`.
//!
//! What follows `==` is text whatever it is, so that a script may write `title=="$NAME"`. Text stays text: whether a field must be a number is for the schema to say, and the door says it. A dot in a
//! field's name goes one level down. What a file becomes (bytes in the message, or a link) is for whoever sends.

use std::collections::BTreeMap;
use std::path::PathBuf;

use comms::Node;

use crate::failure::Failure;

/// Levels below the body that a dotted name may reach; deeper things are written as JSON.
const LEVELS_MAX: usize = 8;

/// Characters of a text that may be meant as the name of a file: one line of a terminal.
const FILE_CHARS_MAX: usize = 80;

/// Where the value of a field comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Source {
    /// The text as it stands.
    Text(String),
    /// JSON, with `{"/": …}` for links and bytes.
    Json(Node),
    /// The bytes of a file.
    File(PathBuf),
    /// The bytes of standard input.
    Stdin,
}

/// A body: fields by name, some of them with fields below.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Fields(pub(crate) BTreeMap<String, Field>);

/// One field of a body.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Field {
    /// A value.
    Value(Source),
    /// Fields below.
    Below(Fields),
}

impl Fields {
    /// Reads what stands on the command line.
    pub(crate) fn parse(words: &[String]) -> Result<Self, Failure> {
        let mut fields = Self::default();
        let mut stdin = None;
        for word in words {
            let (name, source) = split(word)?;
            if source == Source::Stdin
                && let Some(other) = stdin.replace(name)
            {
                return Err(Failure::usage(format!("standard input is both {other} and {name}"))
                    .mend("It can be read once: write one of them to a file and say field=@file"));
            }
            let path: Vec<&str> = name.split('.').collect();
            if path.len() > LEVELS_MAX || path.iter().any(|part| part.is_empty()) {
                return Err(Failure::usage(format!("{name} is not the name of a field")).mend(format!(
                    "1 to {LEVELS_MAX} names with dots between them; deeper as JSON: field:='{{…}}'"
                )));
            }
            fields.insert(&path, source).map_err(|taken| {
                Failure::usage(format!("{name} is given twice")).mend(format!("{taken} has a value already"))
            })?;
        }
        Ok(fields)
    }

    /// How the field at this path of the body is given as bytes, if it was given as text.
    pub(crate) fn file_advice(&self, path: &str) -> Option<String> {
        let (mut fields, mut names) = (self, path.strip_prefix('/')?.split('/').map(unescaped).peekable());
        while let Some(name) = names.next() {
            match fields.0.get(&name)? {
                Field::Below(below) => fields = below,
                Field::Value(Source::Text(text)) if names.peek().is_none() => {
                    let names: Vec<String> = path.split('/').skip(1).map(unescaped).collect();
                    let field = names.join(".");
                    // A text that is no name of a file would only hide the advice.
                    let named = text.strip_prefix('@').unwrap_or(text);
                    let is_name = !named.is_empty() && named.chars().count() <= FILE_CHARS_MAX;
                    let file = if is_name { named } else { "PATH" };
                    return Some(format!("{field}=@{file} sends the file {file}; {field}=- standard input"));
                }
                Field::Value(_) => return None,
            }
        }
        None
    }

    fn insert<'a>(&mut self, path: &[&'a str], source: Source) -> Result<(), &'a str> {
        let Some((first, rest)) = path.split_first() else {
            return Ok(());
        };
        if rest.is_empty() {
            if self.0.contains_key(*first) {
                return Err(first);
            }
            self.0.insert((*first).to_owned(), Field::Value(source));
            return Ok(());
        }
        match self.0.entry((*first).to_owned()).or_insert_with(|| Field::Below(Self::default())) {
            Field::Below(below) => below.insert(rest, source),
            Field::Value(_) => Err(first),
        }
    }
}

/// The name that a step of a JSON Pointer stands for.
fn unescaped(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

fn split(word: &str) -> Result<(&str, Source), Failure> {
    let shape = "field=text, field==text, field:=JSON, field=@file or field=- for standard input";
    let Some((name, text)) = word.split_once('=') else {
        return Err(Failure::usage(format!("{word} is not a field")).mend(format!("A field is {shape}")));
    };
    if let Some(name) = name.strip_suffix(':') {
        // The reader of the doors: what they would refuse is refused here, in their words.
        let value = Node::from_json(text.as_bytes()).map_err(|error| {
            use comms_content::json::Problem::{Syntax, Text, Trailing, Truncated};
            let failure = match &error {
                comms_content::Error::Json { problem: Syntax | Text | Trailing | Truncated, .. } => {
                    Failure::usage(format!("{name} is not JSON: {text}"))
                        .mend(format!("Text without quotes is {name}=text"))
                }
                _ => Failure::usage(format!("{name} cannot be in a message: {text}")),
            };
            failure.because(&error)
        })?;
        return Ok((name, Source::Json(value)));
    }
    if let Some(text) = text.strip_prefix('=') {
        return Ok((name, Source::Text(text.to_owned())));
    }
    let source = match text.strip_prefix('@') {
        Some("") => {
            return Err(Failure::usage(format!("{name}=@ names no file")).mend(format!("A field is {shape}")));
        }
        Some(file) => Source::File(file.into()),
        None if text == "-" => Source::Stdin,
        None => Source::Text(text.to_owned()),
    };
    Ok((name, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Fields, String> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        Fields::parse(&words).map_err(|failure| failure.to_string())
    }

    #[test]
    fn every_form_of_a_field() {
        let fields =
            parse(&["title=A = b", "n:=[1, 2]", "file=@a/b.pdf", "rest=-", "empty=", "by.name=ada"]).unwrap();
        let by = Fields([("name".to_owned(), Field::Value(Source::Text("ada".into())))].into());
        let expected = [
            ("title", Field::Value(Source::Text("A = b".into()))),
            ("n", Field::Value(Source::Json(Node::from_json(b"[1,2]").unwrap()))),
            ("file", Field::Value(Source::File("a/b.pdf".into()))),
            ("rest", Field::Value(Source::Stdin)),
            ("empty", Field::Value(Source::Text(String::new()))),
            ("by", Field::Below(by)),
        ];
        assert_eq!(fields.0, expected.map(|(name, field)| (name.to_owned(), field)).into());
    }

    #[test]
    fn json_is_read_as_strictly_as_by_a_door() {
        for (json, reason) in [
            ("18446744073709551617", "integer out of range"),
            ("1e999", "float out of range"),
            (r#"{"x":1,"x":2}"#, "key twice"),
            (r#"{"/":1}"#, "the key `/` is reserved"),
            ("\u{feff}1", "byte order mark"),
            ("1 2", "text after the end"),
            (r#""\ud800""#, "not a JSON string"),
        ] {
            let failure = parse(&[&format!("a:={json}")]).unwrap_err();
            assert!(failure.contains(reason), "{json}: {failure}");
        }
        let fields = parse(&["a:=18446744073709551615"]).unwrap();
        let largest = Node::encode(&u64::MAX).unwrap();
        assert_eq!(fields.0["a"], Field::Value(Source::Json(largest)));
    }

    #[test]
    fn what_follows_two_signs_is_text_whatever_it_is() {
        for text in ["@ada", "-", "=", "==b", ":=1", "@", "", "a=b", "{}", "\u{1b}\n"] {
            let fields = parse(&[&format!("title=={text}")]).unwrap();
            let expected = [("title".to_owned(), Field::Value(Source::Text(text.into())))];
            assert_eq!(fields.0, expected.into(), "{text}");
        }
        // It is no second reader of standard input.
        assert!(parse(&["a=-", "b==-"]).is_ok());
    }

    #[test]
    fn text_where_bytes_belong_gets_the_form_of_a_file() {
        let long = "x".repeat(FILE_CHARS_MAX + 1);
        let long = format!("long={long}");
        let words =
            ["file=yy", "by.scan=a b.pdf", "empty=", &long, "done=@yy", "n:=1", "text==@big", "sign==@"];
        let fields = Fields::parse(&words.map(ToOwned::to_owned)).unwrap();
        for (path, advice) in [
            ("/file", Some("file=@yy sends the file yy; file=- standard input")),
            ("/by/scan", Some("by.scan=@a b.pdf sends the file a b.pdf; by.scan=- standard input")),
            ("/empty", Some("empty=@PATH sends the file PATH; empty=- standard input")),
            ("/long", Some("long=@PATH sends the file PATH; long=- standard input")),
            ("/text", Some("text=@big sends the file big; text=- standard input")),
            ("/sign", Some("sign=@PATH sends the file PATH; sign=- standard input")),
            ("/by", None),
            ("/file/below", None),
            ("/done", None),
            ("/n", None),
            ("/other", None),
            ("", None),
        ] {
            assert_eq!(fields.file_advice(path).as_deref(), advice, "{path}");
        }
    }

    #[test]
    fn what_is_not_a_field_is_said() {
        for (words, reason) in [
            (&["title"][..], "title is not a field"),
            (&["n:=one"], "n is not JSON: one"),
            (&["file=@"], "file=@ names no file"),
            (&["a=1", "a=2"], "a is given twice"),
            (&["a=1", "a.b=2"], "a.b is given twice"),
            (&["a.b=1", "a=2"], "a is given twice"),
            (&["a..b=1"], "a..b is not the name of a field"),
            (&["=1"], " is not the name of a field"),
            (&["a=-", "b=-"], "standard input is both a and b"),
        ] {
            let failure = parse(words).unwrap_err();
            assert!(failure.starts_with(&format!("error: {reason}\n  ")), "{failure}");
        }
    }
}
