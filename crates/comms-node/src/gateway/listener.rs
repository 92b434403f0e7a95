//! Connections are accepted, each into the lobby, and served until the gateway stops.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::serve::Listener;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use super::connection;
use super::limits::ACCEPT_QUEUE_MAX;
use super::lobby::Lobby;
use super::visit::Visit;
use crate::files::Sockets;
use crate::share::Shares;

/// Listens on an address, with room for a flood of connections that are not accepted yet.
///
/// # Errors
/// What the system says.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // The port is free again at once when a node ends.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(ACCEPT_QUEUE_MAX)
}

/// What all listeners of the gateway have in common.
#[derive(Debug)]
pub(super) struct Entrance {
    connections: Shares,
    sockets: Arc<Semaphore>,
    strangers_max: usize,
    stopping: CancellationToken,
}

impl Entrance {
    /// For connections that count for a service in `connections` once they have shown its token, as far as there are
    /// `sockets`.
    pub(super) fn new(connections: Shares, sockets: Sockets) -> Self {
        let Sockets { all, strangers: strangers_max } = sockets;
        let (sockets, stopping) = (Arc::new(Semaphore::new(all)), CancellationToken::new());
        Self { connections, sockets, strangers_max, stopping }
    }

    /// Takes no more connections, and ends those on which nothing is being answered.
    pub(super) fn close(&self) {
        self.stopping.cancel();
    }

    /// Serves connections until [`Entrance::close`], then lets what is being answered end.
    pub(super) async fn serve(&self, mut listener: impl Listener, router: Router) {
        let router = TowerToHyperService::new(router);
        let lobby = Lobby::new(self.strangers_max);
        // Dropped with this future: no connection outlives the gateway.
        let mut served = JoinSet::new();
        loop {
            let (stream, socket) = tokio::select! {
                () = self.stopping.cancelled() => break,
                accepted = self.accept(&mut listener, &lobby) => accepted,
            };
            let visit = Visit::new(lobby.enter(), self.connections.clone());
            let connection = connection::serve(stream, visit, router.clone(), self.stopping.clone());
            served.spawn(async move {
                let _socket = socket;
                connection.await;
            });
            // What has ended leaves the set here; what remains is bounded by the sockets.
            while served.try_join_next().is_some() {}
        }
        drop(listener);
        while served.join_next().await.is_some() {}
    }

    /// The next connection, once there is a place for it; until then it waits in the system's queue.
    async fn accept<L: Listener>(&self, listener: &mut L, lobby: &Lobby) -> (L::Io, OwnedSemaphorePermit) {
        let socket = Arc::clone(&self.sockets).acquire_owned().await.expect("the semaphore is never closed");
        let (stream, _) = listener.accept().await;
        while let Some(at) = lobby.free_at() {
            sleep_until(at).await;
        }
        (stream, socket)
    }
}
