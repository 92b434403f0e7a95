//! What a nats-server says of itself, asked over its system account. No monitor port is needed for it, and a managed
//! server has none, since that shows every local process the names that must not be guessed.

use std::time::Duration;

use async_nats::Client;
use serde::Deserialize;
use tokio::time::timeout;

use crate::Error;

/// How long a server may take to speak of itself.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What one server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its name.
    pub server: String,
    /// Its version.
    pub version: String,
    /// Digest of the configuration it runs on; none if it has no configuration file.
    ///
    /// After a reload it is told a moment before the new rights hold; `loaded` changes when they do.
    pub configuration: Option<String>,
    /// When it had put that configuration in force, as text that is only good for comparing.
    pub loaded: String,
    /// Whether a write is on the disk when it is acknowledged.
    pub is_syncing: bool,
    /// Whether it has streams at all.
    pub has_jetstream: bool,
    /// Whether it shows its insides to whoever asks its monitor port.
    pub open_monitor_port: bool,
    /// Whether browsers can reach it, from any origin.
    pub open_websocket: bool,
    /// Whether it is one of several.
    pub is_clustered: bool,
}

#[derive(Deserialize)]
struct Answer {
    data: Option<Varz>,
    error: Option<serde_json::Value>,
}

/// The part of the server's `varz` that is used here.
#[derive(Deserialize)]
struct Varz {
    server_name: String,
    version: String,
    config_digest: Option<String>,
    #[serde(default)]
    config_load_time: String,
    /// Signed: -1 stands for one that the system chose.
    #[serde(default)]
    http_port: i32,
    #[serde(default)]
    https_port: i32,
    #[serde(default)]
    cluster: Cluster,
    #[serde(default)]
    websocket: Websocket,
    #[serde(default)]
    jetstream: Jetstream,
}

#[derive(Deserialize, Default)]
struct Cluster {
    name: Option<String>,
}

#[derive(Deserialize, Default)]
struct Websocket {
    #[serde(default)]
    port: i32,
    #[serde(default)]
    same_origin: bool,
    #[serde(default)]
    allowed_origins: Vec<String>,
}

#[derive(Deserialize, Default)]
struct Jetstream {
    config: Option<JetstreamConfig>,
}

#[derive(Deserialize)]
struct JetstreamConfig {
    #[serde(default)]
    sync_always: bool,
}

impl Facts {
    /// Asks the server to which `system` is connected as a user of the system account.
    pub async fn ask(system: &Client) -> Result<Facts, Error> {
        let failed = |source| Error::Request { doing: String::from("ask nats-server about itself"), source };
        // By its id, since in a cluster every server would answer the general question.
        let subject = format!("$SYS.REQ.SERVER.{}.VARZ", system.server_info().server_id);
        let asked = timeout(ANSWER_WITHIN, system.request(subject, Vec::new().into()));
        let message =
            asked.await.map_err(|late| failed(late.into()))?.map_err(|error| failed(error.into()))?;
        Facts::read(&message.payload).map_err(failed)
    }

    fn read(answer: &[u8]) -> Result<Facts, Box<dyn std::error::Error + Send + Sync>> {
        let answer: Answer = serde_json::from_slice(answer)?;
        let varz = match answer {
            Answer { data: Some(varz), error: None } => varz,
            Answer { error: Some(error), .. } => return Err(error.to_string().into()),
            Answer { data: None, error: None } => return Err("it answered nothing".into()),
        };
        let websocket = &varz.websocket;
        Ok(Facts {
            is_syncing: varz.jetstream.config.as_ref().is_some_and(|config| config.sync_always),
            has_jetstream: varz.jetstream.config.is_some(),
            open_monitor_port: varz.http_port != 0 || varz.https_port != 0,
            open_websocket: websocket.port != 0
                && !websocket.same_origin
                && websocket.allowed_origins.is_empty(),
            is_clustered: varz.cluster.name.is_some(),
            server: varz.server_name,
            version: varz.version,
            configuration: varz.config_digest,
            loaded: varz.config_load_time,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_counts_as_not_promised() {
        let facts = Facts::read(br#"{"server":{},"data":{"server_name":"s","version":"2.15.1"}}"#).unwrap();
        assert!(!facts.is_syncing && !facts.has_jetstream && facts.configuration.is_none());
        let lax = br#"{"data":{"server_name":"s","version":"2.15.1","http_port":-1,"websocket":{"port":80},
            "jetstream":{"config":{"sync_interval":120000000000}},"cluster":{"name":"c"}}}"#;
        let lax = Facts::read(lax).unwrap();
        assert!(!lax.is_syncing && lax.has_jetstream && lax.open_websocket && lax.is_clustered);
        assert!(lax.open_monitor_port);
    }

    #[test]
    fn errors_and_nonsense_are_errors() {
        for answer in [&br#"{"error":{"code":503}}"#[..], b"{}", b"", b"[]"] {
            assert!(Facts::read(answer).is_err());
        }
    }
}
