//! Noticing that the reader of standard output has gone, without writing to it.

use std::future::pending;
use std::io;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Returns when whoever reads standard output has gone: a pipe without a reader, a terminal that was closed. A file,
/// and what cannot be watched, has no such end.
pub(crate) async fn closed() {
    // Nothing but the error is waited for: what is read from a terminal is not ours.
    #[expect(
        deprecated,
        reason = "what replaces it is unsafe; standard output stays open as long as the process lives"
    )]
    let Ok(output) = AsyncFd::with_interest(io::stdout(), Interest::ERROR) else {
        return pending().await;
    };
    loop {
        match output.ready(Interest::ERROR).await {
            Ok(ready) if ready.ready().is_error() || ready.ready().is_write_closed() => return,
            Ok(mut ready) => ready.clear_ready(),
            Err(_) => return pending().await,
        }
    }
}
