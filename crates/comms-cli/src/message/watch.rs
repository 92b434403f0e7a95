//! `comms watch`: events of some types as they happen, or from a place in the log on.

use comms::{Connection, ErrorKind, Position, Recorded, Timestamp, TypeName, WatchFrom, Watched};
use comms_domain::{Domain, LOSS_ACCEPTED};
use comms_msg::limits::WATCH_TYPES_MAX;
use comms_msg::{Body, Kind};

use super::unknown;
use crate::args::{self, Global};
use crate::definition;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::output::{self, Output, Row, Tone};
use crate::session;
use crate::signals::Signals;

/// Characters of a body that a terminal is shown: a few lines. Pipes and objects get all of it.
const BODY_CHARS_SHOWN: usize = 200;

/// What to do about events that nobody can read.
const LOST_MEND: &str = "The node says more when it is started again: comms up";

/// Carries out `comms watch`.
pub(crate) async fn watch(watch: &args::Watch, global: &Global, output: Output) -> Result<(), Failure> {
    let from = from(&watch.from)?;
    let comms = session::connect(global).await?;
    let types = types(&watch.patterns, definition::in_force().as_ref(), global)?;
    let mut signals = Signals::take()?;
    let mut building = comms.watch_types(types).from(from);
    if let Some(entity) = &watch.entity {
        building = building.entity(entity);
    }
    let mut connection = comms.connection();
    let mut events = building.await?;
    let mut left = watch.count.unwrap_or(u64::MAX);
    let mut last = None;
    let mut is_away = false;
    let mut lost = 0;
    while left > 0 {
        let step = tokio::select! {
            step = events.step() => step,
            Ok(()) = connection.changed() => {
                heard(&connection.borrow_and_update(), &mut is_away, last, output);
                continue;
            }
            () = output::closed() => return Ok(()),
            () = signals.next() => return Ok(()),
        };
        match step {
            Some(Ok(Watched::Event(event))) => {
                last = Some(event.position());
                print(&event, output)?;
                left -= 1;
            }
            Some(Ok(Watched::LossAccepted(positions))) => {
                let places: Vec<String> = positions.iter().map(ToString::to_string).collect();
                let places = places.join(", ");
                let message =
                    format!("the operator went on without what was lost (comms.LossAccepted): {places}");
                gap(&positions, true, &message, output)?;
            }
            Some(Ok(Watched::CaughtUp)) if watch.until_now => break,
            Some(Ok(Watched::CaughtUp)) => output.note(&json::Note::CaughtUp(place(last)), &caught_up(last)),
            // What is left of the log is worth reading once it is said that something is not.
            Some(Err(error)) if error.kind() == ErrorKind::Lost && !error.positions().is_empty() => {
                lost += error.positions().len();
                gap(error.positions(), false, error.message(), output)?;
            }
            Some(Err(error)) => return Err(error.into()),
            None => {
                return Err(Failure::failed("the watch ended by itself").mend("Is the node still running?"));
            }
        }
        if output::is_closed() {
            return Ok(());
        }
    }
    match lost {
        0 => Ok(()),
        1 => Err(Failure::failed("1 acknowledged event is missing in what was printed").mend(LOST_MEND)),
        lost => {
            let message = format!("{lost} acknowledged events are missing in what was printed");
            Err(Failure::failed(message).mend(LOST_MEND))
        }
    }
}

/// Says that events are missing, in their place among those that are printed or soon after.
fn gap(positions: &[Position], accepted: bool, message: &str, output: Output) -> Result<(), Failure> {
    let positions: Vec<String> = positions.iter().map(ToString::to_string).collect();
    let row = Row::new("lost").tone(Tone::Warn).cell(message);
    output.say(&json::Lost { lost: json::Gap { positions, accepted, message: message.to_owned() } }, &row)
}

/// Says once that the node went away, and once that it is back.
fn heard(connection: &Connection, is_away: &mut bool, last: Option<Position>, output: Output) {
    match (connection.connected, *is_away) {
        (false, false) => {
            output.note(
                &json::Note::Away(place(last)),
                "away: no connection to the node; waiting until it is back",
            );
        }
        (true, true) => output
            .note(&json::Note::Back(place(last)), "back: connected to the node again; nothing is left out"),
        _ => {}
    }
    *is_away = !connection.connected;
}

fn place(last: Option<Position>) -> json::Place {
    json::Place { position: last.map(|position| position.to_string()) }
}

fn caught_up(last: Option<Position>) -> String {
    match last {
        Some(position) => format!("caught up at {position}; what is printed from here on happens now"),
        None => "caught up: nothing before now; what is printed from here on happens now".to_owned(),
    }
}

