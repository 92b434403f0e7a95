//! What fields on the command line become: the body of a message, with its files in it or beside it.
//!
//! A file over the domain's threshold is put first, in constant memory, and linked; a smaller one becomes bytes of the
//! message. A file given for a field that the schema calls text is text.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use comms::{Comms, Node, Source, TypeName};
use comms_domain::limits::THRESHOLD_BYTES_DEFAULT;
use comms_domain::{Domain, Schema};
use ipld_core::ipld::Ipld;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::content::unreadable;
use crate::failure::Failure;
use crate::fields::{Field, Fields, Source as From};
use crate::json;
use crate::output::milliseconds;

/// A body that can be sent, and what left it on the way.
#[derive(Debug)]
pub(crate) struct Body {
    /// The body.
    pub(crate) node: Node,
    /// Files that were put because they are over the threshold.
    pub(crate) offloaded: Vec<json::Offloaded>,
}

/// Makes the body of a message of this type.
pub(crate) async fn assemble(
    fields: &Fields,
    type_name: &TypeName,
    comms: &Comms,
    domain: Option<&Domain>,
) -> Result<Body, Failure> {
    let terms = domain.map_or_else(Terms::default, |domain| Terms::of(type_name, domain));
    let mut assembly = Assembly { comms, type_name, terms, offloaded: Vec::new() };
    let ipld = assembly.fields(fields, "").await?;
    let node = Node::from_ipld(&ipld).map_err(|error| {
        Failure::usage(format!("these fields cannot be the body of {type_name}")).because(&error)
    })?;
    Ok(Body { node, offloaded: assembly.offloaded })
}

struct Assembly<'a> {
    comms: &'a Comms,
    type_name: &'a TypeName,
    terms: Terms,
    offloaded: Vec<json::Offloaded>,
}

impl Assembly<'_> {
    async fn fields(&mut self, fields: &Fields, above: &str) -> Result<Ipld, Failure> {
        let mut map = BTreeMap::new();
        for (name, field) in &fields.0 {
            let path = format!("{above}/{}", name.replace('~', "~0").replace('/', "~1"));
            let value = match field {
                Field::Below(below) => Box::pin(self.fields(below, &path)).await?,
                Field::Value(From::Text(text)) => Ipld::String(text.clone()),
                Field::Value(From::Json(value)) => value.to_ipld(),
                Field::Value(From::File(file)) => {
                    let reader =
                        tokio::fs::File::open(file).await.map_err(|error| unreadable(file, &error))?;
                    self.content(reader, file, &path).await?
                }
                Field::Value(From::Stdin) => self.content(tokio::io::stdin(), Path::new("-"), &path).await?,
            };
            map.insert(name.clone(), value);
        }
        Ok(Ipld::Map(map))
    }

    async fn content(
        &mut self,
        mut reader: impl AsyncRead + Unpin + Send + 'static,
        file: &Path,
        path: &str,
    ) -> Result<Ipld, Failure> {
        let mut start = Vec::new();
        let limit = self.terms.threshold.saturating_add(1);
        (&mut reader).take(limit).read_to_end(&mut start).await.map_err(|error| unreadable(file, &error))?;
        let is_whole = (start.len() as u64) < limit;
        if self.terms.is_text(path) {
            return text(start, is_whole, file, path);
        }
        if is_whole {
            return Ok(Ipld::Bytes(start));
        }
        let begun = Instant::now();
        let source = Source::reader(std::io::Cursor::new(start).chain(reader));
        let put = self.comms.content().put_for(self.type_name, source).await?;
        self.offloaded.push(json::Offloaded {
            path: path.to_owned(),
            cid: put.cid.to_string(),
            bytes: put.size,
            ms: Some(milliseconds(begun.elapsed())),
        });
        Ok(Node::encode(&put.cid).expect("a link is a value").to_ipld())
    }
}

fn text(bytes: Vec<u8>, is_whole: bool, file: &Path, path: &str) -> Result<Ipld, Failure> {
    if !is_whole {
        return Err(Failure::usage(format!("{} is too long for {path}, which is text", file.display()))
            .mend("Text is part of the message; what is large is content, in a field of bytes"));
    }
    String::from_utf8(bytes).map(Ipld::String).map_err(|error| {
        Failure::usage(format!("{} is not text, which {path} is", file.display()))
            .because(&error.utf8_error())
    })
}

/// What the definition in force, as far as it is at hand, says of files in a message.
#[derive(Debug)]
struct Terms {
    /// More bytes than this leave the message.
    threshold: u64,
    /// What says which fields are bytes, if there is a schema.
    schema: Option<Schema>,
}

impl Default for Terms {
    fn default() -> Self {
        Self { threshold: THRESHOLD_BYTES_DEFAULT, schema: None }
    }
}

impl Terms {
    fn of(type_name: &TypeName, domain: &Domain) -> Self {
        let schema = domain.spec(type_name).and_then(comms_domain::Spec::schema);
        Self { threshold: domain.content.threshold, schema: schema.cloned() }
    }

    /// Whether the schema calls the field something else than bytes.
    fn is_text(&self, path: &str) -> bool {
        self.schema.as_ref().is_some_and(|schema| !schema.is_byte_field(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_schema_files_are_bytes_and_with_one_what_it_says() {
        assert!(!Terms::default().is_text("/file"));
        let schema = r#"{"properties": {
            "title": {"type": "string"}, "file": {"$ref": "comms:bytes"}, "a/b": {"$ref": "comms:bytes"},
            "pages": {"items": {"properties": {"scan": {"$ref": "comms:bytes"}}}}}}"#;
        let files = [("c/T.json".to_owned(), schema.to_owned())].into();
        let domain = Domain::parse("domain.toml", "name = 'a'\n[query.'c.T']", &files).unwrap();
        let terms = Terms::of(&"c.T".parse().unwrap(), &domain);
        for (path, is_text) in [
            ("/file", false),
            ("/a~1b", false),
            ("/pages/0/scan", false),
            ("/pages/0/name", true),
            ("/title", true),
            ("/other", true),
        ] {
            assert_eq!(terms.is_text(path), is_text, "{path}");
        }
    }

    #[test]
    fn text_from_a_file_is_text() {
        let file = Path::new("notes.txt");
        assert_eq!(text("Grüße".into(), true, file, "/title").unwrap(), Ipld::String("Grüße".into()));
        for (bytes, is_whole, reason) in [
            (vec![0xff], true, "notes.txt is not text, which /title is"),
            (Vec::new(), false, "notes.txt is too long for /title, which is text"),
        ] {
            let failure = text(bytes, is_whole, file, "/title").unwrap_err().to_string();
            assert!(failure.starts_with(&format!("error: {reason}\n")), "{failure}");
        }
    }
}
