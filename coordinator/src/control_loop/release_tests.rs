use std::collections::BTreeMap;

use coordinator_core::action::pending_actions;
use coordinator_core::command::{CommandBody, ReleaseProof};
use coordinator_core::ids::Token;
use coordinator_core::lease::{Answer, LeaseTable};

use super::super::fixtures::{group, ms, name, report, seen, state};
use super::*;

/// `fw-b` has the role under token 7; `fw-a` may still hold the lease of token 3.
fn handing_over() -> State {
    let mut group = group();
    group.active = Some(name("fw-b"));
    group.token = Token(7);
    group.unreleased.insert(name("fw-a"), Token(3));
    state(group)
}

fn look(state: &State, table: &LeaseTable, reports: &[AgentSeen], now: u64) -> Due {
    let agents: BTreeMap<_, _> = reports.iter().map(|s| (s.report.appliance.clone(), s.clone())).collect();
    due(state, &pending_actions(state), table, &agents, ms(now))
}

fn proof(due: &Due) -> Option<ReleaseProof> {
    due.propose.iter().find_map(|body| match body {
        CommandBody::RecordRelease { proof, .. } => Some(*proof),
        _ => None,
    })
}

#[test]
fn an_agent_that_stored_the_new_token_and_holds_nothing_confirms_at_once() {
    let table = LeaseTable::new(ms(0));
    let (_, released) = seen(report("fw-a", 7, None));
    assert_eq!(proof(&look(&handing_over(), &table, &[released], 10)), Some(ReleaseProof::Confirmed));
}

#[test]
fn an_agent_that_holds_nothing_but_would_accept_an_older_token_confirms_nothing() {
    let table = LeaseTable::new(ms(0));
    let (_, forgetful) = seen(report("fw-a", 6, None));
    let (_, still_holding) = seen(report("fw-a", 7, Some(3)));
    assert_eq!(proof(&look(&handing_over(), &table, &[forgetful], 10)), None);
    assert_eq!(proof(&look(&handing_over(), &table, &[still_holding], 10)), None);
}

#[test]
fn without_a_word_from_the_agent_every_lease_of_earlier_leaders_is_waited_out() {
    let table = LeaseTable::new(ms(100));
    // A lease of 1,000 ms counted from before the election, and 1 ms for rounding.
    let early = look(&handing_over(), &table, &[], 1_100);
    assert_eq!((proof(&early), early.next_wakeup), (None, Some(ms(1_101))));
    assert_eq!(proof(&look(&handing_over(), &table, &[], 1_101)), Some(ReleaseProof::Expired));
}

#[test]
fn what_this_leader_granted_itself_is_waited_out_too() {
    let mut table = LeaseTable::new(ms(0));
    let mut before = group();
    before.active = Some(name("fw-a"));
    before.token = Token(3);
    let granted = table.answer(&before, &name("fw-a"), ms(5_000), Some(ms(4_950)));
    assert!(matches!(granted, Answer::Grant { .. }), "{granted:?}");
    assert_eq!(proof(&look(&handing_over(), &table, &[], 5_900)), None);
    assert_eq!(proof(&look(&handing_over(), &table, &[], 5_951)), Some(ReleaseProof::Expired));
}
