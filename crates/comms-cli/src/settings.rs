//! What `comms up` is told: by flags, else by the environment, else by `comms.toml` beside the definition, else nothing,
//! and then a default that runs on a laptop.
//!
//! The crate `config` lays the sources over each other and remembers where each value came from, so that a mistake is
//! told with its place and `--show-config` can say it. What the values mean together is checked here; what a node does
//! with them is the node's business.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use comms_domain::NodeName;
use comms_domain::nats_conf::server_limits::LOG_BYTES_MIN;
use comms_node::{Bridge, Nats, RoomLimits};
use config::{Config, ConfigError, File, FileFormat, Map, Source, Value};

use crate::args;
use crate::exit::Exit;
use crate::failure::Failure;

/// The file, beside `domain.toml`: options of the node on this machine.
const FILE: &str = "comms.toml";
/// What a value that nobody gave comes from.
const DEFAULT: &str = "default";

/// One option: its key in the file, its variable, its flag, and what it is if nobody says it.
struct Key {
    name: &'static str,
    variable: &'static str,
    flag: &'static str,
    default: Option<&'static str>,
}

const LISTEN: &str = "listen";
const HTTP: &str = "http";
const LEAF_LISTEN: &str = "leaf_listen";

const KEYS: [Key; 12] = [
    Key { name: LISTEN, variable: "COMMS_LISTEN", flag: "--listen", default: Some("127.0.0.1:4222") },
    Key { name: HTTP, variable: "COMMS_HTTP", flag: "--http", default: Some("127.0.0.1:7180") },
    Key { name: "nats", variable: "COMMS_NATS", flag: "--nats", default: None },
    Key { name: "name", variable: "COMMS_NAME", flag: "--name", default: None },
    Key { name: LEAF_LISTEN, variable: "COMMS_LEAF_LISTEN", flag: "--leaf-listen", default: None },
    Key { name: "leafs", variable: "COMMS_LEAFS", flag: "--leaf", default: None },
    Key { name: "join", variable: "COMMS_JOIN", flag: "--join", default: None },
    Key { name: "join_key", variable: "COMMS_JOIN_KEY", flag: "--join-key", default: None },
    Key { name: "hub", variable: "COMMS_HUB", flag: "--hub", default: None },
    Key { name: "siblings", variable: "COMMS_SIBLINGS", flag: "--sibling", default: None },
    Key { name: "log_max", variable: "COMMS_LOG_MAX", flag: "--log-max", default: None },
    Key { name: "keep_free", variable: "COMMS_KEEP_FREE", flag: "--keep-free", default: None },
];

/// A value in force, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The key in the file.
    pub(crate) name: &'static str,
    /// The value as text; several have commas between them.
    pub(crate) value: String,
    /// A file, a variable, a flag, or `default`.
    pub(crate) from: String,
}

/// An address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listen {
    /// The address.
    pub(crate) address: SocketAddr,
    /// Whether nobody asked for it, so that another will do as well.
    pub(crate) is_default: bool,
}

/// All that a node is told.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Each value in force, in the order of the flags.
    pub(crate) all: Vec<Setting>,
    /// Where the nats-server of its own listens.
    pub(crate) listen: Listen,
    /// Where its HTTP listens.
    pub(crate) http: Listen,
    /// A nats-server that exists, to be used instead.
    pub(crate) nats: Option<String>,
    /// The node's name.
    pub(crate) name: Option<NodeName>,
    /// Other nodes.
    pub(crate) bridge: Bridge,
    /// What it may take of its disks.
    pub(crate) room: RoomLimits,
}

/// Values from one place, each with its origin.
#[derive(Debug, Clone)]
struct Given(Map<String, Value>);

impl Source for Given {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

impl Given {
    fn of(values: impl Iterator<Item = (&'static str, String, Vec<String>)>) -> Self {
        let value = |(key, origin, texts): (&str, String, Vec<String>)| {
            (key.to_owned(), Value::new(Some(&origin), texts.join(",")))
        };
        Self(values.filter(|(_, _, texts)| !texts.is_empty()).map(value).collect())
    }

    fn defaults() -> Self {
        Self::of(KEYS.iter().map(|key| {
            (key.name, DEFAULT.to_owned(), key.default.into_iter().map(ToOwned::to_owned).collect())
        }))
    }

    fn environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        Self::of(KEYS.iter().map(|key| {
            let given = variable(key.variable).filter(|text| !text.is_empty());
            (key.name, key.variable.to_owned(), given.into_iter().collect())
        }))
    }

