//! `comms domain …`: the definition read, explained, compared and applied.
//!
//! `check`, `explain` and `show` need no node: they say what stands in the files. `plan` and `apply` hand the files
//! to the running node, which knows what is in force and what is stored.

use comms_domain::{Bound, Domain, Explanation, Problem};
use comms_msg::{Kind, ServiceName, TypeName};

use crate::accounts;
use crate::apply;
use crate::args::{self, Global, Shown};
use crate::definition::Definition;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::output::{Output, Row, Tone, count, visible};

/// Digits of a digest that people compare; objects have all of them.
const DIGEST_SHOWN: usize = 12;

/// Carries out `comms domain …`.
pub(crate) async fn run(command: &args::Domain, global: &Global, output: Output) -> Result<(), Failure> {
    match command {
        args::Domain::Plan => apply::plan(global, output).await,
        args::Domain::Apply { yes } => apply::apply(*yes, global, output).await,
        args::Domain::Accounts { out } => accounts::accounts(out, output),
        args::Domain::Check => check(&Definition::find()?, output),
        args::Domain::Explain { type_name } => explain(&Definition::find()?.domain()?, type_name, output),
        args::Domain::Show { what } => show(&Definition::find()?.domain()?, *what, output),
    }
}

fn check(definition: &Definition, output: Output) -> Result<(), Failure> {
    let mistake = |problem: &Problem| json::Mistake {
        file: problem.file.clone(),
        line: problem.line,
        column: problem.column,
        what: problem.what.clone(),
        mend: problem.mend.clone(),
    };
    let problems = match definition.check() {
        Ok((domain, notes)) => {
            for note in &notes {
                if output.is_json() {
                    output.json(&json::DomainCheck::Note(mistake(note)))?;
                } else {
                    output.text(&shown(note).to_string())?;
                }
            }
            let checked = json::Checked {
                domain: Some(domain.name.to_string()),
                version: Some(domain.version),
                digest: Some(domain.digest()),
                problems: 0,
            };
            let row = Row::new("ok").tone(Tone::Good).cell(title(&domain)).cell(size(&domain));
            let digest = domain.digest().chars().take(DIGEST_SHOWN).collect::<String>();
            return output.say(&json::DomainCheck::Checked(checked), &row.cell(format!("digest {digest}…")));
        }
        Err(problems) => problems,
    };
    for problem in &problems {
        if output.is_json() {
            output.json(&json::DomainCheck::Problem(mistake(problem)))?;
        } else {
            output.text(&shown(problem).to_string())?;
        }
    }
    if output.is_json() {
        let checked = json::Checked { domain: None, version: None, digest: None, problems: problems.len() };
        output.json(&json::DomainCheck::Checked(checked))?;
    }
    Err(Failure::new(Exit::Config, format!("{} in {}", count(problems.len(), "problem"), definition.file()))
        .mend("Each is named with its place and what would be right there."))
}

/// A problem on its own lines: what is quoted in it adds none.
fn shown(problem: &Problem) -> Problem {
    let (file, what, mend) = (visible(&problem.file), visible(&problem.what), visible(&problem.mend));
    Problem { file: file.into(), what: what.into(), mend: mend.into(), ..problem.clone() }
}

fn explain(domain: &Domain, text: &str, output: Output) -> Result<(), Failure> {
    let name = find(domain, text)?;
    let explanation = domain.explain(&name).ok_or_else(|| unknown(domain, text))?;
    if output.is_json() {
        output.json(&explained(&explanation))
    } else {
        // Names of fields are whatever a schema calls them; the lines of an explanation are its own.
        let byte_fields = explanation.byte_fields.as_ref();
        let byte_fields =
            byte_fields.map(|fields| fields.iter().map(|field| visible(field).into()).collect());
        output.text(&Explanation { byte_fields, ..explanation }.to_string())
    }
}

fn explained(explanation: &Explanation) -> json::Explained {
    fn texts(names: &[impl ToString]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }
    let route = |route: &comms_domain::Route| json::Route {
        what: route.what.to_owned(),
        subject: route.subject.clone(),
    };
    json::Explained {
        type_name: explanation.type_name.to_string(),
        kind: explanation.kind.as_str().to_owned(),
        version: explanation.version,
        delivery: explanation.delivery.map(|delivery| delivery.as_str().to_owned()),
        entity: explanation.entity.clone(),
        subjects: explanation.subjects.iter().map(route).collect(),
        stream: explanation.stream.clone(),
        sends: texts(&explanation.sends),
        asks: texts(&explanation.asks),
        handles: texts(&explanation.handles),
        answers: texts(&explanation.answers),
        emits: texts(&explanation.emits),
        observes: texts(&explanation.observes),
        causes: texts(&explanation.causes),
        caused_by: texts(&explanation.caused_by),
        schema: explanation.schema.clone(),
        byte_fields: explanation.byte_fields.clone(),
        threshold: explanation.threshold,
        deadline_ms: explanation.deadline_ms,
        limits: explanation.limits.iter().map(|(key, of)| ((*key).to_owned(), *of)).collect(),
    }
}

fn show(domain: &Domain, what: Option<Shown>, output: Output) -> Result<(), Failure> {
    let kinds =
        [(Kind::Command, Shown::Commands), (Kind::Query, Shown::Queries), (Kind::Event, Shown::Events)];
    for (kind, shown) in kinds {
        if what.is_none_or(|what| what == shown) {
            for name in domain.types(kind) {
                show_type(domain, kind, name, output)?;
            }
        }
    }
    if what.is_none_or(|what| what == Shown::Services) {
        for (name, service) in &domain.services {
            if !name.is_built_in() {
                show_service(name, service, output)?;
            }
        }
    }
    if what.is_none_or(|what| what == Shown::Limits) {
        for bound in Bound::ALL {
            show_limit(domain, bound, output)?;
        }
    }
    Ok(())
}

