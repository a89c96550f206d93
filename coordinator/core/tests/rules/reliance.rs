//! Who may rely on promises, what is refused meanwhile, and when that is over.

use std::collections::BTreeMap;

use coordinator_core::action::pending_actions;
use coordinator_core::apply::Rejection;
use coordinator_core::command::{CommandBody, OperationKind, ReleaseProof};
use coordinator_core::ids::{ApplianceName, Token};
use coordinator_core::lease::{Held, LeaseTable};
use coordinator_core::model::{BindingKind, GroupSpec, QuorumLoss};
use coordinator_core::observe::Verdict;
use coordinator_core::release::{Due, Holding, due};
use coordinator_core::time::Mono;

use crate::common::{Log, appliance, group, group_name, with_peers};
use crate::operations::{active_pair, finish, request, start, the_group, verdict};

#[test]
fn the_active_may_rely_from_the_declaration_on() {
    let mut log = active_pair(&["vip"]);
    assert_eq!(relying(&log), [""; 0]);
    declare(&mut log, |_| {}).expect("failsafe");
    assert_eq!(relying(&log), ["fw-a"]);
    start(&mut log, "fw-b").expect("a switchover");
    assert_eq!(relying(&log), ["fw-a", "fw-b"]);
    // Confirmed: it holds nothing and takes nothing older any more.
    finish(&mut log);
    assert_eq!(relying(&log), ["fw-b"]);
}

#[test]
fn the_end_of_a_lease_ends_no_reliance_but_the_hold_of_another_does() {
    let mut log = failsafe_pair();
    start(&mut log, "fw-b").expect("a switchover");
    release(&mut log, ReleaseProof::Expired).expect("its lease is over");
    assert_eq!(relying(&log), ["fw-a", "fw-b"]);
    finish(&mut log);
    assert_eq!(relying(&log), ["fw-b"]);
}

/// Each row is a change, and whether it is free while the active may rely on promises.
#[test]
fn nobody_joins_and_no_address_leaves_while_someone_may_rely() {
    type Change = fn(&mut GroupSpec);
    let rows: &[(bool, Change)] = &[
        (false, |g| g.appliances[1].name = appliance("fw-c")),
        (false, |g| {
            *g = group("dmz", &["fw-a", "fw-b", "fw-c"], &["vip", "route"]);
            with_peers(g);
        }),
        (false, |g| drop(g.bindings.remove(0))),
        (false, |g| vip(g, "10.0.0.101")),
        (true, |g| g.policy.flap_moves = 9),
        (true, |g| g.appliances.reverse()),
        (true, |g| drop(g.bindings.pop())),
        (true, |g| g.appliances[1].peer = vec!["192.168.7.2:7403".parse().expect("an address")]),
    ];
    for (i, (free, change)) in rows.iter().enumerate() {
        // Also in the declaration that gives failsafe up.
        for loss in [QuorumLoss::Failsafe, QuorumLoss::Drop] {
            let mut log = failsafe_pair();
            let answer = declare(&mut log, |g| {
                change(g);
                // Whatever else changed: every appliance is still well declared.
                let all: Vec<_> = g.appliances.iter().map(|a| a.name.clone()).collect();
                for binding in &mut g.bindings {
                    if let BindingKind::Vip { interfaces, .. } = &mut binding.kind {
                        *interfaces = all.iter().map(|a| (a.clone(), "eth0".to_owned())).collect();
                    } else if let BindingKind::Route { targets, .. } = &mut binding.kind {
                        *targets = g.appliances.iter().map(|a| (a.name.clone(), a.address)).collect();
                    }
                }
                g.policy.quorum_loss = if g.needs_lease() { loss } else { QuorumLoss::Drop };
            });
            let refused = matches!(answer, Err(Rejection::ReliedOn { .. }));
            assert_eq!((refused, answer.is_ok()), (!free, *free), "row {i}: {answer:?}");
        }
    }
    let mut log = failsafe_pair();
    let removed = log.by_operator(CommandBody::RemoveGroup(group_name("dmz")));
    assert!(matches!(removed, Err(Rejection::ReliedOn { .. })), "{removed:?}");
}

#[test]
fn only_the_newest_declaration_without_failsafe_can_be_acknowledged() {
    let mut log = failsafe_pair();
    let revision = the_group(&log).revision;
    let refused = |answer| matches!(answer, Err(Rejection::NothingToAcknowledge { .. }));
    assert!(refused(acknowledge(&mut log, "fw-a", revision)), "it is failsafe");
    give_up(&mut log);
    assert!(refused(acknowledge(&mut log, "fw-a", revision)), "an older one");
    let revision = the_group(&log).revision;
    assert!(refused(acknowledge(&mut log, "fw-b", revision)), "it relies on nobody");
    acknowledge(&mut log, "fw-a", revision).expect("it acts on it");
    assert_eq!(relying(&log), [""; 0]);
    log.by_operator(CommandBody::RemoveGroup(group_name("dmz"))).expect("free again");
}

