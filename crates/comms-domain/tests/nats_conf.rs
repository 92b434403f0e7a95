//! The text for nats-server: complete, quoted, and never without a key.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use comms_domain::nats_conf::{
    ConfError, Keys, LEAF_SEED_FILE, Remote, ServerLimits, ServerOptions, accounts, leaf_seed, server,
};
use comms_domain::{Account, Domain, Layout, NodeId, Role};

fn layout(role: Role) -> Layout {
    let text = "name = 'lib'\n[event.'c.E']\n[service.s]\nemits = ['c.E']\n[dev]\nobserves = []";
    let domain = Domain::parse("domain.toml", text, &BTreeMap::new()).unwrap();
    Layout::of(&domain, &NodeId { name: "n1".parse().unwrap(), secret: [3; 32], role })
}

fn standalone() -> Layout {
    layout(Role::Standalone)
}

fn key(index: usize) -> String {
    format!("U{}", char::from(b'A' + u8::try_from(index).unwrap()).to_string().repeat(55))
}

fn keys(layout: &Layout) -> Keys {
    let mut keys = Keys::new();
    for (index, user) in layout.users.iter().enumerate() {
        keys.insert(user.account, &user.name, &key(index)).unwrap();
    }
    keys
}

fn options() -> ServerOptions {
    ServerOptions::new("lib-n1", "127.0.0.1:0".parse().unwrap(), "/srv/store")
}

#[test]
fn the_file_of_a_managed_server() {
    let layout = standalone();
    let options = ServerOptions {
        ports_file_dir: Some("/srv/ports".to_owned()),
        pid_file: Some("/srv/pid".to_owned()),
        log_file: Some("/srv/log".to_owned()),
        limits: ServerLimits { file_bytes_max: 1 << 30, ..ServerLimits::default() },
        ..options()
    };
    let text = server(&layout, &keys(&layout), &options).unwrap();
    let expected = r#"# Written by comms from domain.toml. Changes here are lost.
server_name: "lib-n1"
host: "127.0.0.1"
port: -1
max_payload: 2097152
max_pending: 41943040
max_connections: 8192
max_subscriptions: 8192
max_control_line: 4096
max_closed_clients: 256
write_deadline: "10s"
ping_interval: "30s"
ping_max: 2
lame_duck_duration: "30s"
lame_duck_grace_period: "2s"
ports_file_dir: "/srv/ports"
pid_file: "/srv/pid"
log_file: "/srv/log"
jetstream {
  store_dir: "/srv/store"
  domain: "n1"
  # A write is acknowledged when it is on the disk.
  sync_interval: always
  max_memory_store: 67108864
  max_file_store: 1073741824
  max_buffered_size: 67108864
  max_buffered_msgs: 20000
}
system_account: SYS
accounts {
  DOMAIN {
    jetstream: enabled
    users: [
      # node
      {
        nkey: "UAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
      }
    ]
    exports: [
      { service: "$JS.ACK.>" }
      { service: "$JS.FC.>" }
      { stream: "lib.deliver.>" }
      { stream: "lib.live.>" }
    ]
  }
  SERVICES {
    users: [
      # dev
      {
        nkey: "UBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"
        permissions: {
          publish: {
            allow: [
              "lib.door.hello.dev"
            ]
          }
          subscribe: {
            allow: [
              "_INBOX.dev.>"
            ]
          }
        }
      }
      # node
      {
        nkey: "UCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC"
        permissions: {
          publish: {
            allow: [
              ">"
            ]
            deny: [
              "$JS.>"
            ]
          }
          subscribe: {
            allow: [
              ">"
            ]
          }
        }
      }
      # operator
      {
        nkey: "UDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDD"
        permissions: {
          publish: {
            allow: [
              "lib.door.hello.operator"
            ]
          }
          subscribe: {
            allow: [
              "_INBOX.operator.>"
            ]
          }
        }
      }
      # s
      {
        nkey: "UEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEE"
        permissions: {
          publish: {
            allow: [
              "lib.door.hello.s"
              "lib.door.event.c.E.s"
            ]
          }
          subscribe: {
            allow: [
              "_INBOX.s.>"
            ]
          }
        }
      }
    ]
    imports: [
      { service: { account: DOMAIN, subject: "$JS.ACK.>" } }
      { service: { account: DOMAIN, subject: "$JS.FC.>" } }
      { stream: { account: DOMAIN, subject: "lib.deliver.>" } }
      { stream: { account: DOMAIN, subject: "lib.live.>" } }
    ]
  }
  SYS {
    users: [
      # node
      {
        nkey: "UFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
      }
    ]
  }
}
"#;
    assert_eq!(text, expected);
    for open_door in ["http", "monitor", "no_auth_user", "allow_responses", "websocket", "mqtt"] {
        assert!(!text.contains(open_door), "{open_door}");
    }
}

