//! Moves of cloud bindings: mirrors `control_loop/act.rs` and the driver in
//! `cloud-adapters/src/contract/driver.rs`, step by step: read, stop at a higher token, claim,
//! wait until settled, plan, ask the gate, write, read back.

mod drive;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use coordinator_core::action::Action;
use coordinator_core::command::{Actor, CommandBody, RecordStep, StepOutcome};
use coordinator_core::ids::{BindingName, OperationId, Token};
use coordinator_core::model::BindingKind;
use coordinator_core::time::Mono;

use super::cloud::{Doc, Resource, ResourceIx};
use super::coordinator::Purpose;
use super::event::{NodeIx, Timer};
use super::mutation::Mutation;
use super::world::World;

/// One call.
pub(crate) type CallId = u64;

#[derive(Debug, Clone)]
pub(crate) enum Request {
    /// Which NIC has the group's public IP?
    PublicIp {
        group: usize,
    },
    Read {
        resource: ResourceIx,
    },
    /// Conditional on the ETag.
    Write {
        resource: ResourceIx,
        etag: u64,
        token: Token,
        doc: Doc,
    },
}

#[derive(Debug, Clone)]
pub(crate) enum CloudAnswer {
    PublicIp(Option<usize>),
    Read { resource: ResourceIx, seen: Resource, settled: bool },
    Written,
    Refused(Failure),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    Transient,
    Conflict,
}

/// One conditional write to make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    pub(crate) resource: ResourceIx,
    pub(crate) etag: u64,
    pub(crate) doc: Doc,
}

/// What a move is waiting for.
#[derive(Debug)]
pub(crate) enum Stage {
    Reading {
        associated: Option<Option<usize>>,
        read: BTreeMap<ResourceIx, (Resource, bool)>,
    },
    /// The gate.
    Confirming {
        changes: VecDeque<Change>,
        claims: bool,
    },
    Writing {
        rest: VecDeque<Change>,
        worst: Option<Failure>,
    },
    Pausing,
    Recording,
}

/// The move of one binding in one operation.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) id: u64,
    pub(crate) key: (OperationId, BindingName),
    pub(crate) group: usize,
    pub(crate) public_ip: bool,
    /// The target's place in its group.
    pub(crate) to: usize,
    pub(crate) stage: Stage,
    pub(crate) open_calls: BTreeSet<CallId>,
    pub(crate) failures: u32,
    pub(crate) conflicts: u32,
}

impl Task {
    pub(crate) fn token(&self) -> Token {
        self.key.0.token()
    }
}

impl World {
    /// `Acting::reconcile`: makes the running moves match what is pending.
    pub(crate) fn reconcile(&mut self, node: NodeIx, actions: &[Action]) {
        let mut wanted = BTreeMap::new();
        for action in actions {
            if let Action::MoveBinding { group, operation, binding, to, .. } = action {
                let group = self.specs.iter().position(|spec| spec.name == *group).unwrap_or_default();
                let place = self.specs[group].appliances.iter().position(|a| a.name == *to);
                let public_ip = matches!(binding.kind, BindingKind::PublicIp { .. });
                let key = (*operation, binding.name.clone());
                wanted.insert(key, (group, public_ip, place.unwrap_or_default()));
            }
        }
        let Some(leading) = &mut self.coordinators[node].leading else { return };
        leading.tasks.retain(|task| wanted.contains_key(&task.key));
        for task in &leading.tasks {
            wanted.remove(&task.key);
        }
        for (key, (group, public_ip, declared)) in wanted {
            let pointing = if public_ip { self.cloud.carriers(group).pop() } else { self.cloud.hop(group) };
            let to = match self.mutation {
                Some(Mutation::ResumeFromCloud) => pointing.unwrap_or(declared),
                _ => declared,
            };
            self.numbers += 1;
            let id = self.numbers;
            let (open_calls, stage) = (BTreeSet::new(), Stage::Pausing);
            let token = key.0.token();
            let task = Task { id, key, group, public_ip, to, stage, open_calls, failures: 0, conflicts: 0 };
            self.oracle_acts(node, group, token, to);
            if let Some(leading) = &mut self.coordinators[node].leading {
                leading.tasks.push(task);
            }
            self.read_anew(node, id);
        }
    }

