//! Bytes that are never printed.

use std::fmt;

use rand::Rng as _;

/// 32 random bytes that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// From the system's random source.
    pub fn random() -> Secret {
        let mut bytes = [0; 32];
        rand::rng().fill_bytes(&mut bytes);
        Secret(bytes)
    }

    /// 64 hexadecimal digits; anything else is none.
    pub fn from_hex(text: &str) -> Option<Secret> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
        }
        Some(Secret(bytes))
    }

    /// As 64 hexadecimal digits.
    pub fn to_hex(&self) -> SecretText {
        use fmt::Write as _;
        let mut text = String::with_capacity(64);
        for byte in self.0 {
            write!(text, "{byte:02x}").expect("text takes text");
        }
        SecretText::new(text)
    }

    /// The bytes, for whoever computes with them.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Text that `Debug` does not show: a seed, a token.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    pub(crate) fn new(text: String) -> SecretText {
        SecretText(text)
    }

    /// The text, for whoever must say it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_bytes_are_the_same_secret() {
        let secret = Secret::random();
        assert_eq!(Secret::from_hex(secret.to_hex().as_str()), Some(secret));
        for wrong in ["", "ab", &"g".repeat(64), &"0".repeat(65), &"ä".repeat(32)] {
            assert_eq!(Secret::from_hex(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        let secret = Secret::random();
        let shown = format!("{secret:?} {:?}", secret.to_hex());
        assert!(!shown.contains(&secret.to_hex().as_str()[..8]), "{shown}");
    }
}
