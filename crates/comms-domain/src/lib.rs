//! What a domain is: the definition, its checks, and the plan it implies.
//!
//! [`Domain::parse`] reads `domain.toml` and the JSON Schemas beside it, and either answers a [`Domain`] in
//! which every name refers to something, or all [`Problems`] at once, each with its place and its mend.
//! [`Layout::of`] is what such a domain needs on one node: streams, consumers, users and what each may do.
//! [`nats_conf`] writes that as text for nats-server, [`Domain::explain`] as text for people, and
//! [`Change::between`] says what applying a new definition would do.
//!
//! Nothing here talks to a server, reads a file or looks at a clock: the node does, with what is computed
//! here.

mod bound;
mod change;
mod definition;
mod domain;
mod explain;
pub mod file_schema;
mod layout;
pub mod limits;
pub mod nats_conf;
mod nearest;
mod problem;
mod schema;
mod words;

pub use bound::{Bound, Bounds, Parts};
pub use change::{Change, Changes, Orphan};
pub use domain::{
    CommandSpec, ContentPolicy, Domain, EventSpec, LOSS_ACCEPTED, QuerySpec, Right, Service, Spec,
};
pub use explain::{Explanation, Route};
pub use layout::{
    Account, Consumer, Difference, Export, Import, Layout, NodeId, NodeName, NodeNameError, Purpose,
    Republish, Retention, Role, Share, Stream, Transform, User, bridge_subject, foreign_subject, node_user,
};
pub use problem::{Problem, Problems};
pub use schema::{FieldProblem, Schema};
