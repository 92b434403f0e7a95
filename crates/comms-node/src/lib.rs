//! One process on one machine: it supervises nats-server (or uses the one it is given), applies the domain's
//! definition, and runs doors, event log, content and the loopback gateway.
//!
//! Entry point: [`Node::start`]. What is bound is known when it returns; what it started ends with it.

pub mod access;
pub mod address;
mod administration;
mod bearers;
pub mod bounds;
mod bridge;
mod clients;
mod clock;
mod condition;
pub mod connections;
mod current;
pub mod definition;
mod door;
mod error;
mod external;
pub mod facts;
mod files;
#[cfg(test)]
mod fixture;
pub mod folder;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod gateway;
pub mod guard;
mod health;
mod identity;
pub mod keys;
mod log;
mod node;
mod notice;
mod options;
mod own_threads;
mod pace;
mod planted;
pub mod probe;
pub mod provision;
mod room;
mod secret;
pub mod server;
pub mod share;
mod stored;
pub mod tasks;
mod witness;

pub use current::{Current, InForce};
pub use error::{Error, Socket};
pub use files::open_as_many_as_possible;
pub use node::{Node, Summary};
pub use options::{Bridge, Nats, Options};
pub use room::RoomLimits;
pub use secret::{Secret, SecretText};
pub use witness::{Loss, Place, StreamLoss};
