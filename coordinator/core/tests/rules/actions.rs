//! What remains to be done follows from committed state alone.

use coordinator_core::action::{Action, desired, pending_actions};

use crate::common::appliance;
use crate::operations::{active_pair, finish, start, the_group};

#[test]
fn a_group_at_rest_has_nothing_to_do_and_something_to_compare() {
    let log = active_pair(&["vip", "public-ip", "route"]);
    assert_eq!(pending_actions(&log.state), []);
    let wanted = desired(&log.state);
    assert_eq!(wanted.len(), 2, "the VIP is no cloud binding");
    assert!(wanted.iter().all(|d| d.active == appliance("fw-a") && d.token == the_group(&log).token));
}

#[test]
fn a_running_operation_awaits_the_release_and_moves_everything_at_once() {
    let mut log = active_pair(&["vip", "public-ip", "route"]);
    start(&mut log, "fw-b").expect("a switchover");
    let actions = pending_actions(&log.state);
    assert!(matches!(&actions[0], Action::AwaitRelease { appliance: a, .. } if *a == appliance("fw-a")));
    assert!(matches!(&actions[1], Action::AwaitHold { to, .. } if *to == appliance("fw-b")));
    assert!(matches!(&actions[2], Action::MoveBinding { .. }));
    assert!(matches!(&actions[3], Action::MoveBinding { .. }));
    assert_eq!(actions.len(), 4);
    assert_eq!(desired(&log.state), [], "what is being moved is not compared");
    finish(&mut log);
    assert_eq!(pending_actions(&log.state), []);
}
