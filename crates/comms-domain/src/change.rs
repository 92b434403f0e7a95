//! What applying a new definition would do, in words, and what it would orphan.
//!
//! A stored subject is orphaned when the new definition no longer names it: nobody could read it as what it is.
//! Whether anything is stored there only the node can see, so [`Changes::orphans`] lists what it must look at
//! before it applies.

use std::collections::BTreeSet;
use std::fmt;

use comms_msg::{Filter, ServiceName, TypeName};
use serde::Serialize;

use crate::bound::Bound;
use crate::domain::{Domain, Right, Service};
use crate::schema::Schema;
use crate::words;
use comms_msg::door::Delivery;

/// Compares two definitions.
#[derive(Debug)]
pub struct Change;

/// A stored subject that the new definition would not name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Orphan {
    /// Filter on stored subjects; if any message matches, the change must be refused.
    pub filter: String,
    /// Why it would be orphaned, and what to do instead.
    pub why: String,
}

/// What changes between two definitions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// For people: one line each, `+` added, `-` removed, `~` changed.
    pub lines: Vec<String>,
    /// Old and new name, if the domain is called differently.
    pub renamed: Option<(String, String)>,
    /// The version in force and the lower one of the new definition, which is an older file then.
    pub older: Option<(u32, u32)>,
    /// Services that may change the definition, and could not any more.
    pub unseated: Vec<ServiceName>,
    /// Event types the new definition lacks.
    pub removed_events: Vec<TypeName>,
    /// Durable commands the new definition lacks or delivers directly.
    pub removed_commands: Vec<TypeName>,
    /// Types whose schema narrows under the same version, with what of it.
    pub narrowed: Vec<(TypeName, Vec<String>)>,
    /// What listeners would not hear any more, in words.
    pub deaf: Vec<String>,
    orphans: Vec<Orphan>,
}

impl Change {
    /// What applying `new` over `old` would do.
    pub fn between(old: &Domain, new: &Domain) -> Changes {
        let mut changes = Changes::default();
        changes.domain(old, new);
        changes.commands(old, new);
        changes.queries(old, new);
        changes.events(old, new);
        changes.services(old, new);
        changes
    }
}

impl Changes {
    /// Stored subjects to look at before applying.
    pub fn orphans(&self) -> &[Orphan] {
        &self.orphans
    }

    /// What speaks against the change whatever is stored, each with what would be right.
    pub fn forbidden(&self) -> Vec<String> {
        let renamed = self.renamed.as_ref().map(|(old, new)| {
            format!("the domain is called {old}: keep the name, or begin the domain {new} in another folder")
        });
        let older = self.older.map(|(old, new)| {
            format!(
                "version {old} is in force, and this is version {new}: get the newer file, or, if this one is meant, give it a \
                 version above {old}"
            )
        });
        renamed.into_iter().chain(older).collect()
    }

    /// What should be meant before it is done, in words.
    pub fn warnings(&self) -> Vec<String> {
        let unseated =
            self.unseated.iter().map(|name| format!("{name} could not change the definition any more"));
        let narrowed = self.narrowed.iter().map(|(name, told)| {
            format!(
                "the schema of {name} narrows under the same version ({}): raise its version, so that what was sent before is told \
                 apart",
                told.join("; ")
            )
        });
        unseated.chain(narrowed).chain(self.deaf.iter().cloned()).collect()
    }

