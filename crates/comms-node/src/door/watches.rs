//! How many watches each service has. A watch goes by itself some time after nobody listens to it, which only the server
//! knows: so what is counted here is compared with what is there whenever it matters.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use comms_msg::ServiceName;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::log::EventLog;
use crate::share::{OverShare, Share, Shares};

/// What stands between the watcher and the random rest in the name of a watch's consumer.
const MARK: &str = "-watch-";
/// Letters of that rest.
const RANDOM: usize = 32;
/// How often the server is asked at most. Until then a watch that ended is still counted.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// The watches of one log.
#[derive(Debug)]
pub(crate) struct Watches {
    shares: Shares,
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    /// By the name of the consumer.
    open: HashMap<String, Share>,
    looked: Option<Instant>,
}

impl Watches {
    pub(crate) fn new(shares: Shares) -> Watches {
        Watches { shares, counted: Mutex::default() }
    }

    /// A name for the consumer of a new watch of `service`.
    pub(crate) fn name(service: &ServiceName) -> (String, String) {
        let token = format!("watch-{:032x}", rand::random::<u128>());
        (format!("{service}-{token}"), token)
    }

    /// Room for one more watch of `service`, which is to be [counted](Self::opened) once it is open.
    pub(crate) async fn room(&self, log: &EventLog, service: &ServiceName) -> Result<Share, OverShare> {
        let mut counted = self.counted.lock().await;
        let is_first = counted.looked.is_none();
        match self.shares.take(service, 1) {
            Ok(share) if !is_first => return Ok(share),
            // What was open before this node started is not counted yet.
            Ok(_) => {}
            Err(over) if counted.looked.is_some_and(|at| at.elapsed() < LOOK_PAUSE) => return Err(over),
            Err(_) => {}
        }
        match log.event_consumers().await {
            Ok(names) => {
                counted.looked = Some(Instant::now());
                counted.compare(&self.shares, &names);
            }
            Err(error) => tracing::debug!(%error, "which watches are open is not known"),
        }
        self.shares.take(service, 1)
    }

    /// Counts a watch that is open.
    pub(crate) async fn opened(&self, name: String, share: Share) {
        self.counted.lock().await.open.insert(name, share);
    }
}

impl Counted {
    /// Takes over which watches there are.
    fn compare(&mut self, shares: &Shares, names: &HashSet<String>) {
        self.open.retain(|name, _| names.contains(name));
        for name in names {
            if let (false, Some(watcher)) = (self.open.contains_key(name), watcher(name)) {
                self.open.insert(name.clone(), shares.hold(&watcher, 1));
            }
        }
    }
}

/// Whose watch a consumer is, by its name; none if it is no watch.
fn watcher(name: &str) -> Option<ServiceName> {
    let (service, random) = name.rsplit_once(MARK)?;
    (random.len() == RANDOM).then(|| service.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share::Limit;

    #[test]
    fn what_went_is_given_back_and_what_was_there_is_counted() {
        let shares = Shares::new(Limit { what: "watches", key: "limits.watches", least: 1 }, 8, 2);
        let desk: ServiceName = "desk-watch".parse().unwrap();
        let mut counted = Counted::default();
        let [one, two] = [0, 1].map(|_| Watches::name(&desk).0);
        assert_eq!(watcher(&one), Some(desk.clone()));
        counted.compare(&shares, &HashSet::from([one, two.clone(), "desk-0123".to_owned()]));
        assert_eq!(shares.held(&desk), 2);
        counted.compare(&shares, &HashSet::from([two]));
        assert_eq!(shares.held(&desk), 1);
    }
}
