//! The connection to the NATS server: made once, kept for ever, and its state for whoever wants to watch it. Whenever it is
//! made anew, nothing is said before the node has vouched for who listens ([`proof`]).
//!
//! What the server reports later (a publish it does not permit, a subscription that overflowed) has no caller to be
//! returned to; it is logged, counted in [`Connection`], and told to those who wait for an answer to it.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectError, ConnectErrorKind, Event, ServerAddr, ServerError};
use tokio::sync::watch;

use crate::error::{Error, ErrorKind, Result};
use crate::limits::{CLIENT_QUEUE, CONNECT_WITHIN, RECONNECT_PAUSE_MAX, SUBSCRIPTION_QUEUE, VOUCHED_WITHIN};
use crate::options::Settings;
use crate::proof;
use crate::replies::Replies;

/// How the connection is. From [`Comms::connection`](crate::Comms::connection).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connection {
    /// Whether there is one at this moment.
    pub connected: bool,
    /// How often it was made, the first time included.
    pub connects: u64,
    /// Messages that arrived faster than they were taken, and are lost: live events, direct commands, queries.
    pub overflows: u64,
    /// Publishes and subscriptions that the server did not permit.
    pub violations: u64,
    /// How often the node told this service that acknowledged messages are lost, each time with another reason: what its
    /// handlers hear is not all that was recorded. Told to services that listen or handle durable commands.
    pub losses: u64,
    /// The last thing that the server, the connection or the node complained about.
    pub last_error: Option<String>,
}

/// Connects, and keeps `state` up to date from then on.
pub(crate) async fn connect(
    settings: &Settings,
    replies: Arc<Replies>,
    state: watch::Sender<Connection>,
) -> Result<Client> {
    let addresses: Vec<ServerAddr> = settings
        .nats
        .split(',')
        .map(|url| url.trim().parse())
        .collect::<Result<_, _>>()
        .map_err(|error| {
            Error::new(ErrorKind::Config, format!("{} is not the address of a NATS server", settings.nats))
                .because(error)
        })?;
    let service = settings.service.clone();
    let options = proof::options(&settings.seed.0, settings.voucher.clone()).map_err(|error| {
        let message = format!("the seed of {} is not one that a node makes", settings.service);
        Error::new(ErrorKind::Config, message).because(error)
    })?;
    let connecting = options
        .name(settings.service.as_str())
        .custom_inbox_prefix(format!("_INBOX.{}", settings.service))
        .connection_timeout(CONNECT_WITHIN)
        .client_capacity(CLIENT_QUEUE)
        .subscription_capacity(SUBSCRIPTION_QUEUE)
        // Every subject is made from names that were checked when they were read.
        .skip_subject_validation(true)
        .reconnect_delay_callback(reconnect_pause)
        .event_callback(move |event| {
            note(&service, &event, &state, &replies);
            std::future::ready(())
        })
        .connect(addresses);
    match tokio::time::timeout(VOUCHED_WITHIN, connecting).await {
        Ok(connected) => connected.map_err(|error| refused(settings, error)),
        Err(late) => {
            let message =
                format!("the node vouches for no NATS server at {}; is it running? comms up", settings.nats);
            Err(Error::new(ErrorKind::Unavailable, message).because(late))
        }
    }
}

fn refused(settings: &Settings, error: ConnectError) -> Error {
    let at = &settings.nats;
    let (kind, message) = match error.kind() {
        ConnectErrorKind::AuthorizationViolation => (
            ErrorKind::Denied,
            format!("{at} does not accept the credentials of {}: are they of this domain?", settings.service),
        ),
        ConnectErrorKind::Authentication => (
            ErrorKind::Unavailable,
            format!("the node does not vouch for who listens at {at}; nothing was said there"),
        ),
        ConnectErrorKind::ServerParse => {
            (ErrorKind::Config, format!("{at} is not the address of a NATS server"))
        }
        _ => {
            (ErrorKind::Unavailable, format!("no NATS server answers at {at}; is the node running? comms up"))
        }
    };
    Error::new(kind, message).because(error)
}

/// At once, then 50 ms, doubled each time: a server that was restarted is found in a moment, one that is gone is
/// not hammered.
fn reconnect_pause(attempts: usize) -> Duration {
    match attempts {
        0 | 1 => Duration::ZERO,
        attempts => {
            let doublings = u32::try_from(attempts - 2).unwrap_or(u32::MAX).min(16);
            Duration::from_millis(50).saturating_mul(1 << doublings).min(RECONNECT_PAUSE_MAX)
        }
    }
}

fn note(
    service: &comms_msg::ServiceName,
    event: &Event,
    state: &watch::Sender<Connection>,
    replies: &Replies,
) {
    match event {
        Event::Connected => {
            tracing::debug!(%service, "connected");
            state.send_modify(|state| {
                state.connected = true;
                state.connects += 1;
            });
        }
        Event::Disconnected => {
            tracing::warn!(%service, "the connection is lost; reconnecting");
            state.send_modify(|state| state.connected = false);
        }
        Event::Closed => state.send_modify(|state| state.connected = false),
        Event::SlowConsumer(subscription) => {
            let mut first = false;
            state.send_modify(|state| {
                first = state.overflows == 0;
                state.overflows += 1;
            });
            if first {
                tracing::warn!(%service, subscription, "messages arrive faster than they are taken, and are lost");
            }
        }
        Event::ServerError(error) => {
            let text = error.to_string();
            tracing::error!(%service, error = text, "the server complains");
            let refused = match error {
                ServerError::Other(text) => refused_publish(text),
                ServerError::AuthorizationViolation | ServerError::SlowConsumer(_) => None,
            };
            if let Some(subject) = refused {
                replies.refused(subject);
            }
            state.send_modify(|state| {
                state.violations += u64::from(text.to_ascii_lowercase().contains("permissions violation"));
                state.last_error = Some(text);
            });
        }
        Event::ClientError(error) => {
            let text = error.to_string();
            tracing::warn!(%service, error = text, "the connection complains");
            state.send_modify(|state| state.last_error = Some(text));
        }
        Event::LameDuckMode | Event::Draining => {}
    }
}

/// The subject in `Permissions Violation for Publish to "x.y"`.
fn refused_publish(text: &str) -> Option<&str> {
    let rest = text.split_once("Permissions Violation for Publish to \"")?.1;
    rest.split_once('"').map(|(subject, _)| subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconnects_at_once_then_slower_up_to_the_longest_pause() {
        assert_eq!(reconnect_pause(1), Duration::ZERO);
        assert_eq!(reconnect_pause(2), Duration::from_millis(50));
        assert_eq!(reconnect_pause(3), Duration::from_millis(100));
        assert_eq!(reconnect_pause(usize::MAX), RECONNECT_PAUSE_MAX);
    }

    #[test]
    fn the_subject_of_a_refused_publish_is_found() {
        let text = "Permissions Violation for Publish to \"library.command.a.B.desk\"";
        assert_eq!(refused_publish(text), Some("library.command.a.B.desk"));
        assert_eq!(refused_publish("Permissions Violation for Subscription to \"x\""), None);
    }
}
