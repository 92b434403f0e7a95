//! Whoever means harm, or has bad luck: refused with a reason, nothing half-kept, and the gateway goes on.

use comms::ErrorKind;
use comms_content::{Block, Cid, DAG_PB, RAW};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Bench, MIB, answer, bytes, inline};
use crate::gateway::limits::{BROUGHT_PACE, DEFINITION_BYTES_MAX, PUT_BYTES_MAX};

/// The bench still works for an honest service.
async fn close_well(bench: Bench) {
    let data = bytes(1000);
    let cid = bench.client("desk").put(data.clone()).await.unwrap().cid;
    assert_eq!(bench.client("desk").get(&cid).await.unwrap().into_bytes(1000).await.unwrap(), data);
    bench.close().await;
}

#[tokio::test]
async fn nobody_without_a_token() {
    let bench = Bench::new().await;
    let cid = bench.client("desk").put(bytes(10)).await.unwrap().cid;
    let port = bench.port;
    let token = super::token("desk");
    for authorization in [
        String::new(),
        "Authorization: Bearer\r\n".to_owned(),
        "Authorization: Bearer \r\n".to_owned(),
        "Authorization: Bearer wrong\r\n".to_owned(),
        format!("Authorization: Basic {token}\r\n"),
        format!("Authorization: {token}\r\n"),
        format!("Authorization: Bearer {}\r\n", &token[..63]),
        format!("Authorization: Bearer {token}\r\nAuthorization: Bearer {token}\r\n"),
    ] {
        for line in
            [format!("GET /content/{cid}"), "POST /content".to_owned(), "POST /domain/apply".to_owned()]
        {
            let request = format!(
                "{line} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n{authorization}\r\n"
            );
            let refused = bench.raw(request).await;
            assert_eq!(
                (refused.status, refused.refusal().as_str()),
                (401, "denied"),
                "{line} {authorization}"
            );
            assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
        }
    }
    close_well(bench).await;
}

#[tokio::test]
async fn nobody_from_a_web_page_or_under_another_name() {
    let bench = Bench::new().await;
    let port = bench.port;
    let token = super::token("desk");
    let cid = bench.client("desk").put(bytes(10)).await.unwrap().cid;
    for host in ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example"] {
        for line in [format!("GET /content/{cid}"), "GET /health".to_owned()] {
            let request = format!(
                "{line} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
            );
            let refused = bench.raw(request).await;
            assert_eq!((refused.status, refused.refusal().as_str()), (421, "denied"), "{host}");
        }
    }
    let none = format!("GET /health HTTP/1.1\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n");
    assert!((400..500).contains(&bench.raw(none).await.status));
    let two = format!(
        "GET /health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    );
    assert!((400..500).contains(&bench.raw(two).await.status));
    for origin in ["http://evil.example", "null", "", &format!("http://127.0.0.1:{port}")] {
        let refused = bench.get("desk", &cid, &format!("Origin: {origin}\r\n")).await;
        assert_eq!((refused.status, refused.refusal().as_str()), (403, "denied"), "{origin}");
    }
    close_well(bench).await;
}