    fn flags(up: &args::Up) -> Self {
        let one = |text: &Option<String>| text.iter().cloned().collect::<Vec<_>>();
        let names = |names: &[NodeName]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        Self::of(KEYS.iter().map(|key| {
            let given = match key.name {
                LISTEN => one(&up.listen),
                HTTP => one(&up.http),
                "nats" => one(&up.nats),
                "name" => names(up.name.as_slice()),
                LEAF_LISTEN => one(&up.leaf_listen),
                "leafs" => names(&up.leafs),
                "join" => one(&up.join),
                "join_key" => up.join_key.iter().map(|path| path.display().to_string()).collect(),
                "hub" => names(up.hub.as_slice()),
                "log_max" => one(&up.log_max),
                "keep_free" => one(&up.keep_free),
                _ => names(&up.siblings),
            };
            (key.name, key.flag.to_owned(), given)
        }))
    }
}

impl Settings {
    /// Lays everything that was said over each other; `home` is the folder of the definition, if there is one.
    pub(crate) fn load(up: &args::Up, home: Option<&Path>) -> Result<Self, Failure> {
        Self::of(up, home, |name| std::env::var(name).ok())
    }

    fn of(
        up: &args::Up,
        home: Option<&Path>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Failure> {
        let mut builder = Config::builder().add_source(Given::defaults());
        if let Some(file) = home.map(|home| home.join(FILE)).filter(|file| file.exists()) {
            is_toml(&file)?;
            builder = builder.add_source(File::new(&file.to_string_lossy(), FileFormat::Toml));
        }
        let builder = builder.add_source(Given::environment(variable)).add_source(Given::flags(up));
        let config = builder.build().and_then(|config| config.collect());
        let config = config.map_err(|error| Failure::new(Exit::Config, wrong_file()).because(&error))?;
        let all = in_force(config)?;
        let found = |name: &str| all.iter().find(|setting| setting.name == name);
        let text = |name: &str| found(name).map(|setting| setting.value.clone());
        let required = |name: &'static str| found(name).expect("it has a default");
        let given = Self {
            listen: Listen::read(required(LISTEN))?,
            http: Listen::read(required(HTTP)).and_then(|http| loopback(http, required(HTTP)))?,
            nats: text("nats"),
            name: found("name").map(node_name).transpose()?,
            bridge: bridge(&found)?,
            room: room(&found)?,
            all: all.clone(),
        };
        given.apart(&found)?;
        Ok(given)
    }

    /// Each of what listens has an address of its own.
    fn apart<'a>(&self, found: &impl Fn(&str) -> Option<&'a Setting>) -> Result<(), Failure> {
        let listen = self.nats.is_none().then_some(self.listen.address);
        let leafs = match &self.bridge {
            Bridge::Hub { listen, .. } => Some(*listen),
            Bridge::Leaf { .. } | Bridge::None => None,
        };
        let all = [(HTTP, Some(self.http.address)), (LISTEN, listen), (LEAF_LISTEN, leafs)];
        let all: Vec<_> =
            all.iter().filter_map(|(name, address)| Some((found(name)?, (*address)?))).collect();
        for (index, (one, address)) in all.iter().enumerate() {
            for (other, taken) in &all[..index] {
                if overlap(*address, *taken) {
                    // What was chosen is what can be chosen otherwise.
                    let (chosen, other) = if one.from == DEFAULT { (other, one) } else { (one, other) };
                    let why = format!("{} {} is the same address", called(other), other.value);
                    return Err(chosen.wrong(why, "Take another port for one of them; port 0 takes any"));
                }
            }
        }
        Ok(())
    }

    /// What nats-server is to be used.
    pub(crate) fn server(&self) -> Nats {
        match &self.nats {
            Some(url) => Nats::External { url: url.clone() },
            None => Nats::Managed(self.listen.address),
        }
    }
}

/// Whether one of the two leaves no room for the other.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (here, there) = (one.ip().to_canonical(), other.ip().to_canonical());
    let meet = here == there || here.is_unspecified() || there.is_unspecified();
    one.port() != 0 && one.port() == other.port() && meet
}