    /// Whether the two definitions say the same.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn orphan(&mut self, filter: &Filter, why: String) {
        self.orphans.push(Orphan { filter: filter.as_str().to_owned(), why });
    }

    fn domain(&mut self, old: &Domain, new: &Domain) {
        if old.name != new.name {
            self.renamed = Some((old.name.to_string(), new.name.to_string()));
            self.lines.push(format!("~ name: {} becomes {}", old.name, new.name));
            let why =
                format!("everything stored is called {}.…: keep the name, or begin a new domain", old.name);
            for filter in [
                Filter::all_events(&old.name),
                Filter::all_commands(&old.name),
                Filter::all_outcomes(&old.name),
            ] {
                self.orphan(&filter, why.clone());
            }
        }
        self.older = (new.version < old.version).then_some((old.version, new.version));
        self.note("domain", &[differs("version", old.version, new.version)]);
        let (before, after) = (old.content, new.content);
        self.note(
            "content",
            &[
                differs("threshold", words::bytes(before.threshold), words::bytes(after.threshold)),
                differs("copies", before.copies, after.copies),
            ],
        );
        let limits = Bound::ALL.map(|bound| {
            let (before, after) = (old.limits.of(bound), new.limits.of(bound));
            differs(bound.key(), bound.amount(before), bound.amount(after))
        });
        self.note("limits", &limits);
    }

    /// Keeps what fitted a type and may not fit it any more, under the same version.
    fn narrowed(&mut self, name: &TypeName, before: (u32, Option<&Schema>), after: (u32, Option<&Schema>)) {
        if before.0 != after.0 {
            return;
        }
        let told = match (before.1, after.1) {
            (Some(before), Some(after)) if before != after => before.narrowing(after),
            (None, Some(_)) => vec!["it had no schema, and any body fitted".to_owned()],
            (Some(_) | None, _) => Vec::new(),
        };
        if !told.is_empty() {
            self.narrowed.push((name.clone(), told));
        }
    }

    /// What becomes of a listener's place in the log: it has one for all that it observes.
    fn listening(&mut self, name: &ServiceName, before: &Service, after: &Service, new: &Domain) {
        let lost: Vec<&str> = before
            .observes
            .difference(&after.observes)
            .filter(|event| new.events.contains_key(*event))
            .map(TypeName::as_str)
            .collect();
        let gained: Vec<&str> = after.observes.difference(&before.observes).map(TypeName::as_str).collect();
        let keeps_place = before.observes.intersection(&after.observes).next().is_some();
        match (lost.is_empty(), keeps_place) {
            (true, _) => {}
            (false, true) => self.deaf.push(format!(
                "{name} does not hear {} any more: put back, it goes on from its place in the log, without what was logged \
                 until then",
                lost.join(", ")
            )),
            (false, false) => self.deaf.push(format!(
                "the place of {name} in the log is forgotten: put back, it hears the whole history of {} again",
                lost.join(", ")
            )),
        }
        if !gained.is_empty() {
            self.lines.push(match keeps_place {
                true => format!("  {name} hears {} from its place in the log on", gained.join(", ")),
                false => format!("  {name} hears {} from the beginning of the log", gained.join(", ")),
            });
        }
    }

    /// A line for what is in both definitions and not the same.
    fn note(&mut self, what: &str, differences: &[Option<String>]) {
        let said: Vec<&str> = differences.iter().flatten().map(String::as_str).collect();
        if !said.is_empty() {
            self.lines.push(format!("~ {what}: {}", said.join("; ")));
        }
    }

    fn commands(&mut self, old: &Domain, new: &Domain) {
        for (name, before) in &old.commands {
            let after = new.commands.get(name);
            if before.delivery == Delivery::Durable && after.is_none_or(|a| a.delivery != Delivery::Durable) {
                self.removed_commands.push(name.clone());
                self.orphan(
                    &Filter::commands(&old.name, name),
                    format!("{name} waits there to be handled: let its handler finish first"),
                );
            }
            let Some(after) = after else {
                self.lines.push(format!("- command {name}"));
                continue;
            };
            self.note(
                &format!("command {name}"),
                &[
                    differs("delivery", before.delivery.as_str(), after.delivery.as_str()),
                    differs("version", before.version, after.version),
                    differs("deadline", words::duration(before.deadline), words::duration(after.deadline)),
                    schema(before.schema != after.schema, before.version == after.version),
                ],
            );
            self.narrowed(
                name,
                (before.version, before.schema.as_ref()),
                (after.version, after.schema.as_ref()),
            );
        }
        for (name, after) in new.commands.iter().filter(|(name, _)| !old.commands.contains_key(*name)) {
            self.lines.push(format!("+ command {name}, {}", after.delivery.as_str()));
        }
    }

    fn queries(&mut self, old: &Domain, new: &Domain) {
        for (name, before) in &old.queries {
            let Some(after) = new.queries.get(name) else {
                self.lines.push(format!("- query {name}"));
                continue;
            };
            self.note(
                &format!("query {name}"),
                &[
                    differs("version", before.version, after.version),
                    differs("deadline", words::duration(before.deadline), words::duration(after.deadline)),
                    schema(before.schema != after.schema, before.version == after.version),
                ],
            );
            self.narrowed(
                name,
                (before.version, before.schema.as_ref()),
                (after.version, after.schema.as_ref()),
            );
        }
        for name in new.queries.keys().filter(|name| !old.queries.contains_key(*name)) {
            self.lines.push(format!("+ query {name}"));
        }
    }

    fn events(&mut self, old: &Domain, new: &Domain) {
        for (name, before) in &old.events {
            let Some(after) = new.events.get(name) else {
                self.removed_events.push(name.clone());
                self.lines.push(format!("- event {name}"));
                self.orphan(
                    &Filter::events(&old.name, name),
                    format!("{name} is part of histories that are kept: leave it in the definition"),
                );
                continue;
            };
            if before.entity != after.entity {
                self.orphan(
                    &Filter::events(&old.name, name),
                    format!(
                        "{name} is in histories of a {}, which would be read as those of a {}: give it another name",
                        before.entity, after.entity
                    ),
                );
            }
            self.note(
                &format!("event {name}"),
                &[
                    differs("entity", &before.entity, &after.entity),
                    differs("version", before.version, after.version),
                    schema(before.schema != after.schema, before.version == after.version),
                ],
            );
            self.narrowed(
                name,
                (before.version, before.schema.as_ref()),
                (after.version, after.schema.as_ref()),
            );
        }
        for (name, after) in new.events.iter().filter(|(name, _)| !old.events.contains_key(*name)) {
            self.lines.push(format!("+ event {name}, of {}", after.entity));
        }
    }

    fn services(&mut self, old: &Domain, new: &Domain) {
        let nothing = Service::default();
        let names: BTreeSet<_> = old.services.keys().chain(new.services.keys()).collect();
        for name in names {
            let (before, after) = (old.services.get(name), new.services.get(name));
            let sign = match (before, after) {
                (None, _) => "+",
                (_, None) => "-",
                (Some(before), Some(after)) if before == after => continue,
                (Some(_), Some(_)) => "~",
            };
            let may_apply =
                |service: Option<&Service>| service.is_some_and(|service| service.has(Right::DomainApply));
            if may_apply(before) && !may_apply(after) {
                self.unseated.push(name.clone());
            }
            let rights = rights(before.unwrap_or(&nothing), after.unwrap_or(&nothing));
            self.lines.push(match (sign, rights.is_empty()) {
                ("-", _) | (_, true) => format!("{sign} service {name}"),
                (_, false) => format!("{sign} service {name}: {}", rights.join("; ")),
            });
            // The built-in users watch; what they hear is nobody's work.
            if !name.is_built_in() {
                self.listening(name, before.unwrap_or(&nothing), after.unwrap_or(&nothing), new);
            }
        }
    }
}

