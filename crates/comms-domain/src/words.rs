//! Words as `domain.toml` writes them: quantities for people, and names.

use std::time::Duration;

/// `64 KiB`, `1 MiB`, `1000 B`: the largest unit without a fraction.
pub(crate) fn bytes(bytes: u64) -> String {
    for (unit, size) in [("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= size && bytes.is_multiple_of(size) {
            return format!("{} {unit}", bytes / size);
        }
    }
    format!("{bytes} B")
}

/// `2 s`, `500 ms`, `5 min`: the largest unit without a fraction.
pub(crate) fn duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, size) in [("h", 3_600_000), ("min", 60_000), ("s", 1000)] {
        if millis >= size && millis.is_multiple_of(size) {
            return format!("{} {unit}", millis / size);
        }
    }
    format!("{millis} ms")
}

/// `[a-z][a-z0-9_-]{0,62}`: names of nodes and of kinds of entity.
pub(crate) fn is_lower_name(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-')
}
