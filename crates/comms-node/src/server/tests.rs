//! A real nats-server, started, killed, reconfigured and left behind.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Instant;

use async_nats::Client;
use futures::StreamExt as _;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::*;
use crate::fixture::{self, Fixture, LIBRARY, any_port, wait_until};
use crate::guard::Manner;

const GRACE: Duration = Duration::from_secs(10);

fn is_alive(pid: u32) -> bool {
    // A zombie answers signals; its command line is empty.
    let line = fs::read(format!("/proc/{pid}/cmdline"));
    test_kill_process(pid_of(pid)).is_ok() && line.is_ok_and(|line| !line.is_empty())
}

fn pid_of(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

fn pid_in(place: &Place) -> u32 {
    fs::read_to_string(place.pid_file()).unwrap().trim().parse().unwrap()
}

async fn desk(fixture: &Fixture, server: &Managed) -> Client {
    let keys = fixture.keys();
    let seed = keys.seed(Account::Services, "desk").unwrap();
    let options = connections::options(seed, "_INBOX.desk", "test");
    options.connect(server.url()).await.unwrap()
}

#[tokio::test]
async fn it_comes_up_as_configured_and_ends_in_order() {
    let fixture = Fixture::new();
    let begun = Instant::now();
    let server = fixture.serve().await;
    println!("up after {:?}", begun.elapsed());
    let facts = server.facts().await.unwrap();
    assert!(facts.is_syncing && facts.has_jetstream && !facts.open_monitor_port && !facts.open_websocket);
    assert_eq!(facts.version, fixture::binary().version.to_string());
    assert_eq!(facts.server, fixture.layout().node.as_str());
    assert!(facts.configuration.unwrap().starts_with("sha256:"));
    let (pid, state) = (server.pid().unwrap(), server.state());
    assert_eq!(pid_in(&fixture.place()), pid);
    assert!(async_nats::connect(server.url()).await.is_err(), "nobody is let in without credentials");

    assert_eq!(server.stop(GRACE).await, Ending::Orderly);
    assert!(!is_alive(pid));
    assert_eq!(*state.borrow(), State::Stopped);
    assert!(!fixture.place().pid_file().exists());
}

#[tokio::test]
async fn a_server_that_is_not_given_time_is_killed() {
    let fixture = Fixture::new();
    let server = fixture.serve().await;
    let pid = server.pid().unwrap();
    // Stopped by a signal, it cannot end by itself.
    kill_process(pid_of(pid), Signal::STOP).unwrap();
    assert_eq!(server.stop(Duration::from_millis(50)).await, Ending::Killed);
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn dropping_it_kills_the_server() {
    let fixture = Fixture::new();
    let server = fixture.serve().await;
    let pid = server.pid().unwrap();
    drop(server);
    wait_until("the dropped server is gone", || !is_alive(pid)).await;
}

#[tokio::test]
async fn a_killed_server_is_started_again_on_its_port() {
    let fixture = Fixture::new();
    let server = fixture.serve().await;
    let (url, first) = (server.url(), server.pid().unwrap());
    let mut state = server.state();
    for restarts in 1..=3 {
        kill_process(pid_of(server.pid().unwrap()), Signal::KILL).unwrap();
        let down = state.wait_for(|state| matches!(state, State::Down { .. })).await.unwrap().clone();
        assert!(matches!(&down, State::Down { why, .. } if why.contains("signal 9")), "{down:?}");
        let up = state.wait_for(|state| matches!(state, State::Running { .. })).await.unwrap().clone();
        assert!(matches!(up, State::Running { restarts: told, .. } if told == restarts), "{up:?}");
    }
    assert_ne!(server.pid().unwrap(), first);
    assert_eq!(server.url(), url);
    // The connection of the node comes back by itself.
    let answered = timeout(GRACE, async {
        while server.facts().await.is_err() {
            tokio::task::yield_now().await;
        }
    });
    answered.await.unwrap();
    assert_eq!(server.stop(GRACE).await, Ending::Orderly);
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why_and_leaves_nothing() {
    let fixture = Fixture::new();
    let bogus = ServerSpec { configuration: "no_such_option: 1\n".into(), ..fixture.spec() };
    let Err(Error::Server { why, log }) = Managed::start(bogus, &fixture.keys()).await else {
        panic!("it started")
    };
    assert!(why.contains("code 1") && log.contains("no_such_option"), "{why}: {log}");

    let taken = TcpListener::bind(any_port()).unwrap();
    let listen = taken.local_addr().unwrap();
    let options = fixture.place().options("n", listen);
    let configuration =
        comms_domain::nats_conf::server(fixture.layout(), &fixture.keys().public(), &options).unwrap();
    let taken = ServerSpec { configuration, listen, ..fixture.spec() };
    let Err(Error::Listen { socket, address, .. }) = Managed::start(taken, &fixture.keys()).await else {
        panic!("it started")
    };
    assert_eq!((socket, address), (Socket::NatsServer, listen));

    let missing = ServerSpec {
        binary: Binary { path: "/no/such/program".into(), ..fixture.spec().binary },
        ..fixture.spec()
    };
    let Err(Error::Server { log, .. }) = Managed::start(missing, &fixture.keys()).await else {
        panic!("it started")
    };
    assert!(log.contains("cannot start nats-server"), "{log}");
}

#[tokio::test]
async fn rights_change_without_a_disconnect_and_a_refused_change_is_none() {
    let fixture = Fixture::new();
    let server = fixture.serve().await;
    let before = server.facts().await.unwrap().configuration.unwrap();
    let desk = desk(&fixture, &server).await;
    let id = desk.server_info().client_id;

    let wider = LIBRARY.replace("[service.desk]", "[service.desk]\nobserves = [\"documents.DocumentAdded\"]");
    let wider = fixture.layout_of(&wider);
    let begun = Instant::now();
    let digest = server.reload(&fixture.configuration(&wider)).await.unwrap();
    println!("reloaded in {:?}", begun.elapsed());
    assert_ne!(digest.0, before);
    assert_eq!(server.facts().await.unwrap().configuration, Some(digest.0.clone()));
    // The right holds from the moment the reload is confirmed: one subscription, one message.
    let mut live = desk.subscribe("library.live.event.documents.*.DocumentAdded").await.unwrap();
    let own = desk.new_inbox();
    let mut answers = desk.subscribe(own.clone()).await.unwrap();
    let (url, keys) = (server.url(), fixture.keys());
    let seed = keys.own(Account::Services);
    let services = connections::connect(&url, Account::Services, seed, server.vouch()).await.unwrap();
    let node = connections::connect(&url, Account::Domain, keys.own(Account::Domain), server.vouch());
    let node = node.await.unwrap();
    // What comes to its inbox shows that the server knows the subscription made before.
    let arrived = timeout(GRACE, async {
        while timeout(Duration::from_millis(20), answers.next()).await.is_err() {
            services.publish(own.clone(), "".into()).await.unwrap();
        }
        node.publish("library.live.event.documents.x.DocumentAdded", "".into()).await.unwrap();
        live.next().await
    });
    assert!(arrived.await.unwrap().is_some());
    assert_eq!(desk.server_info().client_id, id, "the same connection");

    let broken = format!("{}\nno_such_option: 1\n", fixture.configuration(&wider));
    let Err(Error::ConfigurationRefused { log }) = server.reload(&broken).await else {
        panic!("it was taken")
    };
    assert!(log.contains("no_such_option"), "{log}");
    assert_eq!(server.facts().await.unwrap().configuration, Some(digest.0.clone()));
    // What is on the disk is what runs: a restart changes nothing.
    kill_process(pid_of(server.pid().unwrap()), Signal::KILL).unwrap();
    let again = timeout(GRACE, async {
        loop {
            match server.facts().await {
                Ok(facts) => break facts,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    assert_eq!(again.await.unwrap().configuration, Some(digest.0));
}

/// The server checks a file and still cannot change its store while it runs.
#[tokio::test]
async fn a_change_that_the_server_cannot_make_is_taken_back() {
    let fixture = Fixture::new();
    let server = fixture.serve().await;
    let before = fs::read_to_string(fixture.place().configuration()).unwrap();
    let moved = fixture.configuration(fixture.layout()).replace("/store\"", "/elsewhere\"");
    let Err(Error::ConfigurationRefused { log }) = server.reload(&moved).await else {
        panic!("it was taken")
    };
    assert!(log.contains("storage directory"), "{log}");
    assert_eq!(fs::read_to_string(fixture.place().configuration()).unwrap(), before);
}

#[tokio::test]
async fn a_leftover_server_is_ended_and_a_stranger_is_not() {
    let fixture = Fixture::new();
    fixture.serve().await.stop(GRACE).await;
    let mut leftover = Command::new(fixture::binary().path)
        .arg("--config")
        .arg(fixture.place().configuration())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the leftover has written its process id", || fixture.place().pid_file().exists()).await;
    let server = fixture.serve().await;
    let ended = leftover.try_wait().unwrap().is_some();
    leftover.kill().unwrap();
    assert!(ended && server.pid() != Some(leftover.id()), "it was ended before the new one started");
    server.stop(GRACE).await;

    // The process id of a dead server may belong to anybody; here, to these tests.
    fs::write(fixture.place().pid_file(), std::process::id().to_string()).unwrap();
    fixture.serve().await.stop(GRACE).await;
}

#[tokio::test]
async fn it_dies_with_its_node_even_when_that_is_killed() {
    for manner in [Manner::Become, Manner::Stay] {
        let home = tempfile::tempdir().unwrap();
        let mut node = fixture::node(home.path(), manner);
        let root = home.path().join(crate::folder::FOLDER);
        wait_until("the node is ready", || root.join("ready").exists()).await;
        let place = Place::new(fs::canonicalize(&root).unwrap().join("nats"));
        let server = pid_in(&place);
        assert!(is_alive(server));
        // SIGKILL: nothing of the node runs any more.
        node.kill().unwrap();
        node.wait().unwrap();
        let begun = Instant::now();
        wait_until("the server is gone", || !is_alive(server)).await;
        println!("{manner:?}: gone {:?} after its node", begun.elapsed());
        // And the folder is free again.
        let fixture = Fixture::at(home.path());
        fixture.serve().await.stop(GRACE).await;
    }
}

#[tokio::test]
async fn a_guard_that_stays_passes_orders_on() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec();
    spec.guard.manner = Manner::Stay;
    let server = Managed::start(spec, &fixture.keys()).await.unwrap();
    let inner = pid_in(&fixture.place());
    assert_ne!(server.pid(), Some(inner), "the guard stands in between");
    let wider = LIBRARY.replace("[service.desk]", "[service.desk]\nobserves = [\"documents.DocumentAdded\"]");
    server.reload(&fixture.configuration(&fixture.layout_of(&wider))).await.unwrap();
    assert_eq!(server.stop(GRACE).await, Ending::Orderly);
    assert!(!is_alive(inner));
}
