//! Changing the definition of a running domain: what a change would do, and making it.
//!
//! A change is refused when it would leave stored messages under subjects that no definition names any more, when it renames
//! the domain or is an older file, and, unless that is confirmed, when it takes the right to change the definition. It is made
//! from the outside in: first the broker lets new users in and holds old ones back, then streams and consumers follow, then
//! doors and gateway decide by the new definition, and then it is kept as the one in force. A step that fails leaves
//! those before it; applying again goes on from there.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_nats::jetstream;
use comms_domain::{Change, Changes, Difference, Domain, Layout, NodeId, nats_conf};
use comms_msg::ServiceName;
use comms_msg::door::{Refusal, RefusalKind};
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::bearers::Bearers;
use crate::current::{Current, InForce};
use crate::definition::Sources;
use crate::door::{Doors, Entrances};
use crate::folder::{Held, NodeFile};
use crate::gateway::Definition;
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
    pub(crate) bearers: Mutex<Bearers>,
    pub(crate) jetstream: jetstream::Context,
    /// The server, if it is the node's own to configure.
    pub(crate) server: Option<Arc<Managed>>,
    pub(crate) configure: ServerConfiguration,
    /// Known once the doors are open.
    pub(crate) doors: OnceLock<(Arc<Doors>, Arc<Entrances>)>,
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
        let old = self.current.get();
        let (changes, difference) = self.compare(&old, &domain);
        let mut refused = changes.forbidden();
        refused.extend(self.orphaned(&changes).await.map_err(|e| failed(&e))?);
        Ok(json!({
            "changes": changes.lines,
            "broker": difference,
            "refused": refused,
            "warnings": changes.warnings(),
            "digest": domain.digest(),
            "in_force": old.domain.digest(),
        }))
    }

    /// Puts the definition in force.
    pub(crate) async fn apply(&self, by: ServiceName, definition: Definition) -> Result<Value, Refusal> {
        let mut announced = self.announced.lock().await;
        let (over, confirmed) = (definition.over.clone(), definition.confirmed);
        let (sources, domain) = parse(definition)?;
        let old = self.current.get();
        let (changes, _) = self.compare(&old, &domain);
        permitted(&changes, &old.domain.digest(), over.as_deref(), confirmed)?;
        let orphans = self.orphaned(&changes).await.map_err(|e| failed(&e))?;
        if !orphans.is_empty() {
            let message = format!(
                "the change would orphan what is stored; nothing was changed; {}",
                orphans.join("; ")
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
        if let Some((_, entrances)) = self.doors.get() {
            entrances.follow(&domain).await?;
        }
        let mut bearers = self.bearers.lock().await;
        bearers.follow(&self.held, &layout)?;
        let tokens = bearers.admitted();
        self.current.replace(InForce { domain, layout, tokens });
        sources.keep(&self.held)?;
        // After the doors follow, so that no watch of the former kind is opened behind this; and after everything else, which
        // must not be left undone where the server does not answer.
        let Some((doors, _)) = self.doors.get() else { return Ok(()) };
        let (waiting, senders) = crate::node::waiting(&self.current.get().domain);
        doors.log.follow(waiting, senders);
        provision::revoke(&self.jetstream, doors.log.event_stream_name(), &self.current.get().domain).await
    }

    /// JetStream does not answer for a moment after a reload; what is done before an error stays done.
    async fn provision(&self, layout: &Layout) -> Result<(), Error> {
        let begin = tokio::time::Instant::now();
        // The start made them all.
        let known: Vec<String> = layout.streams.iter().map(|stream| stream.name.clone()).collect();
        loop {
            match provision::apply(&self.jetstream, layout, &known).await {
                Err(Error::Request { doing, source }) if begin.elapsed() < PROVISION_FOR => {
                    tracing::debug!(doing, %source, "again");
                    tokio::time::sleep(PROVISION_PAUSE).await;
                }
                result => return result.map(drop),
            }
        }
    }

    fn compare(&self, old: &InForce, new: &Domain) -> (Changes, Difference) {
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

/// Whether a change may be made, whatever is stored. `over` is what its author saw in force.
fn permitted(changes: &Changes, in_force: &str, over: Option<&str>, confirmed: bool) -> Result<(), Refusal> {
    let conflict = |message: String| Err(Refusal::new(RefusalKind::Conflict, message));
    if over.is_some_and(|over| over != in_force) {
        return conflict(format!(
            "another definition was applied meanwhile, and nothing was changed; plan again: {in_force} is in force"
        ));
    }
    let forbidden = changes.forbidden();
    if !forbidden.is_empty() {
        return conflict(format!("nothing was changed; {}", forbidden.join("; ")));
    }
    let warnings = changes.warnings();
    if !warnings.is_empty() && !confirmed {
        return conflict(format!(
            "nothing was changed: {}; if that is meant, confirm it: comms domain apply --yes",
            warnings.join(", ")
        ));
    }
    Ok(())
}

fn parse(definition: Definition) -> Result<(Sources, Domain), Refusal> {
    let sources = Sources { file: definition.file, definition: definition.toml, schemas: definition.schemas };
    let domain = sources.parse().map_err(|e| Refusal::new(RefusalKind::Invalid, one_line(&e)))?;
    Ok((sources, domain))
}

/// A refusal is one line, whoever shows it; its parts are joined as the parts of every refusal are.
fn one_line(error: &Error) -> String {
    let text = error.to_string();
    text.lines().map(str::trim).collect::<Vec<_>>().join("; ")
}

fn failed(error: &Error) -> Refusal {
    tracing::error!(%error, "the definition could not be changed");
    let mut message = one_line(error);
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        message.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    Refusal::new(RefusalKind::Unavailable, message).perhaps_done()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A definition of that version, with a section for the operator.
    fn domain(name: &str, version: u32, operator: &str) -> Domain {
        let text = format!("name = \"{name}\"\nversion = {version}\n[operator]\n{operator}\n");
        Domain::parse("domain.toml", &text, &BTreeMap::new()).unwrap_or_else(|problems| panic!("{problems}"))
    }

    #[test]
    fn what_may_be_applied_over_version_2_of_a_library() {
        let old = domain("library", 2, "");
        let (digest, other) = (old.digest(), domain("library", 1, "").digest());
        let seated = domain("library", 3, "");
        let unseated = domain("library", 3, "rights = [\"domain.read\"]");
        for (new, over, confirmed, wanted) in [
            (&seated, None, false, Ok(())),
            (&seated, Some(&digest), false, Ok(())),
            (&seated, Some(&other), false, Err("applied meanwhile")),
            (&seated, Some(&other), true, Err("applied meanwhile")),
            (&old, Some(&digest), false, Ok(())),
            (&domain("library", 1, ""), Some(&digest), false, Err("a version above 2")),
            (&domain("library", 1, ""), None, true, Err("a version above 2")),
            (&domain("archive", 3, ""), None, true, Err("keep the name")),
            (
                &unseated,
                Some(&digest),
                false,
                Err("operator could not change the definition any more; if that is meant"),
            ),
            (&unseated, None, false, Err("--yes")),
            (&unseated, Some(&digest), true, Ok(())),
        ] {
            let result = permitted(&Change::between(&old, new), &digest, over.map(String::as_str), confirmed);
            match (result, wanted) {
                (Ok(()), Ok(())) => {}
                (Err(refusal), Err(words)) => {
                    assert_eq!(refusal.kind, RefusalKind::Conflict);
                    assert!(refusal.message.contains(words) && !refusal.may_have_happened, "{refusal}");
                    assert_eq!(refusal.message.lines().count(), 1, "{refusal}");
                }
                (result, wanted) => panic!("{} v{}: {result:?}, not {wanted:?}", new.name, new.version),
            }
        }
    }
}
