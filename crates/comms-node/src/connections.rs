//! The node's connections to nats-server: one per account, each as the node's own user there, and a further one for each
//! service whose requests it takes.
//!
//! Inboxes begin with a random token: a reply subject that can be guessed could be answered by a stranger. A connection
//! that breaks comes back by itself; [`Health`] says which ones are there now. To a server of the node's own nothing is
//! said before it is known that nobody else has taken its port.

use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use comms::proof::{self, Voucher};
use comms_domain::Account;
use comms_msg::ServiceName;
use rand::RngExt as _;
use tokio::sync::watch;

use crate::Error;
use crate::keys::{Keys, NODE};
use crate::own_threads::OwnThreads;
use crate::secret::SecretText;
use crate::server::Vouch;

/// Random letters and digits in the node's inbox prefix: 128 bits, as in the names of consumers.
const INBOX_RANDOM: usize = 22;
/// The longest pause between two tries to reconnect. A restarted server is back in a tenth of it.
const RECONNECT_PAUSE_LONGEST: Duration = Duration::from_millis(500);
/// Bytes read at once from a connection by which requests come. A task that reads gives its thread to others after 128
/// reads: so little of one service's is taken at a time that another's next request waits for milliseconds.
const ENTERING_BYTES: u16 = 16 << 10;
/// Threads that read them: one more than a service that floods keeps busy, with its connection and with what came by it.
const READERS: usize = 3;
/// How long a request of the node to nats-server may take. A slow disk takes seconds to create a stream.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);

/// The connections of a node.
#[derive(Debug, Clone)]
pub struct Connections {
    /// Streams and other nodes.
    pub domain: Client,
    /// All services: what is said to them.
    pub services: Client,
    /// The server's own account; a server that exists may keep it to itself.
    pub sys: Option<Client>,
    health: watch::Receiver<Health>,
    reading: Arc<OwnThreads>,
    entering: Arc<Entering>,
}

/// What a further connection to SERVICES is opened with.
#[derive(Debug)]
struct Entering {
    urls: Arc<[String]>,
    seed: SecretText,
    vouch: Option<Vouch>,
}

/// Which connections are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// To DOMAIN.
    pub domain: bool,
    /// To SERVICES.
    pub services: bool,
}

impl Health {
    /// Whether the node can do its work.
    pub fn is_whole(self) -> bool {
        self.domain && self.services
    }
}

impl Connections {
    /// Connects to DOMAIN and SERVICES, and to SYS if the server lets the node in there.
    ///
    /// `urls` are servers of one system; each holds exactly one address.
    pub async fn open(urls: &[String], keys: &Keys) -> Result<Connections, Error> {
        Connections::begin(urls, keys, None).await
    }

    /// The same to a server of the node's own.
    pub(crate) async fn open_own(url: String, keys: &Keys, vouch: &Vouch) -> Result<Connections, Error> {
        Connections::begin(&[url], keys, Some(vouch)).await
    }

    async fn begin(urls: &[String], keys: &Keys, vouch: Option<&Vouch>) -> Result<Connections, Error> {
        let (told, health) = watch::channel(Health::default());
        let told = Arc::new(told);
        let reading = Arc::new(OwnThreads::start("doors", READERS)?);
        let urls: Arc<[String]> = urls.into();
        let open = |account: Account, set: fn(&mut Health, bool)| {
            let told = Arc::clone(&told);
            let seed = keys.own(account);
            let (begun, urls) = (begin(seed, vouch), Arc::clone(&urls));
            async move {
                let options =
                    described(begun?, &own_inbox(), account.as_str()).event_callback(move |event| {
                        note(account, &event);
                        if let Event::Connected | Event::Disconnected | Event::Closed = event {
                            told.send_modify(|health| set(health, event == Event::Connected));
                        }
                        std::future::ready(())
                    });
                connect_to(&urls, account, options).await
            }
        };
        let (domain, services, sys) = tokio::join!(
            open(Account::Domain, |health, up| health.domain = up),
            open(Account::Services, |health, up| health.services = up),
            open(Account::Sys, |_, _| ()),
        );
        let sys = match sys {
            Ok(sys) => Some(sys),
            Err(error) if is_refusal(&error) => None,
            Err(error) => return Err(error),
        };
        let entering = Entering { urls, seed: keys.own(Account::Services).clone(), vouch: vouch.cloned() };
        let entering = Arc::new(entering);
        Ok(Connections { domain: domain?, services: services?, sys, health, reading, entering })
    }

    /// A further connection to SERVICES, by which what `service` asks comes in and nothing else. It is read on the threads
    /// of [`reading`](Self::reading).
    pub(crate) async fn enter(&self, service: &ServiceName) -> Result<Client, Error> {
        let Entering { urls, seed, vouch } = &*self.entering;
        let account = Account::Services;
        let purpose = format!("requests of {service}");
        let service = service.clone();
        let options = lasting(seed, &purpose, vouch.as_ref())?.event_callback(move |event| {
            match event {
                Event::Disconnected => tracing::warn!(%service, "the connection by which its requests come is gone; it comes back"),
                event => note(account, &event),
            }
            std::future::ready(())
        });
        let options = options.read_buffer_capacity(ENTERING_BYTES);
        let urls = Arc::clone(urls);
        let connecting =
            self.reading.handle().spawn(async move { connect_to(&urls, account, options).await });
        connecting.await.expect("connecting neither panics nor is it aborted")
    }

