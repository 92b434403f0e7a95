//! Everything that needs a real nats-server and a real node, in one binary.

#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails there")]
#![allow(
    clippy::print_stderr,
    reason = "what a failed test needs to be understood goes where its runner shows it"
)]

mod attacks;
mod compose;
mod crash;
mod crowds;
mod damage;
mod foreign;
mod frames;
mod gaps;
mod health;
mod hostile;
mod impostor;
mod leaf;
mod lifecycle;
mod limits;
mod listeners;
mod memory;
mod messages;
mod planted;
mod repeats;
mod rogue;
mod steered;
mod tidy;
mod vocabulary;
