//! The strict decoder: canonical bytes only, unknown keys refused, nothing copied. Messages and drafts have
//! the same keys and the same reader; a draft may leave any of them out.

use bytes::Bytes;
use comms_content::cbor::{self, Reader};
use comms_content::{Cid, Node};

use crate::content::{Body, Kind, SealKey, Sealed};
use crate::error::{at, content_error, pointer};
use crate::hop::{CommandRef, CommitPlace, HopText};
use crate::limits::{BODY_DEPTH_MAX, WIRE_VERSION};
use crate::text::Ruled;
use crate::view::{DraftContentView, DraftView, HopView};
use crate::{EntityId, Error, Expect, MsgId, Owner, Result, ServiceName, Timestamp, TypeName, UserPairs};

/// How much may be missing or spelled differently.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leniency {
    /// Nothing: these are the bytes of a whole message.
    Strict,
    /// Anything may be missing; ids and times may have any common spelling.
    Draft,
}

/// Reads one message, or as much of it as there is, and nothing after it.
pub(crate) fn whole(bytes: &Bytes, leniency: Leniency) -> Result<DraftView<'_>> {
    let mut decoder = Decoder { reader: Reader::new(bytes), bytes, leniency };
    let mut draft = DraftView::default();
    decoder.message(&mut draft)?;
    decoder.reader.finish().map_err(content_error)?;
    Ok(draft)
}

/// Reads the message that the bytes begin with, and says how long it is.
pub(crate) fn first(bytes: &Bytes) -> Result<(DraftView<'_>, usize)> {
    let mut decoder = Decoder { reader: Reader::new(bytes), bytes, leniency: Leniency::Strict };
    let mut draft = DraftView::default();
    decoder.message(&mut draft)?;
    Ok((draft, decoder.reader.position()))
}

/// Refuses a body that nests deeper than the deepest envelope leaves room for.
pub(crate) fn check_depth(body: &Node) -> Result<()> {
    // Each level has at least one byte, so a small body needs no look.
    if body.as_bytes().len() <= BODY_DEPTH_MAX {
        return Ok(());
    }
    let depth = depth(&mut Reader::new(body.as_bytes())).map_err(content_error)?;
    if depth <= BODY_DEPTH_MAX {
        Ok(())
    } else {
        Err(Error::too_large(depth, BODY_DEPTH_MAX, "levels of nesting"))
    }
}

/// Levels of arrays and maps in an item that was read before, and so is at most `DEPTH_MAX` deep.
fn depth(reader: &mut Reader<'_>) -> comms_content::Result<usize> {
    let mut inner = 0;
    match reader.kind()? {
        cbor::Kind::Array => {
            for _ in 0..reader.array()? {
                inner = inner.max(depth(reader)?);
            }
        }
        cbor::Kind::Map => {
            let mut map = reader.map()?;
            while reader.key(&mut map)?.is_some() {
                inner = inner.max(depth(reader)?);
            }
        }
        cbor::Kind::Unsigned
        | cbor::Kind::Negative
        | cbor::Kind::Bytes
        | cbor::Kind::Text
        | cbor::Kind::Link
        | cbor::Kind::Bool
        | cbor::Kind::Null
        | cbor::Kind::Float => {
            reader.item()?;
            return Ok(0);
        }
    }
    Ok(inner + 1)
}

struct Decoder<'a> {
    /// Reads `bytes` from its beginning.
    reader: Reader<'a>,
    bytes: &'a Bytes,
    leniency: Leniency,
}

impl<'a> Decoder<'a> {
    fn message(&mut self, draft: &mut DraftView<'a>) -> Result<()> {
        let mut metadata = false;
        let mut map = self.reader.map().map_err(content_error)?;
        while let Some(key) = self.reader.key(&mut map).map_err(content_error)? {
            match key {
                "id" => draft.id = Some(at("/id", self.id())?),
                "hop" => at("/hop", self.hop(&mut draft.hop))?,
                "content" => at("/content", self.content(draft.content.insert(DraftContentView::default())))?,
                "metadata" => {
                    at("/metadata", self.metadata(draft))?;
                    metadata = true;
                }
                unknown => return Err(unknown_key(unknown, "id, hop, content, metadata")),
            }
        }
        if !metadata && self.leniency == Leniency::Strict {
            return Err(Error::missing("/metadata", "a map with v, time, owner, correlation"));
        }
        Ok(())
    }

