//! The node's HTTP, on loopback and at a socket in the node's folder: content in and out, the definition, and whether the
//! node is well.
//!
//! | request | what it does |
//! |---|---|
//! | `POST /content` | puts the body as a file; with `?for=<type>`, messages of the type carry it |
//! | `POST /content?codec=dag-cbor` or `raw` | puts the body as one block |
//! | `POST /content/{cid}?for=<type>` | messages of the type carry what the caller may read |
//! | `GET`, `HEAD /content/{cid}` | the bytes, or one `Range` of them |
//! | `GET /content/{cid}?format=car` or `raw` | the blocks that prove them; the one block |
//! | `POST /domain/plan`, `POST /domain/apply` | what a definition would change; puts it in force |
//! | `GET /node` | who the node is and where its nats-server listens; at the socket alone, without a token |
//! | `GET /health` | how the node is, 503 while nothing can be stored; without a token |
//!
//! Every other answer than a success is `{"error": Refusal}`, from `error`. Who may read what is decided by
//! [`Access`]; what is done about definitions and health is given as [`Admin`]. Everything streams, in constant
//! memory, as fast as the slower end goes.

mod auth;
mod content;
mod domain;
mod download;
mod error;
mod limits;
mod listener;
mod range;
mod unread;
mod upload;

#[cfg(test)]
mod tests;

use std::future::{Future, IntoFuture as _};
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use comms_store::Blocks;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use self::auth::Tokens;
pub use self::domain::{Admin, Definition, Task};
use self::error::Error;
use self::limits::{DOWNLOADS_MAX, UPLOADS_MAX};
use self::listener::Connections;
use crate::access::Access;
use crate::current::Current;

/// Everything the gateway works with.
#[derive(Debug)]
pub struct Gateway {
    current: Current,
    access: Arc<Access>,
    blocks: Blocks,
    admin: Admin,
    port: u16,
    uploads: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
}

impl Gateway {
    /// Serves until `stop` is done, then lets what is under way end. The listener must be bound to loopback; `local` is
    /// where nobody else can listen, which proves the node to whoever reaches it there.
    ///
    /// # Errors
    /// If the listener has no address.
    pub async fn serve(
        current: Current,
        access: Arc<Access>,
        blocks: Blocks,
        admin: Admin,
        listener: TcpListener,
        local: UnixListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let gateway = Arc::new(Self {
            current,
            access,
            blocks,
            admin,
            port: listener.local_addr()?.port(),
            uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
            downloads: Arc::new(Semaphore::new(DOWNLOADS_MAX)),
        });
        let stopping = CancellationToken::new();
        let stopped = || stopping.clone().cancelled_owned();
        let (port, socket) = (router(Arc::clone(&gateway), Way::Port), router(gateway, Way::Socket));
        let port = axum::serve(Connections::new(listener), port).with_graceful_shutdown(stopped());
        let socket = axum::serve(Connections::new(local), socket).with_graceful_shutdown(stopped());
        let heard = async {
            stop.await;
            stopping.cancel();
            Ok(())
        };
        tokio::try_join!(port.into_future(), socket.into_future(), heard).map(drop)
    }
}

/// How a request comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By a port of this machine, which pages in a browser reach too.
    Port,
    /// By the socket in the folder, which only its owner reaches.
    Socket,
}

fn router(gateway: Arc<Gateway>, way: Way) -> Router {
    let open = Router::new().route("/health", get(domain::health));
    let open = match way {
        Way::Port => open,
        Way::Socket => open.route("/node", get(domain::who)),
    };
    let routes = Router::new()
        .route("/content", post(content::put))
        .route("/content/{cid}", get(content::get).post(content::share))
        .route("/domain/plan", post(domain::plan))
        .route("/domain/apply", post(domain::apply))
        .route_layer(from_fn_with_state(Arc::clone(&gateway), auth::authenticate))
        .merge(open)
        .fallback(|| async { Error::Path })
        .method_not_allowed_fallback(|| async { Error::Method });
    let routes = match way {
        Way::Port => routes.layer(from_fn_with_state(Arc::clone(&gateway), auth::guard)),
        Way::Socket => routes,
    };
    routes.layer(from_fn(unread::discard)).with_state(gateway)
}
