//! One generated user, who tries what it must not do.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use async_nats::{Client, Event, HeaderMap, ServerError};
use comms_domain::{Account, Layout, User};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{ANSWER_WITHIN, Finding, INCLUDE, TOKEN};
use crate::connections;
use crate::keys::{Keys, NODE};

/// What the server said it refused: two per user would be many; more is not remembered.
const REFUSALS_MAX: usize = 64;

/// What a user must not do, each with what it would mean if it could.
pub(super) struct Attempt {
    pub(super) subject: String,
    pub(super) does: Does,
    pub(super) means: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Does {
    Publish,
    Subscribe,
}

/// What the server told this connection that it refuses.
#[derive(Debug, Default)]
struct Refusals {
    said: Mutex<Vec<String>>,
    more: Notify,
}

pub(super) async fn tries(
    urls: &[String],
    domain: &str,
    layout: &Layout,
    keys: &Keys,
    user: &User,
) -> Vec<Finding> {
    let name = &user.name;
    let refusals = Arc::new(Refusals::default());
    let Some(seed) = keys.seed(Account::Services, name) else { return Vec::new() };
    let options = connections::options(seed, &format!("_INBOX.{name}"), "probe").event_callback({
        let refusals = Arc::clone(&refusals);
        move |event| {
            refusals.note(&event);
            std::future::ready(())
        }
    });
    let client = match connections::connect_to(urls, Account::Services, options).await {
        Ok(client) => client,
        Err(_) => return vec![Finding::open(format!("the server does not know the user {name}"), INCLUDE)],
    };
    let attempts = attempts(domain, layout, user);
    for attempt in &attempts {
        // An error here means that the connection is gone, and then nothing will be heard of it either.
        let _ = attempt.make(&client).await;
    }
    let all_refused = || attempts.iter().all(|attempt| refusals.has(attempt));
    let heard = async {
        while !all_refused() {
            refusals.more.notified().await;
        }
    };
    let _ = timeout(ANSWER_WITHIN, heard).await;
    let open: Vec<Finding> = attempts
        .iter()
        .filter(|attempt| !refusals.has(attempt))
        .map(|attempt| {
            let verb = match attempt.does {
                Does::Publish => "publish on",
                Does::Subscribe => "subscribe to",
            };
            Finding::open(format!("{name} may {verb} {}: {}", attempt.subject, attempt.means), INCLUDE)
        })
        .collect();
    let _ = client.drain().await;
    match open.is_empty() {
        true => vec![Finding::holds(format!("{name} is refused what the definition does not give it"))],
        false => open,
    }
}

/// What `user` must not do. Never anything that its own rights allow.
pub(super) fn attempts(domain: &str, layout: &Layout, user: &User) -> Vec<Attempt> {
    let attempt = |does, subject: String, means| Attempt { subject, does, means };
    let publish = |subject: String, means| attempt(Does::Publish, subject, means);
    let subscribe = |subject: String, means| attempt(Does::Subscribe, subject, means);
    let mut attempts: Vec<Attempt> = layout
        .streams
        .iter()
        .flat_map(|stream| &stream.subjects)
        .map(|subject| publish(subject.replace('>', TOKEN), "it could store what no door has checked"))
        .collect();
    attempts.extend([
        publish("$JS.API.INFO".into(), "it could ask for streams and consumers"),
        publish(format!("$JS.API.CONSUMER.MSG.NEXT.{TOKEN}.{TOKEN}"), "it could take others' messages"),
        publish(format!("$JS.ACK.{TOKEN}.{TOKEN}.1.1.1.1.1"), "it could acknowledge for others"),
        publish(format!("$KV.{TOKEN}.{TOKEN}"), "it could change what the node keeps"),
        publish(format!("$O.{TOKEN}.M.{TOKEN}"), "it could change what the node keeps"),
        publish("$SYS.REQ.SERVER.PING".into(), "it could ask the server about everybody"),
        publish(format!("{domain}.live.event.{TOKEN}"), "it could show events that never were"),
        publish(format!("{domain}.deliver.{TOKEN}"), "it could deliver commands that nobody sent"),
        subscribe(">".into(), "it could read everything"),
        subscribe("$SYS.>".into(), "it could read what the server says about everybody"),
        subscribe("_INBOX.>".into(), "it could read others' answers"),
        subscribe(format!("_INBOX.{NODE}.>"), "it could read the node's answers"),
        subscribe(format!("{domain}.>"), "it could read everything of the domain"),
        subscribe(format!("{domain}.door.>"), "it could stand in for the node"),
    ]);
    // In somebody else's name: what another may publish and this one may not.
    let others =
        || layout.users.iter().filter(|other| other.account == Account::Services && other.name != user.name);
    let as_other = others().filter(|other| other.name != NODE).flat_map(|other| {
        let own = other.publish.iter().filter(|subject| subject.ends_with(&format!(".{}", other.name)));
        own.filter(|subject| !user.publish.contains(subject)).take(1).cloned()
    });
    attempts.extend(as_other.take(1).map(|subject| publish(subject, "it could speak as somebody else")));
    if let Some(other) = others().find(|other| other.name != NODE) {
        attempts.push(subscribe(format!("_INBOX.{}.>", other.name), "it could read another's answers"));
        attempts.push(publish(format!("_INBOX.{}.{TOKEN}", other.name), "it could answer for the node"));
        attempts.push(subscribe(
            format!("{domain}.deliver.{}.>", other.name),
            "it could take another's messages",
        ));
    }
    attempts.retain(|attempt| {
        let allowed = match attempt.does {
            Does::Publish => &user.publish,
            Does::Subscribe => &user.subscribe,
        };
        !allowed.contains(&attempt.subject)
    });
    attempts
}

impl Attempt {
    async fn make(&self, client: &Client) -> Result<(), async_nats::Error> {
        match self.does {
            Does::Publish => {
                // Should nothing refuse it, no stream stores it, because it is meant for one that does not exist.
                let mut nowhere = HeaderMap::new();
                nowhere.insert(async_nats::header::NATS_EXPECTED_STREAM, TOKEN);
                client.publish_with_headers(self.subject.clone(), nowhere, "".into()).await?;
            }
            Does::Subscribe => drop(client.subscribe(self.subject.clone()).await?),
        }
        Ok(())
    }
}

impl Refusals {
    fn note(&self, event: &Event) {
        if let Event::ServerError(ServerError::Other(said)) = event {
            let mut all = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            if all.len() < REFUSALS_MAX {
                all.push(said.clone());
            }
            drop(all);
            self.more.notify_one();
        }
    }

    /// Whether the server said that it refuses this.
    fn has(&self, attempt: &Attempt) -> bool {
        let what = match attempt.does {
            Does::Publish => "publish",
            Does::Subscribe => "subscription",
        };
        let wanted = format!("permissions violation for {what} to \"{}\"", attempt.subject).to_lowercase();
        let all = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().any(|said| said.to_lowercase().contains(&wanted))
    }
}
