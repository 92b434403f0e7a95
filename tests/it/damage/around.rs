//! What goes with damage: files removed under a running node, another name or definition than that of the log, a folder of an
//! older version, ledgers on a disk of their own.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use comms_tests::wait::SOON;
use comms_tests::{SmallDisk, TestNode, fixture};

use super::{Disk, read};
use crate::vocabulary::{DocumentRetitled, Lend};

/// What is done to the folder of a node.
type Damage = fn(&Disk);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_from_the_disk_under_the_node_shows_and_the_doors_refuse() {
    let kinds: [(&str, Damage); 4] = [
        ("folder of the stream", |d| fs::remove_dir_all(d.stream("EVENT")).unwrap()),
        ("folder of the stream", |d| fs::remove_dir_all(d.stream("COMMAND")).unwrap()),
        (".blk", |d| fs::remove_file(d.block("EVENT")).unwrap()),
        (".ledger", |d| fs::remove_dir_all(d.comms.join("log")).unwrap()),
    ];
    for (words, damage) in kinds {
        let node = TestNode::start().await;
        let (archive, evil) = (node.connect("archive").await, node.connect("evil").await);
        archive.publish(DocumentRetitled { title: "a".into() }).entity("d").owner("ada").await.unwrap();
        evil.send(Lend { n: 1 }).owner("ada").await.unwrap();
        node.wait_health(200, "true", SOON).await;
        damage(&Disk { comms: node.comms_folder(), old: PathBuf::new() });
        node.wait_health(503, words, Duration::from_secs(10)).await;
        let event = DocumentRetitled { title: "b".into() };
        let refused = archive.publish(event).entity("d").owner("ada").within(Duration::from_secs(2)).await;
        assert!(refused.unwrap_err().to_string().contains("lost"), "a door answers from a log that is gone");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_the_one_of_the_log_is_refused_and_nothing_is_written() {
    let mut node = TestNode::start().await;
    let name = node.facts()["node"].as_str().unwrap().to_owned();
    node.stop().await;
    let file = node.comms_folder().join("node/name");
    fs::write(&file, "n-other\n").unwrap();
    let (status, said) = node.try_up().await.unwrap_err();
    assert_eq!(status.code(), Some(64), "{said}");
    assert!(said.contains(&format!("write {name} into")) && said.contains("n-other"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "n-other\n");
    fs::remove_file(&file).unwrap();
    let mut other = TestNode::at(node.path(), &["--name", "other"]);
    let (_, said) = other.try_up().await.unwrap_err();
    assert!(said.contains(&name) && said.contains("cannot become other"), "{said}");
    assert!(!file.exists());
    node.up().await;
    assert!(node.output().contains(&format!("this node is {name}")), "{}", node.output());
    assert_eq!(fs::read_to_string(&file).unwrap().trim(), name);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_before_there_were_ledgers_gets_them() {
    let mut node = TestNode::start().await;
    let archive = node.connect("archive").await;
    archive.publish(DocumentRetitled { title: "a".into() }).entity("d").owner("ada").await.unwrap();
    let jetstream = node.jetstream().await;
    for kind in ["EVENT", "COMMAND"] {
        let name = format!("{kind}_{}", node.facts()["node"].as_str().unwrap());
        let mut config = jetstream.get_stream(&name).await.unwrap().cached_info().config.clone();
        assert!(config.metadata.remove("comms.ledger").is_some(), "{config:?}");
        jetstream.update_stream(config).await.unwrap();
    }
    node.stop().await;
    let comms = node.comms_folder();
    fs::remove_dir_all(comms.join("log")).unwrap();
    ["ledgers.json", "witnessed.json"]
        .iter()
        .for_each(|f| fs::remove_file(comms.join("node").join(f)).unwrap());
    node.up().await;
    assert!(node.output().contains("had no ledger"), "{}", node.output());
    assert_eq!(read(&node, 1).await.len(), 1);
    node.stop().await;
    node.up().await;
    assert!(!node.output().contains("had no ledger"), "{}", node.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_definition_in_force_another_one_is_held_against_what_is_stored() {
    let mut node = TestNode::start().await;
    let (archive, evil) = (node.connect("archive").await, node.connect("evil").await);
    archive.publish(DocumentRetitled { title: "a".into() }).entity("d").owner("ada").await.unwrap();
    evil.send(Lend { n: 1 }).owner("ada").await.unwrap();
    node.stop().await;
    fs::remove_dir_all(node.comms_folder().join("applied")).unwrap();
    let file = node.path().join("domain.toml");
    let definition = fs::read_to_string(&file).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(definition.contains(from), "{from} is not in the definition");
        definition.replace(from, to)
    };
    let called = definition.lines().find(|line| line.starts_with("name = ")).unwrap();
    let schemas = ["Retitled", "Renamed"]
        .map(|name| node.path().join(format!("schemas/documents/Document{name}.json")));
    let (retitled, renamed) = ("documents.DocumentRetitled", "documents.DocumentRenamed");
    let direct = "[command.\"lending.Lend\"]\ndelivery = \"direct\"";
    for (other, words) in [
        (changed(called, "name = \"elsewhere\""), "everything stored is called"),
        (changed("[command.\"lending.Lend\"]", direct), "lending.Lend waits there"),
        (changed(retitled, renamed), "documents.DocumentRetitled is part of"),
    ] {
        if other.contains(renamed) {
            fs::rename(&schemas[0], &schemas[1]).unwrap();
        }
        fs::write(&file, other).unwrap();
        let (status, said) = node.try_up().await.unwrap_err();
        assert!(said.contains("would orphan what is stored") && said.contains(words), "{status}: {said}");
    }
    fs::rename(&schemas[1], &schemas[0]).unwrap();
    fs::write(&file, &definition).unwrap();
    node.up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ledgers_on_a_full_disk_of_their_own_stop_what_is_new() {
    let home = tempfile::tempdir().unwrap();
    fixture::write(home.path());
    let ledgers = home.path().join(".comms/log");
    fs::create_dir_all(&ledgers).unwrap();
    let disk = SmallDisk::mount_at(&ledgers, 32);
    let mut node = TestNode::at(home.path(), &[]);
    node.try_up().await.unwrap();
    let archive = node.connect("archive").await;
    archive.publish(DocumentRetitled { title: "a".into() }).entity("d").owner("ada").await.unwrap();
    disk.fill(1 << 20);
    node.wait_health(503, "the disk of the ledgers is full", SOON).await;
    let event = archive.publish(DocumentRetitled { title: "b".into() }).entity("d").owner("ada");
    let refused = event.await.unwrap_err();
    assert!(refused.to_string().contains("the disk of the ledgers is full"), "{refused}");
    disk.empty();
    node.wait_health(200, "true", SOON).await;
    archive.publish(DocumentRetitled { title: "c".into() }).entity("d").owner("ada").await.unwrap();
    assert!(node.stop().await.success());
}
