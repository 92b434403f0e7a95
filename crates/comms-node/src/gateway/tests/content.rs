//! What is put comes back, in whole and in part, in constant memory and with the right heads.

use bytes::Bytes;
use comms::ErrorKind;
use comms_content::{Block, Cid, Importer, Node, RAW};
use serde_json::json;
use tokio::io::AsyncReadExt;

use super::{Bench, MIB, bytes};

/// The CID that the bytes have, computed without the node.
fn cid_of(data: &Bytes) -> Cid {
    let mut importer = Importer::new();
    let mut blocks = Vec::new();
    importer.push(data.clone(), &mut blocks);
    importer.finish(&mut blocks).cid
}

#[tokio::test(flavor = "multi_thread")]
async fn every_size_comes_back_as_it_was_put() {
    let bench = Bench::new().await;
    let client = bench.client("desk");
    let threshold = 64 * 1024;
    for length in
        [0, 1, threshold - 1, threshold, threshold + 1, MIB - 1, MIB, MIB + 1, 3 * MIB + 5, 20 * MIB]
    {
        let data = bytes(length);
        let put = client.put(data.clone()).await.unwrap();
        assert_eq!((put.cid, put.size, put.stored), (cid_of(&data), length as u64, true), "{length}");
        let got = client.get(&put.cid).await.unwrap().into_bytes(length).await.unwrap();
        assert!(got == data, "{length}");
        let mut read = Vec::new();
        client.get(&put.cid).await.unwrap().read_to_end(&mut read).await.unwrap();
        assert!(read == data, "{length}");
        let plain = bench.get("desk", &put.cid, "").await;
        assert_eq!(plain.status, 200);
        assert!(plain.body == data, "{length}");
    }
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_and_a_stream_are_put_like_bytes() {
    let bench = Bench::new().await;
    let client = bench.client("desk");
    let data = bytes(2 * MIB + 77);
    let reader = std::io::Cursor::new(data.clone());
    let put = client.put(comms::Source::reader(reader)).await.unwrap();
    assert_eq!(put.cid, cid_of(&data));
    let pieces: Vec<_> = data.chunks(4099).map(|piece| Ok(data.slice_ref(piece))).collect();
    let put = client.put(comms::Source::stream(futures::stream::iter(pieces))).await.unwrap();
    assert_eq!(put.cid, cid_of(&data));
    let broken = [Ok(data.slice(..MIB)), Err(std::io::ErrorKind::PermissionDenied.into())];
    let error = client.put(comms::Source::stream(futures::stream::iter(broken))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    bench.close().await;
}

#[tokio::test]
async fn putting_again_is_harmless_and_tells_nothing_about_others() {
    let bench = Bench::new().await;
    let data = bytes(70_000);
    assert!(bench.client("desk").put(data.clone()).await.unwrap().stored);
    assert!(!bench.client("desk").put(data.clone()).await.unwrap().stored);
    assert!(bench.client("archive").put(data).await.unwrap().stored);
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_are_verified_like_the_whole() {
    let bench = Bench::new().await;
    let client = bench.client("desk");
    let length = 3 * MIB + 5;
    let data = bytes(length);
    let cid = client.put(data.clone()).await.unwrap().cid;
    let small = client.put(data.slice(..10)).await.unwrap().cid;
    let mib = MIB as u64;
    for range in [
        0..1,
        0..mib,
        mib - 1..mib + 1,
        mib..2 * mib,
        5..3 * mib + 1,
        3 * mib + 4..3 * mib + 5,
        0..u64::MAX,
        3 * mib..9 * mib,
        7..7,
    ] {
        let got = client.get_range(&cid, range.clone()).await.unwrap().into_bytes(length).await.unwrap();
        let end = (range.end as usize).min(length);
        assert!(got == data.slice((range.start as usize).min(end)..end), "{range:?}");
    }
    let outside = client.get_range(&cid, 9 * mib..10 * mib).await.unwrap().into_bytes(length).await.unwrap();
    assert!(outside.is_empty());
    let got = client.get_range(&small, 3..5).await.unwrap().into_bytes(length).await.unwrap();
    assert_eq!(got, data.slice(3..5));
    bench.close().await;
}

#[tokio::test]
async fn a_reader_into_memory_is_bounded() {
    let bench = Bench::new().await;
    let client = bench.client("desk");
    let cid = client.put(bytes(2 * MIB)).await.unwrap().cid;
    let error = client.get(&cid).await.unwrap().into_bytes(2 * MIB - 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    bench.close().await;
}

#[tokio::test]
async fn heads_say_what_the_body_is() {
    let bench = Bench::new().await;
    let data = bytes(MIB + 1);
    let cid = bench.client("desk").put(data.clone()).await.unwrap().cid;

    let whole = bench.get("desk", &cid, "").await;
    assert_eq!(whole.header("content-length"), Some("1048577"));
    assert_eq!(whole.header("etag"), Some(format!("\"{cid}\"").as_str()));
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    assert_eq!(whole.header("cache-control"), Some("private, no-store"));
    assert_eq!(whole.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(whole.header("content-type"), Some("application/octet-stream"));

    let head = bench.ask("desk", &format!("HEAD /content/{cid}"), "").await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("1048577"), 0));

    let car = bench.get("desk", &cid, "Accept: application/vnd.ipld.car\r\n").await;
    assert_eq!(car.header("content-type"), Some("application/vnd.ipld.car; version=1; order=dfs; dups=y"));
    assert_eq!(car.header("content-length"), None);

    let raw = bench.ask("desk", &format!("GET /content/{cid}?format=raw"), "").await;
    assert_eq!(raw.header("content-type"), Some("application/vnd.ipld.raw"));
    Block::verified(cid, raw.body.into()).unwrap();
    bench.close().await;
}

#[tokio::test]
async fn one_range_is_answered_with_206() {
    let bench = Bench::new().await;
    let data = bytes(MIB + 1);
    let cid = bench.client("desk").put(data.clone()).await.unwrap().cid;
    for (range, expected) in [
        ("bytes=0-0", 0..1),
        ("bytes=1048575-", MIB - 1..MIB + 1),
        ("bytes=-1", MIB..MIB + 1),
        ("bytes=5-99999999", 5..MIB + 1),
    ] {
        let part = bench.get("desk", &cid, &format!("Range: {range}\r\n")).await;
        assert_eq!(part.status, 206, "{range}");
        let about = format!("bytes {}-{}/{}", expected.start, expected.end - 1, MIB + 1);
        assert_eq!(part.header("content-range"), Some(about.as_str()));
        assert_eq!(part.header("content-length"), Some(expected.len().to_string().as_str()));
        assert!(part.body == data.slice(expected), "{range}");
    }
    for range in ["bytes=1048577-", "bytes=-0"] {
        let none = bench.get("desk", &cid, &format!("Range: {range}\r\n")).await;
        assert_eq!((none.status, none.header("content-range")), (416, Some("bytes */1048577")), "{range}");
        assert_eq!(none.refusal(), "invalid");
    }
    for range in ["bytes=0-1,5-6", "bytes=9-3", "lines=1-2", "bytes=a-b"] {
        let whole = bench.get("desk", &cid, &format!("Range: {range}\r\n")).await;
        assert_eq!((whole.status, whole.body.len()), (200, MIB + 1), "{range}");
    }
    let other = bench.get("desk", &cid, "Range: bytes=0-0\r\nIf-Range: \"another\"\r\n").await;
    assert_eq!(other.status, 200);
    let same = bench.get("desk", &cid, &format!("Range: bytes=0-0\r\nIf-Range: \"{cid}\"\r\n")).await;
    assert_eq!(same.status, 206);
    bench.close().await;
}

#[tokio::test]
async fn a_block_is_kept_as_it_is() {
    let bench = Bench::new().await;
    let client = bench.client("desk");
    let node = Node::from_value(&json!({ "title": "a", "pages": 100 })).unwrap();
    let put =
        client.put_block(&super::type_name("documents.AddDocument"), node.as_bytes().clone()).await.unwrap();
    assert_eq!(put.cid, Cid::dag_cbor(node.as_bytes()));
    assert_eq!(client.get_block(&put.cid).await.unwrap(), *node.as_bytes());
    assert_eq!(client.get(&put.cid).await.unwrap().into_bytes(MIB).await.unwrap(), *node.as_bytes());
    assert_eq!(
        client.get_range(&put.cid, 1..3).await.unwrap().into_bytes(9).await.unwrap(),
        node.as_bytes().slice(1..3)
    );
    let plain = bench.get("desk", &put.cid, "").await;
    assert_eq!(plain.header("content-type"), Some("application/vnd.ipld.dag-cbor"));
    let car = bench.get("desk", &put.cid, "Accept: application/vnd.ipld.car\r\n").await;
    assert_eq!(car.status, 200);
    let mut reader = comms_content::car::Reader::new();
    reader.push(car.body.into());
    let events: Vec<_> = std::iter::from_fn(|| reader.event()).collect::<Result<_, _>>().unwrap();
    assert_eq!(events.len(), 2);
    reader.finish().unwrap();
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_chunks_come_back_as_often_as_they_were_put() {
    let bench = Bench::new().await;
    let client = bench.client("desk");
    let data = Bytes::from(vec![7; 5 * MIB]);
    let put = client.put(data.clone()).await.unwrap();
    assert!(client.get(&put.cid).await.unwrap().into_bytes(5 * MIB).await.unwrap() == data);
    assert!(bench.blocks.has(&Cid::of(RAW, &data[..MIB])).await.unwrap());
    bench.close().await;
}
