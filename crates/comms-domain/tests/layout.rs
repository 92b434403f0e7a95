//! What a definition implies on a server: streams, consumers, and what each user may do, to the letter.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};

use comms_domain::{Account, Difference, Domain, Layout, NodeId, Purpose, Retention, Role, User};

fn library() -> Domain {
    parse(include_str!("library/domain.toml"))
}

fn parse(text: &str) -> Domain {
    Domain::parse("domain.toml", text, &BTreeMap::new()).unwrap()
}

fn node(name: &str, secret: u8, role: Role) -> NodeId {
    NodeId { name: name.parse().unwrap(), secret: [secret; 32], role }
}

fn alone() -> Layout {
    Layout::of(&library(), &node("n1", 7, Role::Standalone))
}

fn hub() -> Layout {
    let leafs = vec!["leafa".parse().unwrap(), "leafb".parse().unwrap()];
    Layout::of(&library(), &node("hub", 1, Role::Hub { leafs }))
}

fn leaf() -> Layout {
    let role = Role::Leaf { hub: "hub".parse().unwrap(), siblings: vec!["leafb".parse().unwrap()] };
    Layout::of(&library(), &node("leafa", 2, role))
}

fn user<'a>(layout: &'a Layout, name: &str) -> &'a User {
    layout.user(Account::Services, name).unwrap()
}

/// The name of the consumer of a service on a stream.
fn consumer(layout: &Layout, stream: &str, service: &str) -> String {
    let found =
        layout.consumers.iter().find(|c| c.stream == stream && c.purpose.service().as_str() == service);
    found.unwrap().name.clone()
}

#[test]
fn a_lone_node_has_two_streams() {
    let layout = alone();
    let names: Vec<&str> = layout.streams.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["EVENT_n1", "COMMAND_n1"]);
    let event = layout.stream("EVENT_n1").unwrap();
    assert_eq!(event.subjects, ["library.event.>", "library.outcome.>"]);
    assert_eq!(event.retention, Retention::Limits);
    assert!(
        event.deny_delete
            && event.deny_purge
            && event.allow_atomic
            && event.allow_msg_ttl
            && event.allow_direct
    );
    let republish = event.republish.as_ref().unwrap();
    assert_eq!(
        (republish.source.as_str(), republish.destination.as_str()),
        ("library.event.>", "library.live.event.>")
    );
    let command = layout.stream("COMMAND_n1").unwrap();
    assert_eq!(command.subjects, ["library.command.>"]);
    assert_eq!(command.retention, Retention::WorkQueue);
    assert!(command.republish.is_none() && !command.deny_delete && !command.deny_purge);
}

#[test]
fn a_service_has_a_consumer_for_what_it_handles_and_one_for_what_it_observes() {
    let layout = alone();
    let purposes: Vec<&Purpose> = layout.consumers.iter().map(|c| &c.purpose).collect();
    assert_eq!(
        purposes,
        [
            &Purpose::Command("archive".parse().unwrap()),
            &Purpose::Event("dev".parse().unwrap()),
            &Purpose::Event("indexer".parse().unwrap()),
        ]
    );
    let archive = &layout.consumers[0];
    assert_eq!(archive.stream, "COMMAND_n1");
    assert_eq!(archive.filter_subjects, ["library.command.documents.AddDocument.*"]);
    assert_eq!(archive.deliver_group, "archive");
    let token = archive.name.strip_prefix("archive-").unwrap();
    assert_eq!(token.len(), 32);
    assert_eq!(archive.deliver_subject, format!("library.deliver.archive.command-{token}"));
    assert_eq!(layout.consumers[2].filter_subjects, ["library.event.documents.*.DocumentAdded"]);
    let subject: comms_msg::Subject = archive.deliver_subject.parse().unwrap();
    assert!(matches!(subject, comms_msg::Subject::Deliver { .. }));
}

#[test]
fn consumer_names_depend_on_the_secret_alone() {
    let again = alone();
    assert_eq!(again, alone());
    let other = Layout::of(&library(), &node("n1", 8, Role::Standalone));
    let names =
        |layout: &Layout| -> BTreeSet<String> { layout.consumers.iter().map(|c| c.name.clone()).collect() };
    assert!(names(&again).is_disjoint(&names(&other)));
    assert_eq!(names(&again).len(), 3);
}

