use coordinator_core::ids::Token;

use super::super::fixtures::{group, ms, name, report};
use super::*;

fn leading(term: u64) -> LeadingTerm {
    LeadingTerm { term, table: LeaseTable::new(ms(0)) }
}

fn active_group() -> Group {
    let mut group = group();
    group.active = Some(name("fw-a"));
    group.token = Token(3);
    group
}

#[test]
fn a_node_that_does_not_lead_instructs_nobody() {
    let group = active_group();
    let quorum = Some((4, ms(90)));
    let told = instruct(None, Some(&group), &name("fw-a"), ms(100), quorum);
    assert_eq!(told, Instruction::NotLeader);
    let told = instruct(Some(&mut leading(4)), Some(&group), &name("fw-a"), ms(100), None);
    assert_eq!(told, Instruction::NotLeader);
}

#[test]
fn a_lease_table_of_an_earlier_term_answers_nothing() {
    let group = active_group();
    let told = instruct(Some(&mut leading(3)), Some(&group), &name("fw-a"), ms(100), Some((4, ms(90))));
    assert_eq!(told, Instruction::NotLeader);
}

#[test]
fn the_active_is_granted_what_is_left_since_the_quorum_and_the_standby_nothing() {
    let group = active_group();
    let quorum = Some((4, ms(90)));
    let told = instruct(Some(&mut leading(4)), Some(&group), &name("fw-a"), ms(100), quorum);
    assert_eq!(told, Instruction::Grant { token: Token(3), ttl_ms: 990 });
    let told = instruct(Some(&mut leading(4)), Some(&group), &name("fw-b"), ms(100), quorum);
    assert_eq!(told, Instruction::Standby { token: Token(3) });
}

#[test]
fn an_appliance_of_no_group_is_told_so_by_the_leader_alone() {
    let told = instruct(Some(&mut leading(4)), None, &name("fw-z"), ms(100), Some((4, ms(90))));
    assert_eq!(told, Instruction::NotDeclared);
    assert_eq!(instruct(None, None, &name("fw-z"), ms(100), None), Instruction::NotLeader);
}

#[test]
fn a_view_that_rests_on_no_reading_of_this_life_has_no_date() {
    let since = |life, at_us, elapsed_us| Some(Since { reading: Reading { life, at_us }, elapsed_us });
    assert_eq!(made(7, None, ms(100)), None);
    assert_eq!(made(7, since(6, 50_000, 0), ms(100)), None, "an earlier life");
    assert_eq!(made(7, since(7, 100_001, 0), ms(100)), None, "from the future");
    assert_eq!(made(7, since(7, 50_000, 0), ms(100)), Some(ms(50)));
    assert_eq!(made(7, since(7, 50_000, 10_000), ms(100)), Some(Mono(Duration::from_micros(59_800))));
}

#[test]
fn a_report_that_arrives_after_a_newer_one_of_the_same_life_is_ignored() {
    let mut inner = Inner::default();
    let numbered = |boot, seq, highest| {
        let mut report = report("fw-a", highest, None);
        (report.boot, report.seq) = (boot, seq);
        report
    };
    assert!(inner.take_report(numbered(1, 5, 3), ms(0), true));
    assert!(!inner.take_report(numbered(1, 4, 9), ms(1), true), "late");
    assert!(!inner.take_report(numbered(1, 6, 3), ms(2), true), "nothing new");
    assert!(inner.take_report(numbered(2, 1, 3), ms(3), true), "a new life");
    assert!(!inner.take_report(numbered(2, 2, 9), ms(4), false), "not declared");
    assert_eq!(inner.agents[&name("fw-a")].received, ms(3));
}

#[test]
fn an_agent_is_told_of_its_peers_and_of_failsafe() {
    let mut group = active_group();
    let told = assignment(&group, &name("fw-a"));
    let peer = |addresses: Vec<_>| Peer { appliance: name("fw-b"), addresses };
    assert_eq!((told.failsafe, told.peers), (false, vec![peer(vec![])]));
    let address = "10.0.0.5:7403".parse().unwrap();
    group.spec.policy.quorum_loss = QuorumLoss::Failsafe;
    group.spec.appliances[1].peer = vec![address];
    let told = assignment(&group, &name("fw-a"));
    assert_eq!((told.failsafe, told.peers), (true, vec![peer(vec![address])]));
}

#[test]
fn a_revision_counts_from_the_first_report_of_it_in_one_life_of_the_agent() {
    let mut inner = Inner::default();
    let mut seq = 0;
    let mut since = |boot, revision, at| {
        seq += 1;
        let report = AgentReport { boot, seq, revision, ..report("fw-a", 3, None) };
        inner.take_report(report, ms(at), true);
        inner.holdings()[&name("fw-a")].revision_since
    };
    assert_eq!(since(1, 7, 100), ms(100));
    assert_eq!(since(1, 7, 200), ms(100));
    assert_eq!(since(1, 8, 300), ms(300), "another declaration");
    assert_eq!(since(2, 8, 400), ms(400), "another life may rely on promises that this one cannot know of");
}

#[test]
fn what_earlier_leaders_granted_lasts_for_a_lease_and_the_bound_on_drift_from_the_election() {
    let group = active_group();
    let wait = group.spec.lease.wait();
    let left = |now| left_of_earlier_leases(Some(&leading(4)), Some(&group), now);
    assert_eq!(left(ms(0)), wait);
    assert_eq!(left(ms(0).plus(wait / 2)), wait - wait / 2);
    assert_eq!(left(ms(0).plus(wait)), Duration::ZERO);
    assert_eq!(left_of_earlier_leases(None, Some(&group), ms(0)), Duration::ZERO);
    assert_eq!(left_of_earlier_leases(Some(&leading(4)), None, ms(0)), Duration::ZERO);
}
