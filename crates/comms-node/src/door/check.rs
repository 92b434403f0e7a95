//! What every door checks of a message before it is kept: the version of its schema, the schema itself, and that its
//! sender may give away every link in it.

use comms_content::{Cid, Node};
use comms_domain::{Domain, Service, Spec};
use comms_msg::door::{FieldProblem, Refusal, RefusalKind};
use comms_msg::{Body, Msg, Owner, ServiceName, TypeName};

use super::Doors;
use crate::access::{Budget, Linked};
use crate::log::commit::AppendError;

/// Links in one message at most: each is looked up before the message is kept.
const LINKS_MAX: usize = 1_000;

/// Owners that a refusal lists; it is enough to see what is meant.
const OWNERS_TOLD_MAX: usize = 8;

impl Doors {
    /// Checks `msg` from `sender` against its type's definition. The schema decides whether a number is an integer or
    /// a float, so the body may be rewritten to the same value in its right form; large byte fields leave it, and are
    /// what comes back, as places in the message. What the message carries becomes readable to those who may read its
    /// type; that stands before the message does, so that nobody who receives it is turned away.
    pub(super) async fn check(
        &self,
        domain: &Domain,
        sender: &ServiceName,
        msg: &mut Msg,
        budget: &mut Budget,
    ) -> Result<Vec<String>, Refusal> {
        let content = msg.content.as_mut().ok_or_else(|| invalid("/content  missing"))?;
        let type_name = content.type_name().clone();
        let spec = domain.spec(&type_name).ok_or_else(|| invalid(format!("no type {type_name}")))?;
        if content.version() != spec.version() {
            let (given, wanted) = (content.version(), spec.version());
            return Err(invalid(format!("/content/v  {type_name} is at version {wanted}, not {given}")));
        }
        let (mut offloaded, mut carried) = (Vec::new(), Vec::new());
        match content.body_mut() {
            Body::Inline(node) => {
                if let Some(right) = fit(spec, &type_name, node)? {
                    *node = right;
                }
                let links = node.links();
                carried.push(self.follow(domain, sender, &links, budget).await?);
                if let Some(less) = self.offload(domain, sender, node).await? {
                    fit(spec, &type_name, &less.body)?;
                    *node = less.body;
                    offloaded = less.places;
                    let put: Vec<Cid> = node.links().into_iter().filter(|cid| !links.contains(cid)).collect();
                    carried.push(self.follow(domain, sender, &put, budget).await?);
                }
            }
            Body::Link(cid) => {
                if cid.codec() != comms_content::DAG_CBOR {
                    // Of any other codec the links inside would not be seen as links, and so not be checked.
                    return Err(invalid(format!("/content/link  {cid} is not a DAG-CBOR block")));
                }
                carried.push(self.follow(domain, sender, std::slice::from_ref(cid), budget).await?);
                fit(spec, &type_name, &self.body_block(cid).await?)?;
            }
            Body::Sealed(_) => {
                return Err(invalid(
                    "/content/sealed  reserved: nothing reads such bodies yet; send body or link",
                ));
            }
        }
        for linked in carried {
            self.access.grant_carried(&linked, &type_name).await.map_err(|e| store_refusal(&e))?;
        }
        Ok(offloaded)
    }

    /// The body that stands in a block of its own.
    async fn body_block(&self, cid: &Cid) -> Result<Node, Refusal> {
        let block = self.blocks.get(cid).await.map_err(|e| store_refusal(&e))?;
        Node::from_cbor(block.data().clone())
            .map_err(|e| invalid(format!("/content/link  not a DAG-CBOR body: {e}")))
    }

    /// What `sender` gives away with these links: it put each itself, or may read it. Denied and absent look alike.
    async fn follow(
        &self,
        domain: &Domain,
        sender: &ServiceName,
        links: &[Cid],
        budget: &mut Budget,
    ) -> Result<Linked, Refusal> {
        if links.is_empty() {
            return Ok(Linked::default());
        }
        if links.len() > LINKS_MAX {
            let message = format!("{} links in one message; at most {LINKS_MAX}", links.len());
            return Err(Refusal::new(RefusalKind::TooLarge, message));
        }
        let followed = self.access.follow(domain, sender, links, budget).await;
        followed.map_err(|e| store_refusal(&e))?.map_err(|cid| {
            Refusal::new(RefusalKind::NotFound, format!("not here, or not yours to give: {cid}"))
        })
    }

    /// Whether the definition lets `sender` do this with `type_name`.
    pub(super) fn allowed(
        &self,
        domain: &Domain,
        sender: &ServiceName,
        type_name: &TypeName,
        verb: &str,
        may: impl Fn(&Service) -> bool,
    ) -> Result<(), Refusal> {
        if domain.service(sender).is_some_and(&may) {
            return Ok(());
        }
        let who: Vec<&str> = domain.services_that(|service| may(service)).map(ServiceName::as_str).collect();
        let who = if who.is_empty() { "nobody".to_owned() } else { who.join(", ") };
        let message = format!("{sender} may not {verb} {type_name}; domain.toml lists: {who}");
        Err(Refusal::new(RefusalKind::Denied, message))
    }

