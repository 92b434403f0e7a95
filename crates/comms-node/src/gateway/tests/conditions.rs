//! Ranges, conditions and forms of what is read, as RFC 9110 and the trustless gateway have them.

use comms::ErrorKind;
use comms_content::{Cid, DAG_CBOR, Node, RAW};
use serde_json::json;

use super::access::carry;
use super::{Bench, MIB, bytes, inline, type_name};

#[tokio::test]
async fn who_has_it_is_told_so_in_every_form() {
    let bench = Bench::new().await;
    let cid = bench.client("desk").put(bytes(MIB + 1)).await.unwrap().cid;
    for (form, tag) in [
        ("", format!("\"{cid}\"")),
        ("?format=raw", format!("\"{cid}.raw\"")),
        ("?format=car", format!("W/\"{cid}.car\"")),
        ("?format=car&entity-bytes=0:9", format!("W/\"{cid}.car.0-10\"")),
    ] {
        let ask = async |method: &str, headers: &str| {
            bench.ask("desk", &format!("{method} /content/{cid}{form}"), headers).await
        };
        assert_eq!(ask("GET", "").await.header("etag"), Some(tag.as_str()));
        for method in ["GET", "HEAD"] {
            for known in [tag.as_str(), "*", &format!("\"other\", {tag}")] {
                let none = ask(method, &format!("If-None-Match: {known}\r\n")).await;
                assert_eq!((none.status, none.body.len()), (304, 0), "{method} {form} {known}");
                assert_eq!(none.header("etag"), Some(tag.as_str()));
                assert_eq!(none.header("content-length"), None, "it would be that of what is not sent");
                for name in ["cache-control", "vary"] {
                    assert!(none.header(name).is_some(), "{name}");
                }
            }
            let other = ask(method, "If-None-Match: \"other\"\r\n").await;
            assert_eq!(other.status, 200);
            let failed = ask(method, "If-Match: \"other\"\r\n").await;
            assert_eq!(failed.status, 412);
            let strong = ask(method, &format!("If-Match: {tag}\r\n")).await;
            assert_eq!(strong.status, if tag.starts_with('W') { 412 } else { 200 });
            let both = ask(method, &format!("If-Match: \"other\"\r\nIf-None-Match: {tag}\r\n")).await;
            assert_eq!(both.status, 412, "If-Match comes first");
        }
        let part = ask("GET", &format!("If-None-Match: {tag}\r\nRange: bytes=9999999-\r\n")).await;
        assert_eq!(part.status, 304, "conditions come before ranges");
    }
    bench.close().await;
}

#[tokio::test]
async fn conditions_tell_nothing_of_what_may_not_be_read() {
    let bench = Bench::new().await;
    let cid = bench.client("desk").put(bytes(10)).await.unwrap().cid;
    for headers in ["If-None-Match: *\r\n", "If-Match: \"x\"\r\n", "If-Match: *\r\n", "Range: bytes=100-\r\n"]
    {
        assert_eq!(bench.get("stranger", &cid, headers).await.status, 404, "{headers}");
    }
    bench.close().await;
}

#[tokio::test]
async fn a_head_says_what_a_get_would() {
    let bench = Bench::new().await;
    let cid = bench.client("desk").put(bytes(MIB + 1)).await.unwrap().cid;
    for form in ["", "?format=raw", "?format=car"] {
        let path = format!("/content/{cid}{form}");
        let get = bench.ask("desk", &format!("GET {path}"), "").await;
        let head = bench.ask("desk", &format!("HEAD {path}"), "Range: bytes=0-0\r\n").await;
        let lines = |head: &str| -> Vec<String> {
            let kept = head.lines().filter(|line| !line.starts_with("date") && !line.starts_with("transfer"));
            kept.map(str::to_owned).collect()
        };
        assert_eq!((lines(&head.head), head.body.len()), (lines(&get.head), 0), "{form}");
    }
    bench.close().await;
}

