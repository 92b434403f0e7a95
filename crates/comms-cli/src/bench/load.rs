//! Load: lanes that do the next thing as soon as the last one is done, for a span of time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::failure::Failure;

/// Runs `once` in `lanes` lanes until `span` has passed, and waits for what is under way. How often it was done, per
/// second until the last was done.
pub(super) async fn closed_loop<F, Fut>(lanes: usize, span: Duration, once: F) -> Result<f64, Failure>
where
    F: Fn(usize) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let once = Arc::new(once);
    let begin = Instant::now();
    let end = begin + span;
    let mut tasks = JoinSet::new();
    for lane in 0..lanes {
        let once = Arc::clone(&once);
        tasks.spawn(async move {
            let mut done: u64 = 0;
            while Instant::now() < end {
                once(lane).await?;
                done += 1;
            }
            Ok::<_, Failure>(done)
        });
    }
    let mut done = 0;
    while let Some(lane) = tasks.join_next().await {
        done += lane.map_err(|error| Failure::failed("a lane of the load ended badly").because(&error))??;
    }
    Ok(rate(done, begin.elapsed()))
}

/// So many in that time, per second.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub(super) fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