#[test]
fn the_accounts_for_a_server_that_exists() {
    let layout = standalone();
    let text = accounts(&layout, &keys(&layout)).unwrap();
    assert!(text.contains("  DOMAIN {") && text.contains("  SERVICES {"));
    assert!(!text.contains("SYS") && !text.contains("listen") && !text.contains("store_dir"));
}

#[test]
fn a_hub_accepts_leafs_and_a_leaf_joins() {
    let hub = layout(Role::Hub { leafs: vec!["n2".parse().unwrap()] });
    let listening = ServerOptions { leaf_listen: Some("10.0.0.1:7422".parse().unwrap()), ..options() };
    let text = server(&hub, &keys(&hub), &listening).unwrap();
    assert!(text.contains("leafnodes {\n  host: \"10.0.0.1\"\n  port: 7422\n}\n"), "{text}");
    assert!(text.contains("      # leaf-n2\n"), "{text}");
    let leafs = text.split("  LEAFS {\n").nth(1).unwrap();
    let leafs = &leafs[..leafs.find("  }\n").unwrap()];
    assert!(leafs.contains("    limits { max_subscriptions: 256 }\n"), "{leafs}");
    assert!(
        !leafs.contains("jetstream") && !leafs.contains("import") && !leafs.contains("export"),
        "{leafs}"
    );

    let leaf = layout(Role::Leaf { hub: "n0".parse().unwrap(), siblings: Vec::new() });
    let joining =
        ServerOptions { remote: Some(Remote { url: "nats-leaf://10.0.0.1:7422".to_owned() }), ..options() };
    let text = server(&leaf, &keys(&leaf), &joining).unwrap();
    let expected = r#"leafnodes {
  reconnect: 1s
  remotes: [
    {
      url: "nats-leaf://10.0.0.1:7422"
      account: LEAFS
      include "leaf-seed.conf"
      deny_imports: [
        "lib.command.>"
"#;
    assert!(text.contains(expected), "{text}");
    assert_eq!(text.matches("\"lib.content.>\"").count(), 2);
    assert_eq!(LEAF_SEED_FILE, "leaf-seed.conf");

    for (layout, options) in [
        (&hub, &options()),
        (&hub, &joining),
        (&leaf, &options()),
        (&leaf, &listening),
        (&standalone(), &listening),
        (&standalone(), &joining),
    ] {
        assert!(matches!(server(layout, &keys(layout), options), Err(ConfError::Role(_))));
    }
}

#[test]
fn no_value_ends_its_string() {
    let layout = standalone();
    let evil = "x\" }\n no_auth_user: dev\r\t\\ \u{1} $HOME # é";
    let options = ServerOptions {
        server_name: evil.to_owned(),
        store_dir: evil.to_owned(),
        log_file: Some(evil.to_owned()),
        ..options()
    };
    let text = server(&layout, &keys(&layout), &options).unwrap();
    let quoted = r#""x\" }\n no_auth_user: dev\r\t\\ \x01 $HOME # é""#;
    assert_eq!(text.matches(quoted).count(), 3, "{text}");
    assert!(text.lines().all(|line| !line.trim_start().starts_with("no_auth_user")));
}

#[test]
fn an_ipv6_address_is_quoted_without_brackets() {
    let layout = standalone();
    let options = ServerOptions { listen: "[::1]:4222".parse().unwrap(), ..options() };
    let text = server(&layout, &keys(&layout), &options).unwrap();
    assert!(text.contains("host: \"::1\"\nport: 4222\n"), "{text}");
}

#[test]
fn every_user_needs_a_key() {
    let layout = standalone();
    let mut some = Keys::new();
    some.insert(Account::Domain, "node", &key(0)).unwrap();
    let missing = ConfError::NoKey { account: Account::Services, user: "dev".to_owned() };
    assert_eq!(server(&layout, &some, &options()), Err(missing.clone()));
    assert_eq!(accounts(&layout, &some), Err(missing));
}

#[test]
fn only_public_user_keys_are_keys() {
    let mut keys = Keys::new();
    let seed = format!("SU{}", "A".repeat(56));
    for wrong in ["", "U", &seed, &key(0).to_lowercase(), &key(0)[..55], &format!("{}\"", &key(0)[..55])] {
        let error = keys.insert(Account::Domain, "node", wrong).unwrap_err();
        assert_eq!(error, ConfError::BadKey { account: Account::Domain, user: "node".to_owned() });
        assert!(wrong.is_empty() || wrong.len() < 2 || !error.to_string().contains(wrong));
    }
    assert_eq!(keys, Keys::new());
    assert_eq!(leaf_seed(&seed).unwrap(), format!("nkey: \"{seed}\"\n"));
    assert_eq!(leaf_seed(&key(0)), Err(ConfError::BadSeed));
    assert_eq!(leaf_seed(&format!("{seed}\n}}")), Err(ConfError::BadSeed));
}
