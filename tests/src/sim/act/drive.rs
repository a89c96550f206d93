//! One round of the driver: from the answers to a read, to the next write.

use std::collections::VecDeque;

use super::{Change, CloudAnswer, Failure, Request, Stage, Task};
use crate::sim::clock::{At, ms};
use crate::sim::cloud::{Doc, Resource, ResourceIx};
use crate::sim::coordinator::Then;
use crate::sim::event::{NodeIx, Timer};
use crate::sim::mutation::Mutation;
use crate::sim::world::World;

/// `driver.rs`: failures and conflicts that one attempt rides out.
const TRANSIENT_IN_A_ROW: u32 = 5;
const CONFLICTS: u32 = 8;
/// `act.rs`, `CONFIRM`.
const CONFIRM: At = ms(1_000);

/// What follows from a complete read.
enum Next {
    /// A resource carries a higher token.
    Deposed,
    Write {
        changes: VecDeque<Change>,
        claims: bool,
    },
    Unsettled,
    Right,
}

impl World {
    pub(crate) fn on_cloud_answered(&mut self, node: NodeIx, call: u64, answer: CloudAnswer) {
        let Some(leading) = &mut self.coordinators[node].leading else { return };
        let Some(id) = leading.calls.remove(&call) else { return };
        let Some(task) = leading.tasks.iter_mut().find(|task| task.id == id) else { return };
        if !task.open_calls.remove(&call) {
            return;
        }
        let nics = self.cloud.nics(task.group);
        let wanted = if task.public_ip { nics.len() } else { 1 };
        match (&mut task.stage, answer) {
            (Stage::Reading { associated, .. }, CloudAnswer::PublicIp(place)) => {
                *associated = Some(place);
                for resource in nics {
                    self.start_call(node, id, Request::Read { resource });
                }
            }
            (Stage::Reading { read, .. }, CloudAnswer::Read { resource, seen, settled }) => {
                read.insert(resource, (seen, settled));
                if read.len() == wanted {
                    self.was_read(node, id);
                }
            }
            (Stage::Reading { .. }, CloudAnswer::Refused(failure)) => self.call_failed(node, id, failure),
            (Stage::Writing { worst, .. }, answer) => {
                if let CloudAnswer::Refused(failure) = answer {
                    *worst = (*worst).max(Some(failure));
                }
                self.was_written(node, id);
            }
            _ => {}
        }
    }

    pub(crate) fn on_call_late(&mut self, node: NodeIx, call: u64) {
        self.on_cloud_answered(node, call, CloudAnswer::Refused(Failure::Transient));
    }

    fn was_read(&mut self, node: NodeIx, id: u64) {
        let claim = self.mutation != Some(Mutation::NoClaim);
        let Some(task) = self.task(node, id) else { return };
        match next(task, claim) {
            Next::Deposed => self.pause_move(node, id, 200, 5_000),
            Next::Unsettled => self.pause_move(node, id, 50, 1_000),
            Next::Right => self.record_step(node, id, true),
            Next::Write { changes, claims } => self.ask_gate(node, id, changes, claims),
        }
    }

    /// Before each write a quorum is asked whether this node still leads.
    fn ask_gate(&mut self, node: NodeIx, id: u64, changes: VecDeque<Change>, claims: bool) {
        let question = self.confirm(node, Then::Write { task: id });
        self.at(self.now + CONFIRM, node, Timer::ConfirmLate { id: question });
        if let Some(task) = self.task(node, id) {
            task.stage = Stage::Confirming { changes, claims };
        }
    }

    pub(crate) fn on_confirm_late(&mut self, node: NodeIx, question: u64) {
        let confirms = &mut self.coordinators[node].confirms;
        let Some(at) = confirms.iter().position(|confirm| confirm.id == question) else { return };
        if let Then::Write { task } = confirms.remove(at).then {
            self.pause_move(node, task, 200, 5_000);
        }
    }

    pub(crate) fn gate_passed(&mut self, node: NodeIx, id: u64) {
        let Some(task) = self.task(node, id) else { return };
        let (group, to, token) = (task.group, task.to, task.token());
        let Stage::Confirming { changes, claims } = &mut task.stage else { return };
        let (mut rest, claims) = (std::mem::take(changes), *claims);
        // Claims all at once, for none rests on another; moves one by one.
        let now = if claims { rest.drain(..).collect() } else { Vec::from_iter(rest.pop_front()) };
        task.stage = Stage::Writing { rest, worst: None };
        for Change { resource, etag, doc } in now {
            self.oracle_acts(node, group, token, to);
            self.start_call(node, id, Request::Write { resource, etag, token, doc });
        }
    }

    fn was_written(&mut self, node: NodeIx, id: u64) {
        let Some(task) = self.task(node, id) else { return };
        if !task.open_calls.is_empty() {
            return;
        }
        let Stage::Writing { rest, worst } = &mut task.stage else { return };
        match (worst.take(), std::mem::take(rest)) {
            (Some(failure), _) => self.call_failed(node, id, failure),
            (None, rest) if rest.is_empty() => {
                task.failures = 0;
                self.read_anew(node, id);
            }
            (None, rest) => self.ask_gate(node, id, rest, false),
        }
    }

    fn call_failed(&mut self, node: NodeIx, id: u64, failure: Failure) {
        let Some(task) = self.task(node, id) else { return };
        task.open_calls.clear();
        match failure {
            Failure::Conflict if task.conflicts < CONFLICTS => {
                task.conflicts += 1;
                self.read_anew(node, id);
            }
            Failure::Transient if task.failures < TRANSIENT_IN_A_ROW => {
                task.failures += 1;
                self.pause_move(node, id, 50, 1_000);
            }
            _ => self.record_step(node, id, false),
        }
    }
}

/// `Move::round`, from the read on.
fn next(task: &Task, claim: bool) -> Next {
    let Stage::Reading { associated, read } = &task.stage else { return Next::Unsettled };
    let token = Some(task.token());
    if read.values().any(|(seen, _)| seen.token > token) {
        return Next::Deposed;
    }
    let change =
        |resource: &ResourceIx, seen: &Resource, doc| Change { resource: *resource, etag: seen.etag, doc };
    let unclaimed = read.iter().filter(|(_, (seen, _))| seen.token < token);
    let claims: VecDeque<_> = unclaimed.map(|(i, (seen, _))| change(i, seen, seen.doc)).collect();
    if claim && !claims.is_empty() {
        return Next::Write { changes: claims, claims: true };
    }
    let holder =
        read.values().find(|(seen, _)| seen.doc == Doc::Nic { has: true }).map(|(seen, _)| seen.place);
    let agrees = associated.is_none_or(|associated| associated == holder);
    if !agrees || read.values().any(|(_, settled)| !settled) {
        return Next::Unsettled;
    }
    let mut changes = VecDeque::new();
    for (i, (seen, _)) in read {
        match seen.doc {
            // Off the NIC that has it first, then onto the one that is to have it.
            Doc::Nic { has: true } if seen.place != task.to => {
                changes.push_front(change(i, seen, Doc::Nic { has: false }));
            }
            Doc::Nic { has: false } if seen.place == task.to => {
                changes.push_back(change(i, seen, Doc::Nic { has: true }));
            }
            Doc::Table { hop } if hop != task.to => {
                changes.push_back(change(i, seen, Doc::Table { hop: task.to }));
            }
            _ => {}
        }
    }
    if changes.is_empty() { Next::Right } else { Next::Write { changes, claims: false } }
}