fn show_limit(domain: &Domain, bound: Bound, output: Output) -> Result<(), Failure> {
    let (total, own) = (domain.limits.of(bound), domain.parts(bound).own);
    let shown = json::ShownLimit { limit: bound.key().to_owned(), what: bound.what().to_owned(), total, own };
    // A part of bytes is no round number; what is below a MiB of it is left out.
    let kept = if bound.is_bytes() { own >> 20 << 20 } else { own };
    let row = Row::new("limit").cell(bound.key()).cell(bound.amount(total));
    let row = row.cell(format!("{}, {} kept for each service", bound.what(), bound.amount(kept)));
    output.say(&json::DomainShow::Limit(shown), &row)
}

fn show_type(domain: &Domain, kind: Kind, name: &TypeName, output: Output) -> Result<(), Failure> {
    let services = |is: &dyn Fn(&comms_domain::Service) -> bool| -> Vec<String> {
        domain.services_that(is).filter(|name| !name.is_built_in()).map(ToString::to_string).collect()
    };
    let (from, to) = match kind {
        Kind::Command => (services(&|s| s.sends.contains(name)), services(&|s| s.handles.contains(name))),
        Kind::Query => (services(&|s| s.asks.contains(name)), services(&|s| s.answers.contains(name))),
        Kind::Event => (services(&|s| s.emits.contains(name)), services(&|s| s.observes.contains(name))),
    };
    let command = domain.commands.get(name);
    let deadline =
        command.map(|spec| spec.deadline).or_else(|| domain.queries.get(name).map(|spec| spec.deadline));
    let shown = json::ShownType {
        type_name: name.to_string(),
        kind: kind.as_str().to_owned(),
        delivery: command.map(|spec| spec.delivery.as_str().to_owned()),
        entity: domain.events.get(name).map(|spec| spec.entity.clone()),
        deadline_ms: deadline.map(|deadline| u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX)),
        from,
        to,
    };
    let mut row = Row::new(kind.as_str()).cell(name.to_string());
    if let Some(detail) =
        shown.delivery.clone().or_else(|| shown.entity.as_ref().map(|entity| format!("of {entity}")))
    {
        row = row.cell(detail);
    }
    row = row.cell(format!("{} > {}", list(&shown.from), list(&shown.to)));
    output.say(&json::DomainShow::Type(shown), &row)
}

fn show_service(name: &ServiceName, service: &comms_domain::Service, output: Output) -> Result<(), Failure> {
    let names = |types: &std::collections::BTreeSet<TypeName>| {
        types.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let shown = json::ShownService {
        service: name.to_string(),
        handles: names(&service.handles),
        answers: names(&service.answers),
        emits: names(&service.emits),
        sends: names(&service.sends),
        asks: names(&service.asks),
        observes: names(&service.observes),
        rights: service.rights.iter().map(|right| right.as_str().to_owned()).collect(),
        owners: service.owners.iter().map(ToString::to_string).collect(),
    };
    let mut row = Row::new("service").cell(name.to_string());
    for (verb, types) in [
        ("handles", &shown.handles),
        ("answers", &shown.answers),
        ("emits", &shown.emits),
        ("sends", &shown.sends),
        ("asks", &shown.asks),
        ("observes", &shown.observes),
        ("holds", &shown.rights),
        ("names as owner", &shown.owners),
    ] {
        if !types.is_empty() {
            row = row.cell(format!("{verb} {}", list(types)));
        }
    }
    output.say(&json::DomainShow::Service(shown), &row)
}

/// The type of that name, or a failure that names the nearest one.
fn find(domain: &Domain, text: &str) -> Result<TypeName, Failure> {
    let name: Option<TypeName> = text.parse().ok();
    name.filter(|name| domain.spec(name).is_some()).ok_or_else(|| unknown(domain, text))
}

fn unknown(domain: &Domain, text: &str) -> Failure {
    if let Some(name) = text.parse().ok().filter(|name| domain.service(name).is_some()) {
        let name: ServiceName = name;
        return Failure::new(Exit::NotFound, format!("{name} is a service, and types are explained"))
            .mend("What services do: comms domain show services");
    }
    let failure =
        Failure::new(Exit::NotFound, format!("nothing is called {text} in the domain {}", domain.name));
    match domain.nearest(Kind::Command, text) {
        Some((kind, nearest)) => failure.mend(format!(
            "did you mean the {} {nearest}?           comms domain explain {nearest}",
            kind.as_str()
        )),
        None => failure.mend("What there is: comms domain show"),
    }
}

/// `library  v1`
fn title(domain: &Domain) -> String {
    format!("{}  v{}", domain.name, domain.version)
}

/// `1 context, 3 types, 3 services`
fn size(domain: &Domain) -> String {
    let names = || Kind::ALL.into_iter().flat_map(|kind| domain.types(kind));
    let contexts: std::collections::BTreeSet<&str> = names().map(TypeName::context).collect();
    let services = domain.services.keys().filter(|name| !name.is_built_in()).count();
    [count(contexts.len(), "context"), count(names().count(), "type"), count(services, "service")].join(", ")
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
}
