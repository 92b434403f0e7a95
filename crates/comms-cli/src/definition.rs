//! The definition: what the author has in front of them, and what the running node was last given.
//!
//! Both are found from the working folder upwards. Reading is the node's business, understanding the domain's.

use std::path::{Path, PathBuf};

use comms_domain::{Domain, Problem, Problems};
use comms_node::definition::{DOMAIN_TOML, Sources};
use comms_node::folder::{FOLDER, Folder};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::count;

/// Names the folder of a node's files, for clients that run elsewhere.
const CREDENTIALS: &str = "COMMS_CREDENTIALS";

/// The text of a definition, not yet understood.
#[derive(Debug)]
pub(crate) struct Definition(pub(crate) Sources);

impl Definition {
    /// Finds and reads the nearest definition from the working folder upwards.
    pub(crate) fn find() -> Result<Self, Failure> {
        let start = here()?;
        let home = home(&start)?;
        let mut sources = Sources::read(&home.join(DOMAIN_TOML)).map_err(Failure::from)?;
        if home == start {
            DOMAIN_TOML.clone_into(&mut sources.file);
        }
        Ok(Self(sources))
    }

    /// How people call it.
    pub(crate) fn file(&self) -> &str {
        &self.0.file
    }

    /// The domain it defines and what does not do what it seems to, or everything that is wrong with it.
    pub(crate) fn check(&self) -> Result<(Domain, Vec<Problem>), Problems> {
        Domain::check(&self.0.file, &self.0.definition, &self.0.schemas)
    }

    /// The domain it defines; one problem is told, the others are left to `comms domain check`.
    pub(crate) fn domain(&self) -> Result<Domain, Failure> {
        self.check().map(|(domain, _)| domain).map_err(|problems| {
            let failure = Failure::new(
                Exit::Config,
                format!("{} in {}", count(problems.len(), "problem"), self.file()),
            );
            let first = problems.iter().next().expect("problems are never none").to_string();
            let failure = first.lines().fold(failure, Failure::mend);
            failure.mend("All of them: comms domain check")
        })
    }
}

/// The definition that a node in this folder runs on, as far as it can be read: for words, never for decisions.
pub(crate) fn in_force() -> Option<Domain> {
    let comms = match std::env::var_os(CREDENTIALS) {
        Some(named) => PathBuf::from(named),
        None => here().ok()?.ancestors().map(|folder| folder.join(FOLDER)).find(|comms| comms.is_dir())?,
    };
    let folder = Folder::beside(comms.parent()?).ok()?;
    Sources::applied(&folder).ok()??.parse().ok()
}

/// The folder to work in.
pub(crate) fn here() -> Result<PathBuf, Failure> {
    std::env::current_dir()
        .map_err(|error| Failure::new(Exit::Config, "the working folder cannot be read").because(&error))
}

/// The nearest folder with a definition, from this one upwards.
pub(crate) fn home(start: &Path) -> Result<PathBuf, Failure> {
    let found = start.ancestors().find(|folder| folder.join(DOMAIN_TOML).is_file());
    found.map(Path::to_owned).ok_or_else(|| {
        Failure::new(Exit::Config, format!("no {DOMAIN_TOML} in {} or above it", start.display()))
            .mend("Write one with: comms new DIR")
    })
}
