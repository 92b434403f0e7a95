//! What holds for any message, any subject, any bytes.

use bytes::Bytes;
use comms_content::{Cid, Node};
use comms_msg::door::{
    Answer, Commit, Form, Hello, HelloAsk, ListenAsk, Outcome, OutcomeAsk, TallyAsk, WatchAsk,
};
use comms_msg::wire::{self, Frame};
use comms_msg::{Draft, Hop, Kind, Msg, MsgId, Reply, ServiceName, Subject, Timestamp, UserPairs};
use proptest::collection::vec;
use proptest::prelude::*;
use serde::de::DeserializeOwned;

use crate::any;
use crate::golden;

proptest! {
    #[test]
    fn any_message_survives_both_forms_and_has_one_cid(msg in any::msg()) {
        let cbor = msg.to_wire().unwrap();
        let from_cbor = Msg::from_cbor(&cbor).unwrap();
        prop_assert_eq!(&from_cbor, &msg);
        let from_json = Msg::from_json(msg.to_json().unwrap().as_bytes()).unwrap();
        prop_assert_eq!(&from_json, &msg);
        prop_assert_eq!(&from_json.to_cbor(), &cbor);
        let bare = Msg { hop: Hop::default(), ..msg.clone() };
        prop_assert_eq!(msg.cid(), Cid::dag_cbor(&bare.to_cbor()));
        prop_assert_eq!(from_cbor.cid(), from_json.cid());
        let encoded = msg.encoded();
        prop_assert_eq!((encoded.bytes, encoded.cid), (cbor.clone(), msg.cid()));
        // The general encoder, which sorts for itself, agrees with the direct one.
        let node = Node::from_cbor(cbor.clone()).unwrap();
        prop_assert_eq!(Node::from_ipld(&node.to_ipld()).unwrap().into_bytes(), cbor);
    }

    #[test]
    fn any_message_nests_in_an_answer_with_its_bytes(msg in any::msg()) {
        for form in [Form::Cbor, Form::Json] {
            let bytes = form.encode(&Answer::<&Msg>::Ok(&msg)).unwrap();
            let Answer::Ok(read) = form.decode::<Answer<Msg>>(&bytes).unwrap() else { panic!("an answer") };
            prop_assert_eq!(read.to_cbor(), msg.to_cbor());
            let bytes = form.encode(&Draft::from(msg.clone())).unwrap();
            prop_assert_eq!(Draft::read(&bytes).unwrap(), Draft::from(msg.clone()));
        }
    }

    #[test]
    fn any_frame_survives_both_forms(msgs in vec(any::msg(), 1..8)) {
        let mut frame = Frame::new();
        let fitting: Vec<_> = msgs.into_iter().filter(|msg| frame.push(msg)).collect();
        let read: Result<Vec<_>, _> = wire::read(&frame.finish()).unwrap().collect();
        prop_assert_eq!(&read.unwrap(), &fitting);
        let json: Vec<_> = fitting.iter().map(|msg| msg.to_json().unwrap()).collect();
        let json = format!("[{}]", json.join(","));
        if json.len() <= comms_msg::limits::FRAME_BYTES_MAX {
            let read: Result<Vec<_>, _> = wire::read(&json.into()).unwrap().collect();
            prop_assert_eq!(&read.unwrap(), &fitting);
        }
    }

    #[test]
    fn a_view_says_what_its_message_says(msg in any::msg(), json in any::<bool>()) {
        let payload = if json { msg.to_json().unwrap().into() } else { msg.to_wire().unwrap() };
        let mut msgs = wire::read(&payload).unwrap();
        let view = msgs.next_view().unwrap().unwrap();
        prop_assert_eq!(view.id(), msg.id);
        prop_assert_eq!(view.sender(), msg.metadata.sender.as_ref().map(ServiceName::as_str));
        prop_assert_eq!(view.deadline(), msg.hop.deadline);
        let other = "other.Type".parse().unwrap();
        for kind in Kind::ALL {
            prop_assert!(!view.carries(kind, &other));
            let Some(content) = &msg.content else { continue };
            prop_assert_eq!(view.carries(kind, content.type_name()), kind == content.kind());
        }
        prop_assert_eq!(Msg::from(view), msg);
        prop_assert!(msgs.next_view().is_none());
    }

    #[test]
    fn pairs_given_one_by_one_or_at_once_are_the_same(given in vec(("[a-d]{1,3}", ".{0,40}"), 0..50)) {
        let mut single = UserPairs::default();
        let each = given.iter().try_for_each(|(key, value)| single.insert(key, value));
        match UserPairs::new(given.clone()) {
            Ok(at_once) => prop_assert_eq!(&single, &at_once),
            Err(error) => prop_assert_eq!(each.unwrap_err().to_string(), error.to_string()),
        }
    }

    #[test]
    fn any_subject_survives_its_text(subject in any::subject()) {
        let text = subject.to_string();
        prop_assert_eq!(text.parse::<Subject>().unwrap(), subject);
    }

    #[test]
    fn text_that_parses_as_a_subject_is_its_text(text in "[a-z]{1,4}(\\.([a-zA-Z*>]{0,3}|door|command|event|live|query)){0,8}") {
        if let Ok(subject) = text.parse::<Subject>() {
            prop_assert_eq!(subject.to_string(), text);
        }
    }

    #[test]
    fn ids_of_version_7_keep_the_order_of_time_and_randomness(
        (a, b) in ((0u64..1 << 48, any::<u128>()), (0u64..1 << 48, any::<u128>()))
    ) {
        let (earlier, later) = if a <= b { (a, b) } else { (b, a) };
        let (first, second) = (MsgId::v7(earlier.0, earlier.1), MsgId::v7(later.0, later.1));
        prop_assert!(first <= second);
        prop_assert_eq!(first.to_string().cmp(&second.to_string()), first.cmp(&second));
    }

    #[test]
    fn any_time_survives_its_text(ms in 0..=Timestamp::MAX.unix_ms()) {
        let time = Timestamp::from_unix_ms(ms);
        prop_assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
        prop_assert_eq!(Timestamp::parse_lenient(&time.to_string()).unwrap(), time);
    }

    #[test]
    fn any_bytes_panic_nowhere(bytes in vec(any::<u8>(), 0..300)) {
        read_everywhere(&bytes);
    }

    #[test]
    fn any_text_panics_nowhere(text in "\\PC{0,60}") {
        read_everywhere(text.as_bytes());
    }

    #[test]
    fn damaged_messages_panic_nowhere(
        which in 0..10usize, json in any::<bool>(), at in any::<prop::sample::Index>(), to in any::<u8>(), cut in any::<prop::sample::Index>()
    ) {
        let msg = golden::messages().swap_remove(which).msg;
        let mut bytes = if json { msg.to_json().unwrap().into_bytes() } else { msg.to_cbor() };
        let place = at.index(bytes.len());
        bytes[place] = to;
        read_everywhere(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        read_everywhere(&bytes);
        bytes.insert(0, 0x82);
        read_everywhere(&bytes);
    }

    #[test]
    fn what_is_read_as_cbor_is_written_back_the_same(
        which in 0..10usize, at in any::<prop::sample::Index>(), to in any::<u8>()
    ) {
        let mut bytes = golden::messages().swap_remove(which).msg.to_cbor();
        let place = at.index(bytes.len());
        bytes[place] = to;
        if let Ok(msg) = Msg::from_slice(&bytes) {
            prop_assert_eq!(msg.to_cbor(), bytes);
        }
    }
}

/// Every decoder of this crate; errors are printed too, since that must not panic either.
fn read_everywhere(bytes: &[u8]) {
    let payload = Bytes::copy_from_slice(bytes);
    if let Ok(msgs) = wire::read(&payload) {
        let read: Vec<_> = msgs.map(|msg| msg.map_err(|error| error.to_string())).collect();
        assert!(read.len() <= 100);
    }
    let _ = wire::split(&payload, 100).map_err(|error| error.to_string());
    let _ = Draft::read(&payload).map_err(|error| error.to_string());
    let _ = Reply::read(&payload).map_err(|error| error.to_string());
    for form in [Form::Cbor, Form::Json, Form::of(bytes)] {
        decode::<HelloAsk>(form, &payload);
        decode::<ListenAsk>(form, &payload);
        decode::<OutcomeAsk>(form, &payload);
        decode::<WatchAsk>(form, &payload);
        decode::<TallyAsk>(form, &payload);
        decode::<Commit>(form, &payload);
        decode::<Answer<Hello>>(form, &payload);
        decode::<Answer<Outcome>>(form, &payload);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = text.parse::<Subject>().map_err(|error| error.to_string());
        let _ = Timestamp::parse_lenient(text).map_err(|error| error.to_string());
        let _ = MsgId::parse_lenient(text).map_err(|error| error.to_string());
    }
}

fn decode<T: DeserializeOwned>(form: Form, payload: &Bytes) {
    let _ = form.decode::<T>(payload).map_err(|error| error.to_string());
}
