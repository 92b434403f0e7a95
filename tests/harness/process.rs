//! A foreign process beside a node: what it says is kept, and it ends with the test.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use crate::node::signal;
use crate::wait::{SOON, wait_until};

/// A running process whose lines, of both streams, are kept.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts it.
    pub fn start(mut command: Command) -> Process {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{name} does not start: {e}"));
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let streams: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("stdout is piped")),
            Box::new(child.stderr.take().expect("stderr is piped")),
        ];
        for stream in streams {
            let lines = Arc::clone(&lines);
            std::thread::spawn(move || {
                // Foreign programs may print bytes that are no text.
                for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                    let line = String::from_utf8_lossy(&line).into_owned();
                    lines.lock().expect("no panic holds it").push(line);
                }
            });
        }
        Process { name, child, lines }
    }

    /// Waits for a line with these words in it and returns it.
    pub async fn line_with(&mut self, words: &str) -> String {
        let what = format!("{} to say {words:?}", self.name);
        wait_until(&what, SOON, async || {
            let output = self.output();
            if let Some(line) = output.lines().find(|line| line.contains(words)) {
                return Ok(line.to_owned());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("{} ended with {status}:\n{output}", self.name);
            }
            Err(output)
        })
        .await
    }

    /// What it said so far.
    pub fn output(&self) -> String {
        self.lines.lock().expect("no panic holds it").join("\n")
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal by name.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits for its end.
    pub async fn end(&mut self) -> ExitStatus {
        let what = format!("{} to end", self.name);
        wait_until(&what, SOON, async || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?}\n{}", self.output())),
        })
        .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.name, self.output());
        }
    }
}
