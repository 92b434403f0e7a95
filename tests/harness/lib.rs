//! What a test of this workspace may use: real nodes with real nats-servers on free ports, the domain they run, and
//! the only waiting that is allowed.
//!
//! Every node runs in a folder of its own that is removed when the test passes and kept, with its place printed,
//! when it fails. A test that cannot find nats-server fails with the line that installs it.

#![expect(
    clippy::print_stderr,
    reason = "what a failed test needs to be understood goes where its runner shows it"
)]

pub mod binary;
pub mod disk;
pub mod fixture;
pub mod node;
pub mod port;
pub mod process;
pub mod tools;
pub mod wait;

pub use disk::SmallDisk;
pub use node::{Stored, TestNode};
pub use process::Process;
pub use wait::wait_until;