#[tokio::test]
async fn what_is_no_cid_of_ours_is_refused() {
    let bench = Bench::new().await;
    for text in
        ["nonsense", "Qm", "bafkrei", "..", "%2e%2e", "%00", "%ff", "bafkqaaa%2f..", &"b".repeat(5000)]
    {
        for method in ["GET", "HEAD"] {
            let refused = bench.ask("auditor", &format!("{method} /content/{text}"), "").await;
            assert!([400, 404].contains(&refused.status), "{text}: {refused:?}");
        }
    }
    let good = Cid::raw(b"x");
    for text in [
        // SHA2-512, BLAKE3, and files in the place of a digest.
        "bafkrgqaohz2sgsv4nd2dpcugwp2lgkqzrorqdbc3btlokaig5b2divyazrtghkdmd2qslxc6sk7bpsmptihylsu5l5mv3mqbf56mgvyzixasg",
        "bafkr4iae4c5tt4yldi76xcpvg3etxykqkvec352im5fqbutolj2xo5yc5e",
        &inline(DAG_PB, b"").to_string(),
        &inline(DAG_PB, b"\x0a\x02\x08\x02").to_string(),
        &good.with_codec(0x0129).to_string(),
        &good.with_codec(0x72).to_string(),
    ] {
        for name in ["auditor", "desk"] {
            let refused = bench.ask(name, &format!("GET /content/{text}"), "").await;
            assert_eq!((refused.status, refused.refusal().as_str()), (404, "not_found"), "{text}");
        }
    }
    for line in ["GET /", "GET /contents", "GET /content/a/b", "GET /content/"] {
        let refused = bench.ask("desk", line, "").await;
        assert_eq!((refused.status, refused.refusal().as_str()), (404, "unknown"), "{line}");
    }
    for line in ["DELETE /content", "PUT /content", "GET /domain/plan", "POST /health"] {
        let refused = bench.ask("desk", line, "Content-Length: 0\r\n").await;
        assert_eq!((refused.status, refused.refusal().as_str()), (405, "unknown"), "{line}");
    }
    let cid = bench.client("desk").put(bytes(10)).await.unwrap().cid;
    for query in ["format=tar", "unknown=1", "format=car&entity-bytes=x:y", "format=car&format=raw"] {
        let refused = bench.ask("desk", &format!("GET /content/{cid}?{query}"), "").await;
        assert_eq!((refused.status, refused.refusal().as_str()), (400, "malformed"), "{query}");
    }
    close_well(bench).await;
}

#[tokio::test]
async fn an_upload_that_ends_early_leaves_nothing_to_read() {
    let bench = Bench::new().await;
    let data = bytes(3 * MIB);
    let whole = bench.client("desk").put(data.clone()).await.unwrap().cid;
    let before = bench.blocks.has(&whole).await.unwrap();
    assert!(before);
    let data = bytes(3 * MIB).iter().map(|byte| byte.wrapping_add(1)).collect::<Vec<_>>();
    let prefix = &data[..2 * MIB + 100];

    for framing in
        [format!("Content-Length: {}\r\n\r\n", data.len()), "Transfer-Encoding: chunked\r\n\r\n".to_owned()]
    {
        let mut stream = bench.connect().await;
        stream.write_all((bench.head("desk", "POST /content") + &framing).as_bytes()).await.unwrap();
        if framing.starts_with("Transfer") {
            stream.write_all(format!("{:x}\r\n", data.len()).as_bytes()).await.unwrap();
        }
        stream.write_all(prefix).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!rest.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&rest));
    }
    let mut importer = comms_content::Importer::new();
    let mut blocks = Vec::new();
    importer.push(prefix.to_vec().into(), &mut blocks);
    let cut = importer.finish(&mut blocks).cid;
    assert!(!bench.may_read("desk", &cut).await);
    assert!(!bench.blocks.has(&cut).await.unwrap());
    // Its first leaf may be there, and is nobody's.
    assert!(!bench.may_read("desk", &Cid::raw(&data[..MIB])).await);
    close_well(bench).await;
}

#[tokio::test]
async fn a_length_that_lies_puts_what_it_says_and_no_more() {
    let bench = Bench::new().await;
    let request =
        bench.head("desk", "POST /content") + "Content-Length: 4\r\n\r\nfourGET /health HTTP/1.1\r\n\r\n";
    let put = bench.raw(request).await;
    assert_eq!(put.status, 201);
    assert_eq!(put.json()["cid"], Cid::raw(b"four").to_string());
    for lie in [
        "Content-Length: 4\r\nContent-Length: 5\r\n\r\nfours",
        "Content-Length: -1\r\n\r\n",
        "Content-Length: four\r\n\r\nfour",
        "Content-Length: 99999999999999999999999999\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nnonsense\r\n",
    ] {
        let refused = bench.raw(bench.head("desk", "POST /content") + lie).await;
        assert_eq!(refused.status, 400, "{lie}");
    }
    close_well(bench).await;
}

