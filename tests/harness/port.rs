//! Ports that a server can come back to: a port given out by the system for `:0` may, while its server is down, become
//! the local end of anybody's connection, and then nobody can listen there for as long as that connection lives.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use rand::RngExt as _;

/// Where the system's own ports begin if it does not say: Linux's default.
const EPHEMERAL_FIRST: u16 = 32_768;
/// How many ports below them are drawn from.
const DRAWN_FROM: u16 = 12_000;
/// Draws until it is given up.
const DRAWS_MAX: usize = 1_000;

/// Ports that this process has handed out.
static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port of loopback that is free now and that the system gives to nobody by itself.
pub fn lasting() -> u16 {
    let mut random = rand::rng();
    for _ in 0..DRAWS_MAX {
        let port = random.random_range(range());
        let is_ours = TAKEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port);
        if is_ours && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("{DRAWS_MAX} ports of {:?} are taken", range());
}

fn range() -> Range<u16> {
    let said = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first = said.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(EPHEMERAL_FIRST);
    let end = if first > 2 * DRAWN_FROM { first } else { EPHEMERAL_FIRST };
    end - DRAWN_FROM..end
}