/// How people call where a value is from.
fn called(setting: &Setting) -> String {
    let flag = || KEYS.iter().find(|key| key.name == setting.name).map_or("", |key| key.flag);
    if setting.from == DEFAULT { format!("the default of {}", flag()) } else { setting.from.clone() }
}

/// Reads the file as TOML for the place of a mistake in it.
fn is_toml(file: &Path) -> Result<(), Failure> {
    let wrong = |place: String| Failure::new(Exit::Config, format!("{}{place}", file.display()));
    let text = std::fs::read_to_string(file)
        .map_err(|error| wrong(" cannot be read as options of a node".to_owned()).because(&error))?;
    let Err(error) = toml::from_str::<toml::Table>(&text) else { return Ok(()) };
    let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or(&text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    let what = error.message().lines().collect::<Vec<_>>().join("; ");
    Err(wrong(format!(":{line}:{column}  {what}"))
        .mend("Options are key = \"value\"; which there are: comms up --show-config"))
}

fn wrong_file() -> String {
    format!("{FILE} cannot be read as options of a node")
}

/// The values in the order of the keys; what is no key can only come from the file.
fn in_force(mut config: Map<String, Value>) -> Result<Vec<Setting>, Failure> {
    let mut all = Vec::new();
    for key in &KEYS {
        let Some(value) = config.remove(key.name) else { continue };
        let from = value.origin().unwrap_or(FILE).to_owned();
        let text = texts(value).map_err(|error| {
            Failure::new(Exit::Config, format!("{from}: {} is not text, or a list of texts", key.name))
                .because(&error)
        })?;
        all.push(Setting { name: key.name, value: text, from });
    }
    match config.keys().next() {
        None => Ok(all),
        Some(unknown) => {
            let known: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
            Err(Failure::new(Exit::Config, format!("{}: {unknown} is no option of a node", wrong_file()))
                .mend(format!("options are: {}", known.join(", "))))
        }
    }
}

fn texts(value: Value) -> Result<String, ConfigError> {
    match value.clone().into_array() {
        Ok(values) => {
            Ok(values.into_iter().map(Value::into_string).collect::<Result<Vec<_>, _>>()?.join(","))
        }
        Err(_) => value.into_string(),
    }
}

impl Setting {
    /// What is wrong with it: a mistake in the command line, or in what stands somewhere.
    fn wrong(&self, why: impl Into<String>, mend: impl Into<String>) -> Failure {
        let exit = if self.from.starts_with("--") { Exit::Usage } else { Exit::Config };
        Failure::new(exit, format!("{} {}: {}", self.from, self.value, why.into())).mend(mend)
    }
}

impl Listen {
    /// Reads `HOST:PORT`; a name is looked up, and the older kind of address preferred, which every program takes.
    fn read(setting: &Setting) -> Result<Self, Failure> {
        const MEND: &str = "An address is HOST:PORT, as 127.0.0.1:4222 or localhost:4222; port 0 takes any";
        let found = setting.value.to_socket_addrs();
        let mut found: Vec<SocketAddr> =
            found.map_err(|error| setting.wrong("not an address", MEND).because(&error))?.collect();
        found.sort_by_key(SocketAddr::is_ipv6);
        let address = *found.first().ok_or_else(|| setting.wrong("no address has this name", MEND))?;
        Ok(Self { address, is_default: setting.from == DEFAULT })
    }
}

/// HTTP carries tokens in the clear, so only this machine may reach it.
fn loopback(http: Listen, setting: &Setting) -> Result<Listen, Failure> {
    if http.address.ip().to_canonical().is_loopback() {
        return Ok(http);
    }
    Err(setting.wrong(
        "tokens would travel in the clear; take a loopback address",
        "as 127.0.0.1:7180, localhost:7180 or [::1]:7180",
    ))
}

fn node_name(setting: &Setting) -> Result<NodeName, Failure> {
    setting
        .value
        .parse()
        .map_err(|error| setting.wrong("not the name of a node", "a-z, 0-9, _ and -").because(&error))
}

fn node_names(setting: Option<&Setting>) -> Result<Vec<NodeName>, Failure> {
    let Some(setting) = setting else { return Ok(Vec::new()) };
    let each =
        setting.value.split(',').map(|name| Setting { value: name.trim().to_owned(), ..setting.clone() });
    each.map(|name| node_name(&name)).collect()
}

fn bridge<'a>(found: &impl Fn(&str) -> Option<&'a Setting>) -> Result<Bridge, Failure> {
    let needs =
        |setting: &Setting, what: &str| setting.wrong(format!("this needs {what} too"), "comms up --help");
    match (found(LEAF_LISTEN), found("join")) {
        (Some(listen), join) => {
            if let Some(other) = join.or_else(|| found("nats")) {
                return Err(other.wrong(
                    "a hub has a nats-server of its own and joins nobody",
                    "Take one of the two away",
                ));
            }
            let leafs = node_names(found("leafs"))?;
            if leafs.is_empty() {
                return Err(needs(listen, "the leafs that may join (--leaf)"));
            }
            Ok(Bridge::Hub { listen: Listen::read(listen)?.address, leafs })
        }
        (None, Some(join)) => {
            if let Some(nats) = found("nats") {
                return Err(nats.wrong("a leaf has a nats-server of its own", "Take nats or join away"));
            }
            let (Some(key), Some(hub)) = (found("join_key"), found("hub")) else {
                return Err(needs(join, "the key that the hub made (--join-key) and its name (--hub)"));
            };
            Ok(Bridge::Leaf {
                hub: node_name(hub)?,
                url: join.value.clone(),
                seed_file: PathBuf::from(&key.value),
                siblings: node_names(found("siblings"))?,
            })
        }
        (None, None) => Ok(Bridge::None),
    }
}

