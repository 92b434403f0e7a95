//! Quantities as `domain.toml` writes them, for people.

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
