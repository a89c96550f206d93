//! Everything that goes into the log or the history survives both encodings.

use std::fmt::Debug;

use coordinator_core::command::{Actor, Command, CommandBody, OperationKind};
use coordinator_core::observe::Verdict;
use coordinator_core::reason::Reason;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::common::{EPOCH, appliance, group};
use crate::operations::{active_pair, request, start, verdict};

#[test]
fn state_commands_and_events_survive_both_encodings() {
    let mut log = active_pair(&["vip", "public-ip", "route", "probe-gate"]);
    verdict(&mut log, "fw-a", Verdict::Down);
    survives(&start(&mut log, "fw-b").expect("a switchover"));
    survives(&log.state);
    let mut request = request(&log, OperationKind::ForcedSwitchover, "fw-b");
    request.because = vec![
        Reason::Down { appliance: appliance("fw-a"), vantages: 2, of: 3 },
        Reason::BothDown,
        Reason::Requested { reason: "ü".to_owned() },
    ];
    for body in [
        CommandBody::StartOperation(request),
        CommandBody::PutGroup(group("dmz", &["fw-a", "fw-b"], &["vip", "public-ip", "route", "probe-gate"])),
    ] {
        survives(&Command { at: EPOCH, actor: Actor::Operator("ops".to_owned()), body });
    }
}

#[test]
fn rejections_survive_both_encodings_and_say_what_to_do() {
    let mut log = active_pair(&["vip"]);
    let rejection = start(&mut log, "fw-z").expect_err("there is no such appliance");
    survives(&rejection);
    assert_eq!(rejection.to_string(), "group dmz has no appliance fw-z");
}

fn survives<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let json = serde_json::to_string(value).expect("it is written as JSON");
    assert_eq!(serde_json::from_str::<T>(&json).expect("it is read as JSON"), *value);
    let config = bincode::config::standard();
    let bytes = bincode::serde::encode_to_vec(value, config).expect("it is written as bincode");
    let (read, len) =
        bincode::serde::decode_from_slice::<T, _>(&bytes, config).expect("it is read as bincode");
    assert_eq!(read, *value);
    assert_eq!(len, bytes.len());
}
