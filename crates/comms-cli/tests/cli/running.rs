//! The commands that talk to a node, from a new domain's folder: what they do, say, and end with.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::binary::{Ran, command, comms, objects};
use crate::node::{Process, archive, python, start, up};
use crate::shapes;

const ABSENT: &str = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";
/// The CID of the document in a new domain; `make interop` shows that other programs compute the same.
const DOCUMENT: &str = "bafybeihaeljy53a33ytayvxggobtxnfr7p4ifiryp6h2ycljip4qpd3g5m";

#[test]
fn a_node_stops_in_order_on_either_signal_and_holds_its_folder_alone() {
    for signal in ["INT", "TERM"] {
        let mut running = up();
        assert!(running.folder.join(".comms/node.json").exists());
        let mut second = start(&running.folder);
        assert_eq!(second.end(), (Some(64), Vec::new()));
        running.node.signal(signal);
        let (code, lines) = running.node.end();
        let stopped = objects(&lines.join("\n")).remove(0);
        shapes::assert_fits("up", &stopped);
        assert_eq!((code, stopped["stopped"]["forced"].as_array().unwrap().len()), (Some(0), 0));
        assert!(!running.folder.join(".comms/node.json").exists());
    }
}

#[test]
fn the_text_of_up_says_where_everything_is() {
    let (_place, folder) = crate::new::library();
    let node = Process::start(command(&folder, &["up", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]));
    assert_eq!(node.line(), "library\tdomain v1, 1 context, 3 services\tdomain.toml");
    assert!(node.line().starts_with("nats\t127.0.0.1:"));
    assert!(node.line().starts_with("http\t127.0.0.1:"));
    assert!(node.line().starts_with("copies\t3 wanted, 1 possible"));
    assert!(node.line().starts_with("ready in "));
}

#[test]
fn a_command_is_sent_handled_watched_and_its_document_fetched() {
    let running = up();
    let folder = &running.folder;
    let _archive = archive(folder);
    let run = |arguments: &[&str]| comms(folder, arguments);

    let send = ["send", "documents.AddDocument", "title=Annual report", "file=@report.pdf", "--as", "desk"];
    let lines = objects(&run(&[&send[..], &["--json", "--owner", "grace", "--pair", "a=b"]].concat()).done());
    lines.iter().for_each(|line| shapes::assert_fits("send", line));
    let [sent, caused, done] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(sent["sent"]["subject"], "library.command.documents.AddDocument.desk");
    assert_eq!(sent["sent"]["offloaded"][0]["cid"], DOCUMENT);
    assert!(sent["sent"]["bytes"].as_u64().unwrap() < 1024);
    assert_eq!(done["done"]["id"], sent["sent"]["id"]);

    let watch = ["watch", "documents.*", "--from", "start", "--count", "1", "--as", "indexer"];
    let event = objects(&run(&[&watch[..], &["--json"]].concat()).done()).remove(0);
    shapes::assert_fits("watch", &event);
    assert_eq!(event["id"], caused["caused"]["id"]);
    assert_eq!(event["body"]["file"]["/"], DOCUMENT);
    assert_eq!((&event["owner"], &event["sender"]), (&Value::from("grace"), &Value::from("archive")));
    assert_eq!((&event["causation"], &event["correlation"]), (&sent["sent"]["id"], &sent["sent"]["id"]));
    let text = run(&watch).done();
    assert!(text.starts_with("event\tdocuments.DocumentAdded\tdocument-") && text.ends_with("}\n"), "{text}");

    let got =
        objects(&run(&["get", DOCUMENT, "-o", "copy.pdf", "--json", "--as", "indexer"]).done()).remove(0);
    shapes::assert_fits("get", &got);
    assert!(fs::read(folder.join("copy.pdf")).unwrap() == fs::read(folder.join("report.pdf")).unwrap());

    let answer = run(&["ask", "documents.FindDocuments", "words=annual", "--json", "--as", "desk"]).done();
    let answered = objects(&answer).remove(0);
    shapes::assert_fits("ask", &answered);
    assert_eq!(answered["answer"]["documents"][0]["title"], "Annual report");
    assert_eq!(
        run(&["ask", "documents.FindDocuments", "words=nothing", "--as", "desk"]).done(),
        "{\"documents\":[]}\n"
    );

    // As people read it, with a second document: its three lines.
    let out =
        run(&["send", "documents.AddDocument", "title=Notes", "file=@README.md", "--as", "desk"]).done();
    let first: Vec<&str> = out.lines().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(first, ["sent", "caused", "done"], "{out}");
}

