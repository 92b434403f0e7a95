//! Tests of `comms-msg` from outside: what other crates and other languages rely on. One binary, one module
//! per noun.

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
