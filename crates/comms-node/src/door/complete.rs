//! Completing what a sender left out, so that every stored message is whole before it has a CID.

use bytes::Bytes;
use comms_msg::door::{Refusal, RefusalKind};
use comms_msg::{Defaults, Draft, Filled, Kind, Msg, MsgId, ServiceName, Timestamp, TypeName};

use crate::clock::now_ms;
use crate::log::commands::PendingCommand;

/// A whole message of the type that the door's subject names.
pub(super) fn whole(
    payload: &Bytes,
    kind: Kind,
    type_name: &TypeName,
    sender: &ServiceName,
) -> Result<(Msg, Filled), Refusal> {
    let now = now_ms();
    let id = MsgId::v7(now, rand::random());
    let defaults = Defaults::new(id, Timestamp::from_unix_ms(now), sender.clone(), kind, type_name.clone());
    let (mut msg, filled) = Draft::read(payload)?.complete(defaults)?;
    // A place in a commit is given by the commit door alone: the log is read back by it.
    (msg.hop.commit, msg.hop.command) = (None, None);
    Ok((msg, filled))
}

/// The event at `ordinal` among those that `handler` says `command` caused.
///
/// Its id, cause and conversation follow from the command. A handler may write them too, but not differently: that
/// keeps a repeated answer from counting twice, and causes from being invented.
pub(super) fn caused(
    event: Draft,
    command: &PendingCommand,
    handler: &ServiceName,
    ordinal: u32,
) -> Result<(Msg, Filled), Refusal> {
    let defaults = Defaults {
        id: MsgId::derive(&command.key, handler, ordinal),
        now: Timestamp::from_unix_ms(now_ms()),
        sender: handler.clone(),
        kind: Kind::Event,
        type_name: None,
        owner: Some(command.owner.clone()),
        correlation: Some(command.correlation),
        causation: Some(command.id),
    };
    let derived = defaults.id;
    let (msg, filled) = event.complete(defaults)?;
    let fixed = [
        ("/id", msg.id, derived),
        ("/metadata/correlation", msg.metadata.correlation, command.correlation),
        ("/metadata/causation", msg.metadata.causation.unwrap_or(command.id), command.id),
    ];
    for (path, given, wanted) in fixed {
        if given != wanted {
            let message =
                format!("{path}  {given} does not follow from the command; leave it out, or write {wanted}");
            return Err(Refusal::new(RefusalKind::Invalid, message));
        }
    }
    Ok((msg, filled))
}
