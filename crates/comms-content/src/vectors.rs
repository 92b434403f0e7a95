//! The golden vectors, and the bytes that they speak of. For tests only.

use bytes::Bytes;
use serde_json::Value;

/// All vectors, made by another implementation.
pub(crate) fn all() -> Value {
    serde_json::from_str(include_str!("../../../tests/vectors/unixfs.json")).unwrap()
}

/// The vectors of one section.
pub(crate) fn section(name: &str) -> Vec<Value> {
    all()[name].as_array().unwrap().clone()
}

/// The bytes that a recipe describes.
pub(crate) fn cook(recipe: &Value) -> Bytes {
    let (kind, value) = recipe.as_object().unwrap().iter().next().unwrap();
    match kind.as_str() {
        "utf8" => value.as_str().unwrap().to_owned().into(),
        "hex" => unhex(value.as_str().unwrap()),
        "zero" => vec![0; usize::try_from(value.as_u64().unwrap()).unwrap()].into(),
        "mod251" => mod251(usize::try_from(value.as_u64().unwrap()).unwrap()),
        other => panic!("unknown recipe {other}"),
    }
}

/// Bytes that count up and begin again after 251.
pub(crate) fn mod251(length: usize) -> Bytes {
    let period: Vec<u8> = (0..251).collect();
    let mut bytes = period.repeat(length.div_ceil(251));
    bytes.truncate(length);
    bytes.into()
}

/// Bytes from hexadecimal text.
pub(crate) fn unhex(text: &str) -> Bytes {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
