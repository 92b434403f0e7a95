//! What a terminal, a pipe and a shell make of this program: escapes of others, readers that go away, completions.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::binary::{command, comms, objects};
use crate::node::{Process, up};

/// Text that a terminal would obey, hide or set somewhere else.
const ATTACK: &str =
    "bad\u{1b}]0;PWN\u{7}\u{1b}[2K\rdone\t3 ms\nerror: forged\u{9b}2K\u{202e}x\u{200b}\u{2028}\u{e0041}";

/// Whether a terminal merely shows it; lines and the cells of a row are the program's own.
fn merely_shows(text: &str) -> bool {
    let hides = |c: char| matches!(u32::from(c), 0x202a..=0x202e | 0x200b | 0x2028 | 0xe0041);
    !text.chars().any(|c| (c.is_control() && !matches!(c, '\n' | '\t')) || hides(c))
}

#[test]
fn what_others_wrote_is_shown_and_not_obeyed() {
    let mut running = up();
    let folder = running.folder.clone();
    let title = format!("title=={ATTACK}");
    let publish = |more: &[&str]| {
        let event = ["publish", "documents.DocumentAdded", &title, "file=@domain.toml", "--as", "archive"];
        comms(&folder, &[&event[..], &["--entity", "a"], more].concat()).done()
    };
    assert!(merely_shows(&publish(&[])));
    let watch = ["watch", "*", "--from", "start", "--until-now", "--as", "indexer"];
    let text = comms(&folder, &watch).done();
    assert!(merely_shows(&text) && text.lines().count() == 1, "{text}");
    assert!(text.contains(
        r"bad\u001b]0;PWN\u0007\u001b[2K\rdone\t3 ms\nerror: forged\u009b2K\u202ex\u200b\u2028\udb40\udc41"
    ));
    let json = comms(&folder, &[&watch[..], &["--json"]].concat()).done();
    assert!(merely_shows(&json));
    assert_eq!(objects(&json)[0]["body"]["title"], ATTACK, "the same object");
    // Mistakes quote what was typed.
    for arguments in [
        &["send", ATTACK, "--as", "desk"][..],
        &["send", "documents.AddDocument", ATTACK],
        &["get", ATTACK],
        &["domain", "explain", ATTACK],
        &["watch", ATTACK, "--as", "indexer"],
        &["up", "--listen", ATTACK],
        &[ATTACK],
    ] {
        let ran = comms(&folder, arguments);
        assert!(ran.code != 0 && merely_shows(&ran.err), "{arguments:?}: {ran:?}");
    }
    running.node.signal("TERM");
    assert_eq!(running.node.end().0, Some(0));
}

#[test]
fn a_reason_forges_no_lines() {
    let running = up();
    let Some(mut reject) = crate::node::python(&running.folder, &["-c", REJECT]) else { return };
    reject.env("REASON", ATTACK);
    let rejecting = Process::start(reject);
    rejecting.line_with("ready");
    let send = ["send", "documents.AddDocument", "title=x", "file=@domain.toml", "--as", "desk"];
    let ran = comms(&running.folder, &send);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(merely_shows(&ran.err) && merely_shows(&ran.out), "{ran:?}");
    let lines: Vec<&str> = ran.err.lines().collect();
    assert!(lines[0].starts_with(r"error: documents.AddDocument rejected: bad\u001b]0;PWN"), "{lines:?}");
    assert_eq!(lines.len(), 2, "{lines:?}");
}

/// Handles one command as `archive`, and rejects it for the reason in the environment.
const REJECT: &str = r#"
import asyncio, json, os, sys
sys.path.insert(0, "services/python")
import nats, comms_local
async def main():
    node = json.load(open(".comms/node.json"))
    seed = open(".comms/credentials/archive.nk").read().strip()
    nc = await nats.connect(node["nats"], nkeys_seed_str=seed, inbox_prefix=b"_INBOX.archive")
    async def door(name, body):
        reply = await nc.request(f"{node['domain']}.door.{name}.archive", json.dumps(body).encode(), timeout=30)
        return json.loads(reply.data)
    commands = (await door("listen", {}))["ok"]["commands"]
    done = asyncio.Event()
    async def on(message):
        at = message.data.index(b"\x62id") + 4
        command = message.data[at + 1:at + 37].decode()
        end = {"reject": {"reason": os.environ["REASON"]}}
        await door("commit.documents.AddDocument", {"command": command, "delivery": message.reply, "completion": end, "events": []})
        done.set()
    await nc.subscribe(commands["subject"], queue=commands["queue"], cb=on)
    await nc.flush()
    print("ready", flush=True)
    await asyncio.wait_for(done.wait(), 60)
    await nc.close()
asyncio.run(main())
"#;

