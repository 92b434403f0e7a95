//! What callers share: connections, uploads, downloads, each with a part that nobody else can take.

use comms_domain::Bound;

use crate::current::Current;
use crate::share::Shares;

/// The places of the gateway, as `[limits]` of the definition in force has them. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) connections: Shares,
    pub(super) uploads: Shares,
    pub(super) downloads: Shares,
}

impl Places {
    pub(super) fn new(current: &Current) -> Self {
        let of = |bound| current.shares(bound).clone();
        Self {
            connections: of(Bound::Connections),
            uploads: of(Bound::Uploads),
            downloads: of(Bound::Downloads),
        }
    }
}
