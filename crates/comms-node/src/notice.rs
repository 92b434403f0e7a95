//! Tells services that acknowledged messages are lost, for as long as it is so.
//!
//! A listener hears what can be read and cannot know of the rest; a door refuses only who asks. So the node speaks by itself, on a
//! deliver subject of each service that listens, again and again: who starts meanwhile is told too.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::Client;
use comms_domain::Domain;
use comms_msg::{Form, ServiceName};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::current::Current;
use crate::door;
use crate::witness::Witness;

/// Pause between two rounds.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// The token of the subject. It gives no right to anybody, so it may be known.
const TOKEN: &str = "notice";

/// Where `service` is told.
pub(crate) fn subject(domain: &Domain, service: &ServiceName) -> String {
    format!("{}.deliver.{service}.{TOKEN}", domain.name)
}

/// Tells everybody who listens, until `stop`.
pub(crate) async fn tell(witness: Witness, current: Current, services: Client, stop: CancellationToken) {
    let mut tick = interval(TELL_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let Some(reason) = witness.trouble() else { continue };
        let payload = Form::Json.refusal(&door::lost(&reason));
        let in_force = current.get();
        let listening: BTreeSet<&ServiceName> =
            in_force.layout.consumers.iter().map(|consumer| consumer.purpose.service()).collect();
        for service in listening {
            // A connection that is gone comes back, and so does the notice.
            let _ = services.publish(subject(&in_force.domain, service), payload.clone()).await;
        }
    }
}
