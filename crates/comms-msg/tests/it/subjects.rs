//! Subjects: every form both ways, and what is refused.

use comms_msg::{DomainName, Door, EntityId, Filter, Msg, ServiceName, Subject, TypeName};

use crate::golden;

const ID: &str = "0199c0de-0000-7000-8000-000000000001";

#[test]
fn every_form_both_ways() {
    let domain = || DomainName::new("library").unwrap();
    let add = || TypeName::new("documents.AddDocument").unwrap();
    let added = || TypeName::new("documents.DocumentAdded").unwrap();
    let desk = || ServiceName::new("desk").unwrap();
    let entity = || EntityId::new("report-7f3a").unwrap();
    let door = |door| Subject::Door { domain: domain(), door, sender: desk() };
    for (text, subject) in [
        (
            "library.command.documents.AddDocument.desk",
            Subject::Command { domain: domain(), type_name: add(), sender: desk() },
        ),
        (
            "library.query.documents.AddDocument.desk",
            Subject::Query { domain: domain(), type_name: add(), sender: desk() },
        ),
        (
            "library.frames.command.documents.AddDocument.desk",
            Subject::CommandFrames { domain: domain(), type_name: add(), sender: desk() },
        ),
        (
            "library.frames.query.documents.AddDocument.desk",
            Subject::QueryFrames { domain: domain(), type_name: add(), sender: desk() },
        ),
        (
            "library.event.documents.report-7f3a.DocumentAdded",
            Subject::Event { domain: domain(), entity: entity(), type_name: added() },
        ),
        (
            "library.live.event.documents.report-7f3a.DocumentAdded",
            Subject::Live { domain: domain(), entity: entity(), type_name: added() },
        ),
        (
            "library.outcome.documents.AddDocument.desk.0199c0de-0000-7000-8000-000000000001",
            Subject::Outcome {
                domain: domain(),
                type_name: add(),
                sender: desk(),
                command: ID.parse().unwrap(),
            },
        ),
        (
            "library.deliver.desk.command-00ff",
            Subject::Deliver { domain: domain(), service: desk(), token: "command-00ff".parse().unwrap() },
        ),
        ("library.door.command.documents.AddDocument.desk", door(Door::Command(add()))),
        ("library.door.event.documents.DocumentAdded.desk", door(Door::Event(added()))),
        ("library.door.commit.documents.AddDocument.desk", door(Door::Commit(add()))),
        ("library.door.outcome.documents.AddDocument.desk", door(Door::Outcome(add()))),
        ("library.door.hello.desk", door(Door::Hello)),
        ("library.door.listen.desk", door(Door::Listen)),
        ("library.door.watch.desk", door(Door::Watch)),
        ("library.door.tally.desk", door(Door::Tally)),
    ] {
        assert_eq!(subject.to_string(), text);
        assert_eq!(text.parse::<Subject>().unwrap(), subject);
    }
}

#[test]
fn names_that_are_words_of_the_grammar_are_read_right() {
    for text in [
        "event.event.event.event.Event",
        "live.live.event.live.event.Live",
        "door.door.command.door.Door.door",
        "command.command.command.Command.command",
    ] {
        assert_eq!(text.parse::<Subject>().unwrap().to_string(), text);
    }
}

#[test]
fn what_is_not_of_the_grammar_is_refused_with_the_form_that_was_meant() {
    for (bad, says) in [
        ("", "{domain}.command"),
        ("library", "{domain}.command"),
        ("library.commnd.documents.AddDocument.desk", "{domain}.command|query"),
        ("library.command.documents.AddDocument", "{domain}.command.{context}.{Type}.{sender}"),
        ("library.command.documents.addDocument.desk", "{domain}.command.{context}.{Type}.{sender}"),
        ("library.command.documents.AddDocument.node", "the node itself"),
        ("library.command.documents.AddDocument.*", "{sender}"),
        ("library.command.documents.AddDocument.desk.more", "{sender}"),
        ("library.event.documents.DocumentAdded.report-7f3a", "{entity}.{Type}"),
        ("library.event.>", "{entity}.{Type}"),
        ("library.live.documents.x.Y", "{domain}.live.event"),
        ("library.outcome.documents.AddDocument.desk.7", "{command id}"),
        ("library.door.hello", "{domain}.door"),
        ("library.door.hello.documents.AddDocument.desk", "{domain}.door"),
        ("library.door.command.desk", "{domain}.door"),
        ("library.door.nonsense.desk", "{domain}.door"),
        ("Library.door.hello.desk", "a domain name"),
        (".door.hello.desk", "a domain name"),
        ("library..hello.desk", "{domain}.command|query"),
        ("a.b.c.d.e.f.g.h.i.j.k", "{domain}.command|query"),
        ("$SYS.REQ.SERVER.PING.VARZ", "{domain}.command|query"),
    ] {
        let error = bad.parse::<Subject>().unwrap_err().to_string();
        assert!(error.contains(says), "{bad}: {error}");
    }
}