#[test]
fn a_service_may_do_what_its_definition_says_and_nothing_else() {
    let layout = alone();
    // Nothing on `$JS.ACK`: a command leaves its queue by the commit door alone.
    assert_eq!(
        user(&layout, "archive").publish,
        [
            "library.door.hello.archive",
            "library.door.listen.archive",
            "library.door.event.documents.DocumentAdded.archive",
            "library.door.commit.documents.AddDocument.archive",
            "_INBOX.*.ask.>",
        ]
    );
    assert_eq!(
        user(&layout, "archive").subscribe,
        [
            "_INBOX.archive.>",
            "library.query.documents.FindDocuments.* archive",
            "library.frames.query.documents.FindDocuments.* archive",
            "library.deliver.archive.>"
        ]
    );
    assert_eq!(
        user(&layout, "desk").publish,
        [
            "library.door.hello.desk",
            "library.door.command.documents.AddDocument.desk",
            "library.door.outcome.documents.AddDocument.desk",
            "library.query.documents.FindDocuments.desk",
            "library.frames.query.documents.FindDocuments.desk",
        ]
    );
    assert_eq!(user(&layout, "desk").subscribe, ["_INBOX.desk.>"]);
    let ack = consumer(&layout, "EVENT_n1", "indexer");
    assert_eq!(
        user(&layout, "indexer").publish,
        [
            "library.door.hello.indexer".to_owned(),
            "library.door.listen.indexer".to_owned(),
            "library.door.watch.indexer".to_owned(),
            "library.door.tally.indexer".to_owned(),
            format!("$JS.ACK.EVENT_n1.{ack}.>"),
            format!("$JS.ACK.*.*.EVENT_n1.{ack}.>"),
            "$JS.FC.EVENT_n1.>".to_owned(),
        ]
    );
    assert_eq!(
        user(&layout, "indexer").subscribe,
        ["_INBOX.indexer.>", "library.deliver.indexer.>", "library.live.event.documents.*.DocumentAdded"]
    );
    assert_eq!(user(&layout, "operator").publish, ["library.door.hello.operator"]);
    assert_eq!(user(&layout, "operator").subscribe, ["_INBOX.operator.>"]);
}

#[test]
fn direct_commands_go_straight_to_a_queue_group_of_their_handler() {
    let domain = parse(
        "name = 'game'\n[command.'game.Move']\ndelivery = 'direct'\n[service.player]\nsends = ['game.Move']\n[service.board]\nhandles = ['game.Move']",
    );
    let layout = Layout::of(&domain, &node("n1", 0, Role::Standalone));
    assert_eq!(
        user(&layout, "player").publish,
        ["game.door.hello.player", "game.command.game.Move.player", "game.frames.command.game.Move.player"]
    );
    assert_eq!(user(&layout, "board").publish, ["game.door.hello.board"]);
    assert_eq!(
        user(&layout, "board").subscribe,
        ["_INBOX.board.>", "game.command.game.Move.* board", "game.frames.command.game.Move.* board"]
    );
    assert!(layout.consumers.is_empty());
}

/// No user of SERVICES but the node may publish anything that a stream stores, whatever the definition says.
#[test]
fn nobody_publishes_what_a_stream_stores() {
    let text = "name = 'a'
        [command.'c.Durable']\n[command.'c.Direct']\ndelivery = 'direct'\n[query.'c.Query']\n[event.'c.Event']
        [service.all]
        handles = ['c.Durable', 'c.Direct']\nanswers = ['c.Query']\nemits = ['c.Event']
        sends = ['c.Durable', 'c.Direct']\nasks = ['c.Query']\nobserves = ['c.Event']
        rights = ['content.read', 'domain.apply', 'domain.read']";
    let layout = Layout::of(&parse(text), &node("n1", 0, Role::Standalone));
    for user in layout.users.iter().filter(|user| user.account == Account::Services && user.name != "node") {
        for subject in &user.publish {
            let own = subject.ends_with(&format!(".{}", user.name))
                || subject.starts_with("$JS.")
                || subject == "_INBOX.*.ask.>";
            assert!(own, "{} may publish {subject}", user.name);
            assert!(!subject.starts_with("a.event.") && !subject.starts_with("a.outcome."), "{subject}");
            assert!(!subject.starts_with("$JS.API") && subject != ">", "{subject}");
            // Direct commands stay in SERVICES, where no stream is.
            assert!(!subject.starts_with("a.command.") || subject.contains(".Direct."), "{subject}");
        }
        assert!(user.subscribe.iter().all(|subject| subject != ">" && subject != "_INBOX.>"));
    }
    let node = user(&layout, "node");
    assert_eq!(
        (node.publish.as_slice(), node.publish_deny.as_slice()),
        (&[">".to_owned()][..], &["$JS.>".to_owned()][..])
    );
}

