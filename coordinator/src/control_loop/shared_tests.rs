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