#[test]
fn without_a_handler_a_command_is_kept_and_the_sender_told() {
    let running = up();
    let send = ["send", "documents.AddDocument", "title=x", "file=@domain.toml", "--as", "desk"];
    let ran = comms(&running.folder, &[&send[..], &["--wait", "50ms"]].concat());
    let err = ran.failed(5);
    assert!(err.starts_with("error: no outcome of documents.AddDocument within "), "{err}");
    assert!(err.ends_with("\n  It is kept until archive handles it.\n"), "{err}");
    let sent = comms(&running.folder, &[&send[..], &["--no-wait", "--json"]].concat()).done();
    assert_eq!(objects(&sent).len(), 1);
    let err =
        comms(&running.folder, &["ask", "documents.FindDocuments", "words=x", "--as", "desk"]).failed(1);
    assert!(err.ends_with("\n  It is answered by: archive\n"), "{err}");
}

#[test]
fn what_is_wrong_is_said_with_what_would_be_right() {
    let running = up();
    let refused = |arguments: &[&str], code: i32, text: &str| {
        let err = comms(&running.folder, arguments).failed(code);
        assert_eq!(err, text, "{arguments:?}");
    };
    refused(
        &["send", "documents.AddDocumnt", "title=x", "--as", "desk"],
        4,
        "error: no command documents.AddDocumnt in the domain library\n  did you mean the command documents.AddDocument?           \
         comms domain show commands\n",
    );
    refused(
        &["send", "documents.AddDocument", "titel=x", "--as", "desk"],
        3,
        "error: documents.AddDocument refused: 3 things do not fit schemas/documents/AddDocument.json\n  /title   \
         missing\n  /file    missing\n  /titel   unknown; did you mean title?\n  nothing was stored.\n",
    );
    refused(
        &["send", "documents.AddDocument", "title=x", "file=yy", "--as", "desk"],
        3,
        "error: documents.AddDocument refused: 1 thing does not fit schemas/documents/AddDocument.json\n  /file   must \
         be bytes ({\"/\": {\"bytes\": base64}}) or a link ({\"/\": CID})\n  file=@yy sends the file yy; file=- \
         standard input\n  nothing was stored.\n",
    );
    refused(
        &["send", "documents.AddDocument", "title=x", "--as", "indexer"],
        4,
        "error: indexer may not send documents.AddDocument\n  domain.toml lists: desk.   To allow it, add it to `sends` \
         of [service.indexer] and run: comms domain apply\n",
    );
    refused(
        &["get", ABSENT, "-o", "x", "--as", "indexer"],
        4,
        &format!("error: not here, or not yours to read: {ABSENT}\n"),
    );
    refused(
        &["watch", "lending.*", "--as", "indexer"],
        4,
        "error: lending.* means no event that indexer may observe\n  indexer observes: documents.DocumentAdded\n",
    );
    let err =
        comms(&running.folder, &["send", "documents.AddDocument", "title=x", "--as", "nobody"]).failed(64);
    assert!(err.starts_with("error: no credentials for nobody\n"), "{err}");
    let err = comms(&running.folder, &["get", "bafyfoo", "--as", "indexer"]).failed(2);
    assert!(err.starts_with("error: bafyfoo is not a CID\n"), "{err}");
    let err = comms(&running.folder, &["get", ABSENT, "--json", "--as", "indexer"]).failed(2);
    assert!(err.contains("-o FILE"), "{err}");
    let json =
        comms(&running.folder, &["send", "documents.AddDocument", "titel=x", "--json", "--as", "desk"]);
    let failed = objects(&json.failed(3)).remove(0);
    shapes::assert_fits("error", &failed);
    assert_eq!(failed["error"]["problems"][0]["path"], "/title");
}

#[test]
fn content_goes_in_and_out_through_pipes_and_files() {
    let running = up();
    let folder = &running.folder;
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let cid = put_from_pipe(folder, &content).done();
    let cid = cid.trim();
    let mut get = command(folder, &["get", cid, "--as", "desk"]);
    assert!(get.output().unwrap().stdout == content);
    let put = objects(&comms(folder, &["put", "domain.toml", "--json", "--as", "desk"]).done()).remove(0);
    shapes::assert_fits("put", &put);

    // What another service put is nobody else's, and a file of that name stays as it was.
    fs::write(folder.join("mine"), "mine").unwrap();
    comms(folder, &["get", cid, "-o", "mine", "--as", "indexer"]).failed(4);
    assert_eq!(fs::read_to_string(folder.join("mine")).unwrap(), "mine");
    comms(folder, &["get", cid, "-o", "services", "--as", "desk"]).failed(2);
    comms(folder, &["get", cid, "-o", "mine", "--as", "desk"]).done();
    assert!(fs::read(folder.join("mine")).unwrap() == content);
    let leftover = fs::read_dir(folder)
        .unwrap()
        .any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with(".comms-get-"));
    assert!(!leftover);
}

