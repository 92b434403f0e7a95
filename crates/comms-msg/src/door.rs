//! What is said at the doors of the node, and what they answer: plain data with one shape in both forms.
//!
//! A request in JSON is answered in JSON, one in CBOR in CBOR ([`Form`]); every answer is `{"ok": …}` or
//! `{"error": Refusal}` ([`Answer`]). Requests with unknown keys are refused; answers are read without
//! minding them, so that a newer node can say more. What a door *does* is the node's business.

mod commit;
mod hello;
mod keep;
mod outcome;
mod refusal;
mod tally;
mod watch;

pub use commit::{Commit, Committed, Completion};
pub use hello::{CommandInfo, Delivery, Hello, HelloAsk, QueryInfo};
pub use keep::{Accepted, Appended, AppendedEvent};
pub use outcome::{Outcome, OutcomeAsk, OutcomeEvent, OutcomeState};
pub use refusal::{Answer, FieldProblem, Refusal, RefusalKind};
pub use tally::{Tally, TallyAsk};
pub use watch::{Arrival, ListenAsk, Listening, WatchAsk, WatchFrom, Watching};

pub use crate::form::Form;
