//! The JSON Schema of a message's JSON form, for people and programs that write messages without this crate.
//! It says what a schema can say; limits in bytes, and what must agree with what, are in the descriptions.

use serde_json::{Value, json};

use crate::limits::{
    COMMIT_EVENTS_MAX, ENTITY_BYTES_MAX, HOP_TEXT_BYTES_MAX, LOG_BYTES, OWNER_BYTES_MAX, PAIR_KEY_BYTES_MAX,
    PAIR_VALUE_BYTES_MAX, PAIRS_MAX, SEAL_KEY_BYTES_MAX, WIRE_VERSION,
};

/// The schema of a whole message: `schemas/msg.schema.json`.
pub fn msg() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Msg",
        "description": "A message in its JSON form, which is DAG-JSON. Its CID is that of the canonical DAG-CBOR \
            of id, metadata and content.",
        "type": "object",
        "required": ["id", "metadata"],
        "additionalProperties": false,
        "properties": {
            "id": { "$ref": "#/$defs/id" },
            "metadata": { "$ref": "#/$defs/metadata" },
            "content": { "$ref": "#/$defs/content" },
            "hop": { "$ref": "#/$defs/hop" },
        },
        "$defs": {
            "id": {
                "description": "A UUID in lower case with hyphens; version 7 sorts by time.",
                "type": "string",
                "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
            },
            "time": {
                "description": "UTC, with exactly three digits of milliseconds.",
                "type": "string",
                "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z$",
            },
            "type": {
                "description": "A type with its context.",
                "type": "string",
                "pattern": "^[a-z][a-z0-9_-]{0,62}\\.[A-Z][A-Za-z0-9]{0,62}$",
            },
            "metadata": metadata(),
            "content": content(),
            "hop": hop(),
            "link": {
                "description": "A link to content: its CID.",
                "type": "object",
                "required": ["/"],
                "additionalProperties": false,
                "properties": { "/": { "type": "string", "minLength": 1 } },
            },
            "bytes": {
                "description": "Bytes, in base64 without padding.",
                "type": "object",
                "required": ["/"],
                "additionalProperties": false,
                "properties": {
                    "/": {
                        "type": "object",
                        "required": ["bytes"],
                        "additionalProperties": false,
                        "properties": { "bytes": { "type": "string", "pattern": "^[A-Za-z0-9+/]*={0,2}$" } },
                    },
                },
            },
            "value": {
                "description": "Any value; integers from -2^63 to 2^64-1; no key \"/\" but in links and bytes.",
                "oneOf": [
                    { "type": ["null", "boolean", "number", "string"] },
                    { "type": "array", "items": { "$ref": "#/$defs/value" } },
                    { "$ref": "#/$defs/link" },
                    { "$ref": "#/$defs/bytes" },
                    {
                        "type": "object",
                        "propertyNames": { "not": { "const": "/" } },
                        "additionalProperties": { "$ref": "#/$defs/value" },
                    },
                ],
            },
        },
    })
}

fn metadata() -> Value {
    json!({
        "type": "object",
        "required": ["v", "time", "owner", "correlation"],
        "additionalProperties": false,
        "properties": {
            "v": { "description": "The wire version.", "const": WIRE_VERSION },
            "time": { "$ref": "#/$defs/time" },
            "owner": {
                "description": format!(
                    "The opaque id of the person or agent who answers for the message; at most {OWNER_BYTES_MAX} \
                     bytes. Never personal data."
                ),
                "type": "string",
                "minLength": 1,
                "maxLength": OWNER_BYTES_MAX,
                "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
            },
            "sender": {
                "description": "The service that sent it; equal to the last token of its subject.",
                "type": "string",
                "pattern": "^[a-z][a-z0-9_-]{0,62}$",
                "not": { "const": "node" },
            },
            "correlation": {
                "description": "The conversation: the id of its first message, the message's own id at the root.",
                "$ref": "#/$defs/id",
            },
            "causation": { "description": "The message that caused this one.", "$ref": "#/$defs/id" },
            "user": {
                "description": format!(
                    "The user's pairs; keys of at most {PAIR_KEY_BYTES_MAX} bytes, values of at most \
                     {PAIR_VALUE_BYTES_MAX}. Left out where there are none."
                ),
                "type": "object",
                "minProperties": 1,
                "maxProperties": PAIRS_MAX,
                "propertyNames": { "minLength": 1, "maxLength": PAIR_KEY_BYTES_MAX, "not": { "const": "/" } },
                "additionalProperties": { "type": "string", "maxLength": PAIR_VALUE_BYTES_MAX },
            },
        },
    })
}

