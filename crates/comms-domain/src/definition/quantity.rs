//! Sizes and times as people write them: `64 KiB`, `2 s`.

use std::time::Duration;

/// Bytes of `64 KiB`, `64 kb`, `1 MiB`, `512 B`.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "b" => 1,
        "kb" => 1000,
        "kib" => 1 << 10,
        "mb" => 1_000_000,
        "mib" => 1 << 20,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// The time of `500 ms`, `2 s`, `5 min`, `1 h`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let factor: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(factor).map(Duration::from_millis)
}

/// A whole number and its unit, with or without a space between.
fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let number = text[..end].parse().ok()?;
    Some((number, text[end..].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(bytes("64 KiB"), Some(65536));
        assert_eq!(bytes("64KB"), Some(64000));
        assert_eq!(bytes(" 1 mib "), Some(1 << 20));
        assert_eq!(bytes("7 B"), Some(7));
        for wrong in
            ["64", "64 K", "KiB", "", "1.5 KiB", "-1 B", "99999999999999999999 B", "18446744073709551615 MiB"]
        {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(duration("2 s"), Some(Duration::from_secs(2)));
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("1 h"), Some(Duration::from_secs(3600)));
        for wrong in ["2", "2 sec", "s", "", "1 m", "18446744073709551615 h"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }
}