    /// The move `id` of this node, while it leads and the move is pending.
    pub(crate) fn task(&mut self, node: NodeIx, id: u64) -> Option<&mut Task> {
        let leading = self.coordinators[node].leading.as_mut()?;
        leading.tasks.iter_mut().find(|task| task.id == id)
    }

    /// A round of the driver: everything in it follows from one fresh read.
    pub(crate) fn read_anew(&mut self, node: NodeIx, id: u64) {
        let Some(task) = self.task(node, id) else { return };
        let (group, public_ip) = (task.group, task.public_ip);
        task.stage = Stage::Reading { associated: None, read: BTreeMap::new() };
        let requests = if public_ip {
            vec![Request::PublicIp { group }]
        } else {
            self.cloud.tables(group).into_iter().map(|resource| Request::Read { resource }).collect()
        };
        for request in requests {
            self.start_call(node, id, request);
        }
    }

    pub(crate) fn start_call(&mut self, node: NodeIx, id: u64, request: Request) {
        self.numbers += 1;
        let call = self.numbers;
        let Some(leading) = &mut self.coordinators[node].leading else { return };
        let Some(task) = leading.tasks.iter_mut().find(|task| task.id == id) else { return };
        task.open_calls.insert(call);
        leading.calls.insert(call, id);
        self.at(self.now + super::cloud::CALL_TIMEOUT, node, Timer::CallLate { call });
        self.call_cloud(node, call, request);
    }

    /// `AdapterError` to the control loop: recorded, and tried again after a pause.
    pub(crate) fn record_step(&mut self, node: NodeIx, id: u64, done: bool) {
        let Some(term) = self.coordinators[node].leading.as_ref().map(|leading| leading.term) else { return };
        let group_names: Vec<_> = self.specs.iter().map(|spec| spec.name.clone()).collect();
        let Some(task) = self.task(node, id) else { return };
        task.stage = Stage::Recording;
        (task.failures, task.conflicts) = (0, 0);
        let outcome = match done {
            true => StepOutcome::Done,
            false => StepOutcome::Failed { error: "the cloud keeps failing".to_owned() },
        };
        let body = CommandBody::RecordStep(RecordStep {
            group: group_names[task.group].clone(),
            operation: task.key.0,
            binding: task.key.1.clone(),
            outcome,
            calls: Vec::new(),
            took: Mono::default().0,
        });
        let actor = Actor::Coordinator(super::coordinator::id_of(node));
        if !self.propose(node, term, actor, body, Purpose::Step { task: id, done }) {
            self.pause_move(node, id, 200, 5_000);
        }
    }

    /// The record is applied, or its outcome is unknown.
    pub(crate) fn step_recorded(&mut self, node: NodeIx, id: u64, done: bool) {
        if done {
            if let Some(leading) = &mut self.coordinators[node].leading {
                leading.tasks.retain(|task| task.id != id);
            }
        } else {
            self.pause_move(node, id, 200, 5_000);
        }
    }

    /// A pause is over.
    pub(crate) fn move_again(&mut self, node: NodeIx, id: u64) {
        if self.task(node, id).is_some_and(|task| matches!(task.stage, Stage::Pausing)) {
            self.read_anew(node, id);
        }
    }

    pub(crate) fn pause_move(&mut self, node: NodeIx, id: u64, low_ms: u64, high_ms: u64) {
        let wait = self.random.long_tail_ms(low_ms, high_ms);
        let now = self.now;
        let Some(task) = self.task(node, id) else { return };
        task.stage = Stage::Pausing;
        task.open_calls.clear();
        self.at(now + wait, node, Timer::MoveAgain { task: id });
    }
}
