//! The gateway of a real node: who is not from here, what is not what it says, and who takes his time.

use std::time::Duration;

use comms_content::Cid;
use comms_tests::TestNode;
use comms_tests::wait::SOON;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Siege;

/// Connections of a stranger that never send a whole head: as many as the gateway takes of services.
const HALF_OPEN: usize = 512;

/// What came back.
#[derive(Debug)]
struct Said {
    status: u16,
    kind: String,
    text: String,
}

/// The gateway of a node, spoken to without a library.
struct Gateway {
    address: String,
    token: String,
}

impl Gateway {
    fn of(node: &TestNode, service: &str) -> Gateway {
        Gateway {
            address: node.http_url().trim_start_matches("http://").to_owned(),
            token: node.token(service),
        }
    }

    /// The head of a request that is right so far, without its last line.
    fn head(&self, line: &str) -> String {
        let (host, token) = (&self.address, &self.token);
        format!("{line} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n")
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.expect("the gateway listens")
    }

    async fn say(&self, request: impl AsRef<[u8]>) -> Said {
        let mut stream = self.connect().await;
        // The gateway may have refused and closed before it has read everything.
        let _ = stream.write_all(request.as_ref()).await;
        answer(stream).await
    }
}

async fn answer(mut stream: TcpStream) -> Said {
    let mut bytes = Vec::new();
    let closed = tokio::time::timeout(SOON, stream.read_to_end(&mut bytes)).await;
    assert!(closed.is_ok(), "the gateway neither answers nor closes");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let refusal: Value = serde_json::from_str(body).unwrap_or_default();
    Said { status, kind: refusal["error"]["kind"].as_str().unwrap_or_default().to_owned(), text }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_from_here_or_has_no_token_is_refused() {
    let siege = Siege::begin().await;
    let gateway = Gateway::of(&siege.node, "desk");
    let cid = siege.node.connect("desk").await.put(&b"a secret"[..]).await.unwrap().cid;
    let (address, token) = (&gateway.address, &gateway.token);
    let port = address.rsplit(':').next().unwrap();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let operator = siege.node.token("operator");
    for line in [format!("GET /content/{cid}"), "POST /content".to_owned(), "POST /domain/apply".to_owned()] {
        let ask = async |headers: &str| {
            gateway.say(format!("{line} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n")).await
        };
        for host in [
            "evil.example",
            "127.0.0.1",
            "127.0.0.1:1",
            &format!("127.0.0.1.evil.example:{port}"),
            &format!("0.0.0.0:{port}"),
        ] {
            let said = ask(&format!("Host: {host}\r\n{bearer}")).await;
            assert_eq!((said.status, said.kind.as_str()), (421, "denied"), "{host}: {}", said.text);
        }
        for origin in ["http://evil.example", "null", &format!("http://{address}")] {
            let said = ask(&format!("Host: {address}\r\nOrigin: {origin}\r\n{bearer}")).await;
            assert_eq!((said.status, said.kind.as_str()), (403, "denied"), "{origin}: {}", said.text);
        }
        for wrong in [
            String::new(),
            "Authorization: Bearer\r\n".to_owned(),
            format!("Authorization: Bearer {}\r\n", "0".repeat(64)),
            format!("Authorization: Bearer {}\r\n", &token[1..]),
            format!("Authorization: Basic {token}\r\n"),
            format!("{bearer}Authorization: Bearer {operator}\r\n"),
            format!("Authorization: Bearer {}\r\n", siege.node.seed("desk")),
        ] {
            let said = ask(&format!("Host: {address}\r\n{wrong}")).await;
            assert_eq!((said.status, said.kind.as_str()), (401, "denied"), "{wrong}: {}", said.text);
            assert!(!said.text.contains(token.as_str()), "a token is told");
        }
    }
    // With a token, but not with this one.
    for (line, status, kind) in [
        (format!("GET /content/{cid}"), 404, "not_found"),
        ("POST /domain/apply".to_owned(), 403, "denied"),
        ("POST /domain/plan".to_owned(), 403, "denied"),
        ("POST /content?for=documents.AddDocument".to_owned(), 403, "denied"),
        ("POST /content?for=documents.AddDocumnt".to_owned(), 403, "denied"),
        ("POST /content?for=%00".to_owned(), 400, "malformed"),
    ] {
        let said = gateway_of_evil(&siege, &line).await;
        assert_eq!((said.status, said.kind.as_str()), (status, kind), "{line}: {}", said.text);
    }
    siege.end().await;
}

async fn gateway_of_evil(siege: &Siege, line: &str) -> Said {
    let evil = Gateway::of(&siege.node, "evil");
    evil.say(evil.head(line) + "Content-Length: 0\r\n\r\n").await
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_lead_nowhere_else_and_heads_have_an_end() {
    let siege = Siege::begin().await;
    let gateway = Gateway::of(&siege.node, "auditor");
    for path in [
        "/content/..",
        "/content/../node.json",
        "/content/%2e%2e%2fnode.json",
        "/content/..%2f..%2f.comms%2fcredentials%2foperator.nk",
        "/content/%00",
        "/content/%ff%fe",
        "/../../../etc/passwd",
        "//etc/passwd",
        "/content/.comms/node.json",
        "/credentials/operator.token",
    ] {
        let said = gateway.say(gateway.head(&format!("GET {path}")) + "\r\n").await;
        assert!([400, 404].contains(&said.status), "{path}: {}", said.text);
        assert!(!said.text.contains("root:") && !said.text.contains("\"nats\""), "{path}: {}", said.text);
    }
    for head in [
        format!("X-Long: {}\r\n", "x".repeat(1 << 20)),
        (0..10_000).map(|n| format!("X-{n}: 1\r\n")).collect(),
        format!("Cookie: {}\r\n", "a=b; ".repeat(100_000)),
    ] {
        let said = gateway.say(gateway.head("GET /health") + &head + "\r\n").await;
        assert_eq!(said.status, 431, "{:.200}", said.text);
    }
    let long = gateway.say(gateway.head(&format!("GET /content/{}", "b".repeat(1 << 20))) + "\r\n").await;
    assert!([400, 414, 431].contains(&long.status), "{:.200}", long.text);
    for request in [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "G\u{e4}T / HTTP/1.1\r\n\r\n",
        "CONNECT {\"nkey\":1}\r\nPING\r\n\r\n",
    ] {
        let said = gateway.say(request).await;
        assert!((400..=505).contains(&said.status), "{request:?}: {}", said.text);
    }
    siege.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_what_its_head_says_is_not_kept() {
    let siege = Siege::begin().await;
    let gateway = Gateway::of(&siege.node, "desk");
    let post = gateway.head("POST /content");
    for (framing, status) in [
        ("Content-Length: -1\r\n\r\n", 400),
        ("Content-Length: 99999999999999999999999999\r\n\r\n", 400),
        ("Content-Length: 4\r\nContent-Length: 5\r\n\r\nfours", 400),
        ("Content-Length: 4\r\nTransfer-Encoding: gzip\r\n\r\nfour", 400),
        ("Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        ("Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", 400),
        ("Content-Length: 18446744073709551615\r\n\r\n", 431),
        ("Content-Length: 1099511627776\r\n\r\n", 413),
    ] {
        let said = gateway.say(post.clone() + framing).await;
        assert_eq!(said.status, status, "{framing}: {}", said.text);
    }
    for query in ["codec=raw", "codec=dag-cbor"] {
        let said = gateway
            .say(gateway.head(&format!("POST /content?{query}")) + "Content-Length: 2097153\r\n\r\n")
            .await;
        assert_eq!((said.status, said.kind.as_str()), (413, "too_large"), "{query}: {}", said.text);
    }
    // A block that is not DAG-CBOR, or nests too deep to be read by anybody.
    for block in [
        &b"\xff"[..],
        b"\xa2\x61a\x01\x61a\x02",
        b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff",
        &b"\x81".repeat(10_000),
    ] {
        let head = gateway.head("POST /content?codec=dag-cbor")
            + &format!("Content-Length: {}\r\n\r\n", block.len());
        let said = gateway.say([head.as_bytes(), block].concat()).await;
        assert_eq!((said.status, said.kind.as_str()), (422, "invalid"), "{}", said.text);
    }
    // A length that promises more than comes: nothing is kept of it.
    let half = b"half of it";
    let mut stream = gateway.connect().await;
    stream.write_all((post.clone() + "Content-Length: 20\r\n\r\n").as_bytes()).await.unwrap();
    stream.write_all(half).await.unwrap();
    stream.shutdown().await.unwrap();
    let said = answer(stream).await;
    assert!(!(200..300).contains(&said.status), "{}", said.text);
    let kept = gateway.say(gateway.head(&format!("GET /content/{}", Cid::raw(half))) + "\r\n").await;
    assert_eq!((kept.status, kept.kind.as_str()), (404, "not_found"), "{}", kept.text);
    // A definition that is none.
    let operator = Gateway::of(&siege.node, "operator");
    for body in [
        "{",
        "[]",
        "{\"file\":\"domain.toml\",\"toml\":5}",
        "{\"file\":\"f\",\"toml\":\"\",\"more\":1}",
        &"[".repeat(10_000),
    ] {
        let head = operator.head("POST /domain/apply") + &format!("Content-Length: {}\r\n\r\n", body.len());
        let said = operator.say(head + body).await;
        assert_eq!((said.status, said.kind.as_str()), (400, "malformed"), "{}", said.text);
    }
    siege.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_his_time_keeps_nobody_waiting() {
    let siege = Siege::begin().await;
    let gateway = Gateway::of(&siege.node, "evil");
    let head = gateway.head("POST /content") + "Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n";
    let mut slow = Vec::new();
    loop {
        let mut stream = gateway.connect().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        // The gateway asks for the body when the upload has its place.
        let mut go_on = [0; 25];
        stream.read_exact(&mut go_on).await.unwrap();
        if &go_on != b"HTTP/1.1 100 Continue\r\n\r\n" {
            assert!(go_on.starts_with(b"HTTP/1.1 503 "), "{}", String::from_utf8_lossy(&go_on));
            break;
        }
        stream.write_all(b"a few bytes").await.unwrap();
        slow.push(stream);
    }
    // And many who do not even finish their first line, or ask and never read.
    for _ in 0..100 {
        let mut stream = gateway.connect().await;
        stream.write_all(b"GET /health HT").await.unwrap();
        slow.push(stream);
    }
    let desk = siege.node.connect("desk").await;
    let large = desk.put(vec![1; 8 << 20]).await.unwrap().cid;
    let own = Gateway::of(&siege.node, "desk");
    for _ in 0..20 {
        let mut stream = own.connect().await;
        stream.write_all((own.head(&format!("GET /content/{large}")) + "\r\n").as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let within = Duration::from_secs(5);
    let got = tokio::time::timeout(within, async {
        desk.get(&large).await.unwrap().into_bytes(16 << 20).await.unwrap()
    });
    assert_eq!(got.await.expect("an honest reader is served").len(), 8 << 20);
    siege.end().await;
    drop(slow);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_connections_of_a_stranger_keep_nobody_out() {
    let siege = Siege::begin().await;
    let gateway = Gateway::of(&siege.node, "desk");
    let mut crowd = Vec::new();
    for at in 0..HALF_OPEN {
        let mut stream = gateway.connect().await;
        if at % 2 == 0 {
            let _ = stream.write_all(b"POST /content HTTP/1.1\r\nHost: ").await;
        }
        crowd.push(stream);
    }
    let file = siege.node.path().join("a.bin");
    std::fs::write(&file, vec![7; 3 << 20]).unwrap();
    for arguments in [&["put", "a.bin", "--as", "desk"][..], &["domain", "plan"]] {
        let begun = std::time::Instant::now();
        let (code, out, err) = siege.node.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {out}{err}");
        assert!(begun.elapsed() < SOON, "{arguments:?} took {:?}", begun.elapsed());
    }
    siege.end().await;
    drop(crowd);
}