fn print(event: &Recorded<Body>, output: Output) -> Result<(), Failure> {
    let (msg, metadata) = (event.msg(), &event.msg().metadata);
    let said = json::Watched {
        id: event.id().to_string(),
        type_name: event.type_name().to_string(),
        entity: event.entity().to_string(),
        position: event.position().to_string(),
        cid: msg.cid().to_string(),
        time: metadata.time.to_string(),
        owner: metadata.owner.to_string(),
        sender: event.sender().map(ToString::to_string),
        correlation: metadata.correlation.to_string(),
        causation: metadata.causation.map(|causation| causation.to_string()),
        user: metadata.user.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        body: body(event.event()),
    };
    if output.is_json() {
        return output.json(&said);
    }
    let mut text = said.body.to_string();
    if output.is_terminal()
        && let Some((end, _)) = text.char_indices().nth(BODY_CHARS_SHOWN)
    {
        text.truncate(end);
        text.push('…');
    }
    let row =
        Row::new("event").cell(said.type_name).cell(said.entity).cell(format!("position {}", said.position));
    let row = row.cell(said.time).cell(format!("from {}", said.sender.as_deref().unwrap_or("nobody named")));
    output.row(&row.cell(said.owner).cell(text))
}

fn body(body: &Body) -> serde_json::Value {
    match body {
        Body::Inline(node) => node.to_value(),
        Body::Link(cid) => serde_json::json!({ "/": cid.to_string() }),
        Body::Sealed(sealed) => serde_json::json!({ "/": sealed.link.to_string() }),
    }
}

fn from(text: &str) -> Result<WatchFrom, Failure> {
    match text {
        "new" => return Ok(WatchFrom::Live),
        "start" => return Ok(WatchFrom::Start),
        _ => {}
    }
    if let Ok(position) = text.parse() {
        return Ok(WatchFrom::Position(position));
    }
    let day = || Timestamp::parse_lenient(&format!("{text}T00:00:00Z"));
    Timestamp::parse_lenient(text).or_else(|_| day()).map(WatchFrom::Time).map_err(|_| {
        Failure::usage(format!("{text} is not a place to begin at")).mend(
            "new, start, a position such as 17@k3f9x2aa, a day such as 2026-11-01, or 2026-11-01T10:00:00Z",
        )
    })
}

/// The event types that the patterns mean, for this speaker.
fn types(patterns: &[String], domain: Option<&Domain>, global: &Global) -> Result<Vec<TypeName>, Failure> {
    let mut found: Vec<TypeName> = Vec::new();
    for pattern in patterns {
        if !pattern.contains('*') {
            let name: Option<TypeName> = pattern.parse().ok();
            let known = |name: &TypeName| {
                let is_own = name.as_str() == LOSS_ACCEPTED;
                is_own || domain.is_none_or(|domain| domain.events.contains_key(name))
            };
            match (name.filter(known), domain) {
                (Some(name), _) => found.push(name),
                (None, Some(domain)) => return Err(unknown(domain, Kind::Event, pattern)),
                (None, None) => return Err(Failure::usage(format!("{pattern} is not the name of an event"))),
            }
            continue;
        }
        let Some(domain) = domain else {
            return Err(Failure::new(
                Exit::Config,
                format!("which events {pattern} means cannot be told from here"),
            )
            .mend("Name the types, or run this in the folder of the domain"));
        };
        let observed = observed(domain, global);
        let before = found.len();
        found.extend(observed.iter().copied().filter(|name| matches(pattern, name.as_str())).cloned());
        if found.len() == before {
            let speaker = global.speaker();
            let all: Vec<&str> = observed.iter().map(|name| name.as_str()).collect();
            let all = if all.is_empty() { "nothing".to_owned() } else { all.join(", ") };
            return Err(Failure::new(
                Exit::NotFound,
                format!("{pattern} means no event that {speaker} may observe"),
            )
            .mend(format!("{speaker} observes: {all}")));
        }
    }
    found.sort();
    found.dedup();
    if found.len() > WATCH_TYPES_MAX {
        return Err(Failure::usage(format!("{} types; one watch takes {WATCH_TYPES_MAX}", found.len()))
            .mend("Watch them in several processes"));
    }
    Ok(found)
}

fn observed<'a>(domain: &'a Domain, global: &Global) -> Vec<&'a TypeName> {
    let speaker = global.speaker();
    let service = domain.services.iter().find(|(name, _)| name.as_str() == speaker);
    service.map(|(_, service)| service.observes.iter().collect()).unwrap_or_default()
}

/// Whether a type is what a pattern means; `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = name.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let last = parts.pop().unwrap_or_default();
    let mut rest = rest;
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        let name = "documents.DocumentAdded";
        for pattern in ["*", "documents.*", "*.DocumentAdded", "doc*Added", "*Document*", "d*D*A*d"] {
            assert!(matches(pattern, name), "{pattern}");
        }
        for pattern in ["lending.*", "*.Added", "documents.*Removed", "documents.DocumentAdded*x"] {
            assert!(!matches(pattern, name), "{pattern}");
        }
    }

    #[test]
    fn places_to_begin_at() {
        assert_eq!(from("new").unwrap(), WatchFrom::Live);
        assert_eq!(from("start").unwrap(), WatchFrom::Start);
        assert_eq!(from("17@k3f9x2aa").unwrap(), WatchFrom::Position("17@k3f9x2aa".parse().unwrap()));
        let day = WatchFrom::Time("2026-11-01T00:00:00.000Z".parse().unwrap());
        assert_eq!(from("2026-11-01").unwrap(), day);
        assert_eq!(from("2026-11-01T02:00:00+02:00").unwrap(), day);
        let failure = from("yesterday").unwrap_err().to_string();
        assert!(failure.starts_with("error: yesterday is not a place to begin at\n"), "{failure}");
    }
}
