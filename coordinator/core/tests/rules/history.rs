//! The chain of digests over the history.

use coordinator_core::chain::{Broken, Chain, Digest, Link};
use coordinator_core::command::{Actor, CommandBody};
use coordinator_core::event::{Event, EventBody, Level};
use coordinator_core::ids::{NodeId, OperationId};
use coordinator_core::observe::{Evidence, Verdict};

use crate::common::{EPOCH, Log, appliance, group, group_name};
use crate::operations::{active_pair, start};

/// What happened in a small story, oldest first, and where the chain stands after it.
fn story() -> (Vec<Event>, Chain) {
    let mut log = active_pair(&["vip"]);
    let before = log.state.history;
    let mut events = verdict(&mut log, Verdict::Down);
    events.extend(start(&mut log, "fw-b").expect("a switchover"));
    events.extend(verdict(&mut log, Verdict::Up));
    assert!(events.len() >= 3, "{events:?}");
    assert_eq!(Chain::before(&events[0]), before);
    (events, log.state.history)
}

fn verdict(log: &mut Log, verdict: Verdict) -> Vec<Event> {
    let (group, appliance) = (group_name("dmz"), appliance("fw-a"));
    let command = CommandBody::RecordVerdict { group, appliance, verdict, evidence: Vec::new() };
    log.by_coordinator(command).expect("a verdict")
}

fn check(events: &[Event]) -> Result<Chain, Broken> {
    let mut chain = Chain::before(&events[0]);
    events.iter().try_for_each(|event| chain.check(event))?;
    Ok(chain)
}

#[test]
fn events_are_numbered_without_a_gap_and_continue_the_chain() {
    let (events, end) = story();
    assert_eq!(check(&events), Ok(end));
    assert!(events.windows(2).all(|pair| pair[1].link.number == pair[0].link.number + 1));
    assert_eq!(end.count, events.last().expect("events").link.number);
}

#[test]
fn the_first_event_of_all_continues_nothing() {
    let mut log = Log::default();
    let spec = group("dmz", &["fw-a", "fw-b"], &["vip"]);
    let events = log.by_operator(CommandBody::PutGroup(spec)).expect("a group");
    assert_eq!((events[0].link.number, events[0].link.previous), (1, Digest::default()));
}

#[test]
fn a_refused_command_adds_nothing() {
    let mut log = active_pair(&["vip"]);
    let before = log.state.history;
    start(&mut log, "fw-z").expect_err("there is no such appliance");
    assert_eq!(log.state.history, before);
}

#[test]
fn whatever_is_changed_in_an_event_is_found() {
    let (events, _) = story();
    let changes: [fn(&mut Event); 9] = [
        |event| event.index += 1,
        |event| event.seq += 1,
        |event| event.at.0 += 1,
        |event| event.actor = Actor::Operator("mallory".to_owned()),
        |event| event.level = if event.level == Level::Info { Level::Alert } else { Level::Info },
        |event| event.group = None,
        |event| event.appliance = None,
        |event| event.operation = Some(OperationId(999)),
        |event| event.body = EventBody::GroupRemoved,
    ];
    for (nth, change) in changes.into_iter().enumerate() {
        let mut forged = events.clone();
        change(&mut forged[0]);
        assert_ne!(forged[0], events[0], "change {nth} changes nothing");
        let number = events[0].link.number;
        assert_eq!(check(&forged), Err(Broken::Content { number }), "change {nth}");
    }
}

#[test]
fn what_is_removed_inserted_or_reordered_is_found() {
    let (events, _) = story();
    for at in 1..events.len() {
        let mut without = events.clone();
        without.remove(at - 1);
        assert!(at == 1 || check(&without).is_err(), "event {at} is missing");
        let mut doubled = events.clone();
        doubled.insert(at, events[at - 1].clone());
        assert!(check(&doubled).is_err(), "event {at} is there twice");
        let mut swapped = events.clone();
        swapped.swap(at - 1, at);
        assert!(check(&swapped).is_err(), "events {at} and {} are swapped", at + 1);
    }
    // One that was made up to fit where it stands breaks the chain at the next.
    let mut chain = Chain::before(&events[0]);
    let mut forged = events.clone();
    forged[0].actor = Actor::Operator("mallory".to_owned());
    chain.append(&mut forged[0]);
    assert_eq!(check(&forged), Err(Broken::Previous { number: events[1].link.number }));
}

/// A digest that changes means that old exports no longer verify: see `chain.rs`.
#[test]
fn the_digest_of_what_was_once_recorded_stays_the_same() {
    let mut event = Event {
        index: 42,
        seq: 1,
        at: EPOCH,
        actor: Actor::Coordinator(NodeId(1)),
        level: Level::Warning,
        group: Some(group_name("dmz")),
        appliance: Some(appliance("fw-a")),
        operation: Some(OperationId(42)),
        body: EventBody::VerdictChanged {
            from: Verdict::Up,
            to: Verdict::Down,
            evidence: vec![Evidence {
                vantage: NodeId(2),
                appliance: appliance("fw-a"),
                verdict: Verdict::Down,
                detail: "tcp 10.0.1.4:22: timed out".to_owned(),
                age_ms: 120,
            }],
        },
        link: Link::default(),
    };
    let mut chain = Chain { count: 8, head: Digest([6; 32]) };
    chain.append(&mut event);
    assert_eq!(chain.head.to_string(), "9fa89fc525bd2be37087947d525adecc08cd1a6fad8043647380f6ca75d33f5d");
}

#[test]
fn a_digest_is_64_hexadecimal_digits() {
    let text = "00ff".repeat(16);
    let digest: Digest = text.parse().expect("a digest");
    assert_eq!(digest.to_string(), text);
    for bad in ["", "00", &"00FF".repeat(16), &"00gg".repeat(16), &"0".repeat(65), &"ü".repeat(32)] {
        assert!(bad.parse::<Digest>().is_err(), "{bad}");
    }
}
