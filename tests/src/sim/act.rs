//! Moves of cloud bindings: the product's driver, at the pace of virtual time.
//!
//! The driver in `cloud-adapters/src/contract/driver.rs` runs as it is. It is a future: whatever
//! it waits for, an answer of the cloud, the gate, a pause, it asks for through a [`Port`], and
//! the world polls it again when that has come. Around it [`mover`] mirrors `control_loop/act.rs`,
//! and [`adapter`] knows this world's cloud.

mod adapter;
mod fencer;
mod mover;
mod port;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use cloud_adapters::contract::MoveJob;
use coordinator_core::action::{Action, pending_actions};
use coordinator_core::command::{Actor, CommandBody, RecordFence, RecordStep, StepOutcome};
use coordinator_core::ids::{ApplianceName, BindingName, GroupName, OperationId, Token};
use coordinator_core::model::BindingKind;
use futures::future::BoxFuture;

use super::clock::{At, ms};
use super::cloud::{CALL_TIMEOUT, Doc, Resource, ResourceIx};
use super::coordinator::{Purpose, Then, id_of};
use super::event::{NodeIx, Timer};
use super::mutation::Mutation;
use super::world::World;
use adapter::{SimAdapter, Wrong};
use port::{Ask, Port};

pub(crate) use port::Answer;

/// One call.
pub(crate) type CallId = u64;
/// One question of one move.
pub(crate) type AskId = u64;

/// `act.rs`, `CONFIRM`.
const CONFIRM: At = ms(1_000);

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
        /// For a deliberate mistake: a claim that is not one.
        keeps_etag: bool,
    },
    /// Switch the machine of an appliance off.
    PowerOff {
        agent: usize,
    },
}

#[derive(Debug, Clone)]
pub(crate) enum CloudAnswer {
    PublicIp(Option<usize>),
    Read { seen: Resource, settled: bool },
    Written,
    Refused(Failure),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    Transient,
    Conflict,
}

/// What one task is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Aim {
    /// The move of one binding in one operation.
    Move(OperationId, BindingName),
    /// Switching an appliance off, as it was asked for then.
    Fence(GroupName, ApplianceName, u64),
}

/// Something that a leader carries out.
pub(crate) struct Task {
    pub(crate) id: u64,
    aim: Aim,
    group: usize,
    /// The target's place in its group.
    to: usize,
    port: Arc<Port>,
    work: BoxFuture<'static, ()>,
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task").field("aim", &self.aim).field("to", &self.to).finish_non_exhaustive()
    }
}

impl World {
    /// `Acting::reconcile` and `Fencing::reconcile`: makes what runs match what is pending.
    pub(crate) fn reconcile(&mut self, node: NodeIx, actions: &[Action]) {
        let mut wanted: BTreeMap<Aim, &Action> =
            actions.iter().filter_map(|action| Some((aim(action)?, action))).collect();
        let Some(leading) = &mut self.coordinators[node].leading else { return };
        leading.tasks.retain(|task| wanted.contains_key(&task.aim));
        for task in &leading.tasks {
            wanted.remove(&task.aim);
        }
        for (aim, action) in wanted {
            match action {
                Action::MoveBinding { group, operation, binding, to, .. } => {
                    let (group, token) = (group.clone(), operation.token());
                    let job = MoveJob { group, token, binding: binding.clone(), to: to.clone() };
                    self.begin_move(node, aim, job);
                }
                Action::Fence { appliance, .. } => self.begin_fencing(node, aim, appliance),
                _ => {}
            }
        }
    }

    fn begin_fencing(&mut self, node: NodeIx, aim: Aim, appliance: &ApplianceName) {
        let Some(agent) = self.agents.iter().position(|agent| agent.name == *appliance) else { return };
        let (group, mono) = (self.agents[agent].group, self.mono(node));
        self.numbers += 1;
        let id = self.numbers;
        let port = Arc::new(Port::new(self.random.between(0, u64::MAX)));
        let seen = self.coordinators[node].agents.get(appliance);
        let lately = seen.is_some_and(|seen| mono.since(seen.received) <= Duration::from_secs(1));
        let work = Box::pin(fencer::carry_out(port.clone(), agent, lately));
        let Some(leading) = &mut self.coordinators[node].leading else { return };
        leading.tasks.push(Task { id, aim, group, to: self.agents[agent].place, port, work });
        self.poll_move(node, id);
    }

