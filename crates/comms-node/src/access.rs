//! Who may read a content: the one rule, asked by gateway and doors alike.
//!
//! Knowing a CID grants nothing. A service may read what it put, what is carried by messages that reach it
//! under the definition in force, and everything if it holds the right `content.read`. What was recorded
//! (`comms_store::Grants`) says only how a content came to be known; who may read it follows from the
//! definition of the moment, so a change of the definition changes it without rewriting anything.
//!
//! Links inside a DAG-CBOR block are contents of their own. Reading the block does not open them, and whoever
//! names the block in a message must be allowed to name each of them.
//!
//! An identity CID is its own content: whoever knows it has it, so everybody may read and name it, and nothing is recorded
//! of it. Except as a file: its parts would be opened without a grant.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use comms_content::{Cid, DAG_CBOR, DAG_PB, Node};
use comms_domain::{Domain, Right, Service};
use comms_msg::{ServiceName, TypeName};
use comms_store::{Blocks, Error, Grant, Grants, Result};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Contents that the links of one request may lead to, themselves included: bodies that were split, with what their
/// parts link to.
const LINKED_MAX: usize = 4_096;
/// Bytes of the blocks that are read to follow them: as much as is hashed in a fraction of a second.
const LINKED_BYTES_MAX: u64 = 64 << 20;
/// How long they may be followed. A disk that takes longer for so few blocks has no time for them.
const WALK_WITHIN: Duration = Duration::from_secs(5);
/// Requests of one service whose links are followed at once; others of it wait for them, and hold up nobody else.
const WALKS_AT_ONCE: usize = 2;

/// Grants written at once for one message; each costs three syncs.
const GRANTS_AT_ONCE: usize = 8;

/// The rule, with what it decides by.
#[derive(Debug)]
pub struct Access {
    blocks: Blocks,
    grants: Grants,
    /// Whose walks are under way.
    walks: Mutex<HashMap<ServiceName, Arc<Semaphore>>>,
}

impl Access {
    /// Decides by what is recorded, and by the definition that each question comes with.
    pub fn new(blocks: Blocks, grants: Grants) -> Self {
        Self { blocks, grants, walks: Mutex::default() }
    }

    /// Whether the service may read this content, whether it is here or not.
    ///
    /// # Errors
    /// What the disk says. Nobody may read anything then.
    pub async fn may_read(&self, domain: &Domain, service: &ServiceName, cid: &Cid) -> Result<bool> {
        let Some(definition) = domain.service(service) else { return Ok(false) };
        if cid.inline().is_some() {
            return Ok(cid.codec() != DAG_PB);
        }
        if definition.has(Right::ContentRead) {
            return Ok(true);
        }
        let grants = self.grants.of(cid).await?;
        Ok(grants.iter().any(|grant| opens(grant, service, definition)))
    }

    /// Follows the links that the service names in a message: it put each itself or may read it, it is here, and the same
    /// holds for everything that the message would open with it. The answer is all of that, or the first named link with
    /// which it does not hold; absent and forbidden answer alike.
    ///
    /// One walk over all links, each content once. A request has one [`Budget`], however many messages it holds.
    ///
    /// # Errors
    /// As [`Access::may_read`]; [`Error::TooLarge`] where the budget is used up.
    pub async fn follow(
        &self,
        domain: &Domain,
        service: &ServiceName,
        links: &[Cid],
        budget: &mut Budget,
    ) -> Result<std::result::Result<Linked, Cid>> {
        let _turn = self.turn(service).await;
        let mut linked = Linked::default();
        for root in links {
            linked.extend([*root], budget)?;
            while let Some(cid) = linked.next() {
                if !self.may_read(domain, service, &cid).await? || !self.is_here(&cid).await? {
                    return Ok(Err(*root));
                }
                if !self.unfold(&mut linked, &cid, budget).await? {
                    return Ok(Err(*root));
                }
            }
        }
        Ok(Ok(linked))
    }

