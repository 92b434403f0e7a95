//! `domain.toml` read: what is accepted, what is refused, and that nothing is reported twice or makes it panic.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::time::Duration;

use comms_domain::{Domain, Right};
use comms_msg::door::Delivery;
use comms_msg::{Kind, ServiceName, TypeName};
use proptest::prelude::*;

const LIBRARY: &str = include_str!("library/domain.toml");

fn library() -> Domain {
    parse(LIBRARY).unwrap()
}

fn parse(text: &str) -> Result<Domain, comms_domain::Problems> {
    Domain::parse("domain.toml", text, &BTreeMap::new())
}

fn node(body: serde_json::Value) -> comms_content::Node {
    comms_content::Node::from_value(&body).unwrap()
}

fn name(text: &str) -> TypeName {
    text.parse().unwrap()
}

fn service(text: &str) -> ServiceName {
    text.parse().unwrap()
}

/// Line and `what` of every problem.
fn problems(text: &str) -> Vec<(usize, String)> {
    match parse(text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(|p| (p.line, p.what.clone())).collect(),
    }
}

#[test]
fn the_definition_of_the_readme_is_understood() {
    let domain = library();
    assert_eq!(domain.name.as_str(), "library");
    assert_eq!(domain.version, 1);
    assert_eq!((domain.content.threshold, domain.content.copies), (64 * 1024, 3));
    let add = &domain.commands[&name("documents.AddDocument")];
    assert_eq!((add.delivery, add.deadline), (Delivery::Durable, Duration::from_secs(30)));
    assert_eq!(domain.queries[&name("documents.FindDocuments")].deadline, Duration::from_secs(2));
    assert_eq!(domain.events[&name("documents.DocumentAdded")].entity, "document");
    assert_eq!(domain.handler(&name("documents.AddDocument")), Some(&service("archive")));
    assert!(domain.services[&service("indexer")].reads(&name("documents.DocumentAdded")));
    assert!(!domain.services[&service("desk")].reads(&name("documents.DocumentAdded")));
}

#[test]
fn built_in_users_have_their_defaults_list_by_list() {
    let domain = library();
    let dev = &domain.services[&service("dev")];
    assert!(dev.sends.contains(&name("documents.AddDocument")));
    assert!(dev.asks.contains(&name("documents.FindDocuments")));
    assert!(dev.observes.contains(&name("documents.DocumentAdded")));
    assert!(dev.handles.is_empty() && dev.emits.is_empty() && dev.rights.is_empty());
    let operator = &domain.services[&service("operator")];
    assert!(operator.has(Right::DomainApply) && operator.has(Right::DomainRead));
    assert!(operator.sends.is_empty() && !operator.has(Right::ContentRead));

    let narrowed = parse(&format!(
        "{LIBRARY}\n[dev]\nsends = []\nrights = ['content.read']\n[operator]\nobserves = ['*']\n"
    ));
    let narrowed = narrowed.unwrap();
    let dev = &narrowed.services[&service("dev")];
    assert!(dev.sends.is_empty() && !dev.asks.is_empty() && dev.has(Right::ContentRead));
    let operator = &narrowed.services[&service("operator")];
    assert!(!operator.observes.is_empty() && operator.has(Right::DomainApply));
}

#[test]
fn a_type_without_a_schema_takes_any_object() {
    let domain = library();
    let spec = domain.spec(&name("documents.AddDocument")).unwrap();
    assert!(spec.fit(&node(serde_json::json!({"anything": [1, null]}))).is_ok());
    assert_eq!(spec.fit(&node(serde_json::json!([1]))).unwrap_err()[0].problem, "an object is expected");
    assert!(domain.spec(&name("documents.Unknown")).is_none());
}

#[test]
fn the_digest_is_of_what_is_said_not_of_how() {
    let commented = LIBRARY.replace("\"64 KiB\"", "65536").replace("copies = 3", "copies = 0x3 # three");
    assert_eq!(library().digest(), parse(&commented).unwrap().digest());
    assert_eq!(library().digest().len(), 64);
    let other = parse(&LIBRARY.replace("copies = 3", "copies = 4")).unwrap();
    assert_ne!(library().digest(), other.digest());
    let schemas =
        BTreeMap::from([("documents/AddDocument.json".to_owned(), "{\"type\":\"object\"}".to_owned())]);
    let with_schema = Domain::parse("domain.toml", LIBRARY, &schemas).unwrap();
    assert_ne!(library().digest(), with_schema.digest());
}

