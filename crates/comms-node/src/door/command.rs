//! The door for durable commands: kept, synced, then acknowledged; handled once by the one service that handles it.

use bytes::Bytes;
use comms_domain::Domain;
use comms_msg::door::{Accepted, Delivery, Refusal, RefusalKind};
use comms_msg::{Kind, ServiceName, Subject, TypeName};

use super::{Doors, complete};
use crate::access::Budget;

impl Doors {
    /// Keeps a command. A repeat with the same id answers as the first did and keeps nothing.
    pub(super) async fn command(
        &self,
        domain: &Domain,
        sender: &ServiceName,
        type_name: TypeName,
        message: &Bytes,
    ) -> Result<Accepted, Refusal> {
        let Some(spec) = domain.commands.get(&type_name) else {
            return Err(self.unknown(domain, Kind::Command, &type_name));
        };
        self.allowed(domain, sender, &type_name, "send", |service| service.sends.contains(&type_name))?;
        if spec.delivery == Delivery::Direct {
            let message =
                format!("{type_name} is delivered directly; publish it on its own subject, nobody keeps it");
            return Err(Refusal::new(RefusalKind::Invalid, message));
        }
        self.has_room()?;
        let (mut msg, filled) = complete::whole(message, Kind::Command, &type_name, sender)?;
        self.may_name(domain, sender, &msg.metadata.owner)?;
        let offloaded = self.check(domain, sender, &mut msg, &mut Budget::of_request()).await?;
        let id = msg.id;
        let subject = Subject::Command { domain: domain.name.clone(), type_name, sender: sender.clone() };
        let kept = self.log.store_command(subject.to_string(), &msg, &filled).await;
        let kept = kept.map_err(|e| self.refusal(e))?;
        Ok(Accepted {
            id,
            cid: kept.cid,
            position: self.log.queue_position(kept.sequence),
            retry_safe: filled.retry_safe(),
            filled: filled.fields.into_iter().map(str::to_owned).chain(offloaded).collect(),
            note: kept.duplicate.then(|| "this id was accepted before; nothing was stored again".to_owned()),
        })
    }
}