    /// Whether the service may name this content in a message, as [`Access::follow`] has it.
    ///
    /// # Errors
    /// As [`Access::follow`].
    pub async fn may_link(&self, domain: &Domain, service: &ServiceName, cid: &Cid) -> Result<bool> {
        Ok(self.follow(domain, service, &[*cid], &mut Budget::of_request()).await?.is_ok())
    }

    /// Records that messages of this type carry these contents. Durable when it returns.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn grant_carried(&self, linked: &Linked, name: &TypeName) -> Result<()> {
        self.grant(linked, &Grant::CarriedBy(name.clone())).await
    }

    /// Records that the service put this content; answers whether that is new. Durable when it returns.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn grant_put(&self, cid: &Cid, service: &ServiceName) -> Result<bool> {
        self.grants.add(cid, Grant::PutBy(service.clone())).await
    }

    /// Records that messages of a type in which the service takes part open this content: what it sends, asks
    /// or emits carries it, and what it handles or answers carries it in reply. Durable when it returns.
    ///
    /// This is how direct messages and answers, which the node never sees, open their links. Only for links
    /// that [`Access::may_link`] allowed to the service.
    ///
    /// # Errors
    /// As [`Access::grant_carried`].
    pub async fn grant_for(
        &self,
        domain: &Domain,
        linked: &Linked,
        service: &ServiceName,
        name: &TypeName,
    ) -> Result<()> {
        let part = Part::of(domain, service, name);
        if part.speaks {
            self.grant(linked, &Grant::CarriedBy(name.clone())).await?;
        }
        if part.replies {
            self.grant(linked, &Grant::InReplyTo(name.clone())).await?;
        }
        Ok(())
    }

    async fn grant(&self, linked: &Linked, grant: &Grant) -> Result<()> {
        // Owned: the compiler cannot see that a future which borrows each is `Send` for every lifetime.
        stream::iter(linked.seen.clone().into_iter().filter(|cid| cid.inline().is_none()))
            .map(|cid| async move { self.grants.add(&cid, grant.clone()).await.map(drop) })
            .buffer_unordered(GRANTS_AT_ONCE)
            .try_collect()
            .await
    }

    async fn is_here(&self, cid: &Cid) -> Result<bool> {
        Ok(cid.inline().is_some() || self.blocks.has(cid).await?)
    }

    /// A place among the walks of the service.
    async fn turn(&self, service: &ServiceName) -> OwnedSemaphorePermit {
        let turns = {
            let mut walks = self.walks.lock().unwrap_or_else(PoisonError::into_inner);
            if !walks.contains_key(service) {
                // Those that nobody walks with any more.
                walks.retain(|_, turns| Arc::strong_count(turns) > 1);
            }
            let fresh = || Arc::new(Semaphore::new(WALKS_AT_ONCE));
            Arc::clone(walks.entry(service.clone()).or_insert_with(fresh))
        };
        turns.acquire_owned().await.expect("the semaphore is never closed")
    }

    /// Adds what the block links to, if it is one that links. Answers whether it is what it says.
    async fn unfold(&self, linked: &mut Linked, cid: &Cid, budget: &mut Budget) -> Result<bool> {
        if cid.codec() != DAG_CBOR {
            return Ok(true);
        }
        let data = match cid.inline() {
            Some(data) => Bytes::copy_from_slice(data),
            None => match self.blocks.get(cid).await {
                Ok(block) => block.into_parts().1,
                Err(Error::Missing { .. }) => return Ok(false),
                Err(error) => return Err(error),
            },
        };
        budget.read(data.len())?;
        let Ok(node) = Node::from_cbor(data) else { return Ok(false) };
        linked.extend(node.links(), budget)?;
        Ok(true)
    }
}