/// A promise given just before the agent took note may still carry it for a lease, and so may a
/// grant of an earlier leader that tells of an older declaration.
#[test]
fn an_acknowledgement_is_proposed_a_lease_after_it_was_heard_and_after_the_election() {
    let mut log = failsafe_pair();
    give_up(&mut log);
    let wait = the_group(&log).spec.lease.wait();
    let (elected, heard) = (Mono::from_millis(10_000), Mono::from_millis(20_000));
    let revision = the_group(&log).revision;
    let propose = |elected, heard, revision, now| propose(&log, elected, heard, revision, now);
    assert_eq!(propose(elected, heard, revision, heard).next_wakeup, Some(heard.plus(wait)));
    assert_eq!(propose(heard, elected, revision, heard).next_wakeup, Some(heard.plus(wait)));
    assert_eq!(propose(elected, heard, revision - 1, heard.plus(wait)), Due::default());
    let due = propose(elected, heard, revision, heard.plus(wait));
    assert!(matches!(&due.propose[..], [CommandBody::RecordAcknowledged { .. }]), "{due:?}");
}

#[test]
fn an_operators_word_counts_for_an_active_only_once_failsafe_is_given_up() {
    let mut log = failsafe_pair();
    let word = |log: &mut Log| {
        let (group, token) = (group_name("dmz"), the_group(log).token);
        let reason = "it lies on my desk".to_owned();
        log.by_operator(CommandBody::ConfirmOff { group, appliance: appliance("fw-a"), token, reason })
    };
    assert!(matches!(word(&mut log), Err(Rejection::NotAwaited { active: true, .. })));
    give_up(&mut log);
    word(&mut log).expect("it can rely on nobody when it is switched on again");
    assert_eq!(relying(&log), [""; 0]);
}

#[test]
fn a_target_that_was_never_granted_relies_on_nobody_once_another_holds() {
    let mut log = failsafe_pair();
    start(&mut log, "fw-b").expect("a switchover");
    verdict(&mut log, "fw-b", Verdict::Down);
    let running = the_group(&log).operation.as_ref().map(|o| o.id);
    let mut back = request(&log, OperationKind::Failover, "fw-a");
    back.supersedes = running;
    log.by_coordinator(CommandBody::StartOperation(back)).expect("its target is down");
    assert_eq!(relying(&log), ["fw-a", "fw-b"]);
    finish(&mut log);
    assert_eq!(relying(&log), ["fw-a"]);
}

fn propose(log: &Log, elected: Mono, revision_since: Mono, revision: u64, now: Mono) -> Due {
    let held = Held { highest: Token(0), holding: None };
    let holding = Holding { held, vips_up: false, revision, revision_since };
    let agents = BTreeMap::from([(appliance("fw-a"), holding)]);
    due(&log.state, &pending_actions(&log.state), &LeaseTable::new(elected), &agents, now)
}

fn failsafe_pair() -> Log {
    let mut log = active_pair(&["vip", "route"]);
    declare(&mut log, |_| {}).expect("failsafe");
    log
}

fn give_up(log: &mut Log) {
    declare(log, |g| g.policy.quorum_loss = QuorumLoss::Drop).expect("failsafe is given up");
}

/// Declares the group anew: failsafe, and changed as told.
fn declare(
    log: &mut Log,
    change: impl FnOnce(&mut GroupSpec),
) -> Result<Vec<coordinator_core::event::Event>, Rejection> {
    let mut spec = the_group(log).spec.clone();
    with_peers(&mut spec);
    spec.policy.quorum_loss = QuorumLoss::Failsafe;
    change(&mut spec);
    log.by_operator(CommandBody::PutGroup(spec))
}

fn vip(spec: &mut GroupSpec, other: &str) {
    if let BindingKind::Vip { address, .. } = &mut spec.bindings[0].kind {
        *address = other.parse().expect("an address");
    }
}

fn acknowledge(
    log: &mut Log,
    name: &str,
    revision: u64,
) -> Result<Vec<coordinator_core::event::Event>, Rejection> {
    let (group, appliance) = (group_name("dmz"), appliance(name));
    log.by_coordinator(CommandBody::RecordAcknowledged { group, appliance, revision })
}

fn release(log: &mut Log, proof: ReleaseProof) -> Result<Vec<coordinator_core::event::Event>, Rejection> {
    let (group, token) = (group_name("dmz"), the_group(log).token);
    log.by_coordinator(CommandBody::RecordRelease { group, appliance: appliance("fw-a"), token, proof })
}

fn relying(log: &Log) -> Vec<&str> {
    the_group(log).relies.iter().map(ApplianceName::as_str).collect()
}
