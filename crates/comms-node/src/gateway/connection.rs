//! One connection is served: its requests are answered one after the other, in the time that its [`Visit`] gives it.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;

use super::error::Error;
use super::limits::HEAD_WITHIN;
use super::visit::{Answering, Visit};

/// Serves a connection to its end: until the client closes it, its time is up, it has to give way, or `stopping` is
/// cancelled and nothing is being answered.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    visit: Visit,
    router: TowerToHyperService<Router>,
    stopping: CancellationToken,
) {
    let answers = service_fn({
        let visit = visit.clone();
        move |request| answer(router.clone(), visit.clone(), request)
    });
    let io = TokioIo::new(Watched { stream, visit: visit.clone() });
    // The head's time is the visit's.
    let mut connection = pin!(http1::Builder::new().header_read_timeout(None).serve_connection(io, answers));
    let mut timer = pin!(sleep(HEAD_WITHIN));
    tokio::select! {
        biased;
        // What breaks a connection is of no interest here: a handler that was waiting says it.
        _ = connection.as_mut() => return,
        () = overdue(&visit, timer.as_mut()) => return,
        () = visit.turned_out() => return,
        () = stopping.cancelled() => {}
    }
    if visit.is_idle() {
        return;
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        biased;
        _ = connection.as_mut() => {}
        () = overdue(&visit, timer) => {}
    }
}

/// Done when the time of the visit is up. The visit changes only while the connection is polled, which is in the same
/// task and before this.
async fn overdue(visit: &Visit, mut timer: Pin<&mut Sleep>) {
    poll_fn(|cx| {
        let Some(deadline) = visit.deadline() else { return Poll::Pending };
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx)
    })
    .await;
    tracing::debug!("a connection of the gateway was closed: its time was up");
}

/// The answer to one request; a panic in its work ends this request and nothing else.
async fn answer(
    router: TowerToHyperService<Router>,
    visit: Visit,
    mut request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Answer>, Infallible> {
    let answering = visit.hear();
    request.extensions_mut().insert(visit);
    let response = AssertUnwindSafe(router.call(request)).catch_unwind().await;
    let response: Response = match response {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_) => Error::Panic.into_response(),
    };
    Ok(response.map(|body| Answer { body, _answering: answering }))
}

/// The body of a response. The request is in hand until it is dropped.
struct Answer {
    body: Body,
    _answering: Answering,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The socket, with a visit that is told what goes on there.
struct Watched<S> {
    stream: S,
    visit: Visit,
}

impl<S> Watched<S> {
    fn wrote(&self, said: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &said {
            Poll::Pending => self.visit.blocked(),
            Poll::Ready(Ok(bytes)) => self.visit.wrote(*bytes),
            Poll::Ready(Err(_)) => {}
        }
        said
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let said = Pin::new(&mut self.stream).poll_read(cx, into);
        if into.filled().len() > before {
            self.visit.read();
        }
        said
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let said = Pin::new(&mut self.stream).poll_write(cx, from);
        self.wrote(said)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let said = Pin::new(&mut self.stream).poll_write_vectored(cx, from);
        self.wrote(said)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
