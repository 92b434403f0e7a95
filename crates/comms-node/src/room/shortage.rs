//! Why something is not taken, in words for who sent it. No paths of this machine: services read it.

use std::fmt;
use std::sync::Arc;

/// See the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// A disk is full, but for what is kept.
    Disk {
        of: &'static str,
        /// As it was seen last.
        free: u64,
        kept: u64,
        /// What was taken and does not show in `free` yet.
        coming: u64,
    },
    /// A disk has no entries left for files.
    Entries { of: &'static str, free: u64, kept: u64 },
    /// The log has reached the operator's bound.
    Log { bytes: u64, max: u64 },
    /// nats-server met an error when it wrote, and stores nothing until it is started again.
    Frozen { why: Arc<str> },
}

impl Shortage {
    /// The same with what is being written at this moment.
    pub(super) fn beside(self, coming: u64) -> Shortage {
        match self {
            Shortage::Disk { of, free, kept, .. } => Shortage::Disk { of, free, kept, coming },
            other @ (Shortage::Entries { .. } | Shortage::Log { .. } | Shortage::Frozen { .. }) => other,
        }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shortage::Disk { of, free, kept, coming } => {
                let (free, kept) = (Bytes(*free), Bytes(*kept));
                write!(
                    f,
                    "the disk of {of} is full: {free} free, {kept} are kept so that commands can be ended"
                )?;
                if *coming > 0 {
                    write!(f, ", {} are being written", Bytes(*coming))?;
                }
                f.write_str("; make room on that disk")
            }
            Shortage::Entries { of, free, kept } => write!(
                f,
                "the disk of {of} has only {free} entries for files left, {kept} are kept; remove files there"
            ),
            Shortage::Log { bytes, max } => write!(
                f,
                "the log has reached its bound: {} of {}; raise log_max (comms.toml, COMMS_LOG_MAX, --log-max) and \
                 start the node again",
                Bytes(*bytes),
                Bytes(*max)
            ),
            Shortage::Frozen { why } => write!(f, "nats-server cannot write: {why}"),
        }
    }
}

/// A number of bytes as people read it.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
        match units.into_iter().find(|(_, shift)| self.0 >> shift > 0) {
            // A double holds every size of a disk closely enough to be read.
            #[expect(clippy::cast_precision_loss, reason = "one digit behind the point is printed")]
            Some((unit, shift)) => write!(f, "{:.1} {unit}", self.0 as f64 / (1u64 << shift) as f64),
            None => write!(f, "{} bytes", self.0),
        }
    }
}