#[test]
fn the_nearest_type_of_a_kind_is_found() {
    let domain = library();
    let nearest =
        |kind, text| domain.nearest(kind, text).map(|(kind, name)| format!("{} {name}", kind.as_str()));
    assert_eq!(
        nearest(Kind::Command, "documents.AddDocumnt").as_deref(),
        Some("command documents.AddDocument")
    );
    assert_eq!(nearest(Kind::Command, "AddDocument").as_deref(), Some("command documents.AddDocument"));
    // Of whatever kind it is.
    let added = Some("event documents.DocumentAdded");
    assert_eq!(nearest(Kind::Command, "documents.DocumentAdded").as_deref(), added);
    assert_eq!(nearest(Kind::Query, "documents.DocumentAded").as_deref(), added);
    assert_eq!(nearest(Kind::Query, "documents.Nothing"), None);
    assert_eq!(nearest(Kind::Event, "document.documentadded").as_deref(), added);
}

/// Each text holds one mistake, and exactly that one is reported, in its line.
#[test]
fn one_mistake_is_one_problem() {
    let after = |text: &str| format!("name = 'a'\n{text}");
    let cases = [
        (
            "[command.documents.AddDocument]\n[service.s]\nhandles = ['documents.AddDocument']",
            2,
            "without quotes",
        ),
        ("colour = 3", 2, "unknown key colour"),
        ("[comand.'c.T']\n[service.s]\nhandles = ['c.T']", 2, "unknown key comand"),
        ("[command]\nx = 3", 3, "not the name of a command: x"),
        ("[command.'c.t']\n[service.s]\nhandles = ['c.t']", 2, "not the name of a command: c.t"),
        ("[command.'c.T']\ndelivry = 'direct'", 3, "unknown key delivry"),
        ("[command.'c.T']\ndelivery = 1\n[service.s]\nhandles = ['c.T']", 3, "delivery is a whole number"),
        ("[command.'c.T']\n[service.s]\nhandels = ['c.T']", 4, "unknown key handels"),
        ("[command.'c.T']\n[services.s]\nhandles = ['c.T']", 3, "unknown key services"),
        ("[command.'c.T']\n[service.S]\nhandles = ['c.T']", 3, "not the name of a service: S"),
        ("[command.'c.T']\n[service.node]\nhandles = ['c.T']", 3, "no service can be called node"),
        ("[command.'c.T']\n[service.dev]\nhandles = ['c.T']", 3, "no service can be called dev"),
        ("[command.'c.T']\n[service.s]\nhandles = 'c.T'", 4, "handles is text"),
        ("[command.'c.T']\n[service.s]\nhandles = [1]", 4, "an entry of handles is a whole number"),
        ("[command.'c.T']\n[service.s]\nhandles = ['c.TT']", 4, "there is no command c.TT"),
        ("[command.'c.T']\n[service.s]\nhandles = ['*']", 4, "\"*\" in handles of a service"),
        ("[command.'c.T']\n[service.s]\nhandles = ['c.T']\n[dev]\nhandles = ['*']", 6, "\"*\" in handles"),
        ("[command.'c.T']\n[[service]]\nhandles = ['c.T']", 3, "service is a list"),
        ("[command.'c.T']\n[service]\ns = 3", 4, "s is a whole number"),
        ("[command.'c.T']", 2, "c.T is durable and no service handles it"),
        ("[command.'c.T']\n[dev]\nsends = ['c.T']", 2, "c.T is durable and no service handles it"),
        (
            "[command.'c.T']\n[service.s]\nhandles = ['c.T']\n[service.r]\nhandles = ['c.T']",
            6,
            "c.T is durable and handled by s already, not by r too",
        ),
        (
            "[command.'c.T']\ndelivery = 'direct'\n[service.s]\nsends = ['c.T']",
            2,
            "c.T is sent by s and no service handles it",
        ),
        ("[query.'c.T']\n[service.s]\nasks = ['c.T']", 2, "c.T is asked by s and no service answers it"),
        (
            "[query.'c.T']\n[service.s]\nanswers = ['c.T']\n[service.r]\nanswers = ['c.T']",
            6,
            "c.T is answered by s already, not by r too",
        ),
        ("[event.'c.T']\n[service.s]\nobserves = ['c.T']", 2, "c.T is observed by s and no service emits it"),
        ("[event.'c.T']\n[service.s]\nhandles = ['c.T']", 4, "c.T is an event, and handles lists commands"),
        ("[event.'c.T']\n[query.'c.T']", 2, "c.T is both a query and an event"),
        ("[event.'c.T']\n[event.'c.T']", 3, "written twice"),
        ("name = 'b'", 2, "written twice"),
        ("[event.'c.T']\nentity = 'A b'", 3, "not a kind of entity: A b"),
        ("version = 0", 2, "version 0 is out of bounds"),
        ("version = 99999999999999999999999999999999999999999", 2, "version is out of bounds"),
        ("version = '1'", 2, "version is text"),
        ("[content]\nthreshold = 1023", 3, "a threshold of 1023 bytes is out of bounds"),
        ("[content]\nthreshold = '513 KiB'", 3, "a threshold of 525312 bytes is out of bounds"),
        ("[content]\nthreshold = -1", 3, "not a size: -1"),
        ("[content]\nthreshold = true", 3, "threshold is true or false"),
        ("[limits]\nuploads = 1", 3, "limits.uploads = 1 is out of bounds"),
        ("[limits]\nrequests = 200000", 3, "limits.requests = 200000 is out of bounds"),
        ("[limits]\nrequest_bytes = '1 MiB'", 3, "limits.request_bytes = 1048576 is out of bounds"),
        ("[limits]\nrequest_bytes = 'much'", 3, "not a size: much"),
        ("[limits]\nwatch = 12", 3, "unknown key watch in [limits]"),
        (
            "[limits]\ncommands = 18446744073709551616",
            3,
            "limits.commands = 18446744073709551616 is out of bounds",
        ),
        ("[content]\ncopies = 0", 3, "0 copies are out of bounds"),
        ("[content]\ncopies = 17", 3, "17 copies are out of bounds"),
        ("[query.'c.T']\ndeadline = '0 s'", 3, "a deadline of 0 s is out of bounds"),
        ("[query.'c.T']\ndeadline = '25 h'", 3, "a deadline of 25 h is out of bounds"),
        ("content = 1.5", 2, "content is a number with a fraction"),
        ("dev = []", 2, "dev is a list"),
        (
            "[service.s]\nrights = ['content.read', 'content.read']",
            3,
            "content.read is listed twice in rights",
        ),
        ("[service.s]\nrights = ['root']", 3, "unknown right root"),
        ("[service.s]\nowners = []", 3, "owners is empty"),
        ("[service.s]\nowners = ['ada', 'ada']", 3, "ada is listed twice in owners"),
        ("[service.s]\nowners = [\"a\\nb\"]", 3, "not an owner: "),
        ("[service.s", 2, "not TOML: "),
        ("[service.s\nhandles = []\nxx = 3", 2, "not TOML: "),
        ("x = ", 2, "not TOML: "),
        ("x = 'abc", 2, "not TOML: "),
    ];
    let failed: Vec<String> = cases
        .into_iter()
        .map(|(text, line, what)| (text, line, what, problems(&after(text))))
        .filter(|(_, line, what, found)| {
            found.len() != 1 || found[0].0 != *line || !found[0].1.contains(what)
        })
        .map(|(text, line, what, found)| format!("{text}\n  expected {line}: {what}\n  found {found:?}"))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[test]
fn bounds_themselves_are_accepted() {
    for text in [
        "[content]\nthreshold = 1024\ncopies = 1",
        "[content]\nthreshold = '512 KiB'\ncopies = 16",
        "[query.'c.T']\ndeadline = '24 h'",
        "[query.'c.T']\ndeadline = '1 ms'",
        "version = 1000000",
        "[command.'c.T']\ndelivery = 'direct'",
        "[service.s]",
        "[service]",
        "[dev]\n[operator]\nsends = ['*']",
    ] {
        let text = format!("name = 'a'\n{text}");
        assert!(parse(&text).is_ok(), "{text}");
    }
}

#[test]
fn a_missing_name_is_one_problem() {
    assert_eq!(problems(""), [(1, "the domain has no name".to_owned())]);
    assert_eq!(problems("name = 3").len(), 1);
}

#[test]
fn what_is_wrong_beside_a_syntax_error_is_reported_too() {
    let text = "name = 'Big'\nversion == 1\n[content]\ncopies = 99\n";
    let found = problems(text);
    let lines: Vec<usize> = found.iter().map(|(line, _)| *line).collect();
    assert!(lines.contains(&1) && lines.contains(&2) && lines.contains(&4), "{found:#?}");
}

#[test]
fn columns_count_characters() {
    let problems = parse("name = 'a'\n[service.s]\nrights = ['ä', 'ü']").unwrap_err();
    let places: Vec<(usize, usize)> = problems.iter().map(|p| (p.line, p.column)).collect();
    assert_eq!(places, [(3, 11), (3, 16)]);
}

#[test]
fn schema_files_are_named_beside_the_definition() {
    let schemas = BTreeMap::from([
        ("loose.json".to_owned(), "{}".to_owned()),
        ("README.md".to_owned(), "no schema".to_owned()),
        ("c/T.json".to_owned(), "{\n  \"type\": \"object\",\n}".to_owned()),
    ]);
    let problems =
        Domain::parse("some/where/domain.toml", "name = 'a'\n[query.'c.T']", &schemas).unwrap_err();
    let found: Vec<String> = problems.iter().map(|p| format!("{}:{}", p.file, p.line)).collect();
    assert_eq!(found, ["some/where/schemas/c/T.json:3", "some/where/schemas/loose.json:1"], "{problems}");
}

#[test]
fn large_input_is_refused_or_bounded() {
    assert_eq!(problems(&" ".repeat(1 << 21)).len(), 1);
    let many: String = (0..5000).map(|i| format!("x{i} = 1\n")).collect();
    assert_eq!(problems(&format!("name = 'a'\n{many}")).len(), 200);
    let types: String = (0..5000).map(|i| format!("[query.'c.T{i}']\n")).collect();
    assert_eq!(problems(&format!("name = 'a'\n{types}")).len(), 1);
    let services: String = (0..1100).map(|i| format!("[service.s{i}]\n")).collect();
    assert_eq!(problems(&format!("name = 'a'\n{services}")).len(), 1);
    let types: String = (0..500).map(|i| format!("[query.'c.T{i}']\n")).collect();
    let unknown = vec!["'c.Unknown'"; 20_000].join(", ");
    assert_eq!(problems(&format!("name = 'a'\n{types}[service.s]\nasks = [{unknown}]")).len(), 200);
    let deep = format!("name = 'a'\nx = {}{}", "[".repeat(5000), "]".repeat(5000));
    assert!(!problems(&deep).is_empty());
}

/// Pieces that a definition is made of, so that random text gets past the first line.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "name = 'a'\n",
        "name",
        " = ",
        "'",
        "\"",
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        ",",
        "\n",
        "*",
        "é",
        "\0",
        "#",
        "[command.'c.T']\n",
        "[query.\"c.Q\"]\n",
        "[event.'c.E']\n",
        "[service.s]\n",
        "[dev]\n",
        "[content]\n",
        "handles = ['c.T']\n",
        "answers = [\"c.Q\", 3]\n",
        "emits = [",
        "'c.E'",
        "observes = ['*']\n",
        "rights = 1\n",
        "deadline = '2 s'\n",
        "threshold = 64 KiB\n",
        "copies = 0x10\n",
        "service.s.t = 3\n",
        "dev = 1979-05-27\n",
        "version = 1e9\n",
        "x.y.z = {a = [1, 2], b.c = ''}\n",
        "'''",
        "\"\"\"",
        "\\u00e9",
        "\r\n",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        let _ = parse(&text);
    }

    #[test]
    fn any_pieces_are_answered(text in pieces(), path in "[a-z/]{0,8}(\\.json)?", schema in pieces()) {
        let schemas = BTreeMap::from([(path, schema.clone()), ("c/T.json".to_owned(), schema)]);
        if let Err(problems) = Domain::parse("domain.toml", &text, &schemas) {
            prop_assert!(problems.len() > 0);
            prop_assert!(problems.iter().all(|p| p.line > 0 && p.column > 0 && !p.what.is_empty() && !p.mend.is_empty()));
        }
    }
}
