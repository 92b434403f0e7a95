//! What is said at doors and what they answer: every payload, in either form, that is accepted survives both forms. The
//! first byte of the input says as what it is read.
#![no_main]

use std::fmt::Debug;

use bytes::Bytes;
use comms_msg::door::{
    Accepted, Answer, Appended, Commit, Committed, Hello, HelloAsk, ListenAsk, Listening, Outcome,
    OutcomeAsk, Tally, TallyAsk, WatchAsk, Watching,
};
use comms_msg::{Form, Reply};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((choice, payload)) = data.split_first() else { return };
    let payload = Bytes::copy_from_slice(payload);
    match choice % 16 {
        0 => survives::<HelloAsk>(&payload),
        1 => survives::<ListenAsk>(&payload),
        2 => survives::<WatchAsk>(&payload),
        3 => survives::<Commit>(&payload),
        4 => survives::<OutcomeAsk>(&payload),
        5 => survives::<Answer<Hello>>(&payload),
        6 => survives::<Answer<Listening>>(&payload),
        7 => survives::<Answer<Watching>>(&payload),
        8 => survives::<Answer<Committed>>(&payload),
        9 => survives::<Answer<Outcome>>(&payload),
        10 => survives::<Answer<Accepted>>(&payload),
        11 => survives::<Answer<Appended>>(&payload),
        14 => survives::<TallyAsk>(&payload),
        15 => survives::<Answer<Tally>>(&payload),
        _ => replies(&payload),
    }
});

fn survives<T>(payload: &Bytes)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + Debug,
{
    let Ok(value) = Form::of(payload).decode::<T>(payload) else { return };
    for form in [Form::Cbor, Form::Json] {
        // What was filled in by default may make it too large.
        let Ok(written) = form.encode(&value) else { continue };
        let again = form.decode::<T>(&written).expect("what was written can be read");
        assert_eq!(again, value, "as {form:?}");
    }
}

fn replies(payload: &Bytes) {
    for reply in Reply::read(payload).unwrap_or_default() {
        for form in [Form::Cbor, Form::Json] {
            let Ok(written) = reply.to_wire(form) else { continue };
            assert_eq!(Reply::read(&written).as_deref(), Ok([reply.clone()].as_slice()), "as {form:?}");
        }
    }
}
