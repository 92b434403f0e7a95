//! Every keyword of JSON Schema 2020-12, and those of other dialects that people know: each is enforced, or the
//! definition's check says that it is not, with its place and what does the same. This table is the promise.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};

use comms_content::Node;
use comms_domain::{Domain, Problem, Problems, Schema};
use comms_msg::TypeName;

/// What becomes of a keyword.
enum Becomes {
    /// This body fits, that one does not.
    Enforced(&'static str, &'static str),
    /// The definition is refused with these words and this mend.
    Refused(&'static str, &'static str),
    /// The definition is right, and its check says this.
    Noted(&'static str, &'static str),
    /// For readers; it promises no rule.
    Words,
}

use Becomes::{Enforced, Noted, Refused, Words};

/// Keyword, a schema with it, what becomes of it. By the vocabularies of 2020-12, then those of others.
#[rustfmt::skip]
const TABLE: &[(&str, &str, Becomes)] = &[
    // Core.
    ("$schema", r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","required":["a"]}"#, Enforced(r#"{"a":1}"#, "{}")),
    ("$schema", r#"{"$schema":"http://json-schema.org/draft-07/schema#"}"#, Refused("written for another JSON Schema", "2020-12")),
    ("$schema", r#"{"properties":{"a":{"$schema":"https://json-schema.org/draft/2020-12/schema"}}}"#, Refused("$schema inside a schema", "leave it out")),
    ("$id", r#"{"$id":"https://example.org/t","required":["a"]}"#, Enforced(r#"{"a":1}"#, "{}")),
    ("$id", r#"{"properties":{"a":{"$id":"x"}}}"#, Refused("$id inside a schema", "leave it out")),
    ("$ref", r##"{"properties":{"a":{"$ref":"#/$defs/n"}},"$defs":{"n":{"type":"integer"}}}"##, Enforced(r#"{"a":1}"#, r#"{"a":"x"}"#)),
    ("$ref", r#"{"$ref":"https://example.org/other.json"}"#, Refused("outside this file", "#/$defs")),
    ("$ref", r##"{"$ref":"#"}"##, Refused("refers to itself", "properties or items")),
    ("$ref", r#"{"properties":{"a":{"$ref":"comms:bytes","maxLength":3}}}"#, Refused("maxLength says nothing of comms:bytes", "leave it out")),
    ("$anchor", r##"{"properties":{"a":{"$ref":"#n"}},"$defs":{"x":{"$anchor":"n","type":"integer"}}}"##, Enforced(r#"{"a":1}"#, r#"{"a":"x"}"#)),
    ("$anchor", r##"{"$defs":{"x":{"$anchor":"n"},"y":{"$anchor":"n"}}}"##, Refused("$anchor n is there twice", "another name")),
    ("$dynamicRef", r##"{"$dynamicRef":"#n"}"##, Refused("$dynamicRef is not supported", "$ref")),
    ("$dynamicAnchor", r#"{"$dynamicAnchor":"n"}"#, Refused("$dynamicAnchor is not supported", "$ref")),
    ("$vocabulary", r#"{"$vocabulary":{}}"#, Refused("unknown keyword $vocabulary", "meta-schema")),
    ("$comment", r#"{"$comment":"x"}"#, Words),
    ("$defs", r##"{"properties":{"a":{"$ref":"#/$defs/n"}},"$defs":{"n":{"const":1}}}"##, Enforced(r#"{"a":1}"#, r#"{"a":2}"#)),
    // Applicators.
    ("prefixItems", r#"{"properties":{"a":{"prefixItems":[{"type":"integer"}]}}}"#, Enforced(r#"{"a":[1,"x"]}"#, r#"{"a":["x"]}"#)),
    ("items", r#"{"properties":{"a":{"items":{"type":"integer"}}}}"#, Enforced(r#"{"a":[1,2]}"#, r#"{"a":[1,"x"]}"#)),
    ("items", r#"{"properties":{"a":{"items":[{"type":"integer"}]}}}"#, Refused("not a JSON Schema: /properties/a/items", "2020-12")),
    ("contains", r#"{"properties":{"a":{"contains":{"const":1}}}}"#, Enforced(r#"{"a":[2,1]}"#, r#"{"a":[2]}"#)),
    ("additionalProperties", r#"{"additionalProperties":{"type":"integer"}}"#, Enforced(r#"{"a":1}"#, r#"{"a":"x"}"#)),
    ("properties", r#"{"properties":{"a":{}}}"#, Enforced(r#"{"a":1}"#, r#"{"b":1}"#)),
    ("patternProperties", r#"{"patternProperties":{"^a":{"type":"integer"}}}"#, Enforced(r#"{"ab":1}"#, r#"{"ab":"x"}"#)),
    ("patternProperties", r#"{"patternProperties":{"(?=a)":{}}}"#, Refused("not a pattern", "no lookaround")),
    ("dependentSchemas", r#"{"dependentSchemas":{"a":{"required":["b"]}}}"#, Enforced(r#"{"a":1,"b":1}"#, r#"{"a":1}"#)),
    ("propertyNames", r#"{"propertyNames":{"maxLength":1}}"#, Enforced(r#"{"a":1}"#, r#"{"ab":1}"#)),
    ("if", r#"{"if":{"required":["a"]},"then":{"required":["b"]}}"#, Enforced(r#"{"a":1,"b":1}"#, r#"{"a":1}"#)),
    ("if", r#"{"if":{"required":["a"]}}"#, Noted("if without then and else changes nothing", "add one")),
    ("then", r#"{"if":{"required":["a"]},"then":{"required":["b"]}}"#, Enforced(r#"{"c":1}"#, r#"{"a":1}"#)),
    ("then", r#"{"then":{"required":["b"]}}"#, Refused("then without if", "add if")),
    ("else", r#"{"if":{"required":["a"]},"else":{"required":["b"]}}"#, Enforced(r#"{"a":1}"#, r#"{"c":1}"#)),
    ("else", r#"{"else":{"required":["b"]}}"#, Refused("else without if", "add if")),
    ("allOf", r#"{"allOf":[{"required":["a"]},{"required":["b"]}]}"#, Enforced(r#"{"a":1,"b":1}"#, r#"{"a":1}"#)),
    ("anyOf", r#"{"anyOf":[{"required":["a"]},{"required":["b"]}]}"#, Enforced(r#"{"b":1}"#, r#"{"c":1}"#)),
    ("oneOf", r#"{"oneOf":[{"required":["a"]},{"required":["b"]}]}"#, Enforced(r#"{"b":1}"#, r#"{"a":1,"b":1}"#)),
    ("not", r#"{"not":{"required":["a"]}}"#, Enforced("{}", r#"{"a":1}"#)),
    ("unevaluatedItems", r#"{"properties":{"a":{"prefixItems":[{}],"unevaluatedItems":false}}}"#, Enforced(r#"{"a":[1]}"#, r#"{"a":[1,2]}"#)),
    ("unevaluatedProperties", r#"{"allOf":[{"properties":{"a":{}}}],"unevaluatedProperties":false}"#, Enforced(r#"{"a":1}"#, r#"{"b":1}"#)),
    // Validation.
    ("type", r#"{"properties":{"a":{"type":"integer"}}}"#, Enforced(r#"{"a":1}"#, r#"{"a":1.5}"#)),
    ("type", r#"{"type":"array"}"#, Refused("no body can be this", "an object")),
    ("type", r#"{"allOf":[{"type":["string","null"]}]}"#, Refused("no body can be this", "an object")),
    ("type", r#"{"$ref":"comms:bytes"}"#, Refused("no body can be this", "an object")),
    ("enum", r#"{"properties":{"a":{"enum":[1,"x"]}}}"#, Enforced(r#"{"a":"x"}"#, r#"{"a":2}"#)),
    ("enum", r#"{"properties":{"a":{"enum":[]}}}"#, Refused("an empty enum", "list")),
    ("enum", r#"{"properties":{"a":{"enum":[1,2,1]}}}"#, Refused("1 is listed twice", "once")),
    ("enum", r#"{"properties":{"a":{"type":"string","enum":["x",1]}}}"#, Refused("1 is not of the type", "correct")),
    ("const", r#"{"properties":{"a":{"const":{"b":[1]}}}}"#, Enforced(r#"{"a":{"b":[1]}}"#, r#"{"a":{"b":[2]}}"#)),
    ("const", r#"{"properties":{"a":{"type":"string","const":1}}}"#, Refused("1 is not of the type", "correct")),
    ("const", r#"{"properties":{"a":{"enum":[1,2],"const":3}}}"#, Refused("3 is not in enum", "leave out")),
    ("multipleOf", r#"{"properties":{"a":{"multipleOf":3}}}"#, Enforced(r#"{"a":6}"#, r#"{"a":7}"#)),
    ("maximum", r#"{"properties":{"a":{"maximum":3}}}"#, Enforced(r#"{"a":3}"#, r#"{"a":4}"#)),
    ("maximum", r#"{"properties":{"a":{"minimum":5,"maximum":3}}}"#, Refused("no number has minimum 5 and maximum 3", "correct")),
    ("maximum", r#"{"properties":{"a":{"type":"integer","minimum":1.2,"maximum":1.8}}}"#, Refused("no number has", "correct")),
    ("maximum", r#"{"properties":{"a":{"type":"string","maximum":3}}}"#, Noted("maximum says nothing of string", "type")),
    ("exclusiveMaximum", r#"{"properties":{"a":{"exclusiveMaximum":3}}}"#, Enforced(r#"{"a":2}"#, r#"{"a":3}"#)),
    ("exclusiveMaximum", r#"{"properties":{"a":{"minimum":3,"exclusiveMaximum":3}}}"#, Refused("no number has", "correct")),
    ("exclusiveMaximum", r#"{"properties":{"a":{"maximum":3,"exclusiveMaximum":true}}}"#, Refused("not a JSON Schema", "2020-12")),
    ("minimum", r#"{"properties":{"a":{"minimum":3}}}"#, Enforced(r#"{"a":3}"#, r#"{"a":2}"#)),
    ("exclusiveMinimum", r#"{"properties":{"a":{"exclusiveMinimum":3}}}"#, Enforced(r#"{"a":4}"#, r#"{"a":3}"#)),
    ("maxLength", r#"{"properties":{"a":{"maxLength":1}}}"#, Enforced(r#"{"a":"é"}"#, r#"{"a":"xx"}"#)),
    ("maxLength", r#"{"properties":{"a":{"minLength":2,"maxLength":1}}}"#, Refused("nothing has minLength 2 and maxLength 1", "correct")),
    ("minLength", r#"{"properties":{"a":{"minLength":2}}}"#, Enforced(r#"{"a":"xx"}"#, r#"{"a":"é"}"#)),
    ("minLength", r#"{"properties":{"a":{"type":"integer","minLength":2}}}"#, Noted("minLength says nothing of integer", "type")),
    ("pattern", r#"{"properties":{"a":{"pattern":"^x+$"}}}"#, Enforced(r#"{"a":"xx"}"#, r#"{"a":"xy"}"#)),
    ("pattern", r#"{"properties":{"a":{"pattern":"^(?!x)"}}}"#, Refused("not a pattern", "no lookaround")),
    ("pattern", r#"{"properties":{"a":{"pattern":"(x)\\1"}}}"#, Refused("not a pattern", "no backreferences")),
    ("maxItems", r#"{"properties":{"a":{"maxItems":1}}}"#, Enforced(r#"{"a":[1]}"#, r#"{"a":[1,2]}"#)),
    ("maxItems", r#"{"properties":{"a":{"minItems":2,"maxItems":1}}}"#, Refused("nothing has minItems", "correct")),
    ("minItems", r#"{"properties":{"a":{"minItems":1}}}"#, Enforced(r#"{"a":[1]}"#, r#"{"a":[]}"#)),
    ("uniqueItems", r#"{"properties":{"a":{"uniqueItems":true}}}"#, Enforced(r#"{"a":[1,2]}"#, r#"{"a":[1,1.0]}"#)),
    ("maxContains", r#"{"properties":{"a":{"contains":{"const":1},"maxContains":1}}}"#, Enforced(r#"{"a":[1]}"#, r#"{"a":[1,1]}"#)),
    ("maxContains", r#"{"properties":{"a":{"contains":{"const":1},"maxContains":0}}}"#, Refused("nothing has minContains 1 and maxContains 0", "correct")),
    ("maxContains", r#"{"properties":{"a":{"maxContains":1}}}"#, Refused("maxContains without contains", "add contains")),
    ("minContains", r#"{"properties":{"a":{"contains":{"const":1},"minContains":2}}}"#, Enforced(r#"{"a":[1,1]}"#, r#"{"a":[1]}"#)),
    ("minContains", r#"{"properties":{"a":{"minContains":1}}}"#, Refused("minContains without contains", "add contains")),
    ("maxProperties", r#"{"maxProperties":1}"#, Enforced(r#"{"a":1}"#, r#"{"a":1,"b":1}"#)),
    ("maxProperties", r#"{"minProperties":2,"maxProperties":1}"#, Refused("nothing has minProperties", "correct")),
    ("minProperties", r#"{"minProperties":1}"#, Enforced(r#"{"a":1}"#, "{}")),
    ("required", r#"{"properties":{"a":{}},"required":["a"]}"#, Enforced(r#"{"a":1}"#, "{}")),
    ("required", r#"{"properties":{"title":{}},"required":["titel"]}"#, Refused("titel is required, and is none of the properties", "did you mean title?")),
    ("required", r##"{"properties":{"x":{"allOf":[{"$ref":"#/$defs/A"}],"additionalProperties":false}},"$defs":{"A":{"properties":{"name":{}},"required":["name"]}}}"##, Refused("name is required, and is none of the properties", "add it")),
    ("required", r#"{"anyOf":[{"properties":{"a":{}}},{"required":["zz"]}],"properties":{"b":{}}}"#, Refused("zz is required", "add it")),
    ("required", r#"{"properties":{"a":false},"required":["a"]}"#, Refused("a is required and not allowed", "take it out")),
    ("required", r##"{"properties":{"next":{"$ref":"#"}},"required":["next"],"type":"object"}"##, Refused("never ends", "null")),
    ("required", r##"{"properties":{"a":{"$ref":"#/$defs/A"}},"required":["a"],"$defs":{"A":{"type":"object","properties":{"b":{"$ref":"#/$defs/B"}},"required":["b"]},"B":{"type":"object","properties":{"a":{"$ref":"#/$defs/A"}}}}}"##, Enforced(r#"{"a":{"b":{}}}"#, r#"{"a":{}}"#)),
    ("required", r#"{"properties":{"a":{"required":true}}}"#, Refused("not a JSON Schema", "2020-12")),
    ("dependentRequired", r#"{"dependentRequired":{"a":["b"]}}"#, Enforced(r#"{"a":1,"b":1}"#, r#"{"a":1}"#)),
    ("dependentRequired", r#"{"properties":{"a":{}},"dependentRequired":{"a":["b"]}}"#, Refused("b is required, and is none", "add it")),
    // Formats are asserted.
    ("format", r#"{"properties":{"a":{"format":"email"}}}"#, Enforced(r#"{"a":"ada@example.org"}"#, r#"{"a":"not mail"}"#)),
    ("format", r#"{"properties":{"a":{"format":"date-time"}}}"#, Enforced(r#"{"a":"2026-01-01T00:00:00Z"}"#, r#"{"a":"yesterday"}"#)),
    ("format", r#"{"properties":{"a":{"format":"date"}}}"#, Enforced(r#"{"a":"2026-02-28"}"#, r#"{"a":"2026-02-30"}"#)),
    ("format", r#"{"properties":{"a":{"format":"time"}}}"#, Enforced(r#"{"a":"12:00:00Z"}"#, r#"{"a":"noon"}"#)),
    ("format", r#"{"properties":{"a":{"format":"duration"}}}"#, Enforced(r#"{"a":"P1D"}"#, r#"{"a":"a day"}"#)),
    ("format", r#"{"properties":{"a":{"format":"uuid"}}}"#, Enforced(r#"{"a":"01a1fdf0-e0b0-7428-8bfd-817d1c118f7e"}"#, r#"{"a":"x"}"#)),
    ("format", r#"{"properties":{"a":{"format":"uri"}}}"#, Enforced(r#"{"a":"https://example.org/"}"#, r#"{"a":"no uri"}"#)),
    ("format", r#"{"properties":{"a":{"format":"uri-reference"}}}"#, Enforced(r#"{"a":"/x"}"#, r#"{"a":"\\x"}"#)),
    ("format", r#"{"properties":{"a":{"format":"uri-template"}}}"#, Enforced(r#"{"a":"/x/{y}"}"#, r#"{"a":"/x/{"}"#)),
    ("format", r#"{"properties":{"a":{"format":"iri"}}}"#, Enforced(r#"{"a":"https://example.org/é"}"#, r#"{"a":"no iri"}"#)),
    ("format", r#"{"properties":{"a":{"format":"iri-reference"}}}"#, Enforced(r#"{"a":"/é"}"#, r#"{"a":"\\x"}"#)),
    ("format", r#"{"properties":{"a":{"format":"hostname"}}}"#, Enforced(r#"{"a":"example.org"}"#, r#"{"a":"-x"}"#)),
    ("format", r#"{"properties":{"a":{"format":"ipv4"}}}"#, Enforced(r#"{"a":"127.0.0.1"}"#, r#"{"a":"127.0.0.256"}"#)),
    ("format", r#"{"properties":{"a":{"format":"ipv6"}}}"#, Enforced(r#"{"a":"::1"}"#, r#"{"a":":1"}"#)),
    ("format", r#"{"properties":{"a":{"format":"json-pointer"}}}"#, Enforced(r#"{"a":"/x"}"#, r#"{"a":"x"}"#)),
    ("format", r#"{"properties":{"a":{"format":"relative-json-pointer"}}}"#, Enforced(r#"{"a":"1/x"}"#, r#"{"a":"/x"}"#)),
    ("format", r#"{"properties":{"a":{"format":"regex"}}}"#, Enforced(r#"{"a":"^a"}"#, r#"{"a":"("}"#)),
    ("format", r#"{"properties":{"a":{"format":"emial"}}}"#, Refused("unknown format emial", "did you mean email?")),
    ("format", r#"{"properties":{"a":{"type":"integer","format":"int64"}}}"#, Refused("unknown format int64", "minimum and maximum")),
    ("format", r#"{"properties":{"a":{"format":"binary"}}}"#, Refused("unknown format binary", "comms:bytes")),
    ("format", r#"{"properties":{"a":{"type":"integer","format":"date"}}}"#, Noted("format says nothing of integer", "type")),
    // Content and meta-data: for readers.
    ("contentEncoding", r#"{"properties":{"a":{"contentEncoding":"base64"}}}"#, Noted("contentEncoding is not checked", "comms:bytes")),
    ("contentMediaType", r#"{"properties":{"a":{"contentMediaType":"application/json"}}}"#, Noted("contentMediaType is not checked", "comms:bytes")),
    ("contentSchema", r#"{"properties":{"a":{"contentSchema":{"type":"object"}}}}"#, Noted("contentSchema is not checked", "fields")),
    ("title", r#"{"title":"x"}"#, Words),
    ("description", r#"{"description":"x"}"#, Words),
    ("default", r#"{"properties":{"a":{"default":1}}}"#, Noted("default is not filled in", "description")),
    ("deprecated", r#"{"deprecated":true}"#, Words),
    ("readOnly", r#"{"properties":{"a":{"readOnly":true}}}"#, Noted("readOnly is not enforced", "domain.toml")),
    ("writeOnly", r#"{"properties":{"a":{"writeOnly":true}}}"#, Noted("writeOnly is not enforced", "domain.toml")),
    ("examples", r#"{"examples":[{}]}"#, Words),
    // Of other dialects.
    ("definitions", r##"{"properties":{"a":{"$ref":"#/definitions/n"}},"definitions":{"n":{"const":1}}}"##, Enforced(r#"{"a":1}"#, r#"{"a":2}"#)),
    ("dependencies", r#"{"dependencies":{"a":["b"]}}"#, Refused("unknown keyword dependencies", "dependentRequired")),
    ("additionalItems", r#"{"properties":{"a":{"additionalItems":false}}}"#, Refused("unknown keyword additionalItems", "items beside prefixItems")),
    ("id", r#"{"id":"x"}"#, Refused("unknown keyword id", "$anchor")),
    ("divisibleBy", r#"{"divisibleBy":2}"#, Refused("unknown keyword divisibleBy", "multipleOf")),
    ("extends", r#"{"extends":{}}"#, Refused("unknown keyword extends", "allOf")),
    ("disallow", r#"{"disallow":"string"}"#, Refused("unknown keyword disallow", "not")),
    ("$recursiveRef", r##"{"$recursiveRef":"#"}"##, Refused("$recursiveRef is not supported", "$ref")),
    ("$recursiveAnchor", r#"{"$recursiveAnchor":"x"}"#, Refused("$recursiveAnchor is not supported", "$ref")),
    ("nullable", r#"{"properties":{"a":{"type":"string","nullable":true}}}"#, Refused("unknown keyword nullable", r#"["string", "null"]"#)),
    ("discriminator", r#"{"discriminator":{"propertyName":"a"}}"#, Refused("unknown keyword discriminator", "oneOf")),
    ("optional", r#"{"properties":{"a":{"optional":true}}}"#, Refused("unknown keyword optional", "required")),
    ("example", r#"{"example":{}}"#, Refused("unknown keyword example", "examples")),
    ("requried", r#"{"requried":["a"]}"#, Refused("unknown keyword requried", "did you mean required?")),
    ("colour", r#"{"colour":"red"}"#, Refused("unknown keyword colour", "x-colour")),
    ("x-colour", r#"{"x-colour":"red"}"#, Words),
];

/// The keywords of the vocabularies of 2020-12.
const KEYWORDS: &str = "$schema $id $ref $anchor $dynamicRef $dynamicAnchor $vocabulary $comment $defs prefixItems items \
    contains additionalProperties properties patternProperties dependentSchemas propertyNames if then else allOf anyOf \
    oneOf not unevaluatedItems unevaluatedProperties type enum const multipleOf maximum exclusiveMaximum minimum \
    exclusiveMinimum maxLength minLength pattern maxItems minItems uniqueItems maxContains minContains maxProperties \
    minProperties required dependentRequired format contentEncoding contentMediaType contentSchema title description \
    default deprecated readOnly writeOnly examples";

fn check(schema: &str) -> Result<(Schema, Vec<Problem>), Problems> {
    let schemas = BTreeMap::from([("c/T.json".to_owned(), schema.to_owned())]);
    let (domain, notes) = Domain::check("domain.toml", "name = 'a'\n[query.'c.T']", &schemas)?;
    Ok((domain.queries[&"c.T".parse::<TypeName>().unwrap()].schema.clone().unwrap(), notes))
}

fn fits(schema: &Schema, body: &str) -> bool {
    schema.fit(&Node::from_json(body.as_bytes()).unwrap()).is_ok()
}

/// What is wrong with a row, if anything.
fn wrong(schema: &str, becomes: &Becomes) -> Option<String> {
    let checked = check(schema);
    let one_says = |problems: &[Problem], what: &str, mend: &str| matches!(problems, [one] if one.what.contains(what) && one.mend.contains(mend));
    let right = match (&checked, becomes) {
        (Ok((schema, notes)), Enforced(good, bad)) => {
            notes.is_empty() && fits(schema, good) && !fits(schema, bad)
        }
        (Ok((_, notes)), Noted(what, mend)) => one_says(notes, what, mend),
        (Ok((_, notes)), Words) => notes.is_empty(),
        (Err(problems), Refused(what, mend)) => {
            one_says(&problems.iter().cloned().collect::<Vec<_>>(), what, mend)
        }
        _ => false,
    };
    let told = || match &checked {
        Ok((_, notes)) => format!("accepted, with {notes:?}"),
        Err(problems) => problems.to_string(),
    };
    (!right).then(|| format!("{schema}\n  {}", told()))
}

#[test]
fn every_keyword_is_enforced_or_said_not_to_be() {
    let wrong: Vec<String> = TABLE.iter().filter_map(|(_, schema, becomes)| wrong(schema, becomes)).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), TABLE.len(), wrong.join("\n"));
}

#[test]
fn no_keyword_is_left_out() {
    let told: BTreeSet<&str> = TABLE.iter().map(|(keyword, _, _)| *keyword).collect();
    let missing: Vec<&str> = KEYWORDS.split_whitespace().filter(|keyword| !told.contains(keyword)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