#[tokio::test]
async fn too_much_is_refused_before_it_is_taken() {
    let bench = Bench::new().await;
    for (name, line, length) in [
        ("desk", "POST /content", PUT_BYTES_MAX + 1),
        ("desk", "POST /content?codec=raw", 2 * MIB as u64 + 1),
        ("desk", "POST /content?codec=dag-cbor", 2 * MIB as u64 + 1),
        ("operator", "POST /domain/apply", DEFINITION_BYTES_MAX + 1),
    ] {
        let refused = bench.ask(name, line, &format!("Content-Length: {length}\r\n")).await;
        assert_eq!((refused.status, refused.refusal().as_str()), (413, "too_large"), "{line}");
    }
    // Without a length it is found out on the way.
    let mut stream = bench.connect().await;
    let head = bench.head("desk", "POST /content?codec=raw") + "Transfer-Encoding: chunked\r\n\r\n200001\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&bytes(2 * MIB + 1)).await.unwrap();
    stream.write_all(b"\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(answer(stream).await.status, 413);
    close_well(bench).await;
}

#[tokio::test]
async fn who_is_refused_in_the_middle_of_an_upload_hears_why() {
    let bench = Bench::new().await;
    let data = bytes(24 * MIB);
    let post = async |name: &str, line: &str| {
        let head = format!("{}Content-Length: {}\r\n\r\n", bench.head(name, line), data.len());
        bench.raw([head.as_bytes(), &data].concat()).await
    };
    for (name, line, status) in [
        ("nobody", "POST /content", 401),
        ("stranger", "POST /content?for=documents.AddDocument", 403),
        ("desk", "POST /content?codec=raw", 413),
        ("desk", "POST /nowhere", 404),
    ] {
        assert_eq!(post(name, line).await.status, status, "{name} {line}");
    }
    close_well(bench).await;
}

#[tokio::test]
async fn a_block_must_be_what_its_codec_says() {
    let bench = Bench::new().await;
    let post = async |codec: &str, body: &[u8]| {
        let head = bench.head("desk", &format!("POST /content?codec={codec}"));
        let head = format!("{head}Content-Length: {}\r\n\r\n", body.len());
        bench.raw([head.as_bytes(), body].concat()).await
    };
    for body in
        [&b""[..], b"\xa1\x61/\x01", b"\x18\x01", b"\x01\x01", b"\xbf\xff", b"\xc0\x00", &[0x81; 4000]]
    {
        let refused = post("dag-cbor", body).await;
        assert_eq!((refused.status, refused.refusal().as_str()), (422, "invalid"), "{body:?}");
    }
    for codec in ["dag-pb", "112", "", "RAW"] {
        let refused = post(codec, b"").await;
        assert_eq!((refused.status, refused.refusal().as_str()), (400, "malformed"), "{codec}");
    }
    assert_eq!(post("raw", &bytes(2 * MIB)).await.status, 201);
    close_well(bench).await;
}

#[tokio::test(start_paused = true)]
async fn a_stalled_upload_gives_its_place_back() {
    let bench = Bench::new().await;
    let head = bench.head("desk", "POST /content") + "Content-Length: 10\r\n\r\nfive.";
    let mut streams = Vec::new();
    for _ in 0..5 {
        let mut stream = bench.connect().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        streams.push(stream);
    }
    for stream in streams {
        let stalled = answer(stream).await;
        assert_eq!((stalled.status, stalled.refusal().as_str()), (408, "unavailable"));
    }
    assert!(!bench.may_read("desk", &Cid::raw(b"five.")).await);
    tokio::time::resume();
    close_well(bench).await;
}

#[tokio::test(start_paused = true)]
async fn a_byte_now_and_then_is_no_upload() {
    let bench = Bench::new().await;
    let mut stream = bench.connect().await;
    let head = bench.head("desk", "POST /content") + "Content-Length: 1000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reads, mut writes) = stream.into_split();
    let begun = tokio::time::Instant::now();
    let mut drips = tokio::time::interval(BROUGHT_PACE.within / 3 * 2);
    let drip = async {
        loop {
            drips.tick().await;
            let _ = writes.write_all(b".").await;
        }
    };
    let mut said = Vec::new();
    tokio::select! {
        _ = reads.read_to_end(&mut said) => {}
        () = drip => {}
    }
    assert!(said.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&said));
    assert!(begun.elapsed() < BROUGHT_PACE.within * 2);
    tokio::time::resume();
    close_well(bench).await;
}

