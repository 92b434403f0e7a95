//! How a command ends: with the events it caused, or without any. Stored, remembered, told to who waits, and then taken
//! out of the queue.

use std::sync::atomic::Ordering;

use comms_domain::Domain;
use comms_msg::door::{Committed, Refusal, RefusalKind};
use comms_msg::{Draft, ServiceName};

use super::{Doors, complete};
use crate::access::Budget;
use crate::log::commit::COMMIT_MESSAGES_MAX;
use crate::log::ending::{Ending, EndingState};
use crate::log::{Delivered, Effect, Finished, NewEvent};

/// The longest reason that is kept, in bytes.
const REASON_BYTES_MAX: usize = 4_096;

impl Doors {
    /// Stores the events that a command caused, together, and ends it.
    pub(super) async fn done(
        &self,
        domain: &Domain,
        sender: &ServiceName,
        held: Delivered,
        events: Vec<Draft>,
    ) -> Result<Committed, Refusal> {
        if events.is_empty() {
            return self.end_without_events(sender, held, EndingState::Done, None).await;
        }
        if events.len() > COMMIT_MESSAGES_MAX {
            let message =
                format!("/events  {} events; at most {COMMIT_MESSAGES_MAX} in one commit", events.len());
            return Err(Refusal::new(RefusalKind::TooLarge, message));
        }
        let (checked, filled) = self.caused(domain, sender, &held, events).await?;
        let ended = self.finish(sender, &held, Effect::Events(checked)).await?;
        // Of an answer that was given before the first one told it.
        Ok(if ended.already { ended } else { Committed { filled, ..ended } })
    }

    /// Stores how a command ended that caused nothing.
    pub(super) async fn end_without_events(
        &self,
        sender: &ServiceName,
        held: Delivered,
        state: EndingState,
        reason: Option<String>,
    ) -> Result<Committed, Refusal> {
        let reason = reason.map(|text| shortened(text, REASON_BYTES_MAX));
        let died = (state == EndingState::Dead).then(|| reason.clone().unwrap_or_default());
        let finished = self.finish(sender, &held, Effect::Nothing { state, reason }).await?;
        if let Some(reason) = died.filter(|_| !finished.already) {
            let (command, tries) = (&held.command, held.tries);
            self.counts.dead.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(service = %sender, command = %command.id, type_name = %command.type_name, tries, reason, "a command is given up: it is kept among the dead letters");
        }
        Ok(finished)
    }

    async fn finish(
        &self,
        sender: &ServiceName,
        held: &Delivered,
        effect: Effect,
    ) -> Result<Committed, Refusal> {
        match self.log.finish(held, sender, effect).await {
            Ok(Finished::Now(appended)) => Ok(Committed {
                already: appended.stored.duplicate,
                failed: held.command.failed,
                events: self.appended(&appended),
                filled: Vec::new(),
            }),
            Ok(Finished::Before(ending)) => self.already(&ending).await,
            Err(error) => Err(self.refusal(error)),
        }
    }

    /// The answer for a command that ended before: what is in the log of it.
    pub(super) async fn already(&self, ending: &Ending) -> Result<Committed, Refusal> {
        tracing::debug!(?ending, "answered for before");
        let mut events = Vec::new();
        if let Ending::Done { first, count, .. } = ending {
            for sequence in (*first..).take(*count as usize) {
                let stored = self.log.read_event(sequence).await.map_err(|e| self.refusal(e))?;
                events.extend(stored.and_then(|msg| self.appended_event(&msg, sequence)));
            }
        }
        Ok(Committed { already: true, failed: 0, events, filled: Vec::new() })
    }

    /// The events that a handler says its command caused, completed and checked, and the places whose bytes were put.
    async fn caused(
        &self,
        domain: &Domain,
        sender: &ServiceName,
        held: &Delivered,
        events: Vec<Draft>,
    ) -> Result<(Vec<NewEvent>, Vec<String>), Refusal> {
        let mut checked = Vec::with_capacity(events.len());
        let mut put = Vec::new();
        let mut budget = Budget::of_request();
        for (ordinal, event) in (0u32..).zip(events) {
            let place = format!("/events/{ordinal}");
            let (mut msg, filled) =
                complete::caused(event, &held.command, sender, ordinal).map_err(|r| r.below(&place))?;
            let content = msg.content.as_ref().expect("what was completed has content");
            let type_name = content.type_name().clone();
            if !domain.events.contains_key(&type_name) {
                return Err(self.unknown(domain, comms_msg::Kind::Event, &type_name).below(&place));
            }
            self.allowed(domain, sender, &type_name, "emit", |service| service.emits.contains(&type_name))?;
            // Who answers for the command was named by its sender.
            if msg.metadata.owner != held.command.owner {
                self.may_name(domain, sender, &msg.metadata.owner).map_err(|r| r.below(&place))?;
            }
            let places =
                self.check(domain, sender, &mut msg, &mut budget).await.map_err(|r| r.below(&place))?;
            put.extend(places.into_iter().map(|below| format!("{place}{below}")));
            checked.push(self.new_event(msg, filled)?);
        }
        Ok((checked, put))
    }
}

/// `text` cut to at most `bytes_max` bytes, at a character.
fn shortened(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}
