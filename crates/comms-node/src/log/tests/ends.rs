//! How a command ends: once, with what its handler caused and nothing else, and so that it can be told later.

use super::*;

#[tokio::test]
async fn a_command_ends_once_and_stands_until_the_stream_confirms_that_it_is_gone() {
    let running = Running::start().await;
    let id = id_of(Duration::ZERO);
    let kept = running.keep(command(id, "desk", "report")).await.unwrap();
    let key = command_key(id, "desk", "documents.AddDocument");
    let mut delivered = running.delivered(kept.sequence).await;
    let acknowledge = std::mem::replace(&mut delivered.acknowledge, "nobody.hears.this".into());
    let rejected = || Effect::Nothing { state: EndingState::Rejected, reason: Some("no".into()) };
    running.log.finish(&delivered, &handler(), rejected()).await.unwrap();
    assert!(running.log.is_pending(&key), "its acknowledgement got lost");
    delivered.acknowledge = acknowledge;
    let other = Effect::Events(vec![event(id_of(Duration::ZERO), "archive", "d1", "a")]);
    let finished = running.log.finish(&delivered, &handler(), other).await.unwrap();
    assert!(matches!(finished, Finished::Before(Ending::Rejected { .. })), "{finished:?}");
    wait_until("it is out of the queue", || !running.log.is_pending(&key)).await;
    assert_eq!((running.messages(0).await, running.messages(1).await), (1, 0));
    assert!(running.log.ending(&key).unwrap().is_some());
    for (sender, type_name) in [("lender", "documents.AddDocument"), ("desk", "documents.Move")] {
        assert_eq!(running.log.ending(&command_key(id, sender, type_name)).unwrap(), None);
    }
}

/// An end whose answer got lost is found before another one is stored.
#[tokio::test]
async fn an_end_in_doubt_is_looked_for_before_another_is_stored() {
    let running = Running::start().await;
    let id = id_of(Duration::ZERO);
    let kept = running.keep(command(id, "desk", "report")).await.unwrap();
    let delivered = running.delivered(kept.sequence).await;
    // Stored, and the answer lost.
    let record = ending::EndingRecord {
        command: id,
        state: EndingState::Rejected,
        handler: handler(),
        tries: 1,
        reason: Some("first".into()),
        letter: None,
        of: Some(ending::RecordedCommand::of(&delivered.command, kept.sequence)),
    };
    let subject = format!("library.outcome.documents.AddDocument.desk.{id}");
    running.jetstream.publish(subject, record.to_cbor()).await.unwrap().await.unwrap();
    {
        let mut memory = running.log.lock();
        memory.commands.begin_end(kept.sequence, &delivered.command);
        memory.commands.gave_up(&delivered.command.key, true);
    }
    let other = Effect::Events(vec![event(id_of(Duration::ZERO), "archive", "d1", "a")]);
    let finished = running.log.finish(&delivered, &handler(), other).await.unwrap();
    assert!(
        matches!(&finished, Finished::Before(Ending::Rejected { reason }) if &**reason == "first"),
        "{finished:?}"
    );
    assert_eq!(running.messages(0).await, 1);
}

/// Whoever handles a command knows the ids of what it will cause, and may store an event of its own under one of them.
#[tokio::test]
async fn a_command_ends_with_the_events_of_its_own_commit_only() {
    let running = Running::start().await;
    let (id, derived) = (id_of(Duration::ZERO), id_of(Duration::ZERO));
    let caused = || {
        let mut event = event(derived, "archive", "d1", "a");
        event.msg.metadata.causation = Some(id);
        event
    };
    let kept = running.keep(command(id, "desk", "report")).await.unwrap();
    running.append(vec![caused()]).await.unwrap();
    let key = command_key(id, "desk", "documents.AddDocument");
    let delivered = running.delivered(kept.sequence).await;
    let more = event(id_of(Duration::ZERO), "archive", "d1", "b");
    for events in [vec![caused()], vec![caused(), more]] {
        is_refused(
            running.log.finish(&delivered, &handler(), Effect::Events(events)).await,
            "names one message",
        );
        assert!(running.log.is_pending(&key) && running.log.ending(&key).unwrap().is_none());
    }
    let running = running.restarted().await;
    assert!(running.log.is_pending(&key), "it stands after a restart too");
    assert!(running.keep(command(id, "desk", "report")).await.unwrap().duplicate);
    let buried = Effect::Nothing { state: EndingState::Dead, reason: Some("refused".into()) };
    running.log.finish(&delivered, &handler(), buried).await.unwrap();
    assert!(matches!(running.log.ending(&key).unwrap(), Some(Ending::Dead { .. })));
}

#[tokio::test]
async fn how_a_command_ended_that_left_is_known_after_a_restart() {
    let running = Running::start().await;
    let id = id_of(Duration::ZERO);
    let kept = running.keep(command(id, "desk", "report")).await.unwrap();
    let delivered = running.delivered(kept.sequence).await;
    let mut caused = event(id_of(Duration::ZERO), "archive", "d1", "a");
    caused.msg.metadata.causation = Some(id);
    let effect = Effect::Events(vec![caused]);
    running.log.finish(&delivered, &handler(), effect).await.unwrap();
    let running = running.restarted().await;
    let type_name = "documents.AddDocument".parse().unwrap();
    assert_eq!(
        running.log.gone_from(kept.sequence, &type_name),
        None,
        "nothing is remembered of its delivery"
    );
    let (key, other) = (
        command_key(id, "desk", "documents.AddDocument"),
        command_key(id, "lender", "documents.AddDocument"),
    );
    assert!(matches!(
        running.log.ended_at(&key, kept.sequence).unwrap(),
        Some(Ending::Done { count: 1, .. })
    ));
    assert_eq!(running.log.ended_at(&key, kept.sequence + 1).unwrap(), None);
    assert_eq!(running.log.ended_at(&other, kept.sequence).unwrap(), None);
}
