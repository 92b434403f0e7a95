//! What callers share: connections, uploads, downloads, each with a part that nobody else can take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use comms_domain::Domain;

use super::limits::{CONNECTIONS, CONNECTIONS_MAX, DOWNLOADS, DOWNLOADS_MAX, UPLOADS, UPLOADS_MAX};
use crate::share::Shares;

/// The places of the gateway. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) connections: Shares,
    pub(super) uploads: Shares,
    pub(super) downloads: Shares,
    callers: Arc<AtomicUsize>,
}

impl Places {
    /// For the services of a definition.
    pub(super) fn new(domain: &Domain) -> Self {
        let callers = domain.services.len();
        Self {
            connections: Shares::new(CONNECTIONS, CONNECTIONS_MAX, callers),
            uploads: Shares::new(UPLOADS, UPLOADS_MAX, callers),
            downloads: Shares::new(DOWNLOADS, DOWNLOADS_MAX, callers),
            callers: Arc::new(AtomicUsize::new(callers)),
        }
    }

    /// Divides them anew where the definition has another number of services than before.
    pub(super) fn follow(&self, domain: &Domain) {
        let callers = domain.services.len();
        if self.callers.swap(callers, Ordering::Relaxed) != callers {
            self.connections.follow(CONNECTIONS_MAX, callers);
            self.uploads.follow(UPLOADS_MAX, callers);
            self.downloads.follow(DOWNLOADS_MAX, callers);
        }
    }
}
