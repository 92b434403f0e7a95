//! The peers' server: a plain nats-server beside the node's, from the same program, with the same care for its disk.
//!
//! One account, one user, no permissions, no imports: what a raw client pays there is the least that there is to pay.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::{Client, ConnectOptions};
use comms_domain::{Account, Layout, NodeId};
use comms_node::definition::Sources;
use comms_node::folder::Folder;
use comms_node::guard::Guard;
use comms_node::keys::{Keys, NODE};
use comms_node::server::{Binary, Managed, Place, READY_WITHIN, ServerSpec};
use serde::Deserialize;

use crate::failure::Failure;

/// The peers' only user.
pub(super) const USER: &str = "peer";
/// A port of the system's choice on this machine alone.
pub(super) const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// What the library gives its own connections, so that neither side waits where the other does not.
const CLIENT_QUEUE: usize = 8 * 1024;
const SUBSCRIPTION_QUEUE: usize = 64 * 1024;
/// How long the server may take to end.
const GRACE: Duration = Duration::from_secs(10);
/// How long a foreign program may take to subscribe.
const SUBSCRIBED_WITHIN: Duration = Duration::from_secs(10);
/// Pause between two looks at the subscriptions.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

/// The server, and how to connect to it.
#[derive(Debug)]
pub(super) struct Peers {
    server: Managed,
    password: String,
}

impl Peers {
    /// Starts the server in `folder`, which holds a definition: the node's own code makes the key by which the server
    /// is watched.
    pub(super) async fn start(folder: &Path, guard: Guard) -> Result<Peers, Failure> {
        let home = Folder::beside(folder)?;
        let held = home.hold()?;
        let (name, secret) = held.identity(None)?;
        let domain = Sources::read(&folder.join("domain.toml"))?.parse()?;
        let layout = Layout::of(&domain, &NodeId::standalone(name, *secret.bytes()));
        let keys = Keys::load_or_make(&home, &layout)?;
        let password = format!("{:032x}", rand::random::<u128>());
        let place = Place::new(home.nats());
        let spec = ServerSpec {
            binary: Binary::find(folder)?,
            guard,
            configuration: configuration(&place, ANY_PORT, &keys, &password),
            place,
            listen: ANY_PORT,
            leaf_listen: None,
            ready_within: READY_WITHIN,
        };
        Ok(Peers { server: Managed::start(spec, &keys).await?, password })
    }

    /// Connects, with the options that the library connects with.
    pub(super) async fn connect(&self) -> Result<Client, Failure> {
        ConnectOptions::with_user_and_password(USER.to_owned(), self.password.clone())
            .client_capacity(CLIENT_QUEUE)
            .subscription_capacity(SUBSCRIPTION_QUEUE)
            .skip_subject_validation(true)
            .connect(self.server.url())
            .await
            .map_err(|error| Failure::failed("the peers' server does not answer").because(&error))
    }

    /// Makes a stream anew, without what an earlier row left in it.
    pub(super) async fn stream(
        &self,
        jetstream: &jetstream::Context,
        config: jetstream::stream::Config,
    ) -> Result<jetstream::stream::Stream, Failure> {
        // One that is not there cannot be deleted, and need not be.
        let _ = jetstream.delete_stream(&config.name).await;
        jetstream.create_stream(config).await.map_err(|error| raw(&error))
    }

    /// Where it listens.
    pub(super) fn url(&self) -> String {
        self.server.url()
    }

    /// The password of its user.
    pub(super) fn password(&self) -> &str {
        &self.password
    }

    /// Waits until somebody has subscribed to `subject`.
    pub(super) async fn subscribed(&self, subject: &str) -> Result<(), Failure> {
        let looking = async {
            while self.subscriptions(subject).await? == 0 {
                tokio::time::sleep(LOOK_PAUSE).await;
            }
            Ok(())
        };
        match tokio::time::timeout(SUBSCRIBED_WITHIN, looking).await {
            Ok(found) => found,
            Err(_) => Err(Failure::failed("nats bench did not subscribe in time")),
        }
    }

    async fn subscriptions(&self, subject: &str) -> Result<usize, Failure> {
        #[derive(Deserialize)]
        struct Answer {
            data: Subscriptions,
        }
        #[derive(Deserialize)]
        struct Subscriptions {
            #[serde(default)]
            total: usize,
        }
        let ask = serde_json::json!({ "subscriptions": true, "test": subject }).to_string();
        let system = self.server.system();
        let answer =
            system.request("$SYS.REQ.SERVER.PING.SUBSZ", ask.into()).await.map_err(|error| raw(&error))?;
        let answer: Answer = serde_json::from_slice(&answer.payload).map_err(|error| {
            Failure::failed("nats-server's list of subscriptions is not one").because(&error)
        })?;
        Ok(answer.data.total)
    }

    /// Ends the server.
    pub(super) async fn stop(self) {
        self.server.stop(GRACE).await;
    }
}

/// A failure of a raw peer.
pub(super) fn raw(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::failed("a raw peer failed").because(error)
}

fn configuration(place: &Place, listen: SocketAddr, keys: &Keys, password: &str) -> String {
    let options = place.options("peers", listen);
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let path = |path: &Option<String>| quoted(path.as_deref().unwrap_or_default());
    let public = keys.public();
    let system = public.get(Account::Sys, NODE).unwrap_or_default();
    let (ports, pid, log) = (path(&options.ports_file_dir), path(&options.pid_file), path(&options.log_file));
    let (host, store) = (quoted(&listen.ip().to_string()), quoted(&options.store_dir));
    let password = quoted(password);
    format!(
        "server_name: peers\nhost: {host}\nport: -1\nports_file_dir: {ports}\npid_file: {pid}\nlog_file: {log}\n\
         jetstream {{ store_dir: {store}, sync_interval: always }}\n\
         system_account: SYS\n\
         accounts {{\n\
         \x20 SYS {{ users: [ {{ nkey: {system} }} ] }}\n\
         \x20 PEERS {{ jetstream: enabled, users: [ {{ user: {USER}, password: {password} }} ] }}\n\
         }}\n"
    )
}