    /// Where requests are read, and nothing else is done: nats-server cuts who does not read.
    pub(crate) fn reading(&self) -> &tokio::runtime::Handle {
        self.reading.handle()
    }

    /// Which connections are there, now and from now on. The first news may come a moment after [`Connections::open`].
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Whether both connections are there at this moment.
    pub fn are_up(&self) -> bool {
        [&self.domain, &self.services].into_iter().all(|client| client.connection_state() == State::Connected)
    }

    /// Ends all connections after what was published has left.
    pub async fn close(&self) {
        for client in [Some(&self.services), Some(&self.domain), self.sys.as_ref()].into_iter().flatten() {
            if let Err(error) = client.drain().await {
                tracing::debug!(%error, "a connection was gone already");
            }
        }
    }
}

/// Connects to a server of the node's own, as its user of one account.
pub(crate) async fn connect(
    url: &str,
    account: Account,
    seed: &SecretText,
    vouch: Vouch,
) -> Result<Client, Error> {
    let purpose = account.as_str();
    let options = described(begin(seed, Some(&vouch))?, &own_inbox(), purpose).event_callback(move |event| {
        note(account, &event);
        std::future::ready(())
    });
    connect_to(&[url.to_owned()], account, options).await
}

/// How the node connects as a further user of its own, and again whenever it breaks.
pub(crate) fn lasting(
    seed: &SecretText,
    purpose: &str,
    vouch: Option<&Vouch>,
) -> Result<ConnectOptions, Error> {
    Ok(described(begin(seed, vouch)?, &own_inbox(), purpose))
}

/// How somebody connects to a server that exists, once.
pub(crate) fn options(seed: &SecretText, inbox: &str, purpose: &str) -> ConnectOptions {
    let options = ConnectOptions::new().nkey(seed.as_str().to_owned());
    described(options, inbox, purpose).max_reconnects(1)
}

/// Options with a seed, and a voucher where there is one.
fn begin(seed: &SecretText, vouch: Option<&Vouch>) -> Result<ConnectOptions, Error> {
    let Some(vouch) = vouch.cloned() else {
        return Ok(ConnectOptions::new().nkey(seed.as_str().to_owned()));
    };
    let voucher = Voucher::new(move || std::future::ready(vouch.start().map(|start| start.to_string())));
    proof::options(seed.as_str(), voucher).map_err(|error| Error::Request {
        doing: String::from("use the key of the node"),
        source: Box::new(error),
    })
}

fn described(options: ConnectOptions, inbox: &str, purpose: &str) -> ConnectOptions {
    options
        .name(format!("comms node, {purpose}"))
        .custom_inbox_prefix(inbox)
        .request_timeout(Some(REQUEST_WITHIN))
        .reconnect_delay_callback(reconnect_pause)
}

pub(crate) async fn connect_to(
    urls: &[String],
    account: Account,
    options: ConnectOptions,
) -> Result<Client, Error> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Connect {
        account: account.as_str(),
        url: urls.join(", "),
        source,
    };
    let addresses: Vec<ServerAddr> = urls
        .iter()
        .map(|url| url.parse())
        .collect::<Result<_, _>>()
        .map_err(|error| failed(Box::new(error)))?;
    options.connect(addresses).await.map_err(|error| failed(Box::new(error)))
}

/// Whether the server was reached and does not let this user in.
pub(crate) fn is_refusal(error: &Error) -> bool {
    let Error::Connect { source, .. } = error else { return false };
    source
        .downcast_ref::<async_nats::ConnectError>()
        .is_some_and(|error| error.kind() == ConnectErrorKind::AuthorizationViolation)
}

/// No pause before the first try, which is also the first connection; then growing ones.
fn reconnect_pause(attempt: usize) -> Duration {
    match attempt {
        0 | 1 => Duration::ZERO,
        _ => Duration::from_millis(10 << attempt.min(6)).min(RECONNECT_PAUSE_LONGEST),
    }
}

fn own_inbox() -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut random = rand::rng();
    let token: String =
        (0..INBOX_RANDOM).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())])).collect();
    format!("_INBOX.{NODE}.{token}")
}

fn note(account: Account, event: &Event) {
    let account = account.as_str();
    match event {
        Event::Connected => tracing::debug!(account, "connected"),
        Event::Disconnected => tracing::warn!(account, "disconnected"),
        Event::LameDuckMode => tracing::warn!(account, "the server is about to end"),
        Event::Draining | Event::Closed => tracing::debug!(account, %event, "closing"),
        // What was dropped is asked for again by whoever waits for it.
        Event::SlowConsumer(subscription) => tracing::warn!(account, subscription, "messages were dropped"),
        Event::ServerError(error) => tracing::warn!(account, %error, "the server refused something"),
        Event::ClientError(error) => tracing::warn!(account, %error, "connection trouble"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_try_is_at_once_and_later_ones_are_bounded() {
        assert_eq!(reconnect_pause(1), Duration::ZERO);
        assert!(reconnect_pause(2) >= Duration::from_millis(20));
        assert_eq!(reconnect_pause(usize::MAX), RECONNECT_PAUSE_LONGEST);
    }

    #[test]
    fn inboxes_differ() {
        assert_ne!(own_inbox(), own_inbox());
    }
}
