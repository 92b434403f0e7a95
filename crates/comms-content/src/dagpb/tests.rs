//! DAG-PB against the bytes of other encoders, and against what is not canonical.

use proptest::prelude::*;

use crate::Cid;
use crate::dagpb::{PbLink, PbNode, read, write_data, write_link};
use crate::limits::FILE_LINKS_MAX;
use crate::unixfs::Problem;
use crate::vectors::{section, unhex};

/// A link's message with these fields of it.
fn link(fields: &[&[u8]]) -> Vec<u8> {
    let body = fields.concat();
    [&[0x12, u8::try_from(body.len()).unwrap()], body.as_slice()].concat()
}

fn hash() -> Vec<u8> {
    let cid = Cid::raw(b"").to_bytes();
    [&[0x0a, 36], cid.as_slice()].concat()
}

const NAME: &[u8] = &[0x12, 0x00];
const TSIZE: &[u8] = &[0x18, 0x01];
const DATA: &[u8] = &[0x0a, 0x02, 0x08, 0x02];

#[test]
fn nodes_of_other_encoders_are_read() {
    for vector in section("rootBlocks") {
        let bytes = unhex(vector["hex"].as_str().unwrap());
        let cid: Cid = vector["cid"].as_str().unwrap().parse().unwrap();
        cid.verify(&bytes).unwrap();
        read(&bytes).unwrap();
    }
    assert_eq!(read(b"").unwrap(), PbNode::default());
}

#[test]
fn fields_may_be_missing_and_data_may_come_first() {
    let linked = |links: usize, data: bool| (links, data);
    let shape = |bytes: &[u8]| read(bytes).map(|node| linked(node.links.len(), node.data.is_some())).unwrap();
    let (full, bare) = (link(&[&hash(), NAME, TSIZE]), link(&[&hash()]));
    assert_eq!(shape(&[&full[..], &bare].concat()), linked(2, false));
    assert_eq!(shape(&[&full[..], DATA].concat()), linked(1, true));
    assert_eq!(shape(&[DATA, &full, &full].concat()), linked(2, true));
    assert_eq!(shape(&link(&[&hash(), TSIZE])), linked(1, false));
}

#[test]
fn what_is_not_canonical_is_refused() {
    let good = link(&[&hash(), NAME, TSIZE]);
    let cases: Vec<Vec<u8>> = vec![
        [&good[..], DATA, &good].concat(),
        [DATA, DATA].concat(),
        link(&[NAME, TSIZE]),
        link(&[NAME, &hash()]),
        link(&[&hash(), TSIZE, NAME]),
        link(&[&hash(), NAME, NAME]),
        link(&[&hash(), &hash()]),
        link(&[&hash(), TSIZE, TSIZE]),
        link(&[&[0x0a, 0x01, 0x00]]),
        link(&[&hash(), &[0x20, 0x01]]),
        vec![0x1a, 0x00],
        vec![0x08, 0x00],
        vec![0x0a],
        vec![0x0a, 0x05, 0x00],
        vec![0x0a, 0x80, 0x00],
        vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        vec![0x8a, 0x00, 0x00],
        good[..good.len() - 1].to_vec(),
    ];
    for bytes in cases {
        assert!(matches!(read(&bytes), Err(Problem::DagPb(_))), "{bytes:02x?}");
    }
}

#[test]
fn the_width_of_a_node_is_bounded() {
    let links = |count| link(&[&[0x0a, 4, 1, 0x55, 0, 0]]).repeat(count);
    assert_eq!(read(&links(FILE_LINKS_MAX)).unwrap().links.len(), FILE_LINKS_MAX);
    assert_eq!(read(&links(FILE_LINKS_MAX + 1)), Err(Problem::Width));
}

proptest! {
    #[test]
    fn what_is_written_is_read(digests: Vec<[u8; 32]>, sizes: [u64; 4], data: Vec<u8>, codec: u64) {
        let cids: Vec<_> = digests.iter().map(|digest| Cid::from_sha256(codec, digest)).collect();
        let mut bytes = Vec::new();
        for (cid, size) in cids.iter().zip(sizes.iter().cycle()) {
            write_link(&mut bytes, cid, *size);
        }
        write_data(&mut bytes, &data);
        let links = cids.into_iter().map(|cid| PbLink { cid, name: &[] }).collect();
        prop_assert_eq!(read(&bytes), Ok(PbNode { links, data: Some(&data) }));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(prop_oneof![Just(0x12), Just(0x0a), 0u8..40, any::<u8>()], 0..90)) {
        let _ = read(&bytes);
    }
}