fn room<'a>(found: &impl Fn(&str) -> Option<&'a Setting>) -> Result<RoomLimits, Failure> {
    let log_bytes_max = found("log_max").map(size).transpose()?;
    match (log_bytes_max, found("log_max")) {
        (Some(bytes), Some(setting)) if bytes < LOG_BYTES_MIN => {
            Err(setting.wrong("too little to end commands in", "32 MiB is the least"))
        }
        _ => Ok(RoomLimits { log_bytes_max, free_bytes_min: found("keep_free").map(size).transpose()? }),
    }
}

/// Bytes as people write them: `512 MiB`, `10GiB`.
fn size(setting: &Setting) -> Result<u64, Failure> {
    let text = setting.value.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let shift = ["B", "KiB", "MiB", "GiB", "TiB"].iter().position(|known| *known == unit.trim_start());
    let factor = shift.map(|times| 1u64 << (10 * times));
    let bytes =
        number.parse::<u64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    bytes.ok_or_else(|| setting.wrong("not a size", "a size is written 512 MiB or 10 GiB"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn load(flags: &[&str], file: Option<&str>, environment: &[(&str, &str)]) -> Result<Settings, String> {
        let words = ["comms", "up"].iter().chain(flags).copied();
        let crate::args::Command::Up(up) = crate::args::Arguments::parse_from(words).command else {
            panic!("up")
        };
        let home = tempfile::tempdir().unwrap();
        if let Some(text) = file {
            std::fs::write(home.path().join(FILE), text).unwrap();
        }
        let variable = |name: &str| {
            environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::of(&up, Some(home.path()), variable).map_err(|failure| failure.to_string())
    }

    fn from<'a>(settings: &'a Settings, name: &str) -> (&'a str, &'a str) {
        let setting = settings.all.iter().find(|setting| setting.name == name).unwrap();
        let place = setting.from.rsplit('/').next().unwrap();
        (&setting.value, place)
    }

    #[test]
    fn the_nearer_source_wins_and_each_value_says_where_it_is_from() {
        let file = "listen = \"127.0.0.1:1\"\nhttp = \"127.0.0.1:2\"\nname = \"file\"\n";
        let environment = [("COMMS_HTTP", "127.0.0.1:3"), ("COMMS_NAME", "env"), ("COMMS_LOG", "info")];
        let settings = load(&["--name", "flag"], Some(file), &environment).unwrap();
        assert_eq!(from(&settings, "listen"), ("127.0.0.1:1", FILE));
        assert_eq!(from(&settings, "http"), ("127.0.0.1:3", "COMMS_HTTP"));
        assert_eq!(from(&settings, "name"), ("flag", "--name"));
        assert!(!settings.listen.is_default);
        let settings = load(&[], None, &[("COMMS_LISTEN", "")]).unwrap();
        assert_eq!(from(&settings, "listen"), ("127.0.0.1:4222", DEFAULT));
        assert!(settings.listen.is_default && settings.http.is_default && settings.name.is_none());
    }

    #[test]
    fn names_of_hosts_are_looked_up() {
        let settings = load(&["--listen", "localhost:0", "--http", "[::1]:0"], None, &[]).unwrap();
        assert_eq!(settings.listen.address, "127.0.0.1:0".parse().unwrap());
        assert_eq!(settings.http.address, "[::1]:0".parse().unwrap());
        for text in ["127.1.2.3:7180", "[::ffff:127.0.0.1]:1", "localhost:7180"] {
            load(&["--http", text], None, &[]).unwrap();
        }
    }

    #[test]
    fn several_nodes_are_a_list_or_have_commas_between_them() {
        let hub = ["--leaf-listen", "127.0.0.1:0"];
        for settings in [
            load(&hub, Some("leafs = [\"a\", \"b\"]"), &[]),
            load(&hub, None, &[("COMMS_LEAFS", "a, b")]),
            load(&[&hub[..], &["--leaf", "a", "--leaf", "b"]].concat(), Some("leafs = \"c\""), &[]),
        ] {
            let Bridge::Hub { leafs, .. } = settings.unwrap().bridge else { panic!("no hub") };
            assert_eq!(leafs.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a", "b"]);
        }
    }

    #[test]
    fn sizes_are_written_with_their_unit() {
        let settings = load(&["--log-max", "10GiB"], Some("keep_free = \"1 MiB\""), &[]).unwrap();
        let room = RoomLimits { log_bytes_max: Some(10 << 30), free_bytes_min: Some(1 << 20) };
        assert_eq!(settings.room, room);
        assert_eq!(load(&[], None, &[]).unwrap().room, RoomLimits::default());
        for text in ["10", "GiB", "1.5 GiB", "1 GB", "99999999999 TiB", "31 MiB"] {
            assert!(load(&["--log-max", text], None, &[]).is_err(), "{text}");
        }
    }

    #[test]
    fn a_mistake_names_its_place() {
        for (flags, file, environment, reason) in [
            (&["--listen", "nowhere"][..], "", &[][..], "--listen nowhere: not an address\n"),
            (&[], "", &[("COMMS_LISTEN", "4222")], "COMMS_LISTEN 4222: not an address\n"),
            (&[], "http = \"0.0.0.0:1\"", &[], "/comms.toml 0.0.0.0:1: tokens would travel in the clear"),
            (&[], "listn = \"x\"", &[], "listn is no option of a node\n  options are: listen, http,"),
            (&[], "listen = \"127.0.0.1:1\"\nhttp = [\n", &[], "/comms.toml:2:9  unclosed array"),
            (&[], "a = \"ä\"\na = 2", &[], "/comms.toml:2:1  duplicate key\n  Options are "),
            (
                &["--listen", "127.0.0.1:1", "--http", "127.0.0.1:1"],
                "",
                &[],
                "--listen 127.0.0.1:1: --http 127.0.0.1:1 is the same address\n",
            ),
            (
                &["--http", "127.0.0.1:4222"],
                "",
                &[],
                "--http 127.0.0.1:4222: the default of --listen 127.0.0.1:4222 is the same address\n",
            ),
            (
                &["--listen", "0.0.0.0:7180"],
                "",
                &[],
                "--listen 0.0.0.0:7180: the default of --http 127.0.0.1:7180 is the same",
            ),
            (
                &["--listen", "127.0.0.1:1"],
                "leaf_listen = \"0.0.0.0:1\"\nleafs = \"a\"",
                &[],
                "/comms.toml 0.0.0.0:1: --listen 127.0.0.1:1 is the same",
            ),
            (&[], "leafs = [[\"a\"]]", &[], "leafs is not text, or a list of texts"),
            (&[], "", &[("COMMS_NAME", "A B")], "COMMS_NAME A B: not the name of a node"),
            (&[], "join = \"nats://x\"", &[], "this needs the key that the hub made"),
            (&[], "leaf_listen = \"127.0.0.1:0\"", &[], "this needs the leafs that may join"),
            (
                &[],
                "leaf_listen = \"127.0.0.1:0\"\nleafs = \"a\"",
                &[("COMMS_NATS", "nats://x")],
                "COMMS_NATS nats://x: a hub",
            ),
        ] {
            let failure = load(flags, Some(file), environment).unwrap_err();
            assert!(failure.contains(reason), "{failure}");
        }
    }
}
