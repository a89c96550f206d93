//! What an agent is told that announces something: whether the group leaves its appliance. One that
//! was asked to stop waits for that.

use std::collections::BTreeMap;

use coordinator_api::agent::{AgentReport, Handover};
use coordinator_core::ids::GroupName;
use coordinator_core::reason::Reason;
use coordinator_core::state::Group;

/// The leader's answer; `None` to a report that announces nothing.
///
/// `reasons` are those of the newest decision. They may be older than the notice, and then say
/// nothing of it: only a decision that knows what is announced says that the group stays.
pub(super) fn handover(
    group: Option<&Group>,
    report: &AgentReport,
    reasons: &BTreeMap<GroupName, Vec<Reason>>,
) -> Option<Handover> {
    let mut kinds =
        report.notices.iter().flat_map(|source| &source.notices).map(|notice| notice.kind).peekable();
    kinds.peek()?;
    let Some(group) = group else { return Some(Handover::Done) };
    let left = group.active.as_ref() != Some(&report.appliance);
    if let Some(running) = &group.operation {
        // What it still carries is on its way, whichever way the group goes.
        let concerned = !left || running.from.as_ref() == Some(&report.appliance);
        return Some(if concerned { Handover::Pending } else { Handover::Done });
    }
    if left {
        return Some(Handover::Done);
    }
    if !kinds.any(|kind| group.spec.policy.drain.contains(&kind)) {
        let why = "the group's policy leaves no appliance for what is announced".to_owned();
        return Some(Handover::Refused { why });
    }
    let reasons = reasons.get(&group.spec.name).map(Vec::as_slice).unwrap_or_default();
    let stays = |reason: &Reason| matches!(reason, Reason::StaysAnnounced { appliance, .. } if *appliance == report.appliance);
    if !reasons.iter().any(stays) {
        return Some(Handover::Pending);
    }
    let why: Vec<_> = reasons.iter().map(ToString::to_string).collect();
    Some(Handover::Refused { why: why.join("; ") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control_loop::fixtures::{group, name, report};
    use coordinator_core::command::{Actor, Command, CommandBody, OperationKind, StartOperation};
    use coordinator_core::ids::NodeId;
    use coordinator_core::notice::{Notice, NoticeKind, NoticeSource, SourceReport, SourceState};
    use coordinator_core::observe::Verdict;
    use coordinator_core::state::State;
    use coordinator_core::time::WallTime;

    fn stopping(appliance: &str) -> AgentReport {
        let notice = Notice {
            id: "stop".to_owned(),
            kind: NoticeKind::Shutdown,
            not_before: None,
            started: false,
            lasts_secs: None,
            about: String::new(),
        };
        let source = NoticeSource::Agent;
        let notices = vec![SourceReport { source, state: SourceState::Known, notices: vec![notice] }];
        AgentReport { notices, ..report(appliance, 0, None) }
    }

    /// `fw-a` is about to become active.
    fn activating() -> Group {
        let mut group = group();
        for known in group.appliances.values_mut() {
            known.verdict = Verdict::Up;
        }
        let start = StartOperation {
            group: group.spec.name.clone(),
            kind: OperationKind::Activation,
            to: name("fw-a"),
            expected: group.token,
            supersedes: None,
            reason: String::new(),
            because: Vec::new(),
            evidence: Vec::new(),
        };
        let mut state = State { groups: [(group.spec.name.clone(), group)].into(), ..State::default() };
        let body = CommandBody::StartOperation(start);
        let command = Command { at: WallTime(5), actor: Actor::Coordinator(NodeId(1)), body };
        coordinator_core::apply::apply(&mut state, 7, &command).unwrap();
        state.groups.into_values().next().unwrap()
    }

    fn said(group: &Group, appliance: &str, reasons: &[Reason]) -> Option<Handover> {
        let reasons = [(group.spec.name.clone(), reasons.to_vec())].into();
        handover(Some(group), &stopping(appliance), &reasons)
    }

    #[test]
    fn an_agent_that_announces_nothing_is_told_nothing() {
        assert_eq!(handover(Some(&group()), &report("fw-a", 0, None), &BTreeMap::new()), None);
        assert_eq!(handover(None, &stopping("fw-a"), &BTreeMap::new()), Some(Handover::Done));
    }

    #[test]
    fn while_a_move_concerns_it_an_agent_waits() {
        let group = activating();
        assert_eq!(said(&group, "fw-a", &[]), Some(Handover::Pending));
        assert_eq!(said(&group, "fw-b", &[]), Some(Handover::Done), "it comes from nowhere");
    }

    #[test]
    fn at_rest_only_the_active_waits_and_only_while_it_may_be_left() {
        let mut group = activating();
        group.operation = None;
        assert_eq!(said(&group, "fw-b", &[]), Some(Handover::Done));
        assert_eq!(said(&group, "fw-a", &[]), Some(Handover::Pending), "nothing is decided yet");
        let stays = |who: &str| Reason::StaysAnnounced { appliance: name(who), kind: NoticeKind::Shutdown };
        assert_eq!(said(&group, "fw-a", &[stays("fw-b")]), Some(Handover::Pending), "said of another");
        let refused = said(&group, "fw-a", &[Reason::ManualMode, stays("fw-a")]);
        let Some(Handover::Refused { why }) = refused else { panic!("{refused:?}") };
        assert!(why.contains("manual mode"), "{why}");
        group.spec.policy.drain.clear();
        assert!(matches!(said(&group, "fw-a", &[]), Some(Handover::Refused { .. })));
    }
}
