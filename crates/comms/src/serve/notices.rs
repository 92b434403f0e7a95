//! What the node says by itself: that acknowledged messages are lost. A listener cannot see that: nats-server passes over what
//! it cannot read.

use std::sync::Arc;

use async_nats::Subscriber;
use comms_msg::ServiceName;
use comms_msg::door::{Answer, Form, RefusalKind};
use futures::StreamExt;
use serde::de::IgnoredAny;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::comms::Comms;
use crate::connection::Connection;
use crate::error::{Error, ErrorKind, Result};

/// Where the node speaks.
#[derive(Debug)]
pub(crate) struct Notices {
    service: ServiceName,
    source: Subscriber,
    /// What was said last: it is said again and again.
    said: Option<Arc<str>>,
}

impl Notices {
    pub(crate) async fn subscribe(comms: &Comms, subject: String) -> Result<Self> {
        let source =
            comms.client().subscribe(subject).await.map_err(|error| {
                Error::new(ErrorKind::Unavailable, "the connection is closed").because(error)
            })?;
        Ok(Self { service: comms.service().clone(), source, said: None })
    }

    /// Tells who runs the service, until `stop`.
    pub(crate) async fn run(mut self, state: watch::Sender<Connection>, stop: CancellationToken) {
        loop {
            let message = tokio::select! {
                () = stop.cancelled() => return,
                message = self.source.next() => message,
            };
            let Some(message) = message else { return };
            let Some(reason) = read(&message.payload) else { continue };
            if self.said.as_deref() == Some(&*reason) {
                continue;
            }
            tracing::error!(
                service = %self.service, reason,
                "acknowledged messages are lost: what this service hears is not all that was recorded"
            );
            state.send_modify(|state| {
                state.losses += 1;
                state.last_error = Some(reason.clone());
            });
            self.said = Some(reason.into());
        }
    }
}

/// What is lost, if that is what is said.
fn read(payload: &bytes::Bytes) -> Option<String> {
    match Form::of(payload).decode::<Answer<IgnoredAny>>(payload) {
        Ok(Answer::Error(refusal)) if refusal.kind == RefusalKind::Lost => Some(refusal.message),
        Ok(_) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use comms_msg::door::Refusal;

    use super::*;

    #[test]
    fn only_a_loss_is_heard() {
        for form in [Form::Json, Form::Cbor] {
            let said = |kind| read(&form.refusal(&Refusal::new(kind, "EVENT_n: 1 missing")));
            assert_eq!(said(RefusalKind::Lost).as_deref(), Some("EVENT_n: 1 missing"));
            assert_eq!(said(RefusalKind::Unavailable), None);
            assert_eq!(read(&form.ok(&7)), None);
        }
        assert_eq!(read(&bytes::Bytes::new()), None, "an acknowledgement that was steered here");
    }
}
