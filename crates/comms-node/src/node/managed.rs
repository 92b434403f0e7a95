//! The nats-server of a node's own: configured from the layout, and started.

use std::net::SocketAddr;
use std::path::Path;

use comms_domain::{Layout, NodeId, nats_conf};

use crate::administration::ServerConfiguration;
use crate::folder::{Durability, Folder, file_error, make_private, replace};
use crate::keys::Keys;
use crate::options::{Bridge, Options};
use crate::server::{Binary, Managed, Place, READY_WITHIN, ServerSpec};
use crate::{Error, Socket, address};

/// Starts it, and says how it is configured again when the definition changes.
pub(super) async fn manage(
    folder: &Folder,
    id: &NodeId,
    layout: &Layout,
    keys: &Keys,
    listen: SocketAddr,
    options: &Options,
) -> Result<(Managed, ServerConfiguration), Error> {
    let binary = Binary::find(folder.home())?;
    let place = Place::new(folder.nats());
    let mut server_options = place.options(id.name.as_str(), listen);
    if let Some(bytes_max) = options.room.server_bytes_max() {
        server_options.limits.file_bytes_max = bytes_max;
    }
    match &options.bridge {
        Bridge::None => {}
        Bridge::Hub { listen, .. } => {
            server_options.leaf_listen = Some(address::chosen(Socket::Leafs, *listen)?)
        }
        Bridge::Leaf { url, seed_file, .. } => {
            leaf_seed(&place, seed_file)?;
            server_options.remote = Some(nats_conf::Remote { url: url.clone() });
        }
    }
    let mut configure = ServerConfiguration(server_options);
    let spec = ServerSpec {
        binary,
        guard: options.guard.clone(),
        place,
        configuration: configure.text(layout, keys)?,
        listen,
        leaf_listen: configure.0.leaf_listen,
        ready_within: READY_WITHIN,
    };
    let server = Managed::start(spec, keys).await?;
    // A reload must name the port that the server has, whatever was asked for.
    configure.0.listen.set_port(server.port());
    Ok((server, configure))
}

/// Puts the seed that the hub gave where nats-server reads it.
fn leaf_seed(place: &Place, seed_file: &Path) -> Result<(), Error> {
    let seed = std::fs::read_to_string(seed_file).map_err(|source| file_error("read", seed_file, source))?;
    let text = nats_conf::leaf_seed(seed.trim()).map_err(|error| Error::Malformed {
        path: seed_file.to_owned(),
        expected: "the seed that the hub made for this leaf",
        why: error.to_string(),
    })?;
    make_private(place.folder())?;
    replace(&place.folder().join(nats_conf::LEAF_SEED_FILE), text.as_bytes(), Durability::Synced)
}
