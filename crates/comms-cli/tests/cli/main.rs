//! The binary as people and programs use it: run as a process, judged by what it prints and how it ends.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bench;
mod binary;
mod definition;
mod demo;
mod new;
mod node;
mod pdf;
mod readme;
mod refused;
mod running;
mod shapes;
mod surroundings;
mod terminal;
mod usage;