fn content() -> Value {
    json!({
        "description": "Exactly one of command, query, event; exactly one of body, link, sealed.",
        "type": "object",
        "required": ["v"],
        "additionalProperties": false,
        "properties": {
            "v": {
                "description": "The version of the type's schema.",
                "type": "integer",
                "minimum": 0,
                "maximum": u32::MAX,
            },
            "command": { "$ref": "#/$defs/type" },
            "query": { "$ref": "#/$defs/type" },
            "event": { "$ref": "#/$defs/type" },
            "entity": {
                "description": "Whose history the event belongs to; an opaque id, never personal data.",
                "type": "string",
                "pattern": format!("^[A-Za-z0-9_=-]{{1,{ENTITY_BYTES_MAX}}}$"),
            },
            "previous": {
                "description": "The message CID of the entity's event before this one; reserved.",
                "$ref": "#/$defs/link",
            },
            "body": { "$ref": "#/$defs/value" },
            "link": {
                "description": "The whole body is this DAG-CBOR block.",
                "$ref": "#/$defs/link",
            },
            "sealed": {
                "description": "The whole body is this block, encrypted with a key kept elsewhere.",
                "type": "object",
                "required": ["key", "link"],
                "additionalProperties": false,
                "properties": {
                    "key": { "type": "string", "minLength": 1, "maxLength": SEAL_KEY_BYTES_MAX },
                    "link": { "$ref": "#/$defs/link" },
                },
            },
        },
        "allOf": [
            {
                "oneOf": [
                    { "required": ["command"] },
                    { "required": ["query"] },
                    { "required": ["event"] },
                ],
            },
            {
                "oneOf": [
                    { "required": ["body"] },
                    { "required": ["link"] },
                    { "required": ["sealed"] },
                ],
            },
        ],
        "dependentRequired": { "event": ["entity"], "entity": ["event"], "previous": ["event"] },
    })
}

fn hop() -> Value {
    json!({
        "description": "What hops may change; never part of the CID. Left out where there is nothing in it.",
        "type": "object",
        "minProperties": 1,
        "additionalProperties": false,
        "properties": {
            "reply": {
                "description": "Where an answer goes, if not to the reply subject of the transport.",
                "type": "string",
                "minLength": 1,
                "maxLength": HOP_TEXT_BYTES_MAX,
            },
            "trace": {
                "description": "The trace that the message belongs to.",
                "type": "string",
                "minLength": 1,
                "maxLength": HOP_TEXT_BYTES_MAX,
            },
            "commit": {
                "description": "Which event of how many of one commit: [ordinal from 0, count].",
                "type": "array",
                "minItems": 2,
                "maxItems": 2,
                "items": { "type": "integer", "minimum": 0, "maximum": COMMIT_EVENTS_MAX },
            },
            "command": {
                "description": "The command that the commit ended, on its first event; written by the log alone.",
                "type": "object",
                "additionalProperties": false,
                "required": ["at", "cid", "time", "type", "sender"],
                "properties": {
                    "at": { "description": "Its place in the queue.", "type": "integer", "minimum": 0 },
                    "cid": { "$ref": "#/$defs/link" },
                    "time": { "$ref": "#/$defs/time" },
                    "type": { "$ref": "#/$defs/type" },
                    "sender": { "type": "string", "pattern": "^[a-z][a-z0-9_-]{0,62}$" },
                },
            },
            "expect": {
                "description": "What an append expects of the entity: no event yet, or its last one here.",
                "type": "string",
                "pattern": format!("^(absent|(0|[1-9][0-9]{{0,19}})@[a-z0-9]{{{LOG_BYTES}}})$"),
            },
            "deadline": { "description": "When the sender stops waiting.", "$ref": "#/$defs/time" },
        },
    })
}
