//! The doors that tell a service where it is: what it may do here, and where its messages arrive.

use std::collections::BTreeSet;
use std::time::Duration;

use comms_domain::{Domain, LOSS_ACCEPTED, Purpose, Service};
use comms_msg::door::{Arrival, CommandInfo, Hello, Listening, QueryInfo, Refusal, RefusalKind};
use comms_msg::{ServiceName, TypeName};

use super::Doors;
use crate::current::InForce;
use crate::notice;

impl Doors {
    /// What the definition in force says of the caller.
    pub(super) fn hello(&self, domain: &Domain, sender: &ServiceName) -> Result<Hello, Refusal> {
        let service = self.service(domain, sender)?;
        let list = |types: &BTreeSet<TypeName>| types.iter().cloned().collect::<Vec<_>>();
        let typed = |types: &BTreeSet<TypeName>| {
            types
                .iter()
                .filter_map(|name| domain.commands.get(name).map(|spec| (name, spec)))
                .map(|(name, spec)| CommandInfo {
                    type_name: name.clone(),
                    delivery: spec.delivery,
                    deadline_ms: millis(spec.deadline),
                })
                .collect::<Vec<_>>()
        };
        let queries = domain
            .queries
            .iter()
            .filter(|(name, _)| service.asks.contains(*name) || service.answers.contains(*name))
            .map(|(name, spec)| QueryInfo { type_name: name.clone(), deadline_ms: millis(spec.deadline) })
            .collect();
        let mut observes = list(&service.observes);
        let own: TypeName = LOSS_ACCEPTED.parse().expect("a context, a dot and a type are a name");
        if service.may_observe(&own) {
            observes.push(own);
        }
        Ok(Hello {
            domain: domain.name.clone(),
            version: domain.version,
            node: self.node.clone(),
            service: sender.clone(),
            threshold: domain.content.threshold,
            log: self.log.incarnation().to_owned(),
            http: self.http.clone(),
            sends: typed(&service.sends),
            handles: typed(&service.handles),
            asks: list(&service.asks),
            answers: list(&service.answers),
            emits: list(&service.emits),
            observes,
            queries,
        })
    }

    /// Where commands and events for the caller arrive. The node made the consumers; the caller only subscribes.
    pub(super) fn listen(&self, in_force: &InForce, sender: &ServiceName) -> Result<Listening, Refusal> {
        self.service(&in_force.domain, sender)?;
        let layout = &in_force.layout;
        let delivering = |purpose: Purpose| {
            layout.consumers.iter().find(|c| c.purpose == purpose).map(|consumer| Arrival {
                subject: consumer.deliver_subject.clone(),
                queue: consumer.deliver_group.clone(),
                ack_wait_ms: millis(consumer.ack_wait),
                max_ack_pending: u64::try_from(consumer.ack_pending_max).unwrap_or(0),
            })
        };
        Ok(Listening {
            commands: delivering(Purpose::Command(sender.clone())),
            events: delivering(Purpose::Event(sender.clone())),
            foreign: delivering(Purpose::Foreign(sender.clone())),
            foreign_log: self.log.foreign.clone(),
            notices: Some(notice::subject(&in_force.domain, sender)),
        })
    }

    /// The caller as the definition has it.
    pub(super) fn service<'a>(
        &self,
        domain: &'a Domain,
        sender: &ServiceName,
    ) -> Result<&'a Service, Refusal> {
        domain.service(sender).ok_or_else(|| {
            Refusal::new(RefusalKind::Denied, format!("{sender} is no service of {} any more", domain.name))
        })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
