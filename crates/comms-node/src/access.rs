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

use std::collections::HashSet;

use bytes::Bytes;
use comms_content::{Cid, DAG_CBOR, DAG_PB, Node};
use comms_domain::{Domain, Right, Service};
use comms_msg::{ServiceName, TypeName};
use comms_store::{Blocks, Error, Grant, Grants, Result};
use futures::{StreamExt, TryStreamExt, stream};

/// Contents that one link may open, itself included: a body that was split, with what its parts link to.
const LINKED_MAX: usize = 4_096;

/// Grants written at once for one message; each costs three syncs.
const GRANTS_AT_ONCE: usize = 8;

/// The rule, with what it decides by.
#[derive(Debug)]
pub struct Access {
    blocks: Blocks,
    grants: Grants,
}

impl Access {
    /// Decides by what is recorded, and by the definition that each question comes with.
    pub fn new(blocks: Blocks, grants: Grants) -> Self {
        Self { blocks, grants }
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

    /// Whether the service may name this content in a message: it put it or may read it, it is here, and the
    /// same holds for everything that the message would open with it. Absent and forbidden answer alike.
    ///
    /// # Errors
    /// As [`Access::may_read`]; [`Error::TooLarge`] for a link to more contents than a message may carry.
    pub async fn may_link(&self, domain: &Domain, service: &ServiceName, cid: &Cid) -> Result<bool> {
        let mut linked = Linked::new(cid);
        while let Some(cid) = linked.next() {
            if !self.may_read(domain, service, &cid).await? || !self.is_here(&cid).await? {
                return Ok(false);
            }
            if !self.follow(&mut linked, &cid).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Records that messages of this type carry these contents, and what they link to. Durable when it returns.
    ///
    /// Only for links that [`Access::may_link`] allowed to whoever sent the message.
    ///
    /// # Errors
    /// What the disk says; [`Error::TooLarge`] as for [`Access::may_link`].
    pub async fn grant_carried(&self, cids: &[Cid], name: &TypeName) -> Result<()> {
        for cid in cids {
            self.grant_linked(cid, &Grant::CarriedBy(name.clone())).await?;
        }
        Ok(())
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
        cid: &Cid,
        service: &ServiceName,
        name: &TypeName,
    ) -> Result<()> {
        let part = Part::of(domain, service, name);
        if part.speaks {
            self.grant_linked(cid, &Grant::CarriedBy(name.clone())).await?;
        }
        if part.replies {
            self.grant_linked(cid, &Grant::InReplyTo(name.clone())).await?;
        }
        Ok(())
    }

    async fn grant_linked(&self, cid: &Cid, grant: &Grant) -> Result<()> {
        let mut linked = Linked::new(cid);
        while let Some(cid) = linked.next() {
            self.follow(&mut linked, &cid).await?;
        }
        stream::iter(linked.seen.into_iter().filter(|cid| cid.inline().is_none()))
            .map(|cid| async move { self.grants.add(&cid, grant.clone()).await.map(drop) })
            .buffer_unordered(GRANTS_AT_ONCE)
            .try_collect()
            .await
    }

    async fn is_here(&self, cid: &Cid) -> Result<bool> {
        Ok(cid.inline().is_some() || self.blocks.has(cid).await?)
    }

    /// Adds what the block links to, if it is one that links. Answers whether it is what it says.
    async fn follow(&self, linked: &mut Linked, cid: &Cid) -> Result<bool> {
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
        let Ok(node) = Node::from_cbor(data) else { return Ok(false) };
        linked.extend(node.links())?;
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

/// The contents that a link leads to, each once, in the order they were found.
struct Linked {
    seen: Vec<Cid>,
    known: HashSet<Cid>,
    visited: usize,
}

impl Linked {
    fn new(cid: &Cid) -> Self {
        Self { seen: vec![*cid], known: HashSet::from([*cid]), visited: 0 }
    }

    fn next(&mut self) -> Option<Cid> {
        let cid = self.seen.get(self.visited).copied();
        self.visited += usize::from(cid.is_some());
        cid
    }

    fn extend(&mut self, cids: impl IntoIterator<Item = Cid>) -> Result<()> {
        for cid in cids {
            if !self.known.insert(cid) {
                continue;
            }
            if self.seen.len() >= LINKED_MAX {
                return Err(Error::TooLarge {
                    what: "the set of contents that one link leads to",
                    actual: self.seen.len() as u64 + 1,
                    max: LINKED_MAX as u64,
                });
            }
            self.seen.push(cid);
        }
        Ok(())
    }
}
