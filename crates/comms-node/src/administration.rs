//! Changing the definition of a running domain: what a change would do, and making it.
//!
//! A change is refused when it would leave stored messages under subjects that no definition names any more. It is made
//! from the outside in: first the broker lets new users in and holds old ones back, then streams and consumers follow, then
//! doors and gateway decide by the new definition, and then it is kept as the one in force. A step that fails leaves
//! those before it; applying again goes on from there.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_nats::jetstream;
use comms_domain::{Account, Change, Changes, Difference, Domain, Layout, NodeId, nats_conf};
use comms_msg::ServiceName;
use comms_msg::door::{Refusal, RefusalKind};
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::current::{Current, InForce};
use crate::definition::Sources;
use crate::door::Doors;
use crate::folder::{Held, NodeFile};
use crate::gateway::{Definition, Tokens};
use crate::keys::Keys;
use crate::server::Managed;
use crate::{Error, provision};

/// Stored subjects that a refusal names; it is enough to see what is meant.
const SUBJECTS_NAMED_MAX: usize = 3;

/// How long streams and consumers are tried after a reload; it takes milliseconds.
const PROVISION_FOR: Duration = Duration::from_secs(5);
/// Pause before another try.
const PROVISION_PAUSE: Duration = Duration::from_millis(50);

/// Makes the running node follow its definition.
#[derive(Debug)]
pub(crate) struct Administration {
    pub(crate) held: Held,
    pub(crate) id: NodeId,
    pub(crate) current: Current,
    pub(crate) jetstream: jetstream::Context,
    /// The server, if it is the node's own to configure.
    pub(crate) server: Option<Arc<Managed>>,
    pub(crate) configure: ServerConfiguration,
    /// Known once the doors are open.
    pub(crate) doors: OnceLock<Arc<Doors>>,
    /// What clients are told; also held while a change is made, since two at once would mix.
    pub(crate) announced: Mutex<Option<NodeFile>>,
}

/// How the server's configuration is written from a layout.
#[derive(Debug, Clone)]
pub(crate) struct ServerConfiguration(pub(crate) nats_conf::ServerOptions);

impl ServerConfiguration {
    pub(crate) fn text(&self, layout: &Layout, keys: &Keys) -> Result<String, Error> {
        nats_conf::server(layout, &keys.public(), &self.0).map_err(|e| Error::Request {
            doing: "write the configuration of nats-server".to_owned(),
            source: Box::new(e),
        })
    }
}

impl Administration {
    /// What the definition would change, and what speaks against it.
    pub(crate) async fn plan(&self, definition: Definition) -> Result<Value, Refusal> {
        let (_, domain) = parse(definition)?;
        let (changes, difference) = self.compare(&domain);
        let orphans = self.orphaned(&changes).await.map_err(|e| failed(&e))?;
        Ok(json!({
            "changes": changes.lines,
            "broker": difference,
            "refused": orphans,
            "digest": domain.digest(),
        }))
    }

    /// Puts the definition in force.
    pub(crate) async fn apply(&self, by: ServiceName, definition: Definition) -> Result<Value, Refusal> {
        let mut announced = self.announced.lock().await;
        let (sources, domain) = parse(definition)?;
        let (changes, _) = self.compare(&domain);
        let orphans = self.orphaned(&changes).await.map_err(|e| failed(&e))?;
        if !orphans.is_empty() {
            let message = format!(
                "the change would orphan what is stored; nothing was changed:\n  {}",
                orphans.join("\n  ")
            );
            return Err(Refusal::new(RefusalKind::Conflict, message));
        }
        let Some(server) = &self.server else {
            let message = "this nats-server is not the node's to configure: write the accounts with `comms domain accounts`, \
                           reload that server, and start comms again";
            return Err(Refusal::new(RefusalKind::Unavailable, message));
        };
        tracing::info!(%by, "the definition changes");
        let digest = domain.digest();
        self.put_in_force(server, domain, &sources).await.map_err(|e| failed(&e))?;
        if let Some(file) = announced.as_mut() {
            file.definition.clone_from(&digest);
            self.held.announce(file).map_err(|e| failed(&e))?;
        }
        Ok(json!({ "changes": changes.lines, "digest": digest }))
    }

