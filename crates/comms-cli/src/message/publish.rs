//! `comms publish`: one event, appended to the history of an entity.

use std::time::Instant;

use comms::Expect;
use comms_msg::Kind;

use super::{Attempt, Label, labelled, sizes, type_name, version};
use crate::args::{self, Global};
use crate::definition;
use crate::failure::Failure;
use crate::fields::Fields;
use crate::json;
use crate::output::{Output, Row, Tone, milliseconds, span};
use crate::session;

/// Carries out `comms publish`.
pub(crate) async fn publish(publish: &args::Publish, global: &Global, output: Output) -> Result<(), Failure> {
    let fields = Fields::parse(&publish.fields)?;
    let label = Label::of(&publish.envelope, global)?;
    let expect = publish.expect.as_deref().map(expected).transpose()?.unwrap_or_default();
    let comms = session::connect(global).await?;
    let domain = definition::in_force();
    let domain = domain.as_ref();
    let name = type_name(Kind::Event, &publish.type_name, domain)?;
    let body = super::body::assemble(&fields, &name, &comms, domain).await?;
    let attempt = Attempt {
        kind: Kind::Event,
        name: &name,
        fields: &fields,
        id: label.id,
        domain,
        speaker: global.speaker(),
    };

    let start = Instant::now();
    let publishing =
        labelled!(comms.raw().publish(name.clone(), body.node).version(version(&name, domain)), label);
    let publishing = publishing.entity(&publish.entity).expect(expect);
    let published = publishing.await.map_err(|error| attempt.failed(error))?;
    let took = start.elapsed();
    let said = json::Published {
        id: label.id.to_string(),
        type_name: name.to_string(),
        entity: publish.entity.clone(),
        position: published.position.to_string(),
        cid: published.cid.to_string(),
        bytes: published.bytes as u64,
        offloaded: body.offloaded,
        ms: milliseconds(took),
    };
    let row = Row::new("kept").tone(Tone::Good).cell(said.id.clone()).cell(said.type_name.clone());
    let row = row.cell(said.entity.clone()).cell(format!("position {}", said.position));
    let row = row.cell(sizes(said.bytes, &said.offloaded)).cell(span(took));
    output.say(&said, &row).map_err(|unheard| {
        unheard.mend(format!("{name} was stored at position {}; its id is {}.", said.position, said.id))
    })
}

fn expected(text: &str) -> Result<Expect, Failure> {
    if text == "absent" {
        return Ok(Expect::Absent);
    }
    text.parse().map(Expect::At).map_err(|error: comms_msg::Error| {
        Failure::usage(format!("{text} is not something to expect of an entity"))
            .mend("`absent`, or the position of its last event, such as 17@k3f9x2aa")
            .because(&error)
    })
}
