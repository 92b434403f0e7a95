//! Connections to nats-server that say nothing before somebody who knows vouches for who listens there.
//!
//! A port can be taken by anybody when its server has ended. So each connection, every one that is made anew included, is
//! begun only when the voucher says that the server holds its port, and is carried on, before a name, a signature or a
//! message is written to it, only when he then says that it is still the same start of that server: so nobody else can
//! have held the port when the connection was made, and a man in the middle cannot have begun it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{Auth, AuthError, ConnectOptions, ReconnectToServer, Server};
use nkeys::KeyPair;
use tokio_util::task::AbortOnDropHandle;

/// The first and the longest pause before the voucher is asked again while he says no.
const AGAIN_FIRST: Duration = Duration::from_millis(20);
const AGAIN_LONGEST: Duration = Duration::from_secs(1);

/// The name of one start of a server; none while the server does not hold its port.
type Word = Pin<Box<dyn Future<Output = Option<String>> + Send>>;

/// Somebody who knows whether a server holds its port.
#[derive(Clone)]
pub struct Voucher(Arc<dyn Fn() -> Word + Send + Sync>);

impl Voucher {
    /// `ask` names the start of the server that holds its port now.
    pub fn new<F>(ask: impl Fn() -> F + Send + Sync + 'static) -> Voucher
    where
        F: Future<Output = Option<String>> + Send + 'static,
    {
        Voucher(Arc::new(move || Box::pin(ask())))
    }

    /// The start of the server that holds its port now.
    async fn word(&self) -> Option<String> {
        (self.0)().await
    }

    /// The same, asked again until there is one.
    async fn wait(self) -> String {
        let mut pause = AGAIN_FIRST;
        loop {
            if let Some(word) = self.word().await {
                return word;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(AGAIN_LONGEST);
        }
    }
}

impl fmt::Debug for Voucher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Voucher(..)")
    }
}

/// Options by which a user with this seed connects to servers that are vouched for, and waits for one where none is.
///
/// # Errors
/// If the seed is none.
pub fn options(seed: &str, voucher: Voucher) -> Result<ConnectOptions, nkeys::error::Error> {
    let pair = Arc::new(KeyPair::from_seed(seed.trim())?);
    // Of the connection that is being made. One at a time is, by whoever has these options.
    let begun: Arc<Mutex<Option<String>>> = Arc::default();
    let (beginning, asking) = (Arc::clone(&begun), voucher.clone());
    let options = ConnectOptions::with_auth_callback(move |nonce| {
        let (voucher, pair, begun) = (voucher.clone(), Arc::clone(&pair), Arc::clone(&begun));
        // A task, since what is waited for here must be shareable between threads, which a voucher need not be.
        let word = AbortOnDropHandle::new(tokio::spawn(async move { voucher.word().await }));
        async move {
            let word = word.await.map_err(AuthError::new)?;
            let before = begun.lock().unwrap_or_else(PoisonError::into_inner).take();
            if word.is_none() || word != before {
                return Err(AuthError::new("who listens there is not vouched for"));
            }
            let mut auth = Auth::new();
            auth.signature = Some(pair.sign(&nonce).map_err(AuthError::new)?);
            auth.nkey = Some(pair.public_key());
            Ok(auth)
        }
    });
    // What a server tells of others is read before it is known who it is, and nobody vouches for them.
    Ok(options.ignore_discovered_servers().reconnect_to_server_callback(move |servers, _| {
        let begun = Arc::clone(&beginning);
        let word = AbortOnDropHandle::new(tokio::spawn(asking.clone().wait()));
        async move {
            // A task that was aborted or panicked begins a connection that nobody vouched for, and so is not carried on.
            *begun.lock().unwrap_or_else(PoisonError::into_inner) = word.await.ok();
            next(servers)
        }
    }))
}

/// The server that has failed least.
fn next(servers: Vec<Server>) -> Option<ReconnectToServer> {
    let server = servers.into_iter().min_by_key(|server| server.failed_attempts)?;
    Some(ReconnectToServer { addr: server.addr, delay: None })
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Connects to a server that says what nats-server says first, while a voucher says these words one after the other,
    /// and the last of them for ever. What the server heard, if it was reached.
    async fn heard(words: &[Option<&str>]) -> Option<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("nats://{}", listener.local_addr().expect("bound"));
        let words: VecDeque<Option<String>> = words.iter().map(|word| word.map(str::to_owned)).collect();
        let words = Arc::new(Mutex::new(words));
        let voucher = Voucher::new(move || {
            let mut words = words.lock().expect("no panic holds it");
            let word = if words.len() > 1 { words.pop_front() } else { words.front().cloned() };
            std::future::ready(word.expect("there is always one"))
        });
        let seed = KeyPair::new_user().seed().expect("a seed");
        let client = options(&seed, voucher).expect("a seed is one").name("desk").connect(url);
        let server = async {
            let (mut stream, _) = listener.accept().await.expect("somebody comes");
            stream.write_all(b"INFO {\"server_id\":\"N\",\"nonce\":\"abc\"}\r\n").await.expect("written");
            let (mut all, mut some) = (Vec::new(), [0; 4096]);
            while !all.ends_with(b"PING\r\n") {
                match stream.read(&mut some).await {
                    Ok(count @ 1..) => all.extend_from_slice(&some[..count]),
                    _ => break,
                }
            }
            String::from_utf8(all).expect("text")
        };
        // A client that waits for its voucher waits for ever.
        let bound = Duration::from_millis(500);
        let (_, heard) =
            tokio::join!(tokio::time::timeout(bound, client), tokio::time::timeout(bound, server));
        heard.ok()
    }

    #[tokio::test]
    async fn nothing_is_said_to_whoever_is_not_vouched_for_before_and_after() {
        let whole = heard(&[Some("1")]).await.expect("it is reached");
        assert!(whole.contains("\"nkey\":\"U") && whole.contains("\"sig\":"), "{whole}");
        let late = heard(&[None, None, Some("1")]).await.expect("it is reached when it is vouched for");
        assert!(late.contains("\"nkey\""), "{late}");
        for words in [
            // It ended, or began anew, after the connection was begun: somebody else may have been there first.
            &[Some("1"), None][..],
            &[Some("1"), Some("2")],
        ] {
            assert_eq!(heard(words).await.as_deref(), Some(""), "{words:?}");
        }
        assert_eq!(heard(&[None]).await, None, "nobody dials");
    }
}
