//! Waiting for a condition, within a bound, with the last state seen in the failure.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How long a condition may take that should hold soon: long enough for a loaded machine of two cores.
pub const SOON: Duration = Duration::from_secs(20);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks until `look` returns `Ok`, and returns what it holds; panics with the last `Err` after `bound`.
pub async fn wait_until<T, E: Debug>(
    what: &str,
    bound: Duration,
    mut look: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let begin = Instant::now();
    loop {
        match look().await {
            Ok(value) => return value,
            Err(state) if begin.elapsed() > bound => {
                panic!("waited {} s in vain for {what}; last seen: {state:?}", bound.as_secs())
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