    fn metadata(&mut self, metadata: &mut DraftView<'a>) -> Result<()> {
        let mut version = false;
        let mut map = self.reader.map().map_err(content_error)?;
        while let Some(key) = self.reader.key(&mut map).map_err(content_error)? {
            match key {
                "v" => {
                    at("/v", self.wire_version())?;
                    version = true;
                }
                "time" => metadata.time = Some(at("/time", self.time())?),
                "user" => metadata.user = at("/user", self.user())?,
                "owner" => metadata.owner = Some(at("/owner", self.ruled::<Owner>())?),
                "sender" => metadata.sender = Some(at("/sender", self.ruled::<ServiceName>())?),
                "causation" => metadata.causation = Some(at("/causation", self.id())?),
                "correlation" => metadata.correlation = Some(at("/correlation", self.id())?),
                unknown => {
                    let keys = "v, time, user, owner, sender, causation, correlation";
                    return Err(unknown_key(unknown, keys));
                }
            }
        }
        if !version && self.leniency == Leniency::Strict {
            return Err(Error::missing("/v", format!("the wire version, {WIRE_VERSION}")));
        }
        Ok(())
    }

    fn content(&mut self, content: &mut DraftContentView<'a>) -> Result<()> {
        let mut map = self.reader.map().map_err(content_error)?;
        while let Some(key) = self.reader.key(&mut map).map_err(content_error)? {
            match key {
                "v" => content.version = Some(at("/v", self.small())?),
                "body" => self.body(content, "/body", Decoder::inline)?,
                "link" => self.body(content, "/link", |decoder| decoder.link().map(Body::Link))?,
                "sealed" => self.body(content, "/sealed", |decoder| decoder.sealed().map(Body::Sealed))?,
                "event" => self.what(content, "/event", Kind::Event)?,
                "query" => self.what(content, "/query", Kind::Query)?,
                "command" => self.what(content, "/command", Kind::Command)?,
                "entity" => content.entity = Some(at("/entity", self.ruled::<EntityId>())?),
                "previous" => content.previous = Some(at("/previous", self.link())?),
                unknown => {
                    let keys = "one of command, query, event; one of body, link, sealed; v; and for an event entity, previous";
                    return Err(unknown_key(unknown, keys));
                }
            }
        }
        Ok(())
    }

    fn hop(&mut self, hop: &mut HopView<'a>) -> Result<()> {
        let mut map = self.reader.map().map_err(content_error)?;
        if map.remaining() == 0 && self.leniency == Leniency::Strict {
            return Err(Error::malformed("an empty map", "no hop at all where there is nothing in it"));
        }
        while let Some(key) = self.reader.key(&mut map).map_err(content_error)? {
            match key {
                "reply" => hop.reply = Some(at("/reply", self.ruled::<HopText>())?),
                "trace" => hop.trace = Some(at("/trace", self.ruled::<HopText>())?),
                "commit" => hop.commit = Some(at("/commit", self.commit_place())?),
                "command" => hop.command = Some(Box::new(at("/command", self.command_ref())?)),
                "expect" => hop.expect = at("/expect", self.expect())?,
                "deadline" => hop.deadline = Some(at("/deadline", self.time())?),
                unknown => {
                    return Err(unknown_key(unknown, "reply, trace, commit, expect, command, deadline"));
                }
            }
        }
        Ok(())
    }