#[tokio::test]
async fn one_service_cannot_take_all_uploads() {
    let bench = Bench::new().await;
    let head =
        |name: &str| bench.head(name, "POST /content") + "Content-Length: 10\r\nExpect: 100-continue\r\n\r\n";
    let mut streams = Vec::new();
    loop {
        let mut stream = bench.connect().await;
        stream.write_all(head("desk").as_bytes()).await.unwrap();
        // The gateway asks for the body when the upload has its place.
        let mut go_on = [0; 25];
        stream.read_exact(&mut go_on).await.unwrap();
        if &go_on != b"HTTP/1.1 100 Continue\r\n\r\n" {
            break;
        }
        streams.push(stream);
        assert!(
            (streams.len() as u64) < comms_domain::Bound::Uploads.default_value(),
            "desk has every place"
        );
    }
    let busy = bench.raw(&head("desk")).await;
    assert_eq!((busy.status, busy.refusal().as_str()), (503, "busy"));
    assert!(busy.json()["error"]["message"].as_str().unwrap().starts_with("desk has "), "{busy:?}");
    assert_eq!(bench.client("desk").put(bytes(10)).await.unwrap_err().kind(), ErrorKind::Busy);
    for other in ["archive", "stranger", "operator"] {
        bench.client(other).put(bytes(10)).await.unwrap();
    }
    for stream in &mut streams {
        stream.write_all(b"ten bytes.").await.unwrap();
    }
    for stream in streams {
        assert_eq!(answer(stream).await.status, 201);
    }
    close_well(bench).await;
}

#[tokio::test]
async fn a_panic_ends_one_request() {
    let bench = Bench::new().await;
    let body = r#"{"file": "panic", "toml": ""}"#;
    let head =
        format!("{}Content-Length: {}\r\n\r\n", bench.head("operator", "POST /domain/apply"), body.len());
    let failed = bench.raw(head + body).await;
    assert_eq!((failed.status, failed.refusal().as_str()), (500, "internal"));
    close_well(bench).await;
}