    fn begin_move(&mut self, node: NodeIx, aim: Aim, mut job: MoveJob) {
        let Some(group) = self.specs.iter().position(|spec| spec.name == job.group) else { return };
        let public_ip = matches!(job.binding.kind, BindingKind::PublicIp { .. });
        let names: Vec<ApplianceName> =
            self.specs[group].appliances.iter().map(|appliance| appliance.name.clone()).collect();
        if self.mutation == Some(Mutation::ResumeFromCloud) {
            let pointing = if public_ip { self.cloud.carriers(group).pop() } else { self.cloud.hop(group) };
            job.to = pointing.map_or(job.to, |place| names[place].clone());
        }
        let to = names.iter().position(|name| *name == job.to).unwrap_or_default();
        self.oracle_acts(node, group, job.token, to);
        self.numbers += 1;
        let id = self.numbers;
        let port = Arc::new(Port::new(self.random.between(0, u64::MAX)));
        let wrong = match self.mutation {
            Some(Mutation::NoClaim) => Wrong::NeverClaims,
            Some(Mutation::ClaimKeepsEtag) => Wrong::ClaimsInName,
            Some(Mutation::SkipGate) => Wrong::AsksNobody,
            _ => Wrong::Nothing,
        };
        let resources = if public_ip { self.cloud.nics(group) } else { self.cloud.tables(group) };
        let adapter = SimAdapter::new(port.clone(), group, public_ip, names, resources, wrong);
        let work = Box::pin(mover::carry_out(adapter, job));
        let Some(leading) = &mut self.coordinators[node].leading else { return };
        leading.tasks.push(Task { id, aim, group, to, port, work });
        self.poll_move(node, id);
    }

    /// Something that a move waits for has come.
    pub(crate) fn answer_move(&mut self, node: NodeIx, id: u64, ask: AskId, answer: Answer) {
        let Some(leading) = &self.coordinators[node].leading else { return };
        let Some(task) = leading.tasks.iter().find(|task| task.id == id) else { return };
        task.port.answer(ask, answer);
        self.poll_move(node, id);
    }

    /// Lets a move go on as far as it can, and sees to what it asks for.
    fn poll_move(&mut self, node: NodeIx, id: u64) {
        let mono = self.mono(node);
        let Some(leading) = &mut self.coordinators[node].leading else { return };
        let Some(at) = leading.tasks.iter().position(|task| task.id == id) else { return };
        let task = &mut leading.tasks[at];
        task.port.set_now(mono.0);
        let ended = task.work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        let asked = task.port.take_asked();
        if ended {
            leading.tasks.remove(at);
        }
        for (ask, what) in asked {
            self.see_to(node, id, ask, what);
        }
    }

    fn see_to(&mut self, node: NodeIx, id: u64, ask: AskId, what: Ask) {
        match what {
            Ask::Call(request) => self.start_call(node, id, ask, request),
            Ask::Sleep(span) => self.wake_after(node, id, ask, span),
            Ask::OutliveEarlierLeases => {
                let left = self.left_of_earlier_leases(node, id);
                self.wake_after(node, id, ask, left);
            }
            Ask::Confirm => {
                let question = self.confirm(node, Then::Write { task: id, ask });
                self.at(self.now + CONFIRM, node, Timer::ConfirmLate { id: question });
            }
            Ask::StillWanted => {
                let wanted = self.still_wanted(node, id);
                self.answer_move(node, id, ask, Answer::Wanted(wanted));
            }
            Ask::Record { error, took } => self.record_step(node, id, ask, error, took),
        }
    }

    fn wake_after(&mut self, node: NodeIx, id: u64, ask: AskId, span: Duration) {
        let clock = self.coordinators[node].clock;
        let at = clock.when(clock.mono(self.now).plus(span)).max(self.now + 1);
        self.at(at, node, Timer::MoveWakes { task: id, ask });
    }

