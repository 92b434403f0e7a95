//! Names, ids, times, positions: what is taken, what is refused, and that text is one.

use comms_msg::{
    CommitPlace, DeliverToken, DomainName, EntityId, Expect, HopText, Kind, MsgId, MsgKey, Owner, Position,
    SealKey, ServiceName, Timestamp, TypeName, UserPairs,
};

#[test]
fn tokens_at_below_and_above_their_limits() {
    for good in ["a", "library", "a-b_9", &"a".repeat(63)] {
        assert_eq!(DomainName::new(good).unwrap(), good);
        assert_eq!(ServiceName::new(good).unwrap(), good);
    }
    for bad in ["", "A", "9a", "a.b", "a b", "ä", "_INBOX", "*", ">", &"a".repeat(64)] {
        assert!(DomainName::new(bad).is_err(), "{bad}");
        assert!(ServiceName::new(bad).is_err(), "{bad}");
    }
    assert!(EntityId::new(&"e".repeat(128)).is_ok());
    for bad in ["", "a.b", "a b", "é", "*", &"e".repeat(129)] {
        assert!(EntityId::new(bad).is_err(), "{bad}");
    }
    assert!(DeliverToken::new("command-0123abcd").is_ok());
    assert!(DeliverToken::new("a.b").is_err());
    assert!(Owner::new("Ærøskøbing, 東京").is_ok());
    assert!(Owner::new(&"o".repeat(128)).is_ok());
    for bad in ["", "a\nb", "a\u{7f}", &"é".repeat(65)] {
        assert!(Owner::new(bad).is_err(), "{bad:?}");
        assert!(HopText::new("").is_err() && SealKey::new("").is_err());
    }
}

#[test]
fn the_node_is_no_service_and_built_in_users_are_known() {
    assert!(ServiceName::new("node").is_err());
    assert!(ServiceName::dev().is_built_in() && ServiceName::operator().is_built_in());
    assert!(!ServiceName::new("desk").unwrap().is_built_in());
}

#[test]
fn a_type_has_a_context() {
    let name = TypeName::new("documents.AddDocument").unwrap();
    assert_eq!((name.context(), name.name()), ("documents", "AddDocument"));
    assert_eq!(TypeName::of("documents", "AddDocument").unwrap(), name);
    for bad in
        ["AddDocument", "documents.addDocument", "Documents.Add", "a.B.C", "a.", ".B", "a.B-c", "a.B*", ""]
    {
        let error = TypeName::new(bad).unwrap_err();
        assert_eq!(error.reason(), "invalid");
        assert!(error.to_string().contains("documents.AddDocument"), "{error}");
    }
    assert!(TypeName::of("a", "B.C").is_err());
}

#[test]
fn an_error_quotes_little_of_a_long_text() {
    let error = TypeName::new(&"ä".repeat(100_000)).unwrap_err();
    assert!(error.to_string().len() < 600);
}