#[tokio::test]
async fn an_envelope_is_not_kept_for_what_is_in_it() {
    let bench = Bench::new().await;
    let put = async |headers: &str| {
        let head = bench.head("desk", "POST /content");
        bench.raw(format!("{head}{headers}Content-Length: 4\r\n\r\nfour")).await
    };
    for headers in [
        "Content-Encoding: gzip\r\n",
        "Content-Encoding: GZIP\r\n",
        "Content-Encoding: identity, br\r\n",
        "Content-Encoding: identity\r\nContent-Encoding: zstd\r\n",
        "Content-Type: multipart/form-data; boundary=x\r\n",
        "Content-Type: Multipart/Mixed\r\n",
    ] {
        let refused = put(headers).await;
        assert_eq!((refused.status, refused.refusal().as_str()), (415, "malformed"), "{headers}");
        assert_eq!(refused.header("accept-encoding"), Some("identity"));
    }
    for (headers, status) in [
        ("Content-Range: bytes 0-3/9\r\n", 400),
        ("Expect: 200-ok\r\n", 417),
        ("Expect: 100-continue, x\r\n", 417),
    ] {
        assert_eq!(put(headers).await.status, status, "{headers}");
    }
    assert!(!bench.may_read("desk", &Cid::raw(b"four")).await);
    let chunked = async |coding: &str| {
        let head = bench.head("desk", "POST /content");
        bench.raw(format!("{head}Transfer-Encoding: {coding}\r\n\r\n4\r\nfour\r\n0\r\n\r\n")).await.status
    };
    for (coding, status) in
        [("gzip, chunked", 415), ("chunked, gzip", 400), ("gzip", 400), ("chunked, chunked", 400)]
    {
        assert_eq!(chunked(coding).await, status, "{coding}");
    }
    assert!(!bench.may_read("desk", &Cid::raw(b"four")).await);
    for headers in [
        "",
        "Content-Encoding: identity\r\n",
        "Content-Encoding: Identity,\r\n",
        "Content-Type: text/html\r\n",
    ] {
        let kept = put(headers).await;
        assert_eq!(
            (kept.status, &kept.json()["cid"]),
            (201, &json!(Cid::raw(b"four").to_string())),
            "{headers}"
        );
    }
    assert_eq!(chunked("Chunked").await, 201);
    close_well(bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_on_the_disk_is_not_served() {
    let bench = Bench::new().await;
    let client = bench.client("desk");
    let data = bytes(6 * MIB);
    let cid = client.put(data.clone()).await.unwrap().cid;
    let leaf = Cid::raw(&data[3 * MIB..4 * MIB]);
    let path = bench.file(&leaf);
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[MIB / 2] ^= 1;

    for damage in [Some(bad), None] {
        match &damage {
            Some(bad) => std::fs::write(&path, bad).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let plain = bench.get("desk", &cid, "").await;
        assert_eq!(plain.header("content-length"), Some((6 * MIB).to_string().as_str()));
        assert!(plain.body.len() <= 3 * MIB && data.starts_with(&plain.body), "cut before the damage");
        let mut reader = client.get(&cid).await.unwrap();
        let mut read = Vec::new();
        reader.read_to_end(&mut read).await.unwrap_err();
        assert!(read.len() <= 3 * MIB && data.starts_with(&read));
        let before =
            client.get_range(&cid, 0..3 * MIB as u64).await.unwrap().into_bytes(6 * MIB).await.unwrap();
        assert!(before == data.slice(..3 * MIB), "what is sound is served");
        // Putting the same again heals it.
        client.put(data.clone()).await.unwrap();
        assert!(client.get(&cid).await.unwrap().into_bytes(6 * MIB).await.unwrap() == data);
    }

    std::fs::write(bench.file(&cid), b"nonsense").unwrap();
    let root = bench.get("desk", &cid, "").await;
    assert_eq!((root.status, root.refusal().as_str()), (500, "internal"));
    std::fs::remove_file(bench.file(&cid)).unwrap();
    let root = bench.get("desk", &cid, "").await;
    assert_eq!((root.status, root.refusal().as_str()), (404, "not_found"));
    close_well(bench).await;
}

#[tokio::test]
async fn a_file_that_is_none_is_not_read_as_one() {
    let bench = Bench::new().await;
    // The node of a directory: sound DAG-PB, and not a file.
    let node = Block::new(RAW, vec![0x0a, 0x02, 0x08, 0x01].into()).unwrap();
    bench.blocks.stage_block(node.clone()).await.unwrap().keep().await.unwrap();
    let cid = node.cid().with_codec(comms_content::DAG_PB);
    for headers in ["", "Accept: application/vnd.ipld.car\r\n"] {
        let refused = bench.get("auditor", &cid, headers).await;
        assert_eq!((refused.status, refused.refusal().as_str()), (422, "invalid"));
    }
    close_well(bench).await;
}
