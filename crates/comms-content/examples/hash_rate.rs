//! How fast this machine names files, and encodes and reads small messages. One core; best of several runs.
//!
//! `cargo run --release -p comms-content --example hash_rate`

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use comms_content::cbor::{Reader, Writer};
use comms_content::{Error, Exporter, Importer, Node, Step};

const MIB: usize = 1024 * 1024;
const FILE_BYTES: usize = 256 * MIB;
const MESSAGES: usize = 1_000_000;
const RUNS: usize = 5;

fn main() -> Result<(), Error> {
    let data = Bytes::from_iter((0..FILE_BYTES).map(|index| ((index * 31) >> 3) as u8));
    for piece in [64 * 1024, MIB, 16 * MIB] {
        let seconds = best(|| {
            let mut importer = Importer::new();
            let mut blocks = Vec::new();
            for start in (0..data.len()).step_by(piece) {
                importer.push(data.slice(start..start + piece), &mut blocks);
                blocks.clear();
            }
            black_box(importer.finish(&mut blocks));
        });
        println!("import, {:>5} KiB at a time: {:.2} GB/s", piece / 1024, FILE_BYTES as f64 / seconds / 1e9);
    }

    let mut blocks = Vec::new();
    let mut importer = Importer::new();
    importer.push(data, &mut blocks);
    let root = importer.finish(&mut blocks).cid;
    let blocks: std::collections::HashMap<_, _> = blocks.into_iter().map(|b| (*b.cid(), b)).collect();
    let seconds = best(|| {
        let mut exporter = Exporter::new(root, None);
        loop {
            match exporter.step().expect("an imported file") {
                Step::Want(cid) => {
                    let block =
                        comms_content::Block::verified(cid, blocks[&cid].data().clone()).expect("its block");
                    exporter.give(block).expect("it was wanted");
                }
                Step::Bytes(bytes) => drop(black_box(bytes)),
                Step::Done => break,
            }
        }
    });
    println!("export, verified:           {:.2} GB/s", FILE_BYTES as f64 / seconds / 1e9);

    let body = Node::from_json(br#"{"title":"A title","pages":12}"#)?;
    let mut message = Vec::new();
    write(&mut message, &body);
    let seconds = best(|| {
        let mut out = Vec::with_capacity(message.len());
        for _ in 0..MESSAGES {
            out.clear();
            write(&mut out, black_box(&body));
            black_box(&out);
        }
    });
    println!("write, {} bytes:           {:.1} M messages/s", message.len(), MESSAGES as f64 / seconds / 1e6);
    let message = Bytes::from(message);
    let seconds = best(|| {
        for _ in 0..MESSAGES {
            black_box(read(black_box(&message)).expect("as written"));
        }
    });
    println!("read, with its body:        {:.1} M messages/s", MESSAGES as f64 / seconds / 1e6);
    let seconds = best(|| {
        for _ in 0..MESSAGES {
            black_box(Node::from_cbor(black_box(message.clone())).expect("as written"));
        }
    });
    println!("check as a node:            {:.1} M messages/s", MESSAGES as f64 / seconds / 1e6);
    let json = Node::from_cbor(message)?.to_json();
    let seconds = best(|| {
        for _ in 0..MESSAGES {
            black_box(Node::from_json(black_box(json.as_bytes())).expect("as written"));
        }
    });
    println!("read as JSON, {} bytes:    {:.1} M messages/s", json.len(), MESSAGES as f64 / seconds / 1e6);
    Ok(())
}

/// A message as services send them.
fn write(out: &mut Vec<u8>, body: &Node) {
    let mut writer = Writer::new(out);
    writer.map(3);
    writer.text("id");
    writer.text("0193f0a4-6f7c-7d2e-9d6b-0f1e2d3c4b5a");
    writer.text("content");
    writer.map(3);
    writer.text("v");
    writer.unsigned(1);
    writer.text("body");
    writer.item(body.as_bytes());
    writer.text("command");
    writer.text("documents.AddDocument");
    writer.text("metadata");
    writer.map(5);
    writer.text("v");
    writer.unsigned(1);
    writer.text("time");
    writer.text("2026-11-21T10:00:00.123Z");
    writer.text("owner");
    writer.text("ada");
    writer.text("sender");
    writer.text("archive");
    writer.text("correlation");
    writer.text("0193f0a4-6f7c-7d2e-9d6b-0f1e2d3c4b5a");
}

/// Everything in the message: how many bytes of text, and the body.
fn read(message: &Bytes) -> Result<(usize, Option<Node>), Error> {
    let mut reader = Reader::new(message);
    let (mut text, mut body) = (0, None);
    let mut top = reader.map()?;
    while let Some(key) = reader.key_bytes(&mut top)? {
        if key == b"id" {
            text += reader.text()?.len();
            continue;
        }
        let mut part = reader.map()?;
        while let Some(key) = reader.key_bytes(&mut part)? {
            match key {
                b"v" => drop(reader.unsigned()?),
                b"body" => body = Some(Node::read(&mut reader, message)?),
                _ => text += reader.text()?.len(),
            }
        }
    }
    reader.finish()?;
    Ok((text, body))
}

/// Seconds of the fastest run.
fn best(mut work: impl FnMut()) -> f64 {
    let run = |_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    (0..RUNS).map(run).fold(f64::INFINITY, f64::min)
}
