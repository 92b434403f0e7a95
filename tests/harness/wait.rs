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
    let wait = Wait::begin(what, bound);
    loop {
        match look().await {
            Ok(value) => return value,
            Err(state) => wait.go_on(&state).await,
        }
    }
}

/// The same for a loop of one's own, in tasks that may be moved between threads.
#[derive(Debug)]
pub struct Wait {
    what: String,
    begin: Instant,
    bound: Duration,
}

impl Wait {
    /// Begins to wait for something.
    pub fn begin(what: &str, bound: Duration) -> Wait {
        Wait { what: what.to_owned(), begin: Instant::now(), bound }
    }

    /// Returns when it is time for another look; panics with the state seen if it has been long enough.
    pub async fn go_on(&self, state: &impl Debug) {
        let Wait { what, bound, .. } = self;
        if self.begin.elapsed() > *bound {
            panic!("waited {} s in vain for {what}; last seen: {state:?}", bound.as_secs());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
