//! The names of the rows, and which contest measures each.

use clap::ValueEnum;

use super::append::Append;
use super::check::Check;
use super::command::Commands;
use super::contest::Plan;
use super::direct::Direct;
use super::get::Get;
use super::grounds::Grounds;
use super::put::Put;
use super::query::Queries;
use crate::failure::Failure;
use crate::json::Bench;

/// Queries under way at once in `query_256`.
const QUERIES: usize = 256;
/// Commands under way at once in `command_many`: as many as the node lets a service hold unacknowledged.
const COMMANDS: usize = 1024;
/// Events under way at once in `append_many`: while a batch of 1,000 is written, the next one gathers.
const EVENTS: usize = 2048;

/// A row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum RowName {
    /// Direct commands, as many as go through.
    Direct,
    /// What a door does with a command before it is written.
    Check,
    /// Queries, one at a time.
    Query,
    /// Queries, 256 at a time.
    #[value(name = "query_256")]
    Query256,
    /// Durable commands until their outcome, one at a time.
    CommandOne,
    /// Durable commands until their outcome, many at a time.
    CommandMany,
    /// Events appended one at a time.
    AppendOne,
    /// Events appended many at a time.
    AppendMany,
    /// 1 GiB of content put; as much stays in the folder for temporary files for each run, until the end.
    #[value(name = "put_1g")]
    Put1g,
    /// 1 GiB of content fetched.
    #[value(name = "get_1g")]
    Get1g,
}

impl RowName {
    /// The rows to measure, in their order; all unless some are named.
    pub(super) fn chosen(named: &[RowName]) -> Vec<RowName> {
        RowName::value_variants()
            .iter()
            .copied()
            .filter(|row| named.is_empty() || named.contains(row))
            .collect()
    }

    /// As on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Check => "check",
            Self::Query => "query",
            Self::Query256 => "query_256",
            Self::CommandOne => "command_one",
            Self::CommandMany => "command_many",
            Self::AppendOne => "append_one",
            Self::AppendMany => "append_many",
            Self::Put1g => "put_1g",
            Self::Get1g => "get_1g",
        }
    }

    /// Whether `nats bench` measures the same.
    pub(super) fn has_foreign_peer(self) -> bool {
        matches!(self, Self::Direct | Self::Query)
    }

    /// Measures it: one line per peer.
    pub(super) async fn measure(self, plan: Plan, grounds: &mut Grounds) -> Result<Vec<Bench>, Failure> {
        match self {
            Self::Direct => plan.run(self, Direct::prepare(grounds).await?).await,
            Self::Check => plan.run(self, Check::prepare()?).await,
            Self::Query => plan.run(self, Queries::prepare(grounds, 1).await?).await,
            Self::Query256 => plan.run(self, Queries::prepare(grounds, QUERIES).await?).await,
            Self::CommandOne => plan.run(self, Commands::prepare(grounds, 1).await?).await,
            Self::CommandMany => plan.run(self, Commands::prepare(grounds, COMMANDS).await?).await,
            Self::AppendOne => plan.run(self, Append::prepare(grounds, 1).await?).await,
            Self::AppendMany => plan.run(self, Append::prepare(grounds, EVENTS).await?).await,
            Self::Put1g => plan.large().run(self, Put::prepare(grounds).await?).await,
            Self::Get1g => plan.large().run(self, Get::prepare(grounds).await?).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_named_as_on_the_command_line() {
        for row in RowName::value_variants() {
            assert_eq!(row.to_possible_value().expect("none is hidden").get_name(), row.name());
        }
    }

    #[test]
    fn rows_are_measured_once_and_in_their_order() {
        use RowName::{Direct, Get1g, Query};
        assert_eq!(RowName::chosen(&[Get1g, Query, Direct, Query]), [Direct, Query, Get1g]);
        assert_eq!(RowName::chosen(&[]).len(), RowName::value_variants().len());
    }
}
