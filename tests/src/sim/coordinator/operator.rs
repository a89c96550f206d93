//! Operators: they ask whoever believes to lead. Mirrors `control_loop/handle.rs`.

use std::net::{IpAddr, Ipv4Addr};

use coordinator_core::command::{Actor, CommandBody, OperationKind};
use coordinator_core::decide::{MoveRequest, admit};
use coordinator_core::ids::ApplianceName;
use coordinator_core::model::{BindingKind, QuorumLoss, Trigger};
use coordinator_core::reason::Reason;

use super::Then;
use super::propose::Purpose;
use crate::sim::event::NodeIx;
use crate::sim::mutation::rules::seen_by_decide;
use crate::sim::raft::Role;
use crate::sim::setup::COORDINATORS;
use crate::sim::world::World;

/// What an operator asks for.
#[derive(Debug, Clone)]
pub(crate) enum Wish {
    Move(MoveRequest),
    Set(CommandBody),
}

impl World {
    /// Someone asks for something.
    pub(crate) fn on_operator(&mut self) {
        if self.last_resort.failsafe && self.random.percent(12) {
            return self.redeclare();
        }
        let group = self.random.below(self.specs.len());
        let spec = &self.specs[group];
        let (name, count) = (spec.name.clone(), spec.appliances.len());
        let any: ApplianceName = spec.appliances[self.random.below(count)].name.clone();
        let reason = "asked for".to_owned();
        let request =
            |kind, to| Wish::Move(MoveRequest { group: name.clone(), kind, to, reason: reason.clone() });
        let maintenance = |enabled| {
            let (group, appliance) = (name.clone(), any.clone());
            Wish::Set(CommandBody::SetMaintenance { group, appliance, enabled, reason: reason.clone() })
        };
        let mode =
            |mode| Wish::Set(CommandBody::SetMode { group: name.clone(), mode, reason: reason.clone() });
        let wish = match self.random.below(20) {
            0..=4 => request(OperationKind::Switchover, None),
            5 => request(OperationKind::Switchover, Some(any.clone())),
            6..=9 => request(OperationKind::ForcedSwitchover, Some(any.clone())),
            10..=11 => request(OperationKind::Failback, None),
            12 => maintenance(true),
            13..=14 => maintenance(false),
            15 => mode(Trigger::Manual),
            16..=17 => mode(Trigger::Automatic),
            18 => {
                let reason = Reason::Requested { reason: reason.clone() };
                Wish::Set(CommandBody::Freeze { group: name.clone(), reason })
            }
            _ => Wish::Set(CommandBody::Unfreeze { group: name.clone(), reason: reason.clone() }),
        };
        self.ask(wish);
    }

    /// Gives failsafe up or takes it up again; or, where nobody ever does, asks for what is refused
    /// as long as promises are relied on.
    fn redeclare(&mut self) {
        let group = self.random.below(self.specs.len());
        let name = self.specs[group].name.clone();
        let Some(known) = self.oracle.state().groups.get(&name) else { return };
        if self.specs[group].policy.quorum_loss == QuorumLoss::Drop || known.active.is_none() {
            return;
        }
        let mut spec = known.spec.clone();
        if self.last_resort.toggles {
            spec.policy.quorum_loss = match spec.policy.quorum_loss {
                QuorumLoss::Drop => QuorumLoss::Failsafe,
                QuorumLoss::Failsafe => QuorumLoss::Drop,
            };
            return self.ask(Wish::Set(CommandBody::PutGroup(spec)));
        }
        let body = if self.random.percent(50) {
            CommandBody::RemoveGroup(name)
        } else {
            for binding in &mut spec.bindings {
                if let BindingKind::Vip { address, .. } = &mut binding.kind {
                    *address = IpAddr::V4(Ipv4Addr::new(10, 9, 9, 9));
                }
            }
            CommandBody::PutGroup(spec)
        };
        self.ask(Wish::Set(body));
    }

    /// Asks a node that believes to lead, if there is one.
    pub(crate) fn ask(&mut self, wish: Wish) {
        let leads = |node: &NodeIx| {
            let c = &self.coordinators[*node];
            c.up && c.paused == 0 && c.raft.role == Role::Leader
        };
        let leaders: Vec<NodeIx> = (0..COORDINATORS).filter(leads).collect();
        let Some(node) = leaders.get(self.random.below(leaders.len())).copied() else { return };
        self.confirm(node, Then::Admit(Box::new(wish)));
    }

    /// `ControlHandle::request_move`, after the confirmation.
    pub(crate) fn admitted(&mut self, node: NodeIx, term: u64, wish: Wish) {
        let c = &self.coordinators[node];
        let body = match wish {
            Wish::Set(body) => body,
            Wish::Move(request) => {
                let now = c.clock.now(self.now);
                match admit(&seen_by_decide(self.mutation, &c.state), &self.observations(node), now, &request)
                {
                    Ok(start) => CommandBody::StartOperation(start),
                    Err(_) => return,
                }
            }
        };
        self.propose(node, term, Actor::Operator("ops".to_owned()), body, Purpose::Operator);
    }
}
