//! The bounds of the definition in force, each as shares among its services.

use comms_domain::{Bound, Domain};

use crate::share::{Limit, Shares};

/// One [`Shares`] per [`Bound`]. Clones share them.
#[derive(Debug, Clone)]
pub struct Bounds([Shares; Bound::ALL.len()]);

impl Bounds {
    /// As `domain` says, among its services.
    pub fn of(domain: &Domain) -> Bounds {
        Bounds(
            Bound::ALL
                .map(|bound| Shares::new(Limit::of(bound), domain.limits.of(bound), domain.sharers(bound))),
        )
    }

    /// Goes on with another definition. Nothing that is held is taken away.
    pub(crate) fn follow(&self, domain: &Domain) {
        for bound in Bound::ALL {
            self.get(bound).follow(domain.limits.of(bound), domain.sharers(bound));
        }
    }

    /// The shares of one bound.
    pub fn get(&self, bound: Bound) -> &Shares {
        &self.0[bound as usize]
    }
}