#[test]
fn text_is_text_whatever_it_begins_with() {
    let running = up();
    for title in ["@ada", "-", "=", ":=1"] {
        let field = format!("title=={title}");
        let event = ["publish", "documents.DocumentAdded", &field, "file=@domain.toml", "--as", "archive"];
        comms(&running.folder, &[&event[..], &["--entity", "a"]].concat()).done();
    }
    let watch = ["watch", "*", "--from", "start", "--until-now", "--json", "--as", "indexer"];
    let events = objects(&comms(&running.folder, &watch).done());
    let titles: Vec<&Value> = events.iter().map(|event| &event["body"]["title"]).collect();
    assert_eq!(titles, ["@ada", "-", "=", ":=1"]);
    // It ends also where there is nothing, and without a word about it.
    assert_eq!(comms(&running.folder, &["watch", "*", "--until-now", "--as", "indexer"]).done(), "");
}

#[test]
fn a_watch_says_that_it_caught_up_and_that_the_node_is_away() {
    let running = up();
    let folder = &running.folder;
    let event = ["publish", "documents.DocumentAdded", "title=x", "file=@domain.toml", "--as", "archive"];
    comms(folder, &[&event[..], &["--entity", "a"]].concat()).done();
    let mut watch = command(folder, &["watch", "*", "--from", "start", "--json", "--as", "indexer"]);
    let mut watch = watch.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut notes = BufReader::new(watch.stderr.take().unwrap()).lines();
    let mut note = || -> Value { serde_json::from_str(&notes.next().unwrap().unwrap()).unwrap() };
    let caught_up = note();
    crate::shapes::assert_fits("watch-note", &caught_up);
    assert!(caught_up["caught_up"]["position"].as_str().unwrap().starts_with("1@"), "{caught_up}");
    running.node.signal("KILL");
    let away = note();
    crate::shapes::assert_fits("watch-note", &away);
    assert!(away["away"]["position"].is_string(), "{away}");
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[test]
fn a_hang_up_and_a_reader_that_goes_away_end_the_node_in_order() {
    let (_place, folder) = crate::new::library();
    // Whoever runs the tests may have them ignore a hang-up, and that is inherited.
    let mut heeding = Command::new("python3");
    let heed = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])";
    heeding.args(["-c", heed, env!("CARGO_BIN_EXE_comms"), "up", "--json"]).current_dir(&folder);
    heeding.args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]).stdin(Stdio::null());
    let mut node = Process::start(heeding);
    node.line_with("ready");
    node.signal("HUP");
    let (code, lines) = node.end();
    assert!(code == Some(0) && lines[0].contains("stopped"), "{code:?} {lines:?}");
    assert!(!folder.join(".comms/node.json").exists());

    let mut up = command(&folder, &["up", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    let mut node = up.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Whether this is before or after it is ready, the reader is gone.
    drop(node.stdout.take());
    let mut err = String::new();
    node.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(node.wait().unwrap().code(), Some(1), "{err}");
    assert!(err.contains("error: standard output was closed; the node has stopped in order"), "{err}");
    assert!(!folder.join(".comms/node.json").exists());
}

#[test]
fn who_started_it_may_have_it_ignore_a_hang_up() {
    let (_place, folder) = crate::new::library();
    let mut nohup = Command::new("nohup");
    nohup.arg(env!("CARGO_BIN_EXE_comms")).current_dir(&folder).env_remove("COMMS_CREDENTIALS");
    nohup.args(["up", "--json", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]).stdin(Stdio::null());
    let mut node = Process::start(nohup);
    node.line_with("ready");
    node.signal("HUP");
    // It answers afterwards.
    comms(&folder, &["watch", "*", "--until-now", "--as", "indexer"]).done();
    node.signal("TERM");
    assert_eq!(node.end().0, Some(0));
}

#[test]
fn a_watch_ends_with_its_reader() {
    let running = up();
    let event = ["publish", "documents.DocumentAdded", "title=x", "file=@domain.toml", "--as", "archive"];
    comms(&running.folder, &[&event[..], &["--entity", "a"]].concat()).done();
    let mut watch = command(&running.folder, &["watch", "*", "--from", "start", "--as", "indexer"]);
    let mut watch = watch.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(watch.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("event\t"), "{line}");
    // No further event comes by which it could notice.
    assert_eq!(watch.wait().unwrap().code(), Some(0));
}

#[test]
fn content_is_written_as_other_programs_write() {
    let running = up();
    let folder = &running.folder;
    let put = objects(&comms(folder, &["put", "domain.toml", "--json", "--as", "desk"]).done()).remove(0);
    let cid = put["cid"].as_str().unwrap();
    let get = |to: &str| comms(folder, &["get", cid, "-o", to, "--as", "desk"]);
    let content = fs::read(folder.join("domain.toml")).unwrap();
    fs::write(folder.join("file"), "old").unwrap();
    std::os::unix::fs::symlink("file", folder.join("link")).unwrap();
    get("link").done();
    assert!(fs::symlink_metadata(folder.join("link")).unwrap().is_symlink());
    assert!(fs::read(folder.join("file")).unwrap() == content);
    assert!(Command::new("mkfifo").arg(folder.join("pipe")).status().unwrap().success());
    let pipe = folder.join("pipe");
    let reader = std::thread::spawn(move || fs::read(pipe).unwrap());
    get("pipe").done();
    assert!(reader.join().unwrap() == content);
    assert!(get("-").done().into_bytes() == content);
    assert!(get("/dev/stdout").done().into_bytes().starts_with(&content));
    fs::write(folder.join("evil"), "text\n\u{1b}]0;PWN\u{7}").unwrap();
    let put = objects(&comms(folder, &["put", "evil", "--json", "--as", "desk"]).done()).remove(0);
    for to in ["/dev/tty", "/dev/stdout", "/proc/self/fd/1", "-"] {
        let got = on_a_terminal(folder, &["get", put["cid"].as_str().unwrap(), "-o", to, "--as", "desk"]);
        assert!(got.contains("is not text, and ") && !got.contains("PWN"), "{to}: {got}");
        let got = on_a_terminal(folder, &["get", cid, "-o", to, "--as", "desk"]);
        assert!(got.contains("[service.archive]"), "{to}: {got}");
    }
}

/// What a terminal is given by a command that has one.
fn on_a_terminal(folder: &std::path::Path, arguments: &[&str]) -> String {
    let spawn = "import pty, sys; pty.spawn(sys.argv[1:])";
    let mut python = Command::new("python3");
    python.args(["-c", spawn, env!("CARGO_BIN_EXE_comms")]).args(arguments);
    python.current_dir(folder).env_remove("COMMS_CREDENTIALS").stdin(Stdio::null());
    let output = python.output().unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn help_completions_and_versions_are_answers_that_must_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let help = comms(folder.path(), &["help"]).done();
    assert_eq!(help, comms(folder.path(), &["--help"]).done());
    let send = comms(folder.path(), &["help", "send"]).done();
    assert!(send.contains("field==text") && send.contains("--no-wait"), "{send}");
    for shell in ["bash", "zsh", "fish"] {
        let script = comms(folder.path(), &["completions", shell]).done();
        for word in ["comms", "publish", "until-now"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        assert!(!script.contains("guard"), "{shell}");
    }
    let help = comms(folder.path(), &["help", "--help"]).done();
    assert!(help.contains("--as <NAME>") && !help.contains("guard"), "{help}");
    comms(folder.path(), &["help", "guard-nats-server"]).failed(2);
    for arguments in
        [&["--version"][..], &["--help"], &["help", "send"], &["version"], &["completions", "fish"]]
    {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = command(folder.path(), arguments).stdout(full).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(err.starts_with("error: standard output cannot be written\n"), "{err}");
    }
}

#[test]
fn in_the_folder_of_a_domain_its_names_are_completed() {
    let (_place, folder) = crate::new::library();
    let bash = comms(&folder, &["completions", "bash"]).done();
    fs::write(folder.join("complete.bash"), &bash).unwrap();
    let complete = |words: &str| {
        let ask = "source complete.bash; read -ra COMP_WORDS <<< \"$0\"; [[ $0 == *' ' ]] && COMP_WORDS+=(''); \
                   COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); \
                   _comms comms \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"; echo \"${COMPREPLY[@]}\"";
        let output = Command::new("bash").args(["-c", ask, words]).current_dir(&folder).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    for (typed, completed) in [
        ("comms send documents.A", "documents.AddDocument"),
        ("comms publish doc", "documents.DocumentAdded"),
        ("comms ask doc", "documents.FindDocuments"),
        ("comms watch doc", "documents.DocumentAdded"),
        ("comms send --as ", "archive desk dev indexer operator"),
        ("comms --as in", "indexer"),
        ("comms domain explain documents.F", "documents.FindDocuments"),
        ("comms com", "completions"),
    ] {
        assert_eq!(complete(typed), completed, "{typed}");
    }
    for shell in ["zsh", "fish"] {
        let script = comms(&folder, &["completions", shell]).done();
        assert!(script.contains("archive"), "{shell}");
    }
    let zsh = comms(&folder, &["completions", "zsh"]).done();
    assert!(zsh.contains("documents.AddDocument"), "{zsh}");
}

#[test]
fn a_taken_address_names_the_option() {
    let (_place, folder) = crate::new::library();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (option, other) in [("--listen", "--http"), ("--http", "--listen")] {
        let err = comms(&folder, &["up", option, &address, other, "127.0.0.1:0"]).failed(1);
        assert!(err.contains(&address) && err.contains(option) && err.lines().count() <= 4, "{err}");
    }
}

#[test]
fn names_of_this_machine_are_addresses() {
    let (_place, folder) = crate::new::library();
    let mut node = Process::start(command(
        &folder,
        &["up", "--listen", "localhost:0", "--http", "localhost:0", "--json"],
    ));
    let ready: Value = serde_json::from_str(&node.line()).unwrap();
    assert!(ready["ready"]["nats"].as_str().unwrap().starts_with("nats://127.0.0.1:"), "{ready}");
    node.signal("TERM");
    assert_eq!(node.end().0, Some(0));
}
