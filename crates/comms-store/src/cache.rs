//! A map that forgets what has not been used for long, in constant time and bounded memory.
//!
//! Two generations: what is used moves to the young one; when that is full it becomes the old one, and what was
//! old is forgotten. So at least the last `max / 2` keys used are there, and never more than `max`.

use std::collections::HashMap;
use std::hash::Hash;

/// At most `max` entries.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    max: usize,
}

impl<K: Eq + Hash, V> Cache<K, V> {
    pub(crate) fn new(max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), max }
    }

    /// The value, which counts as used.
    pub(crate) fn get(&mut self, key: &K) -> Option<&mut V> {
        if let Some((key, value)) = self.old.remove_entry(key) {
            self.insert(key, value);
        }
        self.young.get_mut(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.max / 2 && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_used_and_never_more_than_its_bound() {
        let mut cache = Cache::new(10);
        cache.insert("used", 0);
        for key in 0..1000 {
            let name: &'static str = format!("key {key}").leak();
            cache.insert(name, key);
            assert!(cache.young.len() + cache.old.len() <= 10);
            assert_eq!(cache.get(&"used"), Some(&mut 0), "after {key}");
            assert_eq!(cache.get(&name), Some(&mut key.clone()));
        }
        assert_eq!(cache.get(&"key 1"), None);
    }
}
