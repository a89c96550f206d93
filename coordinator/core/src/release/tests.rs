use std::time::Duration;

use super::*;
use crate::action::pending_actions;
use crate::ids::Token;
use crate::lease::Answer;
use crate::model::{ApplianceSpec, BindingKind, BindingSpec, GroupSpec, LeaseSpec, Policy};
use crate::state::Group;
use crate::time::WallTime;

fn name(text: &str) -> ApplianceName {
    text.parse().unwrap()
}

fn ms(millis: u64) -> Mono {
    Mono::from_millis(millis)
}

/// `fw-a` and `fw-b` with one VIP and a lease of one second; nothing is active.
fn group() -> Group {
    let appliance = |text: &str, address: &str| ApplianceSpec {
        name: name(text),
        address: address.parse().unwrap(),
        probes: Vec::new(),
        peer: Vec::new(),
        fence: None,
    };
    let interfaces = ["fw-a", "fw-b"].map(|a| (name(a), "eth0".to_owned())).into();
    let vip = BindingKind::Vip { address: "10.0.0.9".parse().unwrap(), prefix_len: 24, interfaces };
    let spec = GroupSpec {
        name: "dmz".parse().unwrap(),
        appliances: vec![appliance("fw-a", "10.0.0.4"), appliance("fw-b", "10.0.0.5")],
        bindings: vec![BindingSpec { name: "vip".parse().unwrap(), kind: vip }],
        policy: Policy::default(),
        lease: LeaseSpec { ttl: Duration::from_secs(1), drift_ppm: 0, ..LeaseSpec::default() },
        path_probes: Vec::new(),
    };
    Group::new(spec, 1, WallTime(0))
}

fn report(appliance: &str, highest: u64, holding: Option<u64>) -> (ApplianceName, Holding) {
    let held = Held { highest: Token(highest), holding: holding.map(Token) };
    (
        name(appliance),
        Holding { held, vips_up: holding.is_some(), revision: 0, revision_since: Mono::default() },
    )
}

/// `fw-b` has the role under token 7; `fw-a` may still hold the lease of token 3.
fn handing_over() -> State {
    let mut group = group();
    group.active = Some(name("fw-b"));
    group.token = Token(7);
    group.unreleased.insert(name("fw-a"), Token(3));
    State { groups: [(group.spec.name.clone(), group)].into(), ..State::default() }
}

fn look(state: &State, table: &LeaseTable, reports: &[(ApplianceName, Holding)], now: u64) -> Due {
    let agents = reports.iter().cloned().collect();
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
    let released = report("fw-a", 7, None);
    assert_eq!(proof(&look(&handing_over(), &table, &[released], 10)), Some(ReleaseProof::Confirmed));
}

#[test]
fn an_agent_that_holds_nothing_but_would_accept_an_older_token_confirms_nothing() {
    let table = LeaseTable::new(ms(0));
    let forgetful = report("fw-a", 6, None);
    let still_holding = report("fw-a", 7, Some(3));
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