    async fn put_in_force(&self, server: &Managed, domain: Domain, sources: &Sources) -> Result<(), Error> {
        let layout = Layout::of(&domain, &self.id);
        let keys = Keys::load_or_make(self.held.folder(), &layout)?;
        server.reload(&self.configure.text(&layout, &keys)?).await?;
        self.provision(&layout).await?;
        let tokens = admitted(&layout, &keys);
        self.current.replace(InForce { domain, layout, tokens });
        sources.keep(&self.held)?;
        // After the doors follow, so that no watch of the former kind is opened behind this; and after everything else, which
        // must not be left undone where the server does not answer.
        let Some(doors) = self.doors.get() else { return Ok(()) };
        let (waiting, senders) = crate::node::waiting(&self.current.get().domain);
        doors.log.follow(waiting, senders);
        provision::revoke(&self.jetstream, doors.log.event_stream_name(), &self.current.get().domain).await
    }

    /// JetStream does not answer for a moment after a reload; what is done before an error stays done.
    async fn provision(&self, layout: &Layout) -> Result<(), Error> {
        let begin = tokio::time::Instant::now();
        loop {
            match provision::apply(&self.jetstream, layout).await {
                Err(Error::Request { doing, source }) if begin.elapsed() < PROVISION_FOR => {
                    tracing::debug!(doing, %source, "again");
                    tokio::time::sleep(PROVISION_PAUSE).await;
                }
                result => return result.map(drop),
            }
        }
    }

    fn compare(&self, new: &Domain) -> (Changes, Difference) {
        let old = self.current.get();
        let difference = Difference::between(&old.layout, &Layout::of(new, &self.id));
        (Change::between(&old.domain, new), difference)
    }

    /// What is stored that the change would orphan, in words; empty if nothing is.
    pub(crate) async fn orphaned(&self, changes: &Changes) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        for orphan in changes.orphans() {
            for stream in Layout::of(&self.current.get().domain, &self.id).streams {
                let subjects = self.stored(&stream.name, &orphan.filter).await?;
                if !subjects.is_empty() {
                    found.push(format!("{} (stored: {})", orphan.why, subjects.join(", ")));
                }
            }
        }
        Ok(found)
    }

    /// Some of the subjects of `stream` that match `filter` and hold messages.
    async fn stored(&self, stream: &str, filter: &str) -> Result<Vec<String>, Error> {
        let doing = || format!("look what {stream} holds under {filter}");
        let handle = self
            .jetstream
            .get_stream_no_info(stream)
            .await
            .map_err(|e| Error::Request { doing: doing(), source: Box::new(e) })?;
        let subjects = handle
            .info_with_subjects(filter)
            .await
            .map_err(|e| Error::Request { doing: doing(), source: Box::new(e) })?;
        subjects
            .map_ok(|(subject, _)| subject)
            .take(SUBJECTS_NAMED_MAX)
            .try_collect()
            .await
            .map_err(|e| Error::Request { doing: doing(), source: Box::new(e) })
    }
}

/// The tokens of the services of a layout.
pub(crate) fn admitted(layout: &Layout, keys: &Keys) -> Tokens {
    let services = layout.users.iter().filter(|user| user.account == Account::Services);
    Tokens::of(services.filter_map(|user| {
        let service = user.name.parse::<ServiceName>().ok()?;
        keys.token(&user.name).map(|token| (service, token.as_str().to_owned()))
    }))
}

fn parse(definition: Definition) -> Result<(Sources, Domain), Refusal> {
    let sources = Sources { file: definition.file, definition: definition.toml, schemas: definition.schemas };
    let domain = sources.parse().map_err(|e| Refusal::new(RefusalKind::Invalid, e.to_string()))?;
    Ok((sources, domain))
}

fn failed(error: &Error) -> Refusal {
    tracing::error!(%error, "the definition could not be changed");
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        message.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    Refusal::new(RefusalKind::Unavailable, message).perhaps_done()
}
