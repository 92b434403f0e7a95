//! What a service's own types must be to travel: commands, queries and events, kept apart by the compiler.
//!
//! Implemented by the macros [`command!`](crate::command!), [`query!`](crate::query!) and
//! [`event!`](crate::event!), one line per type. Nothing here sends anything.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::send::{Sent, Told};

/// A type with a name in the domain.
pub trait Message: Serialize + DeserializeOwned + Send + 'static {
    /// The name in the domain definition, such as `documents.AddDocument`.
    const TYPE: &'static str;
    /// The version of the schema that this type is written for.
    const VERSION: u32 = 1;
}

/// Something to be done, by exactly one handler.
pub trait Command: Message {
    /// How it is delivered: [`Durable`] or [`Direct`], as the definition says.
    type Delivery: Delivery;
}

/// Something to be found out, which changes nothing.
pub trait Query: Message {
    /// What comes back.
    type Answer: Serialize + DeserializeOwned + Send + 'static;
}

/// Something that happened.
pub trait Event: Message {}

/// Kept on disk until handled; acknowledged when it is there.
#[derive(Clone, Copy, Debug)]
pub enum Durable {}

/// Not kept: fast, and gone if nobody handles it.
#[derive(Clone, Copy, Debug)]
pub enum Direct {}

/// How a command is delivered: [`Durable`] or [`Direct`] and nothing else.
pub trait Delivery: sealed::Sealed + Send + Sync + 'static {
    /// What the sender of such a command gets back.
    type Receipt: Send + 'static;
    /// Whether commands delivered this way are kept.
    const DURABLE: bool;

    #[doc(hidden)]
    fn receipt(delivered: sealed::Delivered) -> Self::Receipt;
}

impl Delivery for Durable {
    type Receipt = Sent;
    const DURABLE: bool = true;

    fn receipt(delivered: sealed::Delivered) -> Sent {
        match delivered {
            sealed::Delivered::Kept(sent) => *sent,
            sealed::Delivered::Told(_) => unreachable!("a durable command is kept"),
        }
    }
}

impl Delivery for Direct {
    type Receipt = Told;
    const DURABLE: bool = false;

    fn receipt(delivered: sealed::Delivered) -> Told {
        match delivered {
            sealed::Delivered::Told(told) => told,
            sealed::Delivered::Kept(_) => unreachable!("a direct command is not kept"),
        }
    }
}

/// What nobody outside of this crate can name, so that nobody else can say how commands are delivered.
pub(crate) mod sealed {
    use crate::send::{Sent, Told};

    pub trait Sealed {}
    impl Sealed for super::Durable {}
    impl Sealed for super::Direct {}

    /// What came of sending a command.
    #[derive(Debug)]
    pub enum Delivered {
        Kept(Box<Sent>),
        Told(Told),
    }
}

/// Names a type as a command of the domain: durable, or `direct`.
///
/// ```
/// # use serde::{Serialize, Deserialize};
/// #[derive(Serialize, Deserialize)]
/// struct AddDocument { title: String }
/// comms::command!(AddDocument = "documents.AddDocument");
///
/// #[derive(Serialize, Deserialize)]
/// struct Move { x: i64, y: i64 }
/// comms::command!(Move = "game.Move", direct);
/// ```
#[macro_export]
macro_rules! command {
    ($type:ty = $name:literal) => {
        $crate::command!(@ $type, $name, $crate::Durable);
    };
    ($type:ty = $name:literal, durable) => {
        $crate::command!(@ $type, $name, $crate::Durable);
    };
    ($type:ty = $name:literal, direct) => {
        $crate::command!(@ $type, $name, $crate::Direct);
    };
    (@ $type:ty, $name:literal, $delivery:ty) => {
        impl $crate::Message for $type {
            const TYPE: &'static str = $name;
        }
        impl $crate::Command for $type {
            type Delivery = $delivery;
        }
    };
}

/// Names a type as a query of the domain, and says what answers it.
///
/// ```
/// # use serde::{Serialize, Deserialize};
/// #[derive(Serialize, Deserialize)]
/// struct FindDocuments { words: String }
/// #[derive(Serialize, Deserialize)]
/// struct Documents { titles: Vec<String> }
/// comms::query!(FindDocuments = "documents.FindDocuments" -> Documents);
/// ```
#[macro_export]
macro_rules! query {
    ($type:ty = $name:literal -> $answer:ty) => {
        impl $crate::Message for $type {
            const TYPE: &'static str = $name;
        }
        impl $crate::Query for $type {
            type Answer = $answer;
        }
    };
}

/// Names a type as an event of the domain.
///
/// ```
/// # use serde::{Serialize, Deserialize};
/// #[derive(Serialize, Deserialize)]
/// struct DocumentAdded { title: String }
/// comms::event!(DocumentAdded = "documents.DocumentAdded");
/// ```
#[macro_export]
macro_rules! event {
    ($type:ty = $name:literal) => {
        impl $crate::Message for $type {
            const TYPE: &'static str = $name;
        }
        impl $crate::Event for $type {}
    };
}
