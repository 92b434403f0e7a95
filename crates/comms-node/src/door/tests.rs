//! A mistake of the node's own in the work of one request, on doors over a real log.

use async_nats::jetstream;
use comms_domain::Bound;
use comms_store::Grants;

use super::*;
use crate::connections::Connections;
use crate::fixture::{Fixture, LIBRARY, domain, in_force};
use crate::log::LogNames;
use crate::room::Room;
use crate::server::Managed;
use crate::witness::{Comparing, Names};

/// Doors of which nothing is stored.
struct Opened {
    doors: Doors,
    _server: Managed,
    _fixture: Fixture,
}

impl Opened {
    async fn new() -> Opened {
        let fixture = Fixture::new();
        let server = fixture.serve().await;
        let connections = Connections::open(&[server.url()], &fixture.keys()).await.unwrap();
        let (client, layout) = (connections.domain.clone(), fixture.layout());
        crate::provision::apply(&jetstream::new(client.clone()), layout, &[]).await.unwrap();
        let stream = |kind: &str| {
            layout.streams.iter().find(|stream| stream.name.starts_with(kind)).unwrap().name.clone()
        };
        let folder = fixture.folder();
        let names = LogNames {
            domain: "library".into(),
            event_stream: stream("EVENT"),
            command_stream: stream("COMMAND"),
            foreign_stream: None,
            index: folder.log().join("index.redb"),
            waiting: (1_000, 2),
        };
        let comparing = Comparing {
            folder,
            client: &client,
            layout,
            names: Names::default(),
            is_applied: false,
            accept_loss: false,
        };
        let witness = comparing.run().await.unwrap().settle().await.unwrap();
        let condition = Condition::new(Room::endless());
        let (log, ..) = EventLog::open(client, names, condition.clone(), witness).await.unwrap();
        let blocks = Blocks::open(&folder.content().join("blocks")).unwrap();
        let grants = Grants::open(&folder.content().join("grants")).unwrap();
        let current = Current::new(in_force(Arc::unwrap_or_clone(domain(LIBRARY))));
        let doors = Doors {
            watches: Watches::new(current.shares(Bound::Watches).clone()),
            tallies: Tallies::new(current.get().domain.services.len()),
            current,
            log,
            access: Arc::new(Access::new(blocks.clone(), grants)),
            blocks,
            condition,
            node: "n1".into(),
            http: String::new(),
            counts: Counts::default(),
        };
        Opened { doors, _server: server, _fixture: fixture }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_its_request_alone() {
    let opened = Opened::new().await;
    let doors = &opened.doors;
    let [desk, archive] = ["desk", "archive"].map(|name| name.parse().unwrap());
    for round in 1..=3 {
        let (broken, of_another, of_the_same) = tokio::join!(
            doors.perform(&desk, Ask::Break),
            doors.perform(&archive, Ask::Hello),
            doors.perform(&desk, Ask::Hello),
        );
        let refusal = broken.expect_err("it panicked");
        assert_eq!(refusal.kind, RefusalKind::Internal, "{refusal}");
        assert!(refusal.may_have_happened, "nobody knows what was done before");
        assert!(!refusal.message.contains("planted"), "{refusal}");
        assert!(matches!(of_another, Ok(Answer::Hello(_))), "{of_another:?}");
        assert!(matches!(of_the_same, Ok(Answer::Hello(_))), "{of_the_same:?}");
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        let counts = &doors.counts;
        let counted = [&counts.broken, &counts.refused, &counts.answered].map(count);
        assert_eq!(counted, [round, round, 2 * round]);
    }
}
