//! An nkey per user of nats-server, made where it is missing and kept.
//!
//! Each service, `dev` and `operator` has `credentials/{name}.nk` (the seed); what only the node uses lies in `node/`. A
//! file that others could read is closed to them. Seeds never print, and never leave who holds them: a connection is
//! proven by a signature.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use comms_domain::{Account, Layout, nats_conf};
use nkeys::{KeyPair, KeyPairType};

use crate::Error;
use crate::folder::{Durability, Folder, close_to_others, read_small, replace};
use crate::secret::SecretText;

/// Name of the node's own user in every account.
pub const NODE: &str = "node";

/// The keys of every user of a layout.
#[derive(Clone)]
pub struct Keys {
    users: BTreeMap<(Account, String), UserKey>,
}

#[derive(Clone)]
struct UserKey {
    seed: SecretText,
    public: String,
}

impl Keys {
    /// Reads the keys of all users of `layout`, and makes those that are missing.
    ///
    /// Files of users that the layout does not name stay where they are and mean nothing.
    pub fn load_or_make(folder: &Folder, layout: &Layout) -> Result<Keys, Error> {
        let mut keys = Keys { users: BTreeMap::new() };
        for user in &layout.users {
            let key = load_or_make_key(&seed_path(folder, user.account, &user.name))?;
            keys.users.insert((user.account, user.name.clone()), key);
        }
        Ok(keys)
    }

    /// The public halves, for the configuration of nats-server.
    pub fn public(&self) -> nats_conf::Keys {
        let mut public = nats_conf::Keys::new();
        for ((account, name), key) in &self.users {
            public.insert(*account, name, &key.public).expect("the public key of a user key is one");
        }
        public
    }

    /// Whose public key this is.
    pub fn name(&self, public: &str) -> Option<&str> {
        self.users.iter().find(|(_, key)| key.public == public).map(|((_, name), _)| name.as_str())
    }

    /// The seed by which that user proves itself.
    pub fn seed(&self, account: Account, user: &str) -> Option<&SecretText> {
        self.users.get(&(account, user.to_owned())).map(|key| &key.seed)
    }

    /// The public half of the node's own user in an account.
    pub fn own_public(&self, account: Account) -> &str {
        let key = self.users.get(&(account, NODE.to_owned()));
        &key.expect("every layout has the node's user in every account").public
    }

    /// The seed of the node's own user.
    pub fn own(&self, account: Account) -> &SecretText {
        self.seed(account, NODE).expect("every layout has the node's user in every account")
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(
                self.users
                    .iter()
                    .map(|((account, name), key)| (format!("{}/{name}", account.as_str()), &key.public)),
            )
            .finish()
    }
}

/// Where the seed of a user lies.
pub fn seed_path(folder: &Folder, account: Account, user: &str) -> PathBuf {
    if is_service(account, user) {
        folder.credentials().join(format!("{user}.nk"))
    } else {
        // The key of a leaf is known to people by this path, from when leafs were in DOMAIN.
        let is_leaf = account == Account::Leafs && user.starts_with("leaf-");
        let account = if is_leaf { Account::Domain } else { account };
        folder.node().join(format!("{}.{user}.nk", account.as_str().to_ascii_lowercase()))
    }
}

pub(crate) fn is_service(account: Account, user: &str) -> bool {
    account == Account::Services && user != NODE
}

fn load_or_make_key(path: &Path) -> Result<UserKey, Error> {
    let expected = "the seed of a user nkey";
    let wrong = |why: String| Error::Malformed { path: path.to_owned(), expected, why };
    let pair = match read_secret(path)? {
        Some(text) => KeyPair::from_seed(text.trim()).map_err(|error| wrong(error.to_string()))?,
        None => {
            let pair = KeyPair::new_user();
            let seed = pair.seed().map_err(|error| wrong(error.to_string()))?;
            write_secret(path, &seed)?;
            pair
        }
    };
    if pair.key_pair_type() != KeyPairType::User {
        return Err(wrong(String::from("it is the seed of something else")));
    }
    let seed = pair.seed().map_err(|error| wrong(error.to_string()))?;
    Ok(UserKey { seed: SecretText::new(seed), public: pair.public_key() })
}

pub(crate) fn read_secret(path: &Path) -> Result<Option<String>, Error> {
    let text = read_small(path)?;
    if text.is_some() && close_to_others(path)? {
        tracing::warn!(path = %path.display(), "others could read these credentials; now they cannot");
    }
    Ok(text)
}

/// Not synced: credentials that a power failure takes away are made again at the next start, and the server is
/// configured from what is there then. A sync each would be most of a first start on a slow disk.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<(), Error> {
    // Without a line end, which some clients of other people's making take for a part of it.
    replace(path, text.as_bytes(), Durability::Cached)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::fixture;

    #[test]
    fn credentials_are_made_once_and_kept() {
        let fixture = fixture::Fixture::new();
        let keys = fixture.keys();
        let again = fixture.keys();
        let user = |keys: &Keys| keys.seed(Account::Services, "desk").unwrap().as_str().to_owned();
        assert_eq!(user(&keys), user(&again));
        assert_eq!(keys.public(), again.public());
        for file in ["desk.nk", "dev.nk", "operator.nk"] {
            let mode = fs::metadata(fixture.folder().credentials().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        assert!(!fixture.folder().credentials().join("node.nk").exists());
    }

    #[test]
    fn nothing_secret_is_printed() {
        let fixture = fixture::Fixture::new();
        let keys = fixture.keys();
        let shown = format!("{keys:?}");
        assert!(shown.contains("SERVICES/desk"), "{shown}");
        assert!(!shown.contains(keys.seed(Account::Services, "desk").unwrap().as_str()), "{shown}");
    }

    #[test]
    fn open_files_are_closed_and_foreign_ones_refused() {
        let fixture = fixture::Fixture::new();
        fixture.keys();
        let path = fixture.folder().credentials().join("desk.nk");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        fixture.keys();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        fs::write(&path, KeyPair::new_account().seed().unwrap()).unwrap();
        let refused = Keys::load_or_make(fixture.folder(), fixture.layout());
        assert!(matches!(refused, Err(Error::Malformed { .. })), "{refused:?}");
        // What a power failure may leave.
        fs::write(&path, "").unwrap();
        fixture.keys();
    }
}
