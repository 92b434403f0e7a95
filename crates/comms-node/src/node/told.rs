//! What the gateway asks the node: who it is, how it is, and changes of its definition.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use comms_domain::{Domain, NodeId};
use comms_msg::door::{Refusal, RefusalKind};
use futures::FutureExt;
use serde_json::json;

use crate::administration::Administration;
use crate::condition::Condition;
use crate::connections::Connections;
use crate::door::{self, Counts};
use crate::gateway::{Admin, Task};
use crate::server::Managed;
use crate::witness::Witness;

/// Who the node is, and whether its nats-server holds its port at the moment of the question.
pub(super) fn who(domain: &Domain, id: &NodeId, nats: &str, server: Option<Arc<Managed>>) -> Task<()> {
    let run = format!("{:032x}", rand::random::<u128>());
    let said = json!({
        "domain": domain.name, "node": id.name, "pid": std::process::id(), "nats": nats, "is_managed": server.is_some(),
    });
    Box::new(move |()| {
        let (server, run, mut said) = (server.clone(), run.clone(), said.clone());
        async move {
            let start = match &server {
                Some(server) => server.holds_port().await,
                // Whose server it is answers for it.
                None => Some(0),
            };
            let Some(start) = start else {
                return Err(Refusal::new(RefusalKind::Unavailable, "nats-server is being started"));
            };
            said["incarnation"] = json!(format!("{run}-{start}"));
            Ok(said)
        }
        .boxed()
    })
}

/// The operations of the node that are not doors.
pub(super) fn admin(
    administration: &Arc<Administration>,
    connections: &Connections,
    condition: Condition,
    who: Task<()>,
    witness: Witness,
) -> Admin {
    let (planning, applying, counting) =
        (administration.clone(), administration.clone(), administration.clone());
    let connections = connections.clone();
    let room = condition.room().clone();
    Admin {
        who,
        plan: Box::new(move |definition| {
            let administration = planning.clone();
            async move { administration.plan(definition).await }.boxed()
        }),
        apply: Box::new(move |(by, definition)| {
            let administration = applying.clone();
            async move { administration.apply(by, definition).await }.boxed()
        }),
        health: Box::new(move |()| {
            let down = || (!connections.are_up()).then(|| "the connection to nats-server is down".to_owned());
            let ill = || witness.hindrance().or_else(|| condition.ill()).or_else(down);
            let ill = || ill().map(|why| Refusal::new(RefusalKind::Unavailable, why));
            let health = match witness.trouble().map(|reason| door::lost(&reason)).or_else(ill) {
                Some(refusal) => Err(refusal),
                None => {
                    let counts = counting.doors.get().map(|(doors, _)| &doors.counts);
                    let count =
                        |of: fn(&Counts) -> &AtomicU64| counts.map_or(0, |c| of(c).load(Ordering::Relaxed));
                    let commands = json!({ "failed": count(|c| &c.failed), "dead": count(|c| &c.dead) });
                    Ok(json!({ "ok": true, "commands": commands }))
                }
            };
            async move { health }.boxed()
        }),
        room,
    }
}
