//! [`Content`]: a field of a message that may be large.

use std::fmt;
use std::path::Path;

use bytes::Bytes;
use comms_content::Cid;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::error::{Error, ErrorKind, Result};

/// The largest file that [`Content::from_path`] reads into memory. Larger ones are put first and then linked.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Bytes of a message, in it or beside it.
///
/// A field of this type is written as bytes. If they are over the domain's threshold they leave the message
/// when it is sent, and whoever receives it finds a link in their place. So receivers must expect both.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// The bytes themselves.
    Bytes(Bytes),
    /// Where they are.
    Link(Cid),
}

impl Content {
    /// The bytes of a file of at most 64 MiB. Put larger ones, and use the CID.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`]; [`ErrorKind::Invalid`] if the file cannot be read.
    pub async fn from_path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let fail = |error: std::io::Error| {
            Error::new(ErrorKind::Invalid, format!("{} cannot be read", path.display())).because(error)
        };
        let mut bytes = Vec::new();
        let file = tokio::fs::File::open(path).await.map_err(fail)?;
        let mut limited = tokio::io::AsyncReadExt::take(file, FILE_BYTES_MAX + 1);
        tokio::io::AsyncReadExt::read_to_end(&mut limited, &mut bytes).await.map_err(fail)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            let message =
                format!("{} has more than {FILE_BYTES_MAX} bytes: put it, and send the link", path.display());
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        Ok(Self::Bytes(bytes.into()))
    }

    /// The link, if the bytes are not here.
    pub fn link(&self) -> Option<&Cid> {
        match self {
            Self::Bytes(_) => None,
            Self::Link(cid) => Some(cid),
        }
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Cid> for Content {
    fn from(cid: Cid) -> Self {
        Self::Link(cid)
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::Link(cid) => cid.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Either)
    }
}

/// Bytes, or what IPLD formats give for a link: a newtype around the bytes of its CID.
struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes, or a link to them")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Content, E> {
        Ok(Content::Bytes(Bytes::copy_from_slice(bytes)))
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Content, E> {
        Ok(Content::Bytes(bytes.into()))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Content, D::Error> {
        inner.deserialize_bytes(LinkBytes).map(Content::Link)
    }
}

/// The bytes of a CID.
struct LinkBytes;

impl Visitor<'_> for LinkBytes {
    type Value = Cid;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes of a CID")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Cid, E> {
        Cid::from_bytes(bytes).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use comms_content::Node;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct AddDocument {
        title: String,
        file: Content,
        cover: Option<Content>,
    }

    #[test]
    fn fields_are_bytes_or_links_on_the_wire_and_back() {
        let cid = Cid::raw(b"cover");
        let message = AddDocument { title: "a".into(), file: vec![1, 2, 3].into(), cover: Some(cid.into()) };
        let node = Node::encode(&message).unwrap();
        assert_eq!(node.links(), vec![cid]);
        assert_eq!(node.decode::<AddDocument>().unwrap(), message);
        assert!(node.to_json().contains(r#""file":{"/":{"bytes":"AQID"}}"#), "{}", node.to_json());
        let none = AddDocument { cover: None, ..message };
        assert_eq!(Node::encode(&none).unwrap().decode::<AddDocument>().unwrap(), none);
    }

    #[tokio::test]
    async fn a_file_is_read_up_to_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"bytes").unwrap();
        assert_eq!(Content::from_path(&path).await.unwrap(), Content::from(b"bytes".to_vec()));
        let large = std::fs::File::create(&path).unwrap();
        large.set_len(FILE_BYTES_MAX + 1).unwrap();
        assert_eq!(Content::from_path(&path).await.unwrap_err().kind(), ErrorKind::TooLarge);
        let absent = folder.path().join("absent");
        assert_eq!(Content::from_path(absent).await.unwrap_err().kind(), ErrorKind::Invalid);
    }
}