#[test]
fn filters_match_what_they_name_and_nothing_else() {
    let domain = DomainName::new("library").unwrap();
    let [own_doors, typed_doors] = Filter::doors_of(&domain, &ServiceName::new("desk").unwrap());
    let add = TypeName::new("documents.AddDocument").unwrap();
    let added = TypeName::new("documents.DocumentAdded").unwrap();
    let entity = EntityId::new("r1").unwrap();
    let desk = ServiceName::new("desk").unwrap();
    for (filter, text, matching) in [
        (
            Filter::commands(&domain, &add),
            "library.command.documents.AddDocument.*",
            "library.command.documents.AddDocument.x",
        ),
        (
            Filter::queries(&domain, &add),
            "library.query.documents.AddDocument.*",
            "library.query.documents.AddDocument.x",
        ),
        (
            Filter::events(&domain, &added),
            "library.event.documents.*.DocumentAdded",
            "library.event.documents.q.DocumentAdded",
        ),
        (
            Filter::events_of(&domain, &added, &entity),
            "library.event.documents.r1.DocumentAdded",
            "library.event.documents.r1.DocumentAdded",
        ),
        (
            Filter::history(&domain, &added, &entity),
            "library.event.documents.r1.*",
            "library.event.documents.r1.Other",
        ),
        (
            Filter::live(&domain, &added),
            "library.live.event.documents.*.DocumentAdded",
            "library.live.event.documents.q.DocumentAdded",
        ),
        (
            Filter::live_of(&domain, &added, &entity),
            "library.live.event.documents.r1.DocumentAdded",
            "library.live.event.documents.r1.DocumentAdded",
        ),
        (
            Filter::outcomes(&domain, &add),
            "library.outcome.documents.AddDocument.*.*",
            "library.outcome.documents.AddDocument.desk.id",
        ),
        (Filter::deliveries(&domain, &desk), "library.deliver.desk.>", "library.deliver.desk.a"),
        (Filter::all_commands(&domain), "library.command.>", "library.command.a.B.c"),
        (Filter::all_events(&domain), "library.event.>", "library.event.a.b.C"),
        (Filter::all_live(&domain), "library.live.event.>", "library.live.event.a.b.C"),
        (Filter::live_root(&domain), "library.live.>", "library.live.event.a.b.C"),
        (Filter::all_outcomes(&domain), "library.outcome.>", "library.outcome.a.B.c"),
        (Filter::all_deliveries(&domain), "library.deliver.>", "library.deliver.a.b"),
        (Filter::doors(&domain), "library.door.>", "library.door.hello.a"),
        (own_doors.clone(), "library.door.*.desk", "library.door.hello.desk"),
        (typed_doors.clone(), "library.door.*.*.*.desk", "library.door.command.documents.AddDocument.desk"),
        (Filter::inbox(&desk), "_INBOX.desk.>", "_INBOX.desk.a.b"),
    ] {
        assert_eq!(filter.as_str(), text);
        assert!(filter.matches(matching), "{filter} {matching}");
        for other in
            ["library", "", "other.command.documents.AddDocument.x", "library.command", "library.door"]
        {
            assert!(!filter.matches(other), "{filter} {other}");
        }
    }
    assert!(!Filter::commands(&domain, &add).matches("library.command.documents.AddDocument.x.y"));
}

#[test]
fn a_subject_checks_the_message_on_it() {
    let command = golden::by_name("command");
    let event = golden::by_name("event");
    let sits =
        |subject: &str, msg| subject.parse::<Subject>().unwrap().check(msg).map_err(|e| e.at().to_owned());
    assert_eq!(sits("library.command.documents.AddDocument.desk", &command), Ok(()));
    assert_eq!(sits("library.door.command.documents.AddDocument.desk", &command), Ok(()));
    assert_eq!(sits("library.event.documents.report-7f3a.DocumentAdded", &event), Ok(()));
    assert_eq!(sits("library.live.event.documents.report-7f3a.DocumentAdded", &event), Ok(()));
    let refused = |at: &str| Err(at.to_owned());
    assert_eq!(sits("library.command.documents.AddDocument.other", &command), refused("/metadata/sender"));
    assert_eq!(sits("library.command.documents.Other.desk", &command), refused("/content"));
    assert_eq!(sits("library.query.documents.AddDocument.desk", &command), refused("/content"));
    assert_eq!(sits("library.event.documents.other.DocumentAdded", &event), refused("/content/entity"));
    assert_eq!(sits("library.deliver.desk.x", &command), refused(""));
    assert_eq!(sits("library.door.hello.desk", &command), refused(""));
    let empty = Msg { content: None, ..command.clone() };
    assert_eq!(sits("library.command.documents.AddDocument.desk", &empty), refused("/content"));
}