#[tokio::test]
async fn ranges_are_those_of_the_standard() {
    let bench = Bench::new().await;
    let data = bytes(1000);
    let cid = bench.client("desk").put(data.clone()).await.unwrap().cid;
    let nothing = bench.client("desk").put(bytes(0)).await.unwrap().cid;
    for form in ["", "?format=raw"] {
        let ask = async |cid: &Cid, headers: &str| {
            bench.ask("desk", &format!("GET /content/{cid}{form}"), headers).await
        };
        for (range, part) in [
            ("bytes=0-0", 0..1),
            ("Bytes=998-", 998..1000),
            ("bytes=-1", 999..1000),
            ("bytes=-99999999999999999999999", 0..1000),
            ("bytes=10-99999999999999999999999", 10..1000),
            ("bytes=0-9,10-19", 0..20),
            ("bytes=5-9, 0-6", 0..10),
            ("bytes=5000-, 0-6", 0..7),
        ] {
            let answer = ask(&cid, &format!("Range: {range}\r\n")).await;
            let about = format!("bytes {}-{}/1000", part.start, part.end - 1);
            assert_eq!(
                (answer.status, answer.header("content-range")),
                (206, Some(about.as_str())),
                "{range}"
            );
            assert!(answer.body == data[part], "{range}");
        }
        for range in ["bytes=1000-", "bytes=-0", "bytes=99999999999999999999999-", "bytes=1000-,-0"] {
            let answer = ask(&cid, &format!("Range: {range}\r\n")).await;
            assert_eq!(
                (answer.status, answer.header("content-range")),
                (416, Some("bytes */1000")),
                "{range}"
            );
        }
        for headers in [
            "Range: bytes=0-1,5-6\r\n",
            "Range: bytes=1-0\r\n",
            "Range: items=0-1\r\n",
            "Range: bytes=0-0\r\nRange: bytes=0-0\r\n",
            "Range: bytes=0-0\r\nIf-Range: \"other\"\r\n",
            "Range: bytes=0-0\r\nIf-Range: Sat, 29 Oct 1994 19:43:31 GMT\r\n",
            "Range: bytes=5000-\r\nIf-Range: \"other\"\r\n",
        ] {
            let answer = ask(&cid, headers).await;
            assert_eq!((answer.status, answer.body.len()), (200, 1000), "{headers}");
        }
        let tag = ask(&cid, "").await.header("etag").unwrap().to_owned();
        assert_eq!(ask(&cid, &format!("Range: bytes=0-0\r\nIf-Range: {tag}\r\n")).await.status, 206);
        assert_eq!(ask(&cid, &format!("Range: bytes=0-0\r\nIf-Range: W/{tag}\r\n")).await.status, 200);
        for (range, status) in [("bytes=0-", 416), ("bytes=-0", 416), ("bytes=-5", 200), ("bytes=0-,", 416)] {
            let answer = ask(&nothing, &format!("Range: {range}\r\n")).await;
            assert_eq!((answer.status, answer.body.is_empty()), (status, status == 200), "{range}");
        }
    }
    let car = bench.get("desk", &cid, "Accept: application/vnd.ipld.car\r\nRange: bytes=0-0\r\n").await;
    assert_eq!((car.status, car.header("accept-ranges")), (200, Some("none")));
    bench.close().await;
}

/// An identity CID is its own content: whoever knows it has it, over every route.
#[tokio::test]
async fn content_in_its_cid_is_everybodys_in_every_form() {
    let bench = Bench::new().await;
    let list = Node::from_value(&json!([1, 2])).unwrap().as_bytes().clone();
    for (cid, data) in [
        (inline(RAW, b""), &b""[..]),
        (inline(RAW, b"hello\n"), b"hello\n"),
        (inline(DAG_CBOR, &list), &list[..]),
    ] {
        for name in ["stranger", "auditor"] {
            for form in ["", "?format=raw"] {
                let got = bench.ask(name, &format!("GET /content/{cid}{form}"), "").await;
                assert_eq!((got.status, got.body.as_slice()), (200, data), "{cid} {form}");
                let head = bench.ask(name, &format!("HEAD /content/{cid}{form}"), "").await;
                let length = data.len().to_string();
                assert_eq!((head.status, head.header("content-length")), (200, Some(length.as_str())));
            }
            let car = bench.ask(name, &format!("GET /content/{cid}?format=car"), "").await;
            let header = comms_content::car::write_header(&cid);
            // One chunk, and no block.
            let body = [format!("{:X}\r\n", header.len()).as_bytes(), &header, b"\r\n0\r\n\r\n"].concat();
            assert!(car.status == 200 && [header, body].contains(&car.body), "{car:?}");
            assert!(bench.may_link(name, &cid).await);
        }
        let share = format!("POST /content/{cid}?for=documents.AddDocument");
        assert_eq!(bench.ask("desk", &share, "Content-Length: 0\r\n").await.status, 204);
        carry(&bench, "desk", cid, "documents.AddDocument").await;
        let block = Node::from_value(&json!({ "file": { "/": cid.to_string() } })).unwrap();
        let block = block.as_bytes().clone();
        let put = bench.client("desk").put_block(&type_name("documents.AddDocument"), block).await.unwrap();
        assert!(bench.may_link("archive", &put.cid).await);
    }
    bench.close().await;
}

#[tokio::test]
async fn a_link_in_a_cid_opens_nothing_that_is_not_ones_own() {
    let bench = Bench::new().await;
    let secret = bench.client("archive").put(bytes(10)).await.unwrap().cid;
    let link = Node::from_value(&json!({ "/": secret.to_string() })).unwrap().as_bytes().clone();
    let around = inline(DAG_CBOR, &link);
    assert!(bench.may_read("desk", &around).await);
    assert!(!bench.may_link("desk", &around).await);
    assert!(bench.may_link("archive", &around).await);
    let share = format!("POST /content/{around}?for=documents.AddDocument");
    assert_eq!(bench.ask("desk", &share, "Content-Length: 0\r\n").await.status, 404);
    let error = bench.client("desk").get(&secret).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    bench.close().await;
}
