//! A [`Layout`] as text for nats-server: the whole file of a managed server, or the accounts for one that exists.
//!
//! Every value is quoted and escaped, so that no name or path can end its string and add configuration. Which
//! address, folder and key is used is the caller's; which rights follow is the layout's.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;

use crate::layout::{Account, Export, Import, Layout, Role, Share, User};
use crate::limits::LEAF_SUBSCRIPTIONS_MAX;

pub mod server_limits;

pub use self::server_limits::ServerLimits;

/// Public nkeys by account and user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys(BTreeMap<(Account, String), String>);

/// Why no configuration can be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfError {
    /// A user without a key could not be kept out.
    #[error("no key for the user {user} of {}", account.as_str())]
    NoKey {
        /// Whose account.
        account: Account,
        /// Which user.
        user: String,
    },
    /// Not the public key of a user: `U` and 55 characters of base32.
    #[error("not a public user nkey for {user} of {}", account.as_str())]
    BadKey {
        /// Whose account.
        account: Account,
        /// Which user.
        user: String,
    },
    /// Not the seed of a user: `SU` and 56 characters of base32.
    #[error("not the seed of a user nkey")]
    BadSeed,
    /// The layout's role and the options contradict each other.
    #[error("{0}")]
    Role(&'static str),
}

impl Keys {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the public key (`U…`) of a user.
    ///
    /// # Errors
    /// [`ConfError::BadKey`] for anything that is not a public user nkey.
    pub fn insert(&mut self, account: Account, user: &str, public: &str) -> Result<(), ConfError> {
        if !is_key(public, "U", 56) {
            return Err(ConfError::BadKey { account, user: user.to_owned() });
        }
        self.0.insert((account, user.to_owned()), public.to_owned());
        Ok(())
    }

    /// The public key of a user.
    pub fn get(&self, account: Account, user: &str) -> Option<&str> {
        self.0.get(&(account, user.to_owned())).map(String::as_str)
    }
}

/// How a leaf reaches its hub. The key it proves itself by is not part of this text: see [`leaf_seed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// `nats-leaf://host:port` or `tls://host:port`, without credentials.
    pub url: String,
}

/// The file that must stand beside the configuration of a leaf, readable by its owner alone, with the text of
/// [`leaf_seed`]. nats-server takes no path here, and a seed in the configuration itself would travel with it.
pub const LEAF_SEED_FILE: &str = "leaf-seed.conf";

/// The text of [`LEAF_SEED_FILE`] for the seed (`SU…`) of the user that the hub knows this leaf by.
///
/// # Errors
/// [`ConfError::BadSeed`] for anything that is not the seed of a user, without repeating it.
pub fn leaf_seed(seed: &str) -> Result<String, ConfError> {
    if is_key(seed, "SU", 58) { Ok(format!("nkey: {}\n", quote(seed))) } else { Err(ConfError::BadSeed) }
}

/// Base32 of a known length after a known prefix.
fn is_key(text: &str, prefix: &str, length: usize) -> bool {
    text.len() == length
        && text.starts_with(prefix)
        && text.bytes().all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b))
}

/// What a managed server needs to know beside its layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerOptions {
    /// Unique among connected servers.
    pub server_name: String,
    /// For clients; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Folder of the streams.
    pub store_dir: String,
    /// What it may take of its machine.
    pub limits: ServerLimits,
    /// Folder in which the server writes the ports it got.
    pub ports_file_dir: Option<String>,
    /// Where the server writes its process id.
    pub pid_file: Option<String>,
    /// Where the server logs; none logs to standard error.
    pub log_file: Option<String>,
    /// Where leafs may join; wanted for a hub, refused for others.
    pub leaf_listen: Option<SocketAddr>,
    /// The hub to join; wanted for a leaf, refused for others.
    pub remote: Option<Remote>,
}

