//! The direct encoder: keys in their one canonical order, written as constants, no tree and no serde. It
//! writes whole messages and drafts alike, so that there is one place that knows the order.

use std::ops::Range;

use comms_content::Cid;
use comms_content::cbor::Writer;

use crate::content::{Body, DomainContent, Kind};
use crate::draft::Draft;
use crate::limits::WIRE_VERSION;
use crate::timestamp;
use crate::{
    CommandRef, EntityId, Expect, Hop, Metadata, Msg, MsgId, Owner, ServiceName, Timestamp, TypeName,
    UserPairs,
};

/// What a message, or as much of it as there is, consists of.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) id: Option<MsgId>,
    pub(crate) hop: Option<&'a Hop>,
    pub(crate) content: Option<ContentParts<'a>>,
    pub(crate) owner: Option<&'a Owner>,
    pub(crate) time: Option<Timestamp>,
    pub(crate) sender: Option<&'a ServiceName>,
    pub(crate) correlation: Option<MsgId>,
    pub(crate) causation: Option<MsgId>,
    pub(crate) user: &'a UserPairs,
}

/// The same for its content.
#[derive(Clone, Copy)]
pub(crate) struct ContentParts<'a> {
    pub(crate) what: Option<(Kind, &'a TypeName)>,
    pub(crate) version: Option<u32>,
    pub(crate) body: Option<&'a Body>,
    pub(crate) entity: Option<&'a EntityId>,
    pub(crate) previous: Option<&'a Cid>,
}

