//! Where requests come in: by a connection of the node's own for each service.
//!
//! nats-server cuts a connection that is read more slowly than it is written to. If all requests came by one, whoever
//! sends faster than anybody can read would cut the doors of everybody. By a connection each, a flood ends the flooder's
//! own way in, which comes back by itself.

use std::collections::HashMap;

use comms_domain::Domain;
use comms_msg::{DomainName, Filter, ServiceName};
use futures::{StreamExt, TryFutureExt, TryStreamExt, stream};
use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;

use super::reception::Reception;
use crate::Error;
use crate::connections::Connections;

/// Connections opened at the same time: each costs the server a signature to check.
const OPENED_AT_ONCE: usize = 16;
/// Whose requests are handed to one of several nodes, where several share a server.
const QUEUE_GROUP: &str = "door";

/// The ways in of all services of the definition in force.
#[derive(Debug)]
pub(crate) struct Entrances {
    connections: Connections,
    /// None once they are closed: nothing is opened any more.
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    reception: Reception,
    entrances: HashMap<ServiceName, Entrance>,
}

/// Takes in what one service asks, until it is dropped.
type Entrance = AbortOnDropHandle<()>;

impl Entrances {
    pub(super) fn new(connections: Connections, reception: Reception) -> Entrances {
        let open = Open { reception, entrances: HashMap::new() };
        Entrances { connections, open: Mutex::new(Some(open)) }
    }

    /// Goes on with the services of `domain`: opens what is missing, and closes what is no service any more.
    ///
    /// # Errors
    /// If a connection cannot be opened; those that were there still are.
    pub(crate) async fn follow(&self, domain: &Domain) -> Result<(), Error> {
        let mut open = self.open.lock().await;
        let Some(Open { reception, entrances }) = open.as_mut() else { return Ok(()) };
        entrances.retain(|service, _| domain.services.contains_key(service));
        let missing: Vec<_> =
            domain.services.keys().filter(|service| !entrances.contains_key(*service)).cloned().collect();
        let opening = stream::iter(missing).map(|service| {
            let entrance = self.enter(&domain.name, service.clone(), reception.clone());
            entrance.map_ok(|entrance| (service, entrance))
        });
        let opened: Vec<_> = opening.buffer_unordered(OPENED_AT_ONCE).try_collect().await?;
        entrances.extend(opened);
        Ok(())
    }

    /// Closes them all, for good.
    pub(super) async fn close(&self) {
        self.open.lock().await.take();
    }

    async fn enter(
        &self,
        domain: &DomainName,
        service: ServiceName,
        reception: Reception,
    ) -> Result<Entrance, Error> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| Error::Request {
            doing: format!("open the doors for {service}"),
            source: error,
        };
        let client = self.connections.enter(&service).await?;
        let mut requests = Vec::new();
        for filter in Filter::doors_of(domain, &service) {
            let subscribed = client.queue_subscribe(String::from(filter), QUEUE_GROUP.to_owned()).await;
            requests.push(subscribed.map_err(|error| failed(Box::new(error)))?);
        }
        // Known to the server before anybody is told that the doors are open.
        client.flush().await.map_err(|error| failed(Box::new(error)))?;
        let reading = self.connections.reading().spawn(async move {
            let mut requests = stream::select_all(requests);
            while let Some(message) = requests.next().await {
                reception.take(&message);
            }
            // The subscriptions live as long as their connection.
            drop(client);
        });
        Ok(AbortOnDropHandle::new(reading))
    }
}
