//! `comms ask`: one query, and its answer.

use std::time::Instant;

use comms_domain::Kind;

use super::{Label, labelled, refused, type_name};
use crate::args::{self, Global};
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
    let name = type_name(Kind::Query, &ask.type_name)?;
    let body = super::body::assemble(&fields, &name, &comms).await?;

    let start = Instant::now();
    let mut asking = labelled!(comms.raw().ask(name.clone(), body.node), label);
    if let Some(wait) = ask.wait {
        asking = asking.within(wait);
    }
    let answer = asking.await.map_err(|error| refused(error, Kind::Query, &name, global))?;
    let answered = json::Answered {
        id: label.id.to_string(),
        type_name: name.to_string(),
        answer: answer.to_value(),
        ms: milliseconds(start.elapsed()),
    };
    if output.is_json() {
        return output.json(&answered);
    }
    if output.is_terminal() {
        return output.text(&format!("{:#}", answered.answer));
    }
    output.text(&answered.answer.to_string())
}
