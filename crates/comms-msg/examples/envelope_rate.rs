//! How many envelopes one core writes and reads in a second: a small command with owner, sender, correlation,
//! causation and three user pairs. Run it with `--release`.
#![allow(clippy::print_stdout, reason = "printing figures is what an example of rates is for")]

use std::collections::BTreeMap;
use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use comms_content::Node;
use comms_msg::wire::{self, Frame};
use comms_msg::{
    Body, Command, DomainContent, Hop, Metadata, Msg, MsgId, Owner, ServiceName, Timestamp, TypeName,
    UserPairs,
};

const ROUNDS: u32 = 2_000_000;
const MSGS_PER_FRAME: u32 = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let body = Node::encode(&BTreeMap::from([("seat", 12), ("move", 345_678)]))?;
    let msg = Msg {
        id: MsgId::v7(1_795_255_200_123, 1 << 100),
        metadata: Metadata {
            owner: Owner::new("ada")?,
            time: Timestamp::from_unix_ms(1_795_255_200_123),
            sender: Some(ServiceName::new("desk")?),
            correlation: MsgId::v7(1_795_255_200_120, 1 << 101),
            causation: Some(MsgId::v7(1_795_255_200_121, 1 << 102)),
            user: UserPairs::new([("table", "7"), ("region", "north"), ("client", "desk/1.4")])?,
        },
        content: Some(DomainContent::Command(Command {
            type_name: TypeName::new("game.Move")?,
            version: 1,
            body: Body::Inline(body),
        })),
        hop: Hop::default(),
    };
    let one = msg.to_wire()?;
    println!("one envelope has {} bytes", one.len());

    let mut out = Vec::with_capacity(one.len());
    rate("encode, one by one", ROUNDS, || {
        out.clear();
        black_box(&msg).write_cbor(&mut out);
        black_box(&out);
        1
    });
    rate("decode, one by one", ROUNDS, || {
        let read = Msg::from_cbor(black_box(&one));
        u32::from(black_box(read).is_ok())
    });
    let frame = frame_of(&msg);
    rate("encode, in frames", ROUNDS, || {
        black_box(frame_of(black_box(&msg)));
        MSGS_PER_FRAME
    });
    rate("decode, in frames", ROUNDS, || {
        wire::read(black_box(&frame))
            .map_or(0, |msgs| msgs.map(|msg| u32::from(black_box(msg).is_ok())).sum())
    });
    rate("cid", ROUNDS / 4, || {
        black_box(black_box(&msg).cid());
        1
    });
    Ok(())
}

fn frame_of(msg: &Msg) -> Bytes {
    let mut frame = Frame::new();
    for _ in 0..MSGS_PER_FRAME {
        frame.push(msg);
    }
    frame.finish()
}

/// Repeats `work`, which says how many envelopes it did, until there were `wanted`.
fn rate(what: &str, wanted: u32, mut work: impl FnMut() -> u32) {
    let start = Instant::now();
    let mut done = 0;
    while done < wanted {
        let now = work();
        assert!(now > 0, "{what}: refused");
        done += now;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{what:20} {:6.2} M/s  {:5.0} ns each",
        f64::from(done) / seconds / 1e6,
        seconds * 1e9 / f64::from(done)
    );
}
