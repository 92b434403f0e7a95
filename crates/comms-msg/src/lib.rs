//! What a message is: ids, names, subjects, [`Msg`] and its wire forms.
//!
//! Everything that crosses a connection of Comms is described here as plain values, with one fallible
//! constructor each: what has been parsed once carries its proof. Nothing here knows a clock, a
//! connection or a file; ids and times come in as arguments. What a *domain* allows (which types exist,
//! who may send them) is not this crate's business but that of `comms-domain`.

mod content;
pub mod door;
mod draft;
mod entity;
mod error;
mod form;
mod hop;
mod id;
pub mod inbox;
mod key;
pub mod limits;
mod metadata;
mod msg;
mod name;
mod owner;
mod pairs;
mod position;
mod reply;
pub mod schema;
mod serde_bound;
mod subject;
mod text;
mod timestamp;
mod type_name;
mod view;
pub mod wire;

pub use content::{Body, Command, DomainContent, Event, Kind, Query, SealKey, Sealed};
pub use draft::{Defaults, Draft, DraftContent, DraftMetadata, Filled};
pub use entity::EntityId;
pub use error::{Error, Result};
pub use form::Form;
pub use hop::{CommandRef, CommitPlace, Hop, HopText};
pub use id::MsgId;
pub use key::MsgKey;
pub use metadata::Metadata;
pub use msg::{Encoded, Msg};
pub use name::{DeliverToken, DomainName, ServiceName};
pub use owner::Owner;
pub use pairs::UserPairs;
pub use position::{Expect, Position};
pub use reply::Reply;
pub use subject::{Door, Filter, Subject};
pub use timestamp::Timestamp;
pub use type_name::TypeName;
pub use view::View;
