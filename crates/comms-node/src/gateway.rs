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
mod coding;
mod condition;
mod connection;
mod content;
mod domain;
mod download;
mod error;
pub(crate) mod limits;
mod listener;
mod lobby;
mod places;
mod progress;
mod range;
mod representation;
mod unread;
mod upload;
mod visit;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use comms_store::Blocks;
use tokio::net::{TcpListener, UnixListener};

pub use self::auth::Tokens;
pub use self::domain::{Admin, Definition, Task};
use self::error::Error;
use self::listener::Entrance;
pub(crate) use self::listener::bind;
use self::places::Places;
use crate::access::Access;
use crate::current::Current;
use crate::files::Files;

/// Everything the gateway works with.
#[derive(Debug)]
pub struct Gateway {
    current: Current,
    access: Arc<Access>,
    blocks: Blocks,
    admin: Admin,
    port: u16,
    places: Places,
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
        let port = listener.local_addr()?.port();
        let places = Places::new(&current);
        let sockets = Files::of_this_process().sockets(&current.get().domain);
        let entrance = Entrance::new(places.connections.clone(), sockets);
        let gateway = Arc::new(Self { current, access, blocks, admin, port, places });
        let (port, socket) = (router(Arc::clone(&gateway), Way::Port), router(gateway, Way::Socket));
        let heard = async {
            stop.await;
            entrance.close();
        };
        // Small answers must not wait for more to send. A failure shows at the next read.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        tokio::join!(entrance.serve(listener, port), entrance.serve(local, socket), heard);
        Ok(())
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
        .route_layer(from_fn(coding::check))
        .route_layer(from_fn(visit::admit))
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
