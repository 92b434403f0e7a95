//! What is in force: the definition with all that follows from it, shared by everything that decides by it and replaced
//! as a whole by `domain apply`.

use std::sync::{Arc, PoisonError, RwLock};

use comms_domain::{Bound, Domain, Layout};

use crate::bounds::Bounds;
use crate::gateway::Tokens;
use crate::share::Shares;

/// One definition with what follows from it. It never changes; another takes its place.
#[derive(Debug)]
pub struct InForce {
    /// What may be said, by whom.
    pub domain: Domain,
    /// Streams, consumers and users on this node.
    pub layout: Layout,
    /// Which bearer tokens stand for which service.
    pub tokens: Tokens,
}

/// Handle to what is in force. Whoever decides takes it once per request, so that one request is judged by one
/// definition from its token to its last link.
#[derive(Debug, Clone)]
pub struct Current {
    in_force: Arc<RwLock<Arc<InForce>>>,
    /// What the services share, as the definition in force says.
    bounds: Bounds,
}

impl Current {
    /// Begins with `in_force`.
    pub fn new(in_force: InForce) -> Current {
        let bounds = Bounds::of(&in_force.domain);
        Current { in_force: Arc::new(RwLock::new(Arc::new(in_force))), bounds }
    }

    /// What is in force now.
    pub fn get(&self) -> Arc<InForce> {
        // Nothing panics while it holds this; a poisoned one is as good.
        self.in_force.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The shares of one bound. They follow the definition in force.
    pub fn shares(&self, bound: Bound) -> &Shares {
        self.bounds.get(bound)
    }

    /// Puts `in_force` in force.
    pub(crate) fn replace(&self, in_force: InForce) {
        self.bounds.follow(&in_force.domain);
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(in_force);
    }
}
