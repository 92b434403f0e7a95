//! Whether what was fetched is the document: every byte, the length, and the SHA-256 of both.

use std::path::Path;

use ring::digest::{Context, SHA256};
use tokio::io::{AsyncRead, AsyncReadExt, BufReader};

/// Bytes compared at a time.
const PIECE_BYTES: usize = 256 << 10;

/// What both are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Same {
    /// How many bytes.
    pub(super) bytes: u64,
    /// Their SHA-256 in hex.
    pub(super) sha256: String,
}

/// Reads both to their ends side by side.
///
/// # Errors
/// In words: where they differ, or what could not be read.
pub(super) async fn compare(fetched: impl AsyncRead + Unpin, file: &Path) -> Result<Same, String> {
    let original =
        tokio::fs::File::open(file).await.map_err(|error| format!("{}: {error}", file.display()))?;
    let mut original = BufReader::with_capacity(PIECE_BYTES, original);
    let mut fetched = BufReader::with_capacity(PIECE_BYTES, fetched);
    let (mut hash, mut bytes) = (Context::new(&SHA256), 0);
    let mut expected = vec![0; PIECE_BYTES];
    let mut found = vec![0; PIECE_BYTES];
    loop {
        let count =
            original.read(&mut expected).await.map_err(|error| format!("{}: {error}", file.display()))?;
        if count == 0 {
            break;
        }
        fetched.read_exact(&mut found[..count]).await.map_err(|error| {
            format!("what was fetched ends between byte {bytes} and {}: {error}", bytes + count as u64)
        })?;
        if let Some(at) = (0..count).find(|&at| expected[at] != found[at]) {
            return Err(format!("byte {} differs", bytes + at as u64));
        }
        hash.update(&found[..count]);
        bytes += count as u64;
    }
    let rest = fetched.read(&mut found).await.map_err(|error| error.to_string())?;
    if rest > 0 {
        return Err(format!("what was fetched goes on after byte {bytes}"));
    }
    Ok(Same { bytes, sha256: hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn against(original: &[u8], fetched: &[u8]) -> Result<Same, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), original).unwrap();
        compare(fetched, file.path()).await
    }

    #[tokio::test]
    async fn only_the_same_is_the_same() {
        let original: Vec<u8> =
            (0..3 * PIECE_BYTES + 17).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
        let same = against(&original, &original).await.unwrap();
        assert_eq!(same.bytes, original.len() as u64);
        let empty = against(b"", b"").await.unwrap();
        assert_eq!(empty.sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");

        let mut other = original.clone();
        *other.last_mut().unwrap() ^= 1;
        assert_eq!(against(&original, &other).await, Err(format!("byte {} differs", original.len() - 1)));
        let short = against(&original, &original[..original.len() - 1]).await.unwrap_err();
        assert!(short.starts_with("what was fetched ends"), "{short}");
        let long = against(&original[..original.len() - 1], &original).await.unwrap_err();
        assert_eq!(long, format!("what was fetched goes on after byte {}", original.len() - 1));
    }
}