impl ServerOptions {
    /// A server on `listen` that keeps its streams in `store_dir`.
    pub fn new(server_name: impl Into<String>, listen: SocketAddr, store_dir: impl Into<String>) -> Self {
        Self {
            server_name: server_name.into(),
            listen,
            store_dir: store_dir.into(),
            limits: ServerLimits::default(),
            ports_file_dir: None,
            pid_file: None,
            log_file: None,
            leaf_listen: None,
            remote: None,
        }
    }
}

/// The whole configuration file of a managed server.
///
/// # Errors
/// [`ConfError`] if a user has no key, or the options do not fit the layout's role.
pub fn server(layout: &Layout, keys: &Keys, options: &ServerOptions) -> Result<String, ConfError> {
    let mut out = String::with_capacity(16 << 10);
    line(&mut out, "# Written by comms from domain.toml. Changes here are lost.");
    field(&mut out, 0, "server_name", &quote(&options.server_name));
    listen(&mut out, 0, options.listen);
    options.limits.write(&mut out);
    for (key, value) in [
        ("ports_file_dir", &options.ports_file_dir),
        ("pid_file", &options.pid_file),
        ("log_file", &options.log_file),
    ] {
        if let Some(value) = value {
            field(&mut out, 0, key, &quote(value));
        }
    }
    line(&mut out, "jetstream {");
    field(&mut out, 1, "store_dir", &quote(&options.store_dir));
    field(&mut out, 1, "domain", &quote(layout.node.as_str()));
    line(&mut out, "  # A write is acknowledged when it is on the disk.");
    field(&mut out, 1, "sync_interval", "always");
    options.limits.write_jetstream(&mut out);
    line(&mut out, "}");
    leafnodes(&mut out, layout, options)?;
    field(&mut out, 0, "system_account", Account::Sys.as_str());
    line(&mut out, "accounts {");
    for account in Account::ALL {
        write_account(&mut out, layout, keys, account)?;
    }
    line(&mut out, "}");
    Ok(out)
}

/// The accounts of a domain for a server that exists, to be included inside its `accounts { … }`.
///
/// Its own system account stays as it is: `SYS` is not in this text.
///
/// # Errors
/// [`ConfError`] if a user has no key.
pub fn accounts(layout: &Layout, keys: &Keys) -> Result<String, ConfError> {
    let mut out = String::with_capacity(16 << 10);
    line(&mut out, "# Written by comms from domain.toml. To be read inside the accounts of nats-server:");
    line(&mut out, "#   accounts { include \"this-file.conf\" }");
    for account in [Account::Domain, Account::Services, Account::Leafs] {
        write_account(&mut out, layout, keys, account)?;
    }
    Ok(out)
}

fn leafnodes(out: &mut String, layout: &Layout, options: &ServerOptions) -> Result<(), ConfError> {
    match (&layout.role, &options.leaf_listen, &options.remote) {
        (Role::Standalone, None, None) => Ok(()),
        (Role::Hub { .. }, Some(address), None) => {
            line(out, "leafnodes {");
            listen(out, 1, *address);
            line(out, "}");
            Ok(())
        }
        (Role::Leaf { .. }, None, Some(remote)) => {
            line(out, "leafnodes {");
            field(out, 1, "reconnect", "1s");
            line(out, "  remotes: [");
            line(out, "    {");
            field(out, 3, "url", &quote(&remote.url));
            field(out, 3, "account", Account::Leafs.as_str());
            line(out, &format!("      include \"{LEAF_SEED_FILE}\""));
            list(out, 3, "deny_imports", &layout.bridge_denies);
            list(out, 3, "deny_exports", &layout.bridge_denies);
            line(out, "    }");
            line(out, "  ]");
            line(out, "}");
            Ok(())
        }
        (Role::Standalone, _, _) => {
            Err(ConfError::Role("a standalone node neither accepts leafs nor joins a hub"))
        }
        (Role::Hub { .. }, _, _) => {
            Err(ConfError::Role("a hub needs an address for its leafs and joins no hub"))
        }
        (Role::Leaf { .. }, _, _) => {
            Err(ConfError::Role("a leaf needs its hub's address and accepts no leafs"))
        }
    }
}

