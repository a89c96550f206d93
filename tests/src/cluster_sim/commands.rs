//! What the clients ask for: every command leaves an event with the client's own name for it.

use std::net::IpAddr;
use std::time::Duration;

use coordinator_core::command::{
    Actor, Command, CommandBody, OperationKind, RecordStep, StartOperation, StepOutcome,
};
use coordinator_core::ids::{GroupName, NameError, NodeId};
use coordinator_core::model::{
    ApplianceSpec, BindingKind, BindingSpec, GroupSpec, LeaseSpec, Policy, ProbeKind, ProbeSpec,
};
use coordinator_core::state::{Group, State};
use coordinator_core::time::WallTime;

/// The groups, by their numbers.
pub(super) const GROUPS: [u8; 2] = [1, 2];

/// What the state asks for next, in a group: to be declared, a step of its operation, or `None`.
pub(super) fn due(state: &State, number: u8, at: WallTime) -> Result<Option<Command>, NameError> {
    let name = group_name(number)?;
    let Some(group) = state.groups.get(&name) else {
        return Ok(Some(by_operator(at, CommandBody::PutGroup(spec(number)?))));
    };
    let Some(operation) = &group.operation else { return Ok(None) };
    let Some(step) = operation.steps.iter().find(|step| step.done.is_none()) else { return Ok(None) };
    let body = CommandBody::RecordStep(RecordStep {
        group: name,
        operation: operation.id,
        binding: step.binding.clone(),
        outcome: StepOutcome::Done,
        calls: Vec::new(),
        took: Duration::from_millis(5),
    });
    Ok(Some(Command { at, actor: Actor::Coordinator(NodeId(1)), body }))
}

/// A command that leaves `id` in the history: the group moves, or an appliance is in maintenance.
pub(super) fn named(group: &Group, moves: bool, id: &str, at: WallTime) -> Option<Command> {
    let reason = id.to_owned();
    let name = group.spec.name.clone();
    let body = if moves && group.operation.is_none() {
        let to = group.standbys().next()?.clone();
        CommandBody::StartOperation(StartOperation {
            group: name,
            kind: OperationKind::ForcedSwitchover,
            to,
            expected: group.token,
            supersedes: None,
            reason,
            because: Vec::new(),
            evidence: Vec::new(),
        })
    } else {
        let appliance = group.preferred()?.clone();
        CommandBody::SetMaintenance { group: name, appliance, enabled: true, reason }
    };
    Some(by_operator(at, body))
}

fn by_operator(at: WallTime, body: CommandBody) -> Command {
    Command { at, actor: Actor::Operator("client".to_owned()), body }
}

pub(super) fn group_name(number: u8) -> Result<GroupName, NameError> {
    GroupName::new(format!("group-{number}"))
}

fn spec(number: u8) -> Result<GroupSpec, NameError> {
    let probe = ProbeSpec {
        name: "agent".parse()?,
        kind: ProbeKind::AgentHeartbeat,
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(3),
        rise: 1,
        fall: 1,
    };
    let appliance = |suffix: &str, last: u8| {
        Ok::<_, NameError>(ApplianceSpec {
            name: format!("group-{number}-{suffix}").parse()?,
            address: IpAddr::from([10, 0, number, last]),
            probes: vec![probe.clone()],
            peer: Vec::new(),
            fence: None,
        })
    };
    let appliances = vec![appliance("a", 1)?, appliance("b", 2)?];
    let targets = appliances.iter().map(|it| (it.name.clone(), format!("nic-{}", it.name))).collect();
    let kind =
        BindingKind::PublicIp { adapter: "cloud".parse()?, resource: format!("address-{number}"), targets };
    Ok(GroupSpec {
        name: group_name(number)?,
        appliances,
        bindings: vec![BindingSpec { name: format!("ip-{number}").parse()?, kind }],
        policy: Policy::default(),
        lease: LeaseSpec::default(),
        path_probes: Vec::new(),
    })
}