/// What a service gains and loses, list by list.
fn rights(before: &Service, after: &Service) -> Vec<String> {
    let lists = [
        ("handles", &before.handles, &after.handles),
        ("answers", &before.answers, &after.answers),
        ("emits", &before.emits, &after.emits),
        ("sends", &before.sends, &after.sends),
        ("asks", &before.asks, &after.asks),
        ("observes", &before.observes, &after.observes),
    ];
    let mut said = Vec::new();
    for (word, before, after) in lists {
        said.extend(after.difference(before).map(|name| format!("gains {word} {name}")));
        said.extend(before.difference(after).map(|name| format!("loses {word} {name}")));
    }
    said.extend(after.rights.difference(&before.rights).map(|right| format!("gains {}", right.as_str())));
    said.extend(before.rights.difference(&after.rights).map(|right| format!("loses {}", right.as_str())));
    if before.owners != after.owners {
        let named = |service: &Service| match service.owners.is_empty() {
            true => "anybody".to_owned(),
            false => service.owners.iter().map(|owner| owner.as_str()).collect::<Vec<_>>().join(", "),
        };
        said.push(format!("may name {} instead of {} as owner", named(after), named(before)));
    }
    said
}

fn differs<T: PartialEq + fmt::Display>(what: &str, before: T, after: T) -> Option<String> {
    (before != after).then(|| format!("{what} {before} becomes {after}"))
}

fn schema(differs: bool, same_version: bool) -> Option<String> {
    let note = if same_version { "schema changes, its version does not" } else { "schema changes" };
    differs.then(|| note.to_owned())
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lines.is_empty() {
            return f.write_str("no change");
        }
        f.write_str(&self.lines.join("\n"))
    }
}
