//! `[limits]`: how much of what all services share.

use super::reader::{Entry, Reader};
use crate::bound::{Bound, Bounds};

/// Keys of `[limits]`, in the order of [`Bound::ALL`].
pub(crate) const LIMITS_KEYS: [&str; 10] = [
    "requests",
    "request_bytes",
    "commands",
    "outcomes",
    "watches",
    "uploads",
    "downloads",
    "connections",
    "nats_connections",
    "subscriptions",
];

/// Reads the section. Keys that are not there have their defaults.
pub(super) fn limits(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Bounds {
    let mut bounds = Bounds::default();
    let Some(table) = reader.table(entry) else { return bounds };
    let keys = reader.keys(table, "[limits]", &LIMITS_KEYS);
    for bound in Bound::ALL {
        let Some(entry) = keys.get(bound.key()) else { continue };
        let said = if bound.is_bytes() {
            reader.size(entry).map(|(bytes, at)| (i128::from(bytes), at))
        } else {
            reader.integer(entry)
        };
        let Some((number, at)) = said else { continue };
        let range = bound.range();
        match u64::try_from(number) {
            Ok(value) if range.contains(&value) => bounds.set(bound, value),
            _ => {
                let text = |value: u64| said_as(bound, value);
                reader.problem(
                    at,
                    format!("{} = {number} is out of bounds", bound.path()),
                    &format!(
                        "between {} and {}; {} without this line",
                        text(*range.start()),
                        text(*range.end()),
                        text(bound.default_value())
                    ),
                );
            }
        }
    }
    bounds
}

fn said_as(bound: Bound, value: u64) -> String {
    if bound.is_bytes() { format!("\"{}\"", bound.amount(value)) } else { bound.amount(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_has_its_key() {
        assert_eq!(LIMITS_KEYS, Bound::ALL.map(Bound::key));
    }
}
