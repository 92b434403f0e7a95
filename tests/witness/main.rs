//! A process that keeps a log for a test: what it is told on its standard input, line by line, in the order told.
//!
//! It is a process of its own so that the log is nobody's who can be killed: what it has written stays written, whatever
//! becomes of a node, a server or a client. It judges nothing; the lines are the test's.

use std::fs::OpenOptions;
use std::io::{self, BufRead, Write};

fn main() -> io::Result<()> {
    let missing = || io::Error::new(io::ErrorKind::InvalidInput, "usage: witness FILE");
    let file = std::env::args_os().nth(1).ok_or_else(missing)?;
    let mut log = OpenOptions::new().create_new(true).append(true).open(file)?;
    let mut lines: u64 = 0;
    for line in io::stdin().lock().lines() {
        // One write for a line, so that a line is whole or not there.
        log.write_all(format!("{}\n", line?).as_bytes())?;
        lines += 1;
    }
    log.sync_all()?;
    // A test that failed does not listen any more.
    let _ = writeln!(io::stdout(), "{lines}");
    Ok(())
}