    /// `Shared::left_of_earlier_leases`.
    fn left_of_earlier_leases(&self, node: NodeIx, id: u64) -> Duration {
        let c = &self.coordinators[node];
        let task = c.leading.as_ref().and_then(|leading| leading.tasks.iter().find(|task| task.id == id));
        let group = task.and_then(|task| c.state.groups.get(&self.specs[task.group].name));
        match (&c.leading, group) {
            _ if self.mutation == Some(Mutation::OffCountsAtOnce) => Duration::ZERO,
            (Some(leading), Some(group)) => leading.table.earlier_over_at(group).since(self.mono(node)),
            _ => Duration::ZERO,
        }
    }

    fn still_wanted(&self, node: NodeIx, id: u64) -> bool {
        let c = &self.coordinators[node];
        let Some(leading) = &c.leading else { return false };
        let Some(task) = leading.tasks.iter().find(|task| task.id == id) else { return false };
        pending_actions(&c.state).iter().filter_map(aim).any(|pending| pending == task.aim)
    }

    fn start_call(&mut self, node: NodeIx, id: u64, ask: AskId, request: Request) {
        self.numbers += 1;
        let call = self.numbers;
        let Some(leading) = &mut self.coordinators[node].leading else { return };
        leading.calls.insert(call, (id, ask));
        let acts = leading.tasks.iter().find(|task| task.id == id).map(|task| (task.group, task.to));
        let term = leading.term;
        if let (Request::Write { token, .. }, Some((group, to))) = (&request, acts) {
            self.oracle_acts(node, group, *token, to);
            self.oracle_writes(node, term, *token);
        }
        self.at(self.now + CALL_TIMEOUT, node, Timer::CallLate { call });
        self.call_cloud(node, call, request);
    }

    pub(crate) fn on_cloud_answered(&mut self, node: NodeIx, call: CallId, answer: CloudAnswer) {
        let Some(leading) = &mut self.coordinators[node].leading else { return };
        let Some((id, ask)) = leading.calls.remove(&call) else { return };
        self.answer_move(node, id, ask, Answer::Cloud(answer));
    }

    pub(crate) fn on_call_late(&mut self, node: NodeIx, call: CallId) {
        self.on_cloud_answered(node, call, CloudAnswer::Refused(Failure::Transient));
    }

    pub(crate) fn on_confirm_late(&mut self, node: NodeIx, question: u64) {
        let confirms = &mut self.coordinators[node].confirms;
        let Some(at) = confirms.iter().position(|confirm| confirm.id == question) else { return };
        if let Then::Write { task, ask } = confirms.remove(at).then {
            self.answer_move(node, task, ask, Answer::Confirmed(false));
        }
    }

    fn record_step(&mut self, node: NodeIx, id: u64, ask: AskId, error: Option<String>, took: Duration) {
        let Some(leading) = &self.coordinators[node].leading else { return };
        let Some(task) = leading.tasks.iter().find(|task| task.id == id) else { return };
        let outcome = error.map_or(StepOutcome::Done, |error| StepOutcome::Failed { error });
        let group = self.specs[task.group].name.clone();
        let body = match task.aim.clone() {
            Aim::Move(operation, binding) => {
                let calls = Vec::new();
                CommandBody::RecordStep(RecordStep { group, operation, binding, outcome, calls, took })
            }
            Aim::Fence(group, appliance, asked) => {
                CommandBody::RecordFence(RecordFence { group, appliance, asked, outcome, took })
            }
        };
        let (term, actor) = (leading.term, Actor::Coordinator(id_of(node)));
        if !self.propose(node, term, actor, body, Purpose::Step { task: id, ask }) {
            self.answer_move(node, id, ask, Answer::Recorded(false));
        }
    }
}

fn aim(action: &Action) -> Option<Aim> {
    match action {
        Action::MoveBinding { operation, binding, .. } => Some(Aim::Move(*operation, binding.name.clone())),
        Action::Fence { group, appliance, asked, .. } => {
            Some(Aim::Fence(group.clone(), appliance.clone(), *asked))
        }
        _ => None,
    }
}