fn write_account(out: &mut String, layout: &Layout, keys: &Keys, account: Account) -> Result<(), ConfError> {
    if account == Account::Leafs && layout.role == Role::Standalone {
        return Ok(());
    }
    line(out, &format!("  {} {{", account.as_str()));
    if account == Account::Domain {
        field(out, 2, "jetstream", "enabled");
    }
    if account == Account::Leafs {
        line(out, &format!("    limits {{ max_subscriptions: {LEAF_SUBSCRIPTIONS_MAX} }}"));
    }
    line(out, "    users: [");
    for user in layout.users.iter().filter(|user| user.account == account) {
        write_user(out, user, keys)?;
    }
    line(out, "    ]");
    let exports: Vec<&Export> = layout.exports.iter().filter(|export| export.account == account).collect();
    if !exports.is_empty() {
        line(out, "    exports: [");
        for export in exports {
            line(out, &format!("      {{ {}: {} }}", share(export.share), quote(&export.subject)));
        }
        line(out, "    ]");
    }
    let imports: Vec<&Import> = layout.imports.iter().filter(|import| import.account == account).collect();
    if !imports.is_empty() {
        line(out, "    imports: [");
        for import in imports {
            let from = import.from.as_str();
            let subject = quote(&import.subject);
            line(
                out,
                &format!("      {{ {}: {{ account: {from}, subject: {subject} }} }}", share(import.share)),
            );
        }
        line(out, "    ]");
    }
    line(out, "  }");
    Ok(())
}

fn write_user(out: &mut String, user: &User, keys: &Keys) -> Result<(), ConfError> {
    let key = keys
        .get(user.account, &user.name)
        .ok_or_else(|| ConfError::NoKey { account: user.account, user: user.name.clone() })?;
    line(out, &format!("      # {}", comment(&user.name)));
    line(out, "      {");
    field(out, 4, "nkey", &quote(key));
    let unlimited = |list: &[String]| list.len() == 1 && list[0] == ">";
    if !(unlimited(&user.publish) && user.publish_deny.is_empty() && unlimited(&user.subscribe)) {
        line(out, "        permissions: {");
        line(out, "          publish: {");
        list(out, 6, "allow", &user.publish);
        if !user.publish_deny.is_empty() {
            list(out, 6, "deny", &user.publish_deny);
        }
        line(out, "          }");
        line(out, "          subscribe: {");
        list(out, 6, "allow", &user.subscribe);
        line(out, "          }");
        line(out, "        }");
    }
    line(out, "      }");
    Ok(())
}

fn share(share: Share) -> &'static str {
    match share {
        Share::Service => "service",
        Share::Stream => "stream",
    }
}

fn listen(out: &mut String, depth: usize, address: SocketAddr) {
    field(out, depth, "host", &quote(&address.ip().to_string()));
    // The server takes 0 for its default port and -1 for one of the system's choice.
    let port = if address.port() == 0 { "-1".to_owned() } else { address.port().to_string() };
    field(out, depth, "port", &port);
}

fn list(out: &mut String, depth: usize, key: &str, values: &[String]) {
    let indent = "  ".repeat(depth);
    line(out, &format!("{indent}{key}: ["));
    for value in values {
        line(out, &format!("{indent}  {}", quote(value)));
    }
    line(out, &format!("{indent}]"));
}

fn field(out: &mut String, depth: usize, key: &str, value: &str) {
    line(out, &format!("{}{key}: {value}", "  ".repeat(depth)));
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// A double-quoted string of nats-server's configuration language.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_ascii_control() => {
                write!(quoted, "\\x{:02x}", u32::from(c)).expect("a String takes every write");
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Text that cannot end the line of a comment.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