/// Whether a grant opens its content for a service under a definition.
fn opens(grant: &Grant, name: &ServiceName, service: &Service) -> bool {
    match grant {
        Grant::PutBy(by) => by == name,
        Grant::CarriedBy(carrier) => service.reads(carrier),
        Grant::InReplyTo(asked) => service.asks.contains(asked) || service.sends.contains(asked),
    }
}

/// What a service has to do with messages of a type.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    speaks: bool,
    replies: bool,
}

impl Part {
    pub(crate) fn of(domain: &Domain, service: &ServiceName, name: &TypeName) -> Part {
        domain.service(service).map_or_else(Part::default, |service| Part {
            speaks: service.sends.contains(name)
                || service.asks.contains(name)
                || service.emits.contains(name),
            replies: service.handles.contains(name) || service.answers.contains(name),
        })
    }

    pub(crate) fn any(self) -> bool {
        self.speaks || self.replies
    }
}

/// What following the links of one request may still cost.
#[derive(Debug)]
pub struct Budget {
    contents: usize,
    bytes: u64,
    until: Instant,
}

impl Budget {
    /// What every request has.
    pub fn of_request() -> Budget {
        Budget { contents: LINKED_MAX, bytes: LINKED_BYTES_MAX, until: Instant::now() + WALK_WITHIN }
    }

    /// One more content.
    fn find(&mut self) -> Result<()> {
        self.contents = self.contents.checked_sub(1).ok_or(Error::TooLarge {
            what: "the set of contents that the links of one request lead to",
            actual: LINKED_MAX as u64 + 1,
            max: LINKED_MAX as u64,
        })?;
        Ok(())
    }

    /// A block of so many bytes.
    fn read(&mut self, bytes: usize) -> Result<()> {
        let bytes = bytes as u64;
        let over = Error::TooLarge {
            what: "the blocks that are read to follow the links of one request, in bytes,",
            actual: (LINKED_BYTES_MAX - self.bytes).saturating_add(bytes),
            max: LINKED_BYTES_MAX,
        };
        self.bytes = self.bytes.checked_sub(bytes).ok_or(over)?;
        let late = Instant::now().saturating_duration_since(self.until);
        if late.is_zero() {
            return Ok(());
        }
        let within = u64::try_from(WALK_WITHIN.as_millis()).unwrap_or(u64::MAX);
        Err(Error::TooLarge {
            what: "the time it takes to follow the links of one request, in milliseconds,",
            actual: within.saturating_add(u64::try_from(late.as_millis()).unwrap_or(u64::MAX)),
            max: within,
        })
    }
}

/// The contents that links lead to, each once, in the order they were found.
#[derive(Debug, Default)]
pub struct Linked {
    seen: Vec<Cid>,
    known: HashSet<Cid>,
    visited: usize,
}

impl Linked {
    fn next(&mut self) -> Option<Cid> {
        let cid = self.seen.get(self.visited).copied();
        self.visited += usize::from(cid.is_some());
        cid
    }

    fn extend(&mut self, cids: impl IntoIterator<Item = Cid>, budget: &mut Budget) -> Result<()> {
        for cid in cids {
            if self.known.insert(cid) {
                budget.find()?;
                self.seen.push(cid);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_one_budget_for_all_its_links() {
        let mut budget = Budget::of_request();
        let cids = |from: usize| (from..from + LINKED_MAX / 2).map(|n| Cid::raw(&n.to_be_bytes()));
        let (mut one, mut other) = (Linked::default(), Linked::default());
        one.extend(cids(0), &mut budget).unwrap();
        one.extend(cids(0), &mut budget).expect("each content counts once");
        other.extend(cids(0), &mut budget).unwrap();
        assert!(matches!(other.extend(cids(1), &mut budget), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn bytes_are_counted_together() {
        let mut budget = Budget::of_request();
        let half = usize::try_from(LINKED_BYTES_MAX / 2).unwrap();
        budget.read(half).unwrap();
        budget.read(half).unwrap();
        assert!(matches!(budget.read(1), Err(Error::TooLarge { .. })));
    }
}
