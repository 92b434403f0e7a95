//! The domain that tests run: one context, durable and direct commands, a query, two events, and a service for each
//! part somebody can play.

use std::path::Path;

/// The definition. `archive` handles and answers, `desk` sends and asks, `indexer` only listens, `auditor` may read any
/// content, `evil` has just enough rights to try everything else.
pub const DOMAIN: &str = r#"
name = "library"

[content]
threshold = "64 KiB"
copies = 1

[command."documents.AddDocument"]
[command."documents.RetitleDocument"]
[command."documents.Ping"]
delivery = "direct"
[command."lending.Lend"]
[query."documents.FindDocuments"]
deadline = "2 s"
[event."documents.DocumentAdded"]
entity = "document"
[event."documents.DocumentRetitled"]
entity = "document"
[event."lending.Lent"]
entity = "loan"
[event."lending.Noted"]
entity = "note"

[service.archive]
handles = ["documents.AddDocument", "documents.RetitleDocument", "documents.Ping"]
answers = ["documents.FindDocuments"]
emits = ["documents.DocumentAdded", "documents.DocumentRetitled"]

[service.desk]
sends = ["documents.AddDocument", "documents.RetitleDocument", "documents.Ping"]
asks = ["documents.FindDocuments"]

[service.indexer]
observes = ["documents.DocumentAdded", "documents.DocumentRetitled"]

[service.auditor]
observes = ["documents.DocumentRetitled"]
rights = ["content.read"]

[service.evil]
sends = ["documents.Ping", "lending.Lend"]
asks = ["documents.FindDocuments"]
emits = ["lending.Noted"]
observes = ["lending.Noted"]

[service.lender]
handles = ["lending.Lend"]
emits = ["lending.Lent"]

[service.reader]
observes = ["lending.Lent"]

[dev]
sends = []
asks = []
observes = []
"#;

/// Schemas by their path under `schemas/`.
pub const SCHEMAS: &[(&str, &str)] = &[
    (
        "documents/AddDocument.json",
        r#"{"type":"object","required":["title","file"],"properties":{"title":{"type":"string","minLength":1},"file":{"$ref":"comms:bytes"}}}"#,
    ),
    (
        "documents/RetitleDocument.json",
        r#"{"type":"object","required":["document","title"],"properties":{"document":{"type":"string"},"title":{"type":"string"}}}"#,
    ),
    (
        "documents/DocumentAdded.json",
        r#"{"type":"object","required":["title","file"],"properties":{"title":{"type":"string"},"file":{"$ref":"comms:bytes"}}}"#,
    ),
    (
        "documents/DocumentRetitled.json",
        r#"{"type":"object","required":["title"],"properties":{"title":{"type":"string"}}}"#,
    ),
];

/// Writes the domain into `folder`.
pub fn write(folder: &Path) {
    write_definition(folder, DOMAIN);
}

/// Writes the domain with another definition text.
pub fn write_definition(folder: &Path, definition: &str) {
    std::fs::write(folder.join("domain.toml"), definition).expect("a test folder can be written");
    for (path, text) in SCHEMAS {
        let file = folder.join("schemas").join(path);
        std::fs::create_dir_all(file.parent().expect("a schema stands in its context's folder"))
            .expect("writable");
        std::fs::write(file, text).expect("writable");
    }
}
