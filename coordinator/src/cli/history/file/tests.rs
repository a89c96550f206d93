use coordinator_core::chain::Link;
use coordinator_core::command::Actor;
use coordinator_core::event::{EventBody, Level};
use coordinator_core::ids::{GroupName, NodeId};
use coordinator_core::time::WallTime;

use super::*;

fn events(count: u64) -> Vec<Event> {
    let mut chain = Chain { count: 40, head: Digest([9; 32]) };
    (1..=count)
        .map(|index| {
            let mut event = Event {
                index,
                seq: 0,
                at: WallTime(1_772_366_400_000 + index),
                actor: Actor::Coordinator(NodeId(1)),
                level: Level::Info,
                group: GroupName::new("dmz").ok(),
                appliance: None,
                operation: None,
                body: EventBody::GroupDeclared { new: index == 1 },
                link: Link::default(),
            };
            chain.append(&mut event);
            event
        })
        .collect()
}

fn written(events: &[Event]) -> (String, Summary) {
    let mut writer = Writer::new(Vec::new());
    for event in events {
        writer.event(event).unwrap();
    }
    let (bytes, summary) = writer.finish(Chain::default()).unwrap();
    (String::from_utf8(bytes).unwrap(), summary)
}

#[test]
fn what_was_written_is_verified() {
    for count in [0, 1, 5] {
        let (text, summary) = written(&events(count));
        assert_eq!(verify(text.as_bytes()).unwrap(), summary);
        assert_eq!(summary.events, count);
        assert_eq!(
            (summary.first, summary.last),
            if count == 0 { (None, None) } else { (Some(41), Some(40 + count)) }
        );
    }
}

#[test]
fn any_flipped_bit_is_found() {
    let (text, _) = written(&events(3));
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            assert!(
                verify(&*bytes).is_err(),
                "bit {bit} of byte {at}: {:?}",
                String::from_utf8_lossy(&bytes)
            );
        }
    }
}

#[test]
fn a_removed_doubled_or_moved_line_is_found() {
    let (text, _) = written(&events(5));
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for at in 0..lines.len() {
        let mut without = lines.clone();
        without.remove(at);
        assert!(verify(without.concat().as_bytes()).is_err(), "line {at} is missing");
        let mut doubled = lines.clone();
        doubled.insert(at, lines[at]);
        assert!(verify(doubled.concat().as_bytes()).is_err(), "line {at} is there twice");
        for to in (0..lines.len()).filter(|to| *to != at) {
            let mut moved = lines.clone();
            let line = moved.remove(at);
            moved.insert(to, line);
            assert!(verify(moved.concat().as_bytes()).is_err(), "line {at} stands at {to}");
        }
    }
}

#[test]
fn a_file_that_is_cut_anywhere_is_found() {
    let (text, _) = written(&events(3));
    for to in 0..text.len() {
        assert!(verify(&text.as_bytes()[..to]).is_err(), "cut at byte {to}");
    }
}

#[test]
fn what_is_added_to_a_line_is_found() {
    let (text, _) = written(&events(1));
    for (from, to) in [("{\"index\"", "{\"hidden\":1,\"index\""), ("\"seq\":0", "\"seq\": 0"), ("\n", " \n")]
    {
        assert!(text.contains(from));
        let error = verify(text.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(matches!(error, FileError::NotAsWritten { .. }), "{error}");
    }
    let error = verify(format!("{text}{{}}\n").as_bytes()).unwrap_err();
    assert!(matches!(error, FileError::After { line: 4 }), "{error}");
}

#[test]
fn rubbish_and_other_forms_are_told_apart() {
    assert!(matches!(verify(&b"hello\n"[..]).unwrap_err(), FileError::NotRead { line: 1, .. }));
    assert!(matches!(
        verify(&b"\xff\xfe\n"[..]).unwrap_err(),
        FileError::NotRead { line: 1, what: "text", .. }
    ));
    let (text, _) = written(&events(1));
    let other = text.replacen("\"pointsman_history\":1", "\"pointsman_history\":2", 1);
    assert!(matches!(verify(other.as_bytes()).unwrap_err(), FileError::Version { found: 2 }));
    let endless = vec![b'x'; usize::try_from(MAX_LINE).unwrap() + 10];
    assert!(matches!(verify(&*endless).unwrap_err(), FileError::TooLong { line: 1 }));
}

#[test]
fn a_chain_that_does_not_continue_is_not_written() {
    let mut events = events(3);
    events.remove(1);
    let mut writer = Writer::new(Vec::new());
    writer.event(&events[0]).unwrap();
    assert!(matches!(writer.event(&events[1]).unwrap_err(), FileError::Broken { .. }));
}