    fn body(
        &mut self,
        content: &mut DraftContentView<'a>,
        place: &str,
        read: impl FnOnce(&mut Decoder<'a>) -> Result<Body>,
    ) -> Result<()> {
        if content.body.is_some() {
            return at(place, Err(Error::malformed("a second body", "exactly one of body, link, sealed")));
        }
        content.body = Some(at(place, read(self))?);
        Ok(())
    }

    fn what(&mut self, content: &mut DraftContentView<'a>, place: &str, kind: Kind) -> Result<()> {
        if content.what.is_some() {
            return at(place, Err(Error::malformed("a second type", "exactly one of command, query, event")));
        }
        content.what = Some((kind, at(place, self.ruled::<TypeName>())?));
        Ok(())
    }

    fn inline(&mut self) -> Result<Body> {
        let node = Node::read(&mut self.reader, self.bytes).map_err(content_error)?;
        check_depth(&node)?;
        Ok(Body::Inline(node))
    }

    fn sealed(&mut self) -> Result<Sealed> {
        let (mut key_name, mut link) = (None, None);
        let mut map = self.reader.map().map_err(content_error)?;
        while let Some(key) = self.reader.key(&mut map).map_err(content_error)? {
            match key {
                "key" => key_name = Some(at("/key", self.parsed::<SealKey>())?),
                "link" => link = Some(at("/link", self.link())?),
                unknown => return Err(unknown_key(unknown, "key, link")),
            }
        }
        Ok(Sealed {
            key: key_name.ok_or_else(|| Error::missing("/key", "the name of the key"))?,
            link: link.ok_or_else(|| Error::missing("/link", "a link to the encrypted block"))?,
        })
    }

    fn user(&mut self) -> Result<UserPairs> {
        let user = UserPairs::read(&mut self.reader, self.bytes)?;
        if user.is_empty() && self.leniency == Leniency::Strict {
            return Err(Error::malformed("an empty map", "no user at all where there are no pairs"));
        }
        Ok(user)
    }

    fn wire_version(&mut self) -> Result<()> {
        let version = self.small()?;
        if version == WIRE_VERSION {
            Ok(())
        } else {
            Err(Error::invalid(&version.to_string(), format!("the wire version {WIRE_VERSION}")))
        }
    }

    fn commit_place(&mut self) -> Result<CommitPlace> {
        let items = self.reader.array().map_err(content_error)?;
        if items != 2 {
            return Err(Error::malformed(format!("an array of {items}"), "[ordinal, count]"));
        }
        CommitPlace::new(self.small()?, self.small()?)
    }

    fn command_ref(&mut self) -> Result<CommandRef> {
        let (mut sequence, mut cid, mut time, mut type_name, mut sender) = (None, None, None, None, None);
        let mut map = self.reader.map().map_err(content_error)?;
        while let Some(key) = self.reader.key(&mut map).map_err(content_error)? {
            match key {
                "at" => sequence = Some(at("/at", self.reader.unsigned().map_err(content_error))?),
                "cid" => cid = Some(at("/cid", self.link())?),
                "time" => time = Some(at("/time", self.time())?),
                "type" => type_name = Some(at("/type", self.parsed::<TypeName>())?),
                "sender" => sender = Some(at("/sender", self.parsed::<ServiceName>())?),
                unknown => return Err(unknown_key(unknown, "at, cid, time, type, sender")),
            }
        }
        let missing = |place: &str, what: &str| Error::missing(place, what);
        Ok(CommandRef {
            sequence: sequence.ok_or_else(|| missing("/at", "its place in the queue"))?,
            cid: cid.ok_or_else(|| missing("/cid", "the CID of the command"))?,
            time: time.ok_or_else(|| missing("/time", "the time of the command"))?,
            type_name: type_name.ok_or_else(|| missing("/type", "the type of the command"))?,
            sender: sender.ok_or_else(|| missing("/sender", "who sent the command"))?,
        })
    }

    fn expect(&mut self) -> Result<Expect> {
        match self.parsed()? {
            Expect::Any if self.leniency == Leniency::Strict => {
                Err(Error::malformed("any", "no expect at all where nothing is expected"))
            }
            expect => Ok(expect),
        }
    }

    fn id(&mut self) -> Result<MsgId> {
        let text = self.text()?;
        match self.leniency {
            Leniency::Strict => MsgId::parse_text(text),
            Leniency::Draft => MsgId::parse_lenient(text),
        }
    }

    fn time(&mut self) -> Result<Timestamp> {
        let text = self.text()?;
        match self.leniency {
            Leniency::Strict => Timestamp::parse_text(text),
            Leniency::Draft => Timestamp::parse_lenient(text),
        }
    }

    fn small(&mut self) -> Result<u32> {
        let number = self.reader.unsigned().map_err(content_error)?;
        u32::try_from(number)
            .map_err(|_| Error::invalid(&number.to_string(), format!("an integer of at most {}", u32::MAX)))
    }

    /// A text that keeps the rule of its place.
    fn ruled<T: Ruled>(&mut self) -> Result<&'a str> {
        let text = self.text()?;
        T::check(text)?;
        Ok(text)
    }

    fn parsed<T: std::str::FromStr<Err = Error>>(&mut self) -> Result<T> {
        self.text()?.parse()
    }

    fn text(&mut self) -> Result<&'a str> {
        self.reader.text().map_err(content_error)
    }

    fn link(&mut self) -> Result<Cid> {
        self.reader.link().map_err(content_error)
    }
}

#[cold]
fn unknown_key(key: &str, expected: &str) -> Error {
    Error::UnknownKey { at: pointer(key), expected: expected.to_owned() }
}
