//! The bearer tokens of services for the node's HTTP: made anew at every start, gone when it ends.
//!
//! A token is shown to whoever answers, so it must be worth nothing to who takes the place of a node that has ended. Each
//! is in `credentials/{name}.token`, where its service reads it again when it is refused. Nothing but these files and the
//! memory of the running node has them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::PathBuf;

use comms_domain::{Layout, User};
use comms_msg::ServiceName;

use crate::Error;
use crate::folder::{Folder, Held, file_error, remove};
use crate::gateway::Tokens;
use crate::keys::{is_service, write_secret};
use crate::secret::{Secret, SecretText};

/// What a token's file is called after the service's name.
const EXTENSION: &str = "token";

/// The tokens of one run of a node.
#[derive(Debug, Default)]
pub(crate) struct Bearers(BTreeMap<ServiceName, SecretText>);

impl Bearers {
    /// Makes the tokens of a start for the services of `layout`; those of former starts are gone.
    pub(crate) fn begin(held: &Held, layout: &Layout) -> Result<Bearers, Error> {
        Bearers::end(held)?;
        let mut bearers = Bearers::default();
        bearers.follow(held, layout)?;
        Ok(bearers)
    }

    /// Makes what the services of another layout need in addition, and takes away what no service needs any more.
    pub(crate) fn follow(&mut self, held: &Held, layout: &Layout) -> Result<(), Error> {
        let services: Vec<ServiceName> = layout
            .users
            .iter()
            .filter(|user| is_service(user.account, &user.name))
            .filter_map(name)
            .collect();
        for gone in self.0.extract_if(.., |service, _| !services.contains(service)) {
            remove(&path(held.folder(), &gone.0))?;
        }
        for service in services {
            if let Entry::Vacant(place) = self.0.entry(service) {
                let token = Secret::random().to_hex();
                write_secret(&path(held.folder(), place.key()), token.as_str())?;
                place.insert(token);
            }
        }
        Ok(())
    }

    /// What lets these services into the gateway, and no others.
    pub(crate) fn admitted(&self) -> Tokens {
        Tokens::of(self.0.iter().map(|(service, token)| (service.clone(), token.as_str().to_owned())))
    }

    /// Takes away what the tokens of every start have left behind.
    pub(crate) fn end(held: &Held) -> Result<(), Error> {
        let folder = held.folder().credentials();
        let unread = |source| file_error("read", &folder, source);
        for entry in fs::read_dir(&folder).map_err(unread)? {
            let path = entry.map_err(unread)?.path();
            if path.extension().is_some_and(|extension| extension == EXTENSION) {
                remove(&path)?;
            }
        }
        Ok(())
    }
}

/// Every user of a layout is called as a service or as the node.
fn name(user: &User) -> Option<ServiceName> {
    user.name.parse().ok()
}

fn path(folder: &Folder, service: &ServiceName) -> PathBuf {
    folder.credentials().join(format!("{service}.{EXTENSION}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::fixture::Fixture;

    fn files(held: &Held) -> BTreeMap<String, String> {
        let entries = fs::read_dir(held.folder().credentials()).unwrap();
        let tokens =
            entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().unwrap() == EXTENSION);
        tokens
            .map(|path| {
                assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                (name, fs::read_to_string(path).unwrap())
            })
            .collect()
    }

    #[test]
    fn tokens_do_not_outlive_a_start() {
        let fixture = Fixture::new();
        let (held, layout) = (fixture.held(), fixture.layout());
        let first = Bearers::begin(held, layout).unwrap();
        let before = files(held);
        assert_eq!(before.keys().collect::<Vec<_>>(), ["archive", "desk", "dev", "indexer", "operator"]);
        let second = Bearers::begin(held, layout).unwrap();
        let after = files(held);
        assert!(before.keys().eq(after.keys()) && before.iter().all(|(name, token)| after[name] != *token));
        assert!(first.0.iter().all(|(name, token)| second.0[name] != *token));
        assert!(!format!("{second:?}").contains(after["desk"].trim()), "a token was printed");
        Bearers::end(held).unwrap();
        assert!(files(held).is_empty());
    }

    #[test]
    fn another_definition_leaves_the_tokens_of_those_who_stay() {
        let fixture = Fixture::new();
        let (held, mut layout) = (fixture.held(), fixture.layout().clone());
        let mut bearers = Bearers::begin(held, &layout).unwrap();
        let before = files(held);
        let desk = layout.users.iter().position(|user| user.name == "desk").unwrap();
        let desk = layout.users.remove(desk);
        bearers.follow(held, &layout).unwrap();
        let after = files(held);
        assert!(!after.contains_key("desk") && after["archive"] == before["archive"]);
        layout.users.push(desk);
        bearers.follow(held, &layout).unwrap();
        assert_ne!(files(held)["desk"], before["desk"], "who comes back comes with another token");
    }
}
