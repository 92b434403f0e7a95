//! `comms send`: one command, and what became of it.

use std::time::Instant;

use comms::{Caused, End, ErrorKind, Outcome, RawSent};
use comms_msg::{Kind, Subject};

use super::{Attempt, Label, labelled, sizes, type_name, version};
use crate::args::{self, Global};
use crate::definition;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::fields::Fields;
use crate::json;
use crate::output::{Output, Row, Tone, milliseconds, span};
use crate::session;

/// Carries out `comms send`.
pub(crate) async fn send(send: &args::Send, global: &Global, output: Output) -> Result<(), Failure> {
    let fields = Fields::parse(&send.fields)?;
    let label = Label::of(&send.envelope, global)?;
    let comms = session::connect(global).await?;
    let domain = definition::in_force();
    let domain = domain.as_ref();
    let name = type_name(Kind::Command, &send.type_name, domain)?;
    let body = super::body::assemble(&fields, &name, &comms, domain).await?;
    let attempt = Attempt {
        kind: Kind::Command,
        name: &name,
        fields: &fields,
        id: label.id,
        domain,
        speaker: global.speaker(),
    };

    let start = Instant::now();
    let sending = labelled!(comms.raw().send(name.clone(), body.node).version(version(&name, domain)), label);
    let sent = sending.await.map_err(|error| attempt.failed(error))?;
    let subject = Subject::Command {
        domain: comms.domain().clone(),
        type_name: name.clone(),
        sender: comms.service().clone(),
    };
    let (cid, position, bytes) = match &sent {
        RawSent::Sent(sent) => (Some(sent.cid), Some(sent.position), sent.bytes),
        RawSent::Told(told) => (None, None, told.bytes),
    };
    let said = json::Sent {
        id: label.id.to_string(),
        type_name: name.to_string(),
        subject: subject.to_string(),
        cid: cid.map(|cid| cid.to_string()),
        position: position.map(|position| position.to_string()),
        bytes: bytes as u64,
        offloaded: body.offloaded,
        retry_safe: position.is_some(),
        ms: milliseconds(start.elapsed()),
    };
    let row = Row::new("sent").cell(said.id.clone()).cell(said.subject.clone());
    let row = row.cell(sizes(said.bytes, &said.offloaded));
    let printed = output.say(&json::Send::Sent(said), &row);
    if matches!(sent, RawSent::Told(_)) {
        // It stands in line; this process must not end before it has left.
        comms.flush().await?;
        return printed.map_err(|unheard| unheard.mend(format!("{name} was sent; its id is {}.", label.id)));
    }
    printed.map_err(|unheard| {
        unheard.mend(format!("{name} is kept; its id is {}. Its outcome was not waited for.", label.id))
    })?;
    if send.no_wait {
        return Ok(());
    }
    let waiting = comms.raw().outcome(name.clone(), label.id);
    let outcome = match send.wait {
        Some(wait) => waiting.within(wait).await,
        None => waiting.await,
    };
    let outcome = outcome.map_err(|error| unknown(error, &attempt))?;
    tell(&outcome, &attempt, start, output)
}

fn tell(outcome: &Outcome, attempt: &Attempt<'_>, start: Instant, output: Output) -> Result<(), Failure> {
    let name = attempt.name;
    let took = start.elapsed();
    let happened = |unheard: Failure| {
        let ended = match &outcome.end {
            End::Done => "is done",
            End::Rejected(_) => "was rejected",
            End::Dead(_) => "was given up",
            End::Pending => "is kept until it is handled",
        };
        unheard.mend(format!("{name} {ended}; its id is {}.", attempt.id))
    };
    for event in &outcome.events {
        let row = Row::new("caused").cell(event.id.to_string()).cell(event.type_name.to_string());
        let row = row.cell(event.entity.to_string()).cell(format!("position {}", event.position));
        output
            .say(
                &json::Send::Caused(caused(event, milliseconds(took))),
                &row.cell(format!("+{}", span(took))),
            )
            .map_err(happened)?;
    }
    let ended = |reason: Option<&str>| json::Ended {
        id: attempt.id.to_string(),
        reason: reason.map(ToOwned::to_owned),
        tries: outcome.tries,
        ms: milliseconds(took),
    };
    match &outcome.end {
        End::Done => {
            let row = Row::new("done").tone(Tone::Good).cell(span(took));
            output.say(&json::Send::Done(ended(None)), &row).map_err(happened)
        }
        End::Rejected(reason) => {
            let printed = output.json(&json::Send::Rejected(ended(Some(reason))));
            Err(Failure::new(Exit::Refused, format!("{name} rejected: {reason}"))
                .mend("Its handler refused it for good; it will not be tried again.")
                .unheard(printed))
        }
        End::Dead(reason) => {
            let printed = output.json(&json::Send::Dead(ended(Some(reason))));
            let tries = crate::output::count(outcome.tries as usize, "try").replace("trys", "tries");
            Err(Failure::failed(format!("{name} given up after {tries}: {reason}"))
                .mend("It is kept among the dead letters.")
                .unheard(printed))
        }
        End::Pending => {
            let printed = output.json(&json::Send::Pending(ended(None)));
            Err(Failure::new(Exit::NoAnswer, format!("no outcome of {name} within {}", span(took)))
                .mend(format!("It is kept until {} handles it.", handler(attempt)))
                .unheard(printed))
        }
    }
}

/// The command is kept, whatever became of the wait for its outcome.
fn unknown(error: comms::Error, attempt: &Attempt<'_>) -> Failure {
    let kept = format!("It is kept; its id is {}.", attempt.id);
    if error.is_retryable() || error.kind() == ErrorKind::NotFound {
        let what = format!("the outcome of {} is not known", attempt.name);
        return Failure::new(Exit::NoAnswer, what).mend(kept).because(&error);
    }
    Failure::from(error).mend(kept)
}

/// Who would have to run, as far as it can be told here.
fn handler(attempt: &Attempt<'_>) -> String {
    let handler = attempt.domain.and_then(|domain| domain.handler(attempt.name));
    handler.map_or_else(|| "its handler".to_owned(), ToString::to_string)
}

fn caused(event: &Caused, ms: f64) -> json::Caused {
    json::Caused {
        id: event.id.to_string(),
        type_name: event.type_name.to_string(),
        entity: event.entity.to_string(),
        position: event.position.to_string(),
        cid: event.cid.to_string(),
        ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_fails_says_that_the_command_is_kept_under_its_id() {
        let name = "documents.AddDocument".parse().unwrap();
        let id = comms_msg::MsgId::parse_lenient("0190163d-8694-739b-aea5-966c26f8ad91").unwrap();
        let fields = Fields::default();
        let attempt =
            Attempt { kind: Kind::Command, name: &name, fields: &fields, id, domain: None, speaker: "dev" };
        let kept = "It is kept; its id is 0190163d-8694-739b-aea5-966c26f8ad91.";
        for kind in [ErrorKind::Unavailable, ErrorKind::Timeout, ErrorKind::Busy, ErrorKind::NotFound] {
            let failure = unknown(comms::Error::new(kind, "no node"), &attempt);
            assert_eq!(failure.exit(), Exit::NoAnswer, "{kind}");
            assert_eq!(
                failure.to_string(),
                format!(
                    "error: the outcome of documents.AddDocument is not known\n  {kept}\n  because: no node"
                )
            );
        }
        let failure = unknown(comms::Error::new(ErrorKind::Denied, "not yours"), &attempt);
        assert_eq!(failure.exit(), Exit::NotFound);
        assert_eq!(failure.to_string(), format!("error: not yours\n  {kept}"));
    }
}
