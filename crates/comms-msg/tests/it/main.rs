//! Tests of `comms-msg` from outside: what other crates and other languages rely on. One binary, one module
//! per noun.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod any;
mod doors;
mod drafts;
mod frames;
mod golden;
mod messages;
mod names;
mod properties;
mod replies;
mod schema;
mod subjects;
mod vectors;
