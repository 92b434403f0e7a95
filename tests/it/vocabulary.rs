//! The messages of the fixture domain, as its services declare them.

use comms::Content;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AddDocument {
    pub(crate) title: String,
    pub(crate) file: Content,
}
comms::command!(AddDocument = "documents.AddDocument");

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RetitleDocument {
    pub(crate) document: String,
    pub(crate) title: String,
}
comms::command!(RetitleDocument = "documents.RetitleDocument");

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ping {
    pub(crate) n: u64,
}
comms::command!(Ping = "documents.Ping", direct);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Lend {
    pub(crate) n: u64,
}
comms::command!(Lend = "lending.Lend");

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FindDocuments {
    pub(crate) words: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Documents {
    pub(crate) titles: Vec<String>,
}
comms::query!(FindDocuments = "documents.FindDocuments" -> Documents);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DocumentAdded {
    pub(crate) title: String,
    pub(crate) file: Content,
}
comms::event!(DocumentAdded = "documents.DocumentAdded");

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DocumentRetitled {
    pub(crate) title: String,
}
comms::event!(DocumentRetitled = "documents.DocumentRetitled");

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Lent {
    pub(crate) n: u64,
}
comms::event!(Lent = "lending.Lent");
