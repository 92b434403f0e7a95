//! CIDs against vectors, and against bytes of no meaning.

use proptest::prelude::*;

use crate::vectors::{section, unhex};
use crate::{Cid, DAG_PB, Error, RAW};

#[test]
fn every_base_names_the_same_cid() {
    for vector in section("multibase") {
        let strings = vector.as_object().unwrap();
        let Some(bytes) = strings.get("bytesHex") else { continue };
        let cid = Cid::from_bytes(&unhex(bytes.as_str().unwrap())).unwrap();
        for (form, text) in strings.iter().filter(|(form, _)| form.starts_with("base") || *form == "v0") {
            assert_eq!(text.as_str().unwrap().parse::<Cid>().unwrap(), cid, "{form}");
        }
        for (form, text) in strings.iter().filter(|(form, _)| form.starts_with("asV1")) {
            assert_eq!(text.as_str().unwrap().parse::<Cid>().unwrap(), cid.with_codec(DAG_PB), "{form}");
        }
    }
}

#[test]
fn version_0_keeps_its_text_and_meets_version_1_under_one_codec() {
    let text = "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD";
    let cid: Cid = text.parse().unwrap();
    assert_eq!(cid.to_string(), text);
    assert_eq!(cid.codec(), DAG_PB);
    assert_eq!(cid.to_bytes().len(), 34);
    assert_eq!(cid.to_bytes(), cid.multihash());
    assert_ne!(cid, cid.with_codec(DAG_PB));
    assert_eq!(cid.with_codec(RAW), Cid::from_sha256(RAW, cid.digest().try_into().unwrap()));
    // The same bytes with a multibase prefix would be a second text for it.
    assert!(format!("z{text}").parse::<Cid>().is_err());
}

#[test]
fn content_is_verified() {
    let cid = Cid::raw(b"hello world");
    assert_eq!(cid.to_string(), "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");
    cid.verify(b"hello world").unwrap();
    assert_eq!(cid.verify(b"hello worle"), Err(Error::Mismatch { cid }));
    let blake3: Cid = "bafkr4ihkr4ld3m4gqkjf4reryxsy2s5tkbxprqkow6fin2iiyvreuzzab4".parse().unwrap();
    assert_eq!(blake3.verify(b""), Err(Error::Hash { code: 0x1e }));
}

#[test]
fn identity_carries_its_content() {
    for vector in section("identity") {
        let content = vector["utf8"].as_str().unwrap();
        let cid = vector["cid"].as_str().unwrap().parse::<Cid>();
        if content.len() > 64 {
            // The CIDs of the library hold no longer digest; refusing them is allowed over 128 bytes and safe below.
            assert!(matches!(cid, Err(Error::Cid { .. })));
            continue;
        }
        let cid = cid.unwrap();
        assert_eq!(cid.inline(), Some(content.as_bytes()));
        cid.verify(content.as_bytes()).unwrap();
        assert!(cid.verify(b"else").is_err());
    }
    assert_eq!(Cid::raw(b"").inline(), None);
}

#[test]
fn only_the_cid_is_a_cid() {
    let cid = Cid::raw(b"");
    let mut longer = cid.to_bytes();
    longer.push(0);
    assert!(Cid::from_bytes(&longer).is_err());
    assert_eq!(Cid::read(&longer).unwrap(), (cid, 36));
    assert!(Cid::from_bytes(&cid.to_bytes()[..35]).is_err());
    // The codec in two bytes where one does.
    let mut padded = cid.to_bytes();
    padded.splice(1..2, [0xd5, 0x00]);
    assert!(Cid::from_bytes(&padded).is_err());
    let long = "b".repeat(2000);
    for text in ["", "b", "Qm", "bafk", "hello", &format!("/ipfs/{cid}"), &format!("{cid} "), &long] {
        assert!(matches!(text.parse::<Cid>(), Err(Error::Cid { .. })), "{text}");
    }
}

proptest! {
    #[test]
    fn any_cid_survives(codec: u64, digest: [u8; 32]) {
        let cid = Cid::from_sha256(codec, &digest);
        let bytes = cid.to_bytes();
        prop_assert_eq!(bytes.len(), cid.encoded_len());
        prop_assert_eq!(Cid::from_bytes(&bytes).unwrap(), cid);
        prop_assert_eq!(Cid::read(&bytes).unwrap(), (cid, bytes.len()));
        prop_assert_eq!(cid.to_string().parse::<Cid>().unwrap(), cid);
    }

    #[test]
    fn any_bytes_are_the_one_form_of_a_cid_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(cid) = Cid::from_bytes(&bytes) {
            prop_assert_eq!(cid.to_bytes(), bytes);
        }
    }

    #[test]
    fn likely_bytes_are_the_one_form_of_a_cid_or_an_error(
        head in prop::collection::vec(prop_oneof![0u8..3, Just(0x12), Just(0x20), Just(0x55), any::<u8>()], 0..6),
        digest in prop::collection::vec(any::<u8>(), 0..70),
    ) {
        let bytes = [head, digest].concat();
        if let Ok(cid) = Cid::from_bytes(&bytes) {
            prop_assert_eq!(cid.to_bytes(), bytes);
        }
    }

    #[test]
    fn any_text_is_a_cid_or_an_error(text: String) {
        let _ = text.parse::<Cid>();
    }
}
