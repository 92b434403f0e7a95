//! Foreign programs that tests use. One that is missing fails its test with the line that installs it; nothing is
//! skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::binary::checkout;

/// A Python with the NATS client: `COMMS_PYTHON`, else the one in `.tools/`.
pub fn python() -> PathBuf {
    let named = std::env::var_os("COMMS_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| checkout().join(".tools/python/bin/python3"));
    let has = Command::new(&python).args(["-c", "import nats, nkeys"]).output();
    assert!(
        has.is_ok_and(|has| has.status.success()),
        "{} is no Python with nats-py[nkeys]; run: tools/install.py python",
        python.display()
    );
    python
}

/// A program that `make interop` puts into `.tools/bin`.
pub fn installed(program: &str) -> PathBuf {
    present(checkout().join(".tools/bin").join(program))
}

/// A nats-server: `COMMS_NATS_SERVER`, else the one on `PATH`, else the one in `.tools/bin`.
pub fn nats_server() -> PathBuf {
    if let Some(named) = std::env::var_os("COMMS_NATS_SERVER") {
        return PathBuf::from(named);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path =
        std::env::split_paths(&path).map(|folder| folder.join("nats-server")).find(|file| file.is_file());
    on_path.unwrap_or_else(|| installed("nats-server"))
}

/// Runs a script of the checkout's `tools/` on files, and returns the lines it prints.
pub fn script(interpreter: Option<&str>, name: &str, files: &[&Path]) -> Vec<String> {
    let script = present(checkout().join("tools").join(name));
    let mut command = match interpreter {
        Some(interpreter) => {
            let mut command = Command::new(interpreter);
            command.arg(script);
            command
        }
        None => Command::new(script),
    };
    let output = command.args(files).current_dir(checkout()).output();
    let output = output.unwrap_or_else(|e| panic!("tools/{name} cannot be run ({e}); run: make interop"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "tools/{name} failed; run: make interop\n{}", text(&output.stderr));
    text(&output.stdout).lines().map(str::to_owned).collect()
}

fn present(file: PathBuf) -> PathBuf {
    assert!(file.exists(), "{} is not there; run: make interop", file.display());
    file
}