    /// Whether the definition lets `sender` say that `owner` answers for this. That it is true, nobody checks.
    pub(super) fn may_name(
        &self,
        domain: &Domain,
        sender: &ServiceName,
        owner: &Owner,
    ) -> Result<(), Refusal> {
        let Some(service) = domain.service(sender).filter(|service| !service.may_name(owner)) else {
            return Ok(());
        };
        let who: Vec<&str> = service.owners.iter().map(Owner::as_str).take(OWNERS_TOLD_MAX).collect();
        let message = format!(
            "/metadata/owner  {sender} may not name the owner {owner}; domain.toml lists: {}",
            who.join(", ")
        );
        Err(Refusal::new(RefusalKind::Denied, message))
    }

    /// There is no such type, but perhaps one with a name much like it.
    pub(super) fn unknown(&self, domain: &Domain, kind: comms_msg::Kind, type_name: &TypeName) -> Refusal {
        let near = domain.nearest(kind, type_name.as_ref());
        let hint = match near {
            Some((near, name)) if near == kind => format!("; did you mean {name}?"),
            Some((other, name)) => format!("; did you mean the {} {name}?", other.as_str()),
            None => String::new(),
        };
        let message = format!("no {} {type_name} in the domain {}{hint}", kind.as_str(), domain.name);
        Refusal::new(RefusalKind::Unknown, message)
    }

    /// Whether something new may be kept, said before any work is done for it.
    pub(super) fn has_room(&self) -> Result<(), Refusal> {
        self.condition
            .room()
            .admit_new()
            .map_err(|shortage| self.refusal(AppendError::Full(shortage.to_string())))
    }

    /// A failure of the log, as its caller should hear it.
    pub(super) fn refusal(&self, error: AppendError) -> Refusal {
        let message = error.to_string();
        match error {
            AppendError::Conflict { actual } => {
                let position = (actual > 0).then(|| self.log.position(actual));
                let message = match &position {
                    Some(position) => format!(
                        "the entity is at position {position}, not where it was expected; nothing was stored"
                    ),
                    None => {
                        "the entity has no event yet, though one was expected; nothing was stored".to_owned()
                    }
                };
                Refusal { position, ..Refusal::new(RefusalKind::Conflict, message) }
            }
            AppendError::Busy(_) | AppendError::Over(_) => Refusal::new(RefusalKind::Busy, message),
            AppendError::Underway => match self.condition.ill() {
                None => Refusal::new(RefusalKind::Busy, message),
                Some(why) => Refusal::new(RefusalKind::Unavailable, format!("{message}, but {why}")),
            }
            .perhaps_done(),
            AppendError::Unavailable { may_have_happened, .. } => {
                Refusal { may_have_happened, ..Refusal::new(RefusalKind::Unavailable, message) }
            }
            AppendError::Full(_) => Refusal::new(RefusalKind::Full, format!("{message}; nothing was stored")),
            AppendError::Gone(_) => Refusal::new(RefusalKind::Unavailable, message),
            AppendError::TooLarge(_) => Refusal::new(RefusalKind::TooLarge, message),
            AppendError::Refused(_) => Refusal::new(RefusalKind::Invalid, message),
        }
    }
}

pub(super) fn store_refusal(error: &comms_store::Error) -> Refusal {
    if let comms_store::Error::TooLarge { .. } = error {
        return Refusal::new(RefusalKind::TooLarge, error.to_string());
    }
    tracing::error!(%error, "the content store failed");
    Refusal::new(RefusalKind::Unavailable, "the content store does not answer; the operator's log says why")
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::Invalid, message)
}

/// Holds a body against what the definition says of its type; what comes back is the body in its right form where that
/// differs.
fn fit(spec: Spec<'_>, type_name: &TypeName, body: &Node) -> Result<Option<Node>, Refusal> {
    spec.fit(body).map_err(|problems| {
        let count = problems.len();
        let things = if count == 1 { "thing does" } else { "things do" };
        let message = match spec.schema() {
            Some(_) => {
                let path = format!("schemas/{}/{}.json", type_name.context(), type_name.name());
                format!("{type_name} refused: {count} {things} not fit {path}")
            }
            None => format!("{type_name} refused: its body is no object"),
        };
        let problems =
            problems.into_iter().map(|p| FieldProblem { path: p.path, problem: p.problem }).collect();
        Refusal { problems, ..Refusal::new(RefusalKind::Invalid, message) }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use comms_domain::Domain;

    use super::*;

    #[test]
    fn a_body_that_is_no_object_is_called_so() {
        let domain = Domain::parse("domain.toml", "name = 'a'\n[query.'c.T']", &BTreeMap::new()).unwrap();
        let name: TypeName = "c.T".parse().unwrap();
        for body in ["null", "1", "[]"] {
            let body = Node::from_json(body.as_bytes()).unwrap();
            let refusal = fit(domain.spec(&name).unwrap(), &name, &body).unwrap_err();
            assert_eq!(refusal.message, "c.T refused: its body is no object");
        }
    }
}
