//! A contest: ours and its peers, measured in turn.
//!
//! Which of them begins moves on with every round, so that none always finds the machine as the same other left it.

use std::time::Duration;

use super::row::RowName;
use crate::failure::Failure;
use crate::json::{Bench, BenchRun};

/// Rounds of the rows that move 1 GiB: each leaves as much in the folder for temporary files.
const ROUNDS_LARGE_MAX: usize = 3;
/// What a measurement may take beyond its span before it counts as stuck: what is under way must end, and a gibibyte
/// on a slow disk takes a minute.
const GRACE: Duration = Duration::from_secs(120);
/// The part of the span that is spent on each before the first round, so that no round pays for first uses.
const WARM_UP: f64 = 0.2;

/// How long and how often everything is measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// One measurement of one side.
    pub(super) span: Duration,
    /// How often each side is measured.
    pub(super) rounds: usize,
}

/// Two or more ways to do the same.
pub(super) trait Contest {
    /// What is counted, per second.
    const UNIT: &'static str;

    /// The peers, by name.
    fn peers(&self) -> Vec<&'static str>;

    /// What ours does in `span`, per second.
    async fn ours(&mut self, span: Duration) -> Result<f64, Failure>;

    /// The same for one of the peers.
    async fn peer(&mut self, peer: usize, span: Duration) -> Result<f64, Failure>;

    /// Whether the first uses are worth a measurement that does not count.
    fn warms_up(&self) -> bool {
        true
    }

    /// Ends what it started.
    async fn end(self) -> Result<(), Failure>;
}

impl Plan {
    /// The plan for rows that move 1 GiB.
    pub(super) fn large(self) -> Plan {
        Plan { rounds: self.rounds.min(ROUNDS_LARGE_MAX), ..self }
    }

    /// Measures a contest: one line per peer.
    pub(super) async fn run(self, row: RowName, mut contest: impl Contest) -> Result<Vec<Bench>, Failure> {
        let lines = self.rounds(row, &mut contest).await;
        let ended = contest.end().await;
        let lines = lines?;
        ended.map(|()| lines)
    }

    async fn rounds<C: Contest>(self, row: RowName, contest: &mut C) -> Result<Vec<Bench>, Failure> {
        let peers = contest.peers();
        let sides = peers.len() + 1;
        if contest.warms_up() {
            for side in 0..sides {
                measure(row, contest, side, self.span.mul_f64(WARM_UP)).await?;
            }
        }
        let mut measured: Vec<Vec<f64>> = Vec::new();
        for round in 0..self.rounds {
            let mut rates = vec![0.0; sides];
            for turn in 0..sides {
                let side = (round + turn) % sides;
                rates[side] = measure(row, contest, side, self.span).await?;
            }
            measured.push(rates);
        }
        let line = |(peer, name): (usize, &'static str)| {
            let runs = measured.iter().map(|rates| BenchRun::new(rates[0], rates[peer + 1])).collect();
            Bench::new(row.name(), C::UNIT, name, runs)
        };
        Ok(peers.into_iter().enumerate().map(line).collect())
    }
}

/// Measures one side: 0 is ours.
async fn measure<C: Contest>(
    row: RowName,
    contest: &mut C,
    side: usize,
    span: Duration,
) -> Result<f64, Failure> {
    let measuring = async {
        match side.checked_sub(1) {
            None => contest.ours(span).await,
            Some(peer) => contest.peer(peer, span).await,
        }
    };
    match tokio::time::timeout(span + GRACE, measuring).await {
        Ok(rate) => rate,
        Err(_) => {
            let who = side.checked_sub(1).map_or("ours", |peer| contest.peers()[peer]);
            Err(Failure::failed(format!("{}: {who} did not end in time", row.name())))
        }
    }
}
