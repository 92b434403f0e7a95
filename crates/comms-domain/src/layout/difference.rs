//! What changes on a server between two layouts, name by name.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::Layout;

/// Names of what one layout has and another has not, or has differently.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Streams to create.
    pub streams_added: Vec<String>,
    /// Streams to update.
    pub streams_changed: Vec<String>,
    /// Streams the new layout no longer names. The node never deletes one by itself.
    pub streams_removed: Vec<String>,
    /// Consumers to create.
    pub consumers_added: Vec<String>,
    /// Consumers to update; they keep their place in the stream.
    pub consumers_changed: Vec<String>,
    /// Consumers to delete, which forgets their place in the stream.
    pub consumers_removed: Vec<String>,
    /// Users to add, as `ACCOUNT/name`.
    pub users_added: Vec<String>,
    /// Users whose rights change.
    pub users_changed: Vec<String>,
    /// Users to remove; the server disconnects them.
    pub users_removed: Vec<String>,
}

impl Difference {
    /// What applying `new` over `old` does.
    pub fn between(old: &Layout, new: &Layout) -> Self {
        let (streams_added, streams_changed, streams_removed) =
            compare(&old.streams, &new.streams, |stream| stream.name.clone());
        let (consumers_added, consumers_changed, consumers_removed) =
            compare(&old.consumers, &new.consumers, |consumer| consumer.name.clone());
        let (users_added, users_changed, users_removed) =
            compare(&old.users, &new.users, |user| format!("{}/{}", user.account.as_str(), user.name));
        Self {
            streams_added,
            streams_changed,
            streams_removed,
            consumers_added,
            consumers_changed,
            consumers_removed,
            users_added,
            users_changed,
            users_removed,
        }
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            ("+ stream  ", &self.streams_added),
            ("~ stream  ", &self.streams_changed),
            ("- stream  ", &self.streams_removed),
            ("+ consumer", &self.consumers_added),
            ("~ consumer", &self.consumers_changed),
            ("- consumer", &self.consumers_removed),
            ("+ user    ", &self.users_added),
            ("~ user    ", &self.users_changed),
            ("- user    ", &self.users_removed),
        ];
        for (sign, names) in rows {
            for name in names {
                writeln!(f, "{sign}  {name}")?;
            }
        }
        Ok(())
    }
}

/// Names only in `new`, in both but unequal, only in `old`.
fn compare<T: PartialEq>(
    old: &[T],
    new: &[T],
    name: impl Fn(&T) -> String,
) -> (Vec<String>, Vec<String>, Vec<String>) {
    let before: BTreeMap<String, &T> = old.iter().map(|item| (name(item), item)).collect();
    let after: BTreeMap<String, &T> = new.iter().map(|item| (name(item), item)).collect();
    let added = after.keys().filter(|key| !before.contains_key(*key)).cloned().collect();
    let removed = before.keys().filter(|key| !after.contains_key(*key)).cloned().collect();
    let changed = after
        .iter()
        .filter(|(key, item)| before.get(*key).is_some_and(|before| before != *item))
        .map(|(key, _)| key.clone())
        .collect();
    (added, changed, removed)
}
