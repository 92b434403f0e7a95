//! The programs under test: the `comms` binary of this workspace, built once per test run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Top of the checkout.
pub fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests' package is a folder of the checkout")
}

/// The `comms` binary, built if it is not up to date.
pub fn comms() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().expect("a running test has an executable");
        let profile = test.ancestors().nth(2).expect("test executables stand in target/PROFILE/deps");
        let mut build = Command::new(env!("CARGO"));
        // What cargo tells a test of its package. Build scripts that look at it would run again, and everything that
        // stands on them be built again, here and at the next run of the tests.
        for (name, _) in std::env::vars_os() {
            if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|told| name.to_string_lossy().starts_with(told)) {
                build.env_remove(name);
            }
        }
        // With the same packages and targets as `cargo test --workspace`, so that no dependency is built a second time
        // with other features.
        build
            .args(["build", "--quiet", "--workspace", "--bin", "comms", "--test", "it"])
            .current_dir(checkout());
        if profile.file_name().is_some_and(|name| name == "release") {
            build.arg("--release");
        }
        let status = build.status().expect("cargo runs");
        assert!(status.success(), "cargo build --bin comms failed");
        profile.join("comms")
    })
}