#[test]
fn a_hub_and_its_leafs_keep_the_events_of_others_in_a_stream_that_only_the_node_writes() {
    for layout in [hub(), leaf()] {
        let foreign = layout.stream(&format!("FOREIGN_{}", layout.node)).unwrap();
        assert_eq!(foreign.subjects, ["library.foreign.*.*.*"]);
        let transform = foreign.transform.as_ref().unwrap();
        assert_eq!(transform.source, "library.foreign.*.*.*");
        assert_eq!(
            transform.destination, "library.event.{{wildcard(1)}}.{{wildcard(2)}}.{{wildcard(3)}}",
            "under the subject that it had"
        );
        assert!(foreign.deny_delete && foreign.deny_purge && foreign.allow_direct);
        assert_eq!(foreign.republish, layout.stream(&format!("EVENT_{}", layout.node)).unwrap().republish);
    }
    assert!(alone().streams.iter().all(|stream| stream.transform.is_none()));
    let subject = comms_domain::foreign_subject("library.event.documents.d-1.DocumentAdded");
    assert_eq!(subject.as_deref(), Some("library.foreign.documents.d-1.DocumentAdded"));
}

#[test]
fn an_observer_reads_its_own_log_and_that_of_others() {
    let hub = hub();
    let streams: BTreeSet<&str> = hub
        .consumers
        .iter()
        .filter(|c| c.purpose.service().as_str() == "indexer")
        .map(|c| c.stream.as_str())
        .collect();
    assert_eq!(streams, BTreeSet::from(["EVENT_hub", "FOREIGN_hub"]));
    let allowed = &user(&hub, "indexer").publish;
    let foreign = consumer(&hub, "FOREIGN_hub", "indexer");
    assert!(allowed.contains(&format!("$JS.ACK.FOREIGN_hub.{foreign}.>")));
    assert!(allowed.contains(&"$JS.FC.FOREIGN_hub.>".to_owned()));
}

#[test]
fn hub_and_leaf_meet_where_nothing_else_is_and_each_speaks_for_itself_alone() {
    let (hub, leaf) = (hub(), leaf());
    let rights = |layout: &Layout, name: &str| {
        let user = layout.user(Account::Leafs, name).unwrap();
        (user.publish.join(" "), user.subscribe.join(" "))
    };
    let (to_hub, to_leaf) =
        ("library.bridge.hub.leafa.>".to_owned(), "library.bridge.leafa.hub.>".to_owned());
    assert_eq!(rights(&hub, "leaf-leafa"), (to_hub.clone(), to_leaf.clone()));
    assert_eq!(rights(&hub, "node-leafa"), (to_leaf.clone(), to_hub.clone()));
    assert_eq!(rights(&leaf, "node-hub"), (to_hub, to_leaf));
    let names = |layout: &Layout| -> Vec<String> {
        layout.users.iter().filter(|u| u.account == Account::Leafs).map(|u| u.name.clone()).collect()
    };
    assert_eq!(names(&hub), ["leaf-leafa", "leaf-leafb", "node-leafa", "node-leafb"]);
    assert_eq!(names(&leaf), ["node-hub"], "a leaf reaches its siblings through the hub");
    assert!(names(&alone()).is_empty());
    for layout in [&hub, &leaf] {
        assert!(layout.exports.iter().all(|export| export.account == Account::Domain));
        assert!(layout.imports.iter().all(|import| import.account == Account::Services));
        let in_domain = layout.users.iter().filter(|u| u.account == Account::Domain);
        assert_eq!(in_domain.map(|u| u.name.as_str()).collect::<Vec<_>>(), ["node"]);
        for denied in ["library.command.>", "library.event.>", "library.foreign.>", "$JS.>", "$SYS.>"] {
            assert!(layout.bridge_denies.iter().any(|subject| subject == denied), "{denied}");
        }
    }
}

#[test]
fn a_difference_names_what_is_touched() {
    let before = alone();
    let changed = library_with("sends = [\"documents.AddDocument\"]", "sends = []");
    let difference = Difference::between(&before, &Layout::of(&changed, &node("n1", 7, Role::Standalone)));
    assert_eq!(difference.users_changed, ["SERVICES/desk"]);
    assert!(difference.consumers_changed.is_empty() && difference.users_added.is_empty());

    let without = library_with("observes = [\"documents.DocumentAdded\"]", "");
    let difference = Difference::between(&before, &Layout::of(&without, &node("n1", 7, Role::Standalone)));
    assert_eq!(difference.consumers_removed, [consumer(&before, "EVENT_n1", "indexer")]);
    assert!(Difference::between(&before, &before).is_empty());
}

fn library_with(from: &str, to: &str) -> Domain {
    let text = include_str!("library/domain.toml");
    assert!(text.contains(from));
    parse(&text.replace(from, to))
}

#[test]
fn a_secret_is_never_printed() {
    assert!(!format!("{:?}", node("n1", 171, Role::Standalone)).contains("171"));
}

#[test]
fn node_names_are_subject_tokens() {
    use comms_domain::NodeName;
    for right in ["a", "n1", "a-b_c", &"a".repeat(63)] {
        assert!(right.parse::<NodeName>().is_ok(), "{right}");
    }
    for wrong in ["", "A", "1a", "a.b", "a b", "a*", "a>", "ä", &"a".repeat(64)] {
        assert!(wrong.parse::<NodeName>().is_err(), "{wrong}");
    }
}
