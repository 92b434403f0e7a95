//! The definition in force, shared by everything that decides by it and replaced as a whole by `domain apply`.

use std::sync::{Arc, RwLock};

use comms_domain::Domain;

/// Handle to the definition in force. Whoever decides takes it once per decision, so that one request is judged by
/// one definition.
#[derive(Debug, Clone)]
pub struct Current(Arc<RwLock<Arc<Domain>>>);

impl Current {
    /// Begins with `domain`.
    pub fn new(domain: Domain) -> Current {
        Current(Arc::new(RwLock::new(Arc::new(domain))))
    }

    /// The definition in force now.
    pub fn get(&self) -> Arc<Domain> {
        self.0.read().expect("nothing panics while it holds the definition").clone()
    }

    /// Puts `domain` in force.
    pub(crate) fn replace(&self, domain: Domain) {
        *self.0.write().expect("nothing panics while it holds the definition") = Arc::new(domain);
    }
}
