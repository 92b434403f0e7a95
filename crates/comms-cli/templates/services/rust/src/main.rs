//! The archive: keeps documents, and finds them by the words in their titles.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use comms::{CommandContext, Comms, Content, QueryContext, WatchFrom};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct AddDocument {
    title: String,
    file: Content, // bytes, or a link to them once they are large
}
comms::command!(AddDocument = "documents.AddDocument");

#[derive(Serialize, Deserialize)]
struct DocumentAdded {
    title: String,
    file: Content,
}
comms::event!(DocumentAdded = "documents.DocumentAdded");

#[derive(Serialize, Deserialize)]
struct FindDocuments {
    words: String,
}
comms::query!(FindDocuments = "documents.FindDocuments" -> Documents);

#[derive(Serialize, Deserialize)]
struct Documents {
    documents: Vec<Found>,
}

#[derive(Serialize, Deserialize)]
struct Found {
    document: String,
    title: String,
}

/// Titles by document.
#[derive(Clone, Default)]
struct Catalogue(Arc<Mutex<BTreeMap<String, String>>>);

#[tokio::main]
async fn main() -> comms::Result<()> {
    tracing_subscriber::fmt().init(); // says when it is ready
    let comms = Comms::connect("archive").await?;
    let catalogue = Catalogue::default();
    let events = catalogue.clone().follow(comms.clone());

    let handlers = comms
        .handle(async |add: AddDocument, cx: CommandContext| {
            let document = cx.new_entity("document"); // the same on every redelivery
            Ok(document.emit(DocumentAdded { title: add.title, file: add.file }))
        })
        .answer(move |find: FindDocuments, _: QueryContext| {
            let documents = catalogue.find(&find.words);
            async { Ok(Documents { documents }) }
        });

    tokio::select! {
        ended = handlers.run() => ended, // until Ctrl-C: takes nothing new, finishes what it has, leaves
        ended = events => ended,
    }
}

impl Catalogue {
    /// The catalogue is what the events say: it is read from the first one at every start, and goes on live.
    async fn follow(self, comms: Comms) -> comms::Result<()> {
        let mut events = comms.watch::<DocumentAdded>().from(WatchFrom::Start).await?;
        while let Some(event) = events.next().await {
            let event = event?;
            let mut titles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            titles.insert(event.entity().to_string(), event.title.clone());
        }
        Ok(())
    }

    fn find(&self, words: &str) -> Vec<Found> {
        let titles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has = |title: &str, word: &str| title.to_lowercase().contains(&word.to_lowercase());
        titles
            .iter()
            .filter(|(_, title)| words.split_whitespace().all(|word| has(title, word)))
            .map(|(document, title)| Found { document: document.clone(), title: title.clone() })
            .collect()
    }
}
