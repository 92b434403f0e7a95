//! `comms bench`: what a domain costs beside bare NATS and bare files, measured in one process on one machine.
//!
//! A node with a nats-server of its own runs in a folder for temporary files, its services with the rights that their
//! definition gives them. The peers run on a second, plain nats-server from the same program that syncs every write as
//! well, as one user of one account without permissions: they pay for no rights, no checks and no envelope. Ours and
//! peers take turns, several rounds, in the same process and with the same options of async-nats; which begins
//! changes from round to round. A peer's payload has as many bytes as our message has on the wire.
//!
//! | row | ours | peers |
//! |---|---|---|
//! | `direct` | direct commands, decoded typed at the far end, sum of ids compared | async-nats publish/subscribe; `nats bench pub`/`sub` |
//! | `check` | what a door does with a command before it is written: read, completed, held against its schema, encoded, its CID | the same by way of a tree of JSON |
//! | `query`, `query_256` | queries, one at a time or 256, answers decoded and compared | async-nats request/reply; `nats bench service`, which answers 2 bytes |
//! | `command_one`, `command_many` | durable commands until their outcome is known: kept, handled, its end kept | JetStream publish, push, ack; the same with a kept result |
//! | `append_one`, `append_many` | events through the door, read back typed and their ids summed after the clock stops | JetStream publish; for many also atomic batches of 1,000 |
//! | `put_1g` | 1 GiB of new content: chunked, hashed, kept, synced | a file written and synced, without and with SHA-256; a JetStream stream |
//! | `get_1g` | the same, every block verified by its CID | a file read, without and with SHA-256; a JetStream stream |
//!
//! Every message of ours has a fresh id and correlation, an owner and three pairs. The peers' payloads are made once and
//! sent again and again, and are not looked at. What a row means is in `docs/performance.md`; how results print, in
//! `result.rs`.

mod append;
mod bucket;
mod check;
mod command;
mod contest;
mod direct;
mod file;
mod foreign;
mod get;
mod grounds;
mod load;
mod message;
mod peers;
mod put;
mod query;
mod result;
mod row;
mod tally;

pub(crate) use self::row::RowName;

use std::time::Duration;

use crate::args;
use crate::failure::Failure;
use crate::output::Output;
use crate::signals::Signals;

use self::contest::Plan;
use self::grounds::Grounds;

/// Carries out `comms bench`.
pub(crate) async fn bench(bench: &args::Bench, output: Output) -> Result<(), Failure> {
    let mut signals = Signals::take()?;
    let plan = Plan { span: Duration::from_secs(bench.seconds), rounds: usize::from(bench.runs) };
    let rows = RowName::chosen(&bench.rows);
    let mut grounds = Grounds::open().await?;
    let measured = tokio::select! {
        measured = measure(&rows, plan, &mut grounds, output) => measured,
        () = signals.next() => Err(Failure::failed("stopped before the last row was measured")),
    };
    // Whatever was measured or not: nothing may be left running.
    let closed = grounds.close().await;
    measured.and(closed)
}

async fn measure(rows: &[RowName], plan: Plan, grounds: &mut Grounds, output: Output) -> Result<(), Failure> {
    if grounds.cli().is_none() && rows.iter().any(|row| row.has_foreign_peer()) {
        output.text("nats is neither on PATH nor in .tools/bin: no figures of nats bench")?;
    }
    output.text(&format!(
        "{} rounds of {} s, ours and peers in turn; medians; higher is better; ratio = ours / peer\n{}",
        plan.rounds,
        plan.span.as_secs(),
        result::HEADING.as_str(),
    ))?;
    for row in rows {
        for line in row.measure(plan, grounds).await? {
            output.json(&line)?;
            output.text(&line.to_string())?;
        }
    }
    Ok(())
}
