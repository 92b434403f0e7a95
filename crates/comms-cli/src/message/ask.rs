//! `comms ask`: one query, and its answer.

use std::time::Instant;

use comms_msg::Kind;

use super::{Attempt, Label, labelled, type_name, version};
use crate::args::{self, Global};
use crate::definition;
use crate::failure::Failure;
use crate::fields::Fields;
use crate::json;
use crate::output::{Output, milliseconds};
use crate::session;

/// Carries out `comms ask`.
pub(crate) async fn ask(ask: &args::Ask, global: &Global, output: Output) -> Result<(), Failure> {
    let fields = Fields::parse(&ask.fields)?;
    let label = Label::of(&ask.envelope, global)?;
    let comms = session::connect(global).await?;
    let domain = definition::in_force();
    let domain = domain.as_ref();
    let name = type_name(Kind::Query, &ask.type_name, domain)?;
    let body = super::body::assemble(&fields, &name, &comms, domain).await?;
    let attempt = Attempt {
        kind: Kind::Query,
        name: &name,
        fields: &fields,
        id: label.id,
        domain,
        speaker: global.speaker(),
    };

    let start = Instant::now();
    let mut asking =
        labelled!(comms.raw().ask(name.clone(), body.node).version(version(&name, domain)), label);
    if let Some(wait) = ask.wait {
        asking = asking.within(wait);
    }
    let answer = asking.await.map_err(|error| attempt.failed(error))?;
    let answered = json::Answered {
        id: label.id.to_string(),
        type_name: name.to_string(),
        answer: answer.to_value(),
        ms: milliseconds(start.elapsed()),
    };
    let printed = if output.is_json() {
        output.json(&answered)
    } else if output.is_terminal() {
        output.text(&format!("{:#}", answered.answer))
    } else {
        output.text(&answered.answer.to_string())
    };
    printed.map_err(|unheard| unheard.mend(format!("{name} was answered.")))
}