#[test]
fn ids_have_one_text() {
    let text = "0199c0de-0000-7000-8000-00000000abcd";
    let id: MsgId = text.parse().unwrap();
    assert_eq!(id.to_string(), text);
    for other in [
        "0199C0DE-0000-7000-8000-00000000ABCD",
        "0199c0de00007000800000000000abcd",
        "{0199c0de-0000-7000-8000-00000000abcd}",
        "urn:uuid:0199c0de-0000-7000-8000-00000000abcd",
    ] {
        assert!(other.parse::<MsgId>().is_err(), "{other}");
        assert_eq!(MsgId::parse_lenient(other).unwrap(), id, "{other}");
    }
    for bad in
        ["", "0199c0de", "0199c0de-0000-7000-8000-00000000abcg", "0199c0de0-000-7000-8000-00000000abcd"]
    {
        assert!(bad.parse::<MsgId>().is_err(), "{bad}");
        assert!(MsgId::parse_lenient(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_version_7_has_its_time_and_its_bits() {
    let id = MsgId::v7(1_795_255_200_123, u128::MAX);
    assert_eq!(id.uuid().get_version_num(), 7);
    assert_eq!(id.uuid().get_variant(), uuid::Variant::RFC4122);
    assert_eq!(id.time().unwrap().unix_ms(), 1_795_255_200_123);
    assert!(id.to_string().ends_with("-7fff-bfff-ffffffffffff"), "{id}");
    assert_eq!(MsgId::v7(0, 0).to_string(), "00000000-0000-7000-8000-000000000000");
    assert_eq!(MsgId::v7(u64::MAX, 0).to_string(), "ffffffff-ffff-7000-8000-000000000000");
    assert!(MsgId::v7(5, MsgId::RANDOM_STEP) > MsgId::v7(5, 0));
}

#[test]
fn derived_ids_depend_on_everything_they_derive_from() {
    let command = MsgId::v7(1_795_255_200_123, 7 << 60);
    let (archive, desk) = (ServiceName::new("archive").unwrap(), ServiceName::new("desk").unwrap());
    let (add, drop) = (TypeName::new("documents.Add").unwrap(), TypeName::new("documents.Drop").unwrap());
    let key = MsgKey::new(Kind::Command, &desk, &add, command);
    let id = MsgId::derive(&key, &archive, 0);
    assert_eq!(id, MsgId::derive(&key, &archive, 0));
    assert_ne!(id, MsgId::derive(&key, &archive, 1));
    assert_ne!(id, MsgId::derive(&key, &desk, 0));
    for other in [
        MsgKey::new(Kind::Command, &desk, &add, MsgId::v7(1_795_255_200_123, 8 << 60)),
        MsgKey::new(Kind::Command, &archive, &add, command),
        MsgKey::new(Kind::Command, &desk, &drop, command),
        MsgKey::new(Kind::Event, &desk, &add, command),
    ] {
        assert_ne!(other, key);
        assert_ne!(id, MsgId::derive(&other, &archive, 0));
    }
    assert_eq!(id.time(), command.time());
    assert_eq!(id.uuid().get_version_num(), 7);
    assert_eq!(id.uuid().get_variant(), uuid::Variant::RFC4122);
}

#[test]
fn times_have_one_text() {
    for (ms, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (1_795_255_200_123, "2026-11-21T10:00:00.123Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ] {
        assert_eq!(Timestamp::from_unix_ms(ms).to_string(), text);
        assert_eq!(text.parse::<Timestamp>().unwrap().unix_ms(), ms);
        assert_eq!(Timestamp::parse_lenient(text).unwrap().unix_ms(), ms);
    }
    assert_eq!(Timestamp::from_unix_ms(u64::MAX), Timestamp::MAX);
    for bad in [
        "2026-11-21T10:00:00Z",
        "2026-11-21T10:00:00.1234Z",
        "2026-11-21 10:00:00.123Z",
        "2026-11-21T10:00:00.123z",
        "2026-11-21T10:00:00.123+00:00",
        "2026-02-29T10:00:00.123Z",
        "2026-04-31T10:00:00.123Z",
        "2026-13-01T10:00:00.123Z",
        "2026-00-01T10:00:00.123Z",
        "2026-01-00T10:00:00.123Z",
        "2026-11-21T24:00:00.123Z",
        "2026-11-21T10:60:00.123Z",
        "2026-11-21T10:00:60.123Z",
        "1969-12-31T23:59:59.999Z",
        "２026-11-21T10:00:00.12Z",
        "",
    ] {
        assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
    }
}

#[test]
fn foreign_times_are_read_leniently() {
    for text in [
        "2026-11-21T10:00:00.123Z",
        "2026-11-21T10:00:00.1239999Z",
        "2026-11-21T11:30:00.123+01:30",
        "2026-11-21t10:00:00.123z",
    ] {
        assert_eq!(Timestamp::parse_lenient(text).unwrap().unix_ms(), 1_795_255_200_123, "{text}");
    }
    for bad in ["1969-12-31T23:59:59.9999Z", "yesterday", "2026-11-21", "10000-01-01T00:00:00Z", ""] {
        assert!(Timestamp::parse_lenient(bad).is_err(), "{bad}");
    }
}

#[test]
fn every_day_of_the_calendar_agrees_with_the_time_library() {
    // Each day from 1970 to 2400, which has every kind of leap year.
    for day in 0..157_000u64 {
        let time = Timestamp::from_unix_ms(day * 86_400_000 + 86_399_999);
        let text = time.to_string();
        assert_eq!(Timestamp::parse_lenient(&text).unwrap(), time, "{text}");
        assert_eq!(text.parse::<Timestamp>().unwrap(), time, "{text}");
    }
}

#[test]
fn positions_have_one_text() {
    let position = Position::new("k3f9x2aa", 17).unwrap();
    assert_eq!(position.to_string(), "17@k3f9x2aa");
    assert_eq!((position.log(), position.sequence()), ("k3f9x2aa", 17));
    assert_eq!("17@k3f9x2aa".parse::<Position>().unwrap(), position);
    for bad in
        ["17", "@k3f9x2aa", "+17@k3f9x2aa", "017@k3f9x2aa", "17@K3f9x2aa", "17@k3f9x2a", "-1@k3f9x2aa", ""]
    {
        assert!(bad.parse::<Position>().is_err(), "{bad}");
    }
    assert!(Position::new("short", 1).is_err());
    for (text, expect) in
        [("any", Expect::Any), ("absent", Expect::Absent), ("17@k3f9x2aa", Expect::At(position))]
    {
        assert_eq!(text.parse::<Expect>().unwrap(), expect);
        assert_eq!(expect.to_string(), text);
    }
    assert!("none".parse::<Expect>().is_err());
}

#[test]
fn places_in_a_commit_are_within_it() {
    assert!(CommitPlace::new(0, 1).is_ok() && CommitPlace::new(99, 100).is_ok());
    for (ordinal, count) in [(0, 0), (1, 1), (100, 100), (0, 101)] {
        assert!(CommitPlace::new(ordinal, count).is_err(), "{ordinal} of {count}");
    }
}

#[test]
fn pairs_are_ordered_bounded_and_each_once() {
    let pairs = UserPairs::new([("zz", "1"), ("b", "2"), ("aaa", "3"), ("b", "4")]).unwrap();
    assert_eq!(pairs.iter().collect::<Vec<_>>(), [("b", "4"), ("zz", "1"), ("aaa", "3")]);
    assert_eq!((pairs.get("b"), pairs.get("c"), pairs.len()), (Some("4"), None, 3));

    let many = |count: usize| UserPairs::new((0..count).map(|n| (n.to_string(), "x")));
    assert_eq!(many(32).unwrap().len(), 32);
    assert_eq!(many(33).unwrap_err().reason(), "too_large");
    let mut full = many(32).unwrap();
    assert!(full.insert("one more", "x").is_err());
    assert_eq!(full.len(), 32);
    full.insert("7", "changed").unwrap();
    assert_eq!(full.get("7"), Some("changed"));

    assert!(UserPairs::new([("k".repeat(64), "v".repeat(1024))]).is_ok());
    for (key, value) in
        [("k".repeat(65), String::new()), ("k".into(), "v".repeat(1025)), (String::new(), String::new())]
    {
        assert!(UserPairs::new([(key, value)]).is_err());
    }
    assert!(UserPairs::new([("/", "x")]).is_err());
}