fn put_from_pipe(folder: &std::path::Path, content: &[u8]) -> Ran {
    let mut put = command(folder, &["put", "-", "--as", "desk"]);
    let mut child = put.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(content).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn a_watch_goes_on_from_a_position_and_ends_on_ctrl_c() {
    let running = up();
    let folder = &running.folder;
    let _archive = archive(folder);
    for title in ["title=1", "title=2", "title=3"] {
        comms(folder, &["send", "documents.AddDocument", title, "file=@domain.toml", "--as", "desk"]).done();
    }
    let all = objects(
        &comms(folder, &["watch", "*", "--from", "start", "--count", "3", "--json", "--as", "indexer"])
            .done(),
    );
    let first = all[0]["position"].as_str().unwrap();
    let rest =
        comms(folder, &["watch", "*", "--from", first, "--count", "2", "--json", "--as", "indexer"]).done();
    assert_eq!(objects(&rest), all[1..]);
    let entity = all[1]["entity"].as_str().unwrap();
    let arguments = [
        "watch",
        "*",
        "--from",
        "2026-01-01",
        "--entity",
        entity,
        "--count",
        "1",
        "--json",
        "--as",
        "indexer",
    ];
    assert_eq!(objects(&comms(folder, &arguments).done()), all[1..2]);

    let mut watch =
        Process::start(command(folder, &["watch", "*", "--from", "start", "--json", "--as", "indexer"]));
    let seen: Vec<Value> = (0..3).map(|_| serde_json::from_str(&watch.line()).unwrap()).collect();
    assert_eq!(seen, all);
    watch.signal("INT");
    assert_eq!(watch.end(), (Some(0), Vec::new()));
}

#[test]
fn the_definition_is_planned_and_applied_to_the_running_node() {
    let running = up();
    let folder = &running.folder;
    let file = folder.join("domain.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text + "\n[service.auditor]\nobserves = [\"documents.DocumentAdded\"]\n").unwrap();
    let planned = objects(&comms(folder, &["domain", "plan", "--json", "--as", "operator"]).done()).remove(0);
    shapes::assert_fits("domain-plan", &planned);
    let applied =
        objects(&comms(folder, &["domain", "apply", "--json", "--as", "operator"]).done()).remove(0);
    shapes::assert_fits("domain-apply", &applied);
    assert_eq!(planned["digest"], applied["digest"]);
    comms(folder, &["watch", "*", "--as", "auditor", "--from", "start", "--count", "0"]).done();
    let err = comms(folder, &["domain", "apply", "--as", "desk"]).failed(4);
    assert!(err.starts_with("error: desk does not hold the right domain.apply\n"), "{err}");
    // The accounts can be written beside a node that runs.
    comms(folder, &["domain", "accounts", "--out", "accounts.conf"]).done();
}

#[test]
fn accounts_for_a_server_of_ones_own_name_every_user_by_public_key_only() {
    let (_place, folder) = crate::new::library();
    let written =
        objects(&comms(&folder, &["domain", "accounts", "--out", "accounts.conf", "--json"]).done())
            .remove(0);
    shapes::assert_fits("domain-accounts", &written);
    let text = fs::read_to_string(folder.join("accounts.conf")).unwrap();
    for name in ["archive", "desk", "indexer"] {
        assert!(text.contains(name), "{name}: {text}");
        let seed = fs::read_to_string(folder.join(format!(".comms/credentials/{name}.nk"))).unwrap();
        assert!(!text.contains(seed.trim()));
    }
}

#[test]
fn the_service_in_python_handles_and_the_script_sends() {
    let running = up();
    let folder = &running.folder;
    let Some(archive) = python(folder, &["services/python/archive.py"]) else { return };
    let archive = Process::start(archive);
    archive.line_with("listening as archive in library");
    let out = comms(
        folder,
        &["send", "documents.AddDocument", "title=Annual report", "file=@report.pdf", "--as", "desk"],
    )
    .done();
    assert!(out.contains("\ncaused\t") && out.contains("\ndone\t"), "{out}");
    assert!(archive.line().starts_with("emitted "));

    let Some(mut send) = python(folder, &["services/python/send.py", "Second", "report.pdf"]) else { return };
    let sent = send.output().unwrap();
    assert!(sent.status.success(), "{sent:?}");
    let text = String::from_utf8(sent.stdout).unwrap();
    assert!(text.contains(DOCUMENT) && text.contains("\ncaused ") && text.ends_with("\ndone\n"), "{text}");
    let Some(mut wrong) = python(folder, &["services/python/send.py", "", "report.pdf"]) else { return };
    let refused = String::from_utf8(wrong.output().unwrap().stderr).unwrap();
    assert!(refused.starts_with("error: documents.AddDocument refused: 1 thing does not fit"), "{refused}");
}