impl<'a> Parts<'a> {
    #[inline]
    pub(crate) fn of(msg: &'a Msg) -> Parts<'a> {
        let Metadata { owner, time, sender, correlation, causation, user } = &msg.metadata;
        Parts {
            id: Some(msg.id),
            hop: (!msg.hop.is_empty()).then_some(&msg.hop),
            content: msg.content.as_ref().map(ContentParts::of),
            owner: Some(owner),
            time: Some(*time),
            sender: sender.as_ref(),
            correlation: Some(*correlation),
            causation: *causation,
            user,
        }
    }

    pub(crate) fn of_draft(draft: &'a Draft) -> Parts<'a> {
        let metadata = &draft.metadata;
        Parts {
            id: draft.id,
            hop: (!draft.hop.is_empty()).then_some(&draft.hop),
            content: draft.content.as_ref().map(|content| ContentParts {
                what: content.what.as_ref().map(|(kind, name)| (*kind, name)),
                version: content.version,
                body: content.body.as_ref(),
                entity: content.entity.as_ref(),
                previous: content.previous.as_ref(),
            }),
            owner: metadata.owner.as_ref(),
            time: metadata.time,
            sender: metadata.sender.as_ref(),
            correlation: metadata.correlation,
            causation: metadata.causation,
            user: &metadata.user,
        }
    }

    /// Appends the canonical map, and says where in `out` its `hop` is.
    #[inline]
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Range<usize> {
        let pairs = 1
            + usize::from(self.id.is_some())
            + usize::from(self.hop.is_some())
            + usize::from(self.content.is_some());
        Writer::new(out).map(pairs);
        if let Some(id) = self.id {
            out.extend_from_slice(b"\x62id");
            write_id(id, out);
        }
        let start = out.len();
        if let Some(hop) = self.hop {
            out.extend_from_slice(b"\x63hop");
            write_hop(hop, out);
        }
        let hop = start..out.len();
        if let Some(content) = &self.content {
            out.extend_from_slice(b"\x67content");
            content.write(out);
        }
        out.extend_from_slice(b"\x68metadata");
        self.write_metadata(out);
        hop
    }

    #[inline]
    fn write_metadata(&self, out: &mut Vec<u8>) {
        let pairs = 1
            + usize::from(self.time.is_some())
            + usize::from(!self.user.is_empty())
            + usize::from(self.owner.is_some())
            + usize::from(self.sender.is_some())
            + usize::from(self.causation.is_some())
            + usize::from(self.correlation.is_some());
        Writer::new(out).map(pairs);
        out.extend_from_slice(b"\x61v");
        Writer::new(out).unsigned(u64::from(WIRE_VERSION));
        if let Some(time) = self.time {
            out.extend_from_slice(b"\x64time");
            write_time(time, out);
        }
        if !self.user.is_empty() {
            out.extend_from_slice(b"\x64user");
            self.user.write(out);
        }
        if let Some(owner) = self.owner {
            out.extend_from_slice(b"\x65owner");
            Writer::new(out).text(owner.as_str());
        }
        if let Some(sender) = self.sender {
            out.extend_from_slice(b"\x66sender");
            Writer::new(out).text(sender.as_str());
        }
        if let Some(causation) = self.causation {
            out.extend_from_slice(b"\x69causation");
            write_id(causation, out);
        }
        if let Some(correlation) = self.correlation {
            out.extend_from_slice(b"\x6bcorrelation");
            write_id(correlation, out);
        }
    }
}

impl<'a> ContentParts<'a> {
    #[inline]
    fn of(content: &'a DomainContent) -> ContentParts<'a> {
        let (entity, previous) = match content {
            DomainContent::Event(event) => (Some(&event.entity), event.previous.as_ref()),
            DomainContent::Command(_) | DomainContent::Query(_) => (None, None),
        };
        ContentParts {
            what: Some((content.kind(), content.type_name())),
            version: Some(content.version()),
            body: Some(content.body()),
            entity,
            previous,
        }
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        let pairs = usize::from(self.version.is_some())
            + usize::from(self.body.is_some())
            + usize::from(self.what.is_some())
            + usize::from(self.entity.is_some())
            + usize::from(self.previous.is_some());
        Writer::new(out).map(pairs);
        if let Some(version) = self.version {
            out.extend_from_slice(b"\x61v");
            Writer::new(out).unsigned(u64::from(version));
        }
        match self.body {
            Some(Body::Inline(node)) => {
                out.extend_from_slice(b"\x64body");
                out.extend_from_slice(node.as_bytes());
            }
            Some(Body::Link(cid)) => {
                out.extend_from_slice(b"\x64link");
                Writer::new(out).link(cid);
            }
            Some(Body::Sealed(_)) | None => {}
        }
        match self.what {
            Some((Kind::Event, name)) => {
                out.extend_from_slice(b"\x65event");
                Writer::new(out).text(name.as_str());
            }
            Some((Kind::Query, name)) => {
                out.extend_from_slice(b"\x65query");
                Writer::new(out).text(name.as_str());
            }
            Some((Kind::Command, _)) | None => {}
        }
        if let Some(entity) = self.entity {
            out.extend_from_slice(b"\x66entity");
            Writer::new(out).text(entity.as_str());
        }
        if let Some(Body::Sealed(sealed)) = self.body {
            out.extend_from_slice(b"\x66sealed\xa2\x63key");
            Writer::new(out).text(sealed.key.as_str());
            out.extend_from_slice(b"\x64link");
            Writer::new(out).link(&sealed.link);
        }
        if let Some((Kind::Command, name)) = self.what {
            out.extend_from_slice(b"\x67command");
            Writer::new(out).text(name.as_str());
        }
        if let Some(previous) = self.previous {
            out.extend_from_slice(b"\x68previous");
            Writer::new(out).link(previous);
        }
    }
}

fn write_hop(hop: &Hop, out: &mut Vec<u8>) {
    let Hop { reply, trace, commit, command, expect, deadline } = hop;
    let pairs = usize::from(reply.is_some())
        + usize::from(trace.is_some())
        + usize::from(commit.is_some())
        + usize::from(command.is_some())
        + usize::from(*expect != Expect::Any)
        + usize::from(deadline.is_some());
    Writer::new(out).map(pairs);
    if let Some(reply) = reply {
        out.extend_from_slice(b"\x65reply");
        Writer::new(out).text(reply.as_str());
    }
    if let Some(trace) = trace {
        out.extend_from_slice(b"\x65trace");
        Writer::new(out).text(trace.as_str());
    }
    if let Some(commit) = commit {
        out.extend_from_slice(b"\x66commit");
        let mut writer = Writer::new(out);
        writer.array(2);
        writer.unsigned(u64::from(commit.ordinal()));
        writer.unsigned(u64::from(commit.count()));
    }
    match expect {
        Expect::Any => {}
        Expect::Absent => out.extend_from_slice(b"\x66expect\x66absent"),
        Expect::At(position) => {
            out.extend_from_slice(b"\x66expect");
            Writer::new(out).text(&position.to_string());
        }
    }
    if let Some(command) = command {
        out.extend_from_slice(b"\x67command");
        write_command(command, out);
    }
    if let Some(deadline) = deadline {
        out.extend_from_slice(b"\x68deadline");
        write_time(*deadline, out);
    }
}

fn write_command(command: &CommandRef, out: &mut Vec<u8>) {
    let CommandRef { sequence, cid, time, type_name, sender } = command;
    Writer::new(out).map(5);
    out.extend_from_slice(b"\x62at");
    Writer::new(out).unsigned(*sequence);
    out.extend_from_slice(b"\x63cid");
    Writer::new(out).link(cid);
    out.extend_from_slice(b"\x64time");
    write_time(*time, out);
    out.extend_from_slice(b"\x64type");
    Writer::new(out).text(type_name.as_str());
    out.extend_from_slice(b"\x66sender");
    Writer::new(out).text(sender.as_str());
}

#[inline]
pub(crate) fn write_id(id: MsgId, out: &mut Vec<u8>) {
    Writer::new(out).text(id.write_text(&mut [0; 36]));
}

#[inline]
fn write_time(time: Timestamp, out: &mut Vec<u8>) {
    Writer::new(out).text(time.write_text(&mut [0; timestamp::TEXT_BYTES]));
}

/// About how large a message will be, so that its vector grows once.
pub(crate) fn size_hint(msg: &Msg) -> usize {
    // Keys, ids, times and names of an envelope with everything in it but pairs, and with room to spare.
    const ENVELOPE: usize = 512;
    let body = match msg.content.as_ref().map(DomainContent::body) {
        Some(Body::Inline(node)) => node.as_bytes().len(),
        Some(Body::Link(_) | Body::Sealed(_)) | None => 0,
    };
    ENVELOPE + msg.metadata.user.encoded_len() + body
}
