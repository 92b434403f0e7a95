//! The definition over HTTP: what a change would do, and making it. And whether the node is well.
//!
//! Decides only who may ask. What is done is given by whoever starts the gateway, as an [`Admin`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use comms_domain::Right;
use comms_msg::ServiceName;
use comms_msg::door::Refusal;
use futures::future::BoxFuture;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::Gateway;
use super::auth::Caller;
use super::error::{Error, Result};
use super::limits::DEFINITION_BYTES_MAX;
use super::upload::whole;
use crate::current::InForce;
use crate::room::Room;

/// A definition with its schemas, as `POST /domain/plan` and `POST /domain/apply` take it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// How problems name the definition.
    pub file: String,
    /// Its text.
    pub toml: String,
    /// Schemas by their path below the folder `schemas` beside it.
    #[serde(default, deserialize_with = "each_once")]
    pub schemas: BTreeMap<String, String>,
    /// Digest of the definition that must be in force when this one is applied: `in_force` of the plan that was looked
    /// at. Without it, whatever is in force is replaced.
    #[serde(default)]
    pub over: Option<String>,
    /// Whether what the plan warns of is meant.
    #[serde(default)]
    pub confirmed: bool,
}

/// Texts by name, no name twice: which of two counts differs between readers.
fn each_once<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<BTreeMap<String, String>, D::Error> {
    struct EachOnce;
    impl<'de> Visitor<'de> for EachOnce {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("schemas by their path")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> std::result::Result<Self::Value, A::Error> {
            let mut texts = BTreeMap::new();
            while let Some((path, text)) = entries.next_entry::<String, String>()? {
                if texts.insert(path.clone(), text).is_some() {
                    return Err(A::Error::custom(format!(
                        "the schema {path:?} is there twice: send one of them"
                    )));
                }
            }
            Ok(texts)
        }
    }
    deserializer.deserialize_map(EachOnce)
}

/// Something the node does when it is asked over HTTP.
pub type Task<Q> = Box<dyn Fn(Q) -> BoxFuture<'static, Result<Value, Refusal>> + Send + Sync>;

/// What the node does when it is asked. Answers become the response as they are; refusals as
/// every refusal.
pub struct Admin {
    /// Says what a definition would change.
    pub plan: Task<Definition>,
    /// Puts a definition in force, on behalf of the service.
    pub apply: Task<(ServiceName, Definition)>,
    /// Says who the node is and what its nats-server is, to whoever reached it where nobody else can listen.
    pub who: Task<()>,
    /// Says how the node is. Needs no token, so it must tell nothing but that.
    pub health: Task<()>,
    /// Whether there is room for what is put.
    pub(crate) room: Room,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admin(..)")
    }
}

pub(super) async fn plan(
    State(gateway): State<Arc<Gateway>>,
    Extension(Caller(service)): Extension<Caller>,
    Extension(in_force): Extension<Arc<InForce>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>> {
    require(&in_force, &service, &[Right::DomainApply, Right::DomainRead])?;
    let definition = definition(&gateway, &service, &headers, body).await?;
    (gateway.admin.plan)(definition).await.map(Json).map_err(Error::Refused)
}

pub(super) async fn apply(
    State(gateway): State<Arc<Gateway>>,
    Extension(Caller(service)): Extension<Caller>,
    Extension(in_force): Extension<Arc<InForce>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>> {
    require(&in_force, &service, &[Right::DomainApply])?;
    let definition = definition(&gateway, &service, &headers, body).await?;
    (gateway.admin.apply)((service, definition)).await.map(Json).map_err(Error::Refused)
}

pub(super) async fn who(State(gateway): State<Arc<Gateway>>) -> Result<Json<Value>> {
    (gateway.admin.who)(()).await.map(Json).map_err(Error::Refused)
}

pub(super) async fn health(State(gateway): State<Arc<Gateway>>) -> Result<Json<Value>> {
    (gateway.admin.health)(()).await.map(Json).map_err(Error::Refused)
}

async fn definition(
    gateway: &Gateway,
    service: &ServiceName,
    headers: &HeaderMap,
    body: Body,
) -> Result<Definition> {
    let _place = gateway.places.uploads.take(service, 1)?;
    let text = whole(headers, body, DEFINITION_BYTES_MAX).await?;
    serde_json::from_slice(&text).map_err(|error| Error::Malformed(format!("not a definition: {error}")))
}

fn require(in_force: &InForce, service: &ServiceName, rights: &[Right]) -> Result<()> {
    if in_force.domain.service(service).is_some_and(|service| rights.iter().any(|right| service.has(*right)))
    {
        Ok(())
    } else {
        let right = rights[0].as_str();
        Err(Error::Denied(format!(
            "{service} does not hold the right {right}; give it in the definition: rights = [\"{right}\"]"
        )))
    }
}
