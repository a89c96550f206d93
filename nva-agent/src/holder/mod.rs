//! The owner of the lease: one thread that takes in answers, keeps the disk, the interfaces and
//! the lease in step, and says how things stand.
//!
//! A thread of its own, with its own small runtime, so that nothing else in the process delays
//! the release of a VIP. Level-triggered: every turn compares what is wanted with what is and
//! does the difference.

mod peers;
mod storing;

use std::sync::Arc;
use std::time::Duration;

use coordinator_api::agent::{AgentGroup, AgentReply, GateAssignment, Instruction, VipAssignment};
use coordinator_core::ids::Token;
use coordinator_core::time::Mono;
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use crate::announce;
use crate::clock;
use crate::enforcer::{Enforcer, Up};
use crate::lease::{Effect, Lease, Why};
use crate::standing::Standing;
use crate::token_store::TokenStore;

pub(crate) use peers::{PeerEvent, stranger};
use storing::{Writing, finished};

/// The longest sleep. Interfaces are looked at this often, lifetimes are renewed, and a clock
/// that jumped (the machine was suspended) is noticed.
const TURN: Duration = Duration::from_millis(250);
/// After the VIPs could not be put in place, no grant is taken for this long.
const RETRY_AFTER: Duration = Duration::from_millis(1_000);
/// Listing the interfaces costs a few hundred microseconds; reports come far more often.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often a standby makes sure that none of the VIPs is on its interfaces.
const CLEAR_EVERY: Duration = Duration::from_millis(2_000);

/// A reply, and when its request had left.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) sent_at: Mono,
    pub(crate) reply: AgentReply,
}

pub(crate) struct Holder<E> {
    lease: Lease,
    enforcer: E,
    /// Away while a write is under way.
    store: Option<TokenStore>,
    writing: Option<Writing>,
    /// What is on disk.
    remembered: Vec<VipAssignment>,
    /// On disk as well: see [`Stored::drops_since`](crate::token_store::Stored::drops_since).
    drops_since: u64,
    /// After a failure, not tried again before.
    give_up_at: Mono,
    /// What the leader said that the group's VIPs on this appliance are.
    assigned: Vec<VipAssignment>,
    ttl: Duration,
    /// The same of the group's probe gates.
    assigned_gates: Vec<GateAssignment>,
    /// VIPs that may be on the interfaces. While there are any, something is held.
    maybe_up: Vec<VipAssignment>,
    /// Probe gates may be open. They are never left to the next life: nothing answers without this
    /// process.
    maybe_open: bool,
    up: bool,
    /// VIPs or probe gates were assigned in this life.
    used: bool,
    announce_at: Vec<Mono>,
    token_wanted: Option<Token>,
    promise_wanted: Option<Duration>,
    waiting: Vec<peers::Waiting>,
    /// The token of the grant that was last said to be kept away by a promise.
    held_back: Option<Token>,
    store_fault: Option<String>,
    enforce_fault: Option<String>,
    interface_faults: Vec<String>,
    not_before: Mono,
    cleared_at: Option<Mono>,
    looked_at: Option<Mono>,
    /// The group as the leader said last; `assigned` is from the same reply.
    group: Option<Arc<AgentGroup>>,
    /// The newest declaration seen, and when the request had left that it came with.
    revision: u64,
    /// The newest declaration that nothing here rests on an older one than.
    acknowledged: u64,
    assigned_at: Option<Mono>,
    stopping: bool,
    standing: watch::Sender<Standing>,
}

impl<E: Enforcer> Holder<E> {
    pub(crate) fn new(store: TokenStore, enforcer: E, standing: watch::Sender<Standing>) -> Self {
        let stored = store.stored().clone();
        Holder {
            lease: Lease::after_promise(stored.highest, stored.promised(), clock::now()),
            enforcer,
            store: Some(store),
            writing: None,
            remembered: stored.vips.clone(),
            drops_since: stored.drops_since,
            give_up_at: Mono::default(),
            assigned: Vec::new(),
            assigned_gates: Vec::new(),
            ttl: Duration::MAX,
            // An earlier life may have left them.
            maybe_up: stored.vips,
            maybe_open: false,
            up: false,
            used: false,
            announce_at: Vec::new(),
            token_wanted: None,
            promise_wanted: None,
            waiting: Vec::new(),
            held_back: None,
            store_fault: None,
            enforce_fault: None,
            interface_faults: Vec::new(),
            not_before: Mono::default(),
            cleared_at: None,
            looked_at: None,
            group: None,
            // A leader that is deposed without knowing it may still tell of an older one.
            revision: stored.drops_since,
            acknowledged: 0,
            assigned_at: None,
            stopping: false,
            standing,
        }
    }

    /// Runs until `stop` says so or its sender is gone, and everything is released, or cannot be.
    pub(crate) async fn run(
        mut self,
        mut answers: mpsc::Receiver<Answer>,
        mut peers: mpsc::Receiver<PeerEvent>,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            self.turn().await;
            if self.stopping && self.maybe_up.is_empty() {
                if self.used {
                    self.enforcer.retire().await;
                }
                return;
            }
            if self.stopping && self.enforce_fault.is_some() {
                return;
            }
            let sleep = tokio::time::sleep(self.sleep_for());
            tokio::select! {
                biased;
                stored = finished(&mut self.writing) => self.on_stored(stored),
                () = sleep => {}
                answer = answers.recv() => match answer {
                    Some(answer) => self.on_answer(answer),
                    None => self.stop(),
                },
                Some(event) = peers.recv() => self.on_peer(event),
                changed = stop.changed() => if changed.is_err() || *stop.borrow() {
                    self.stop();
                },
            }
        }
    }

    fn sleep_for(&self) -> Duration {
        let wakeups = self.lease.next_wakeup().into_iter().chain(self.announce_at.iter().copied());
        wakeups.min().map_or(TURN, |at| at.since(clock::now())).min(TURN)
    }

    fn stop(&mut self) {
        self.stopping = true;
        if let Some(effect) = self.lease.give_up(Why::Stopping) {
            self.run_effects(vec![effect]);
        }
    }

    fn on_answer(&mut self, Answer { sent_at, reply }: Answer) {
        let now = clock::now();
        if self.stopping || reply.instruction == Instruction::NotLeader {
            return;
        }
        self.assign(sent_at, &reply);
        let cannot = now < self.not_before || !self.interface_faults.is_empty();
        if cannot && let Instruction::Grant { .. } = reply.instruction {
            return;
        }
        let effects = self.lease.on_instruction(sent_at, now, reply.instruction);
        self.run_effects(effects);
    }

    fn assign(&mut self, sent_at: Mono, reply: &AgentReply) {
        let group = reply.group.as_ref();
        // Replies come in any order, and from a leader that does not know yet that it is deposed.
        let older = self.assigned_at.is_some_and(|at| sent_at < at);
        if older || group.is_some_and(|group| group.revision < self.revision) {
            return;
        }
        self.assigned_at = Some(sent_at);
        self.revision = group.map_or(self.revision, |group| group.revision);
        if self.group.as_deref() != group {
            let name = |group: Option<&AgentGroup>| group.map(|group| group.name.clone());
            if name(self.group.as_deref()) != name(group) {
                self.lease.on_other_group();
            }
            self.group = group.cloned().map(Arc::new);
        }
        let vips = group.map_or_else(Vec::new, |group| group.vips.clone());
        let gates = group.map_or_else(Vec::new, |group| group.gates.clone());
        self.ttl = group.map_or(Duration::MAX, |group| Duration::from_millis(group.ttl_ms));
        if vips != self.assigned || gates != self.assigned_gates {
            let name = group.map(|g| g.name.as_str());
            info!(
                group = name,
                vips = vips.len(),
                gates = gates.len(),
                "virtual addresses and probe gates assigned"
            );
            self.used |= !vips.is_empty() || !gates.is_empty();
            self.assigned = vips;
            self.assigned_gates = gates;
            self.cleared_at = None;
            self.looked_at = None;
            self.enforce_fault = None;
            self.interface_faults.clear();
            self.not_before = Mono::default();
        }
    }

    fn run_effects(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::PersistHighest(token) => self.token_wanted = Some(token),
                Effect::Acquire(held) => {
                    self.held_back = None;
                    info!(token = held.token.0, "lease acquired");
                }
                Effect::Renew(_) => {}
                Effect::Release(why) => info!(%why, "lease released"),
                Effect::PersistPromise(promised) => self.promise_wanted = Some(promised),
                Effect::HeldBack { token, until } => {
                    // The leader grants again and again until then.
                    if self.held_back.replace(token) != Some(token) {
                        let ms = until.since(clock::now()).as_millis();
                        info!(
                            token = token.0,
                            for_ms = ms,
                            "a grant is not accepted: a peer relies on a promise"
                        );
                    }
                }
                Effect::Refused { token, highest } => {
                    warn!(token = token.0, highest = highest.0, "a grant with an older token was refused");
                }
            }
        }
    }

    /// Makes the interfaces, the disk and the standing what they ought to be.
    async fn turn(&mut self) {
        let effects = self.lease.on_time(clock::now());
        self.run_effects(effects);
        self.write_what_is_missing();
        self.look_at_interfaces().await;
        // Taking away comes first, whatever else there is to do.
        self.clear_unwanted().await;
        if let Err(fault) = self.hold_wanted().await {
            if self.enforce_fault.as_ref() != Some(&fault) {
                error!(%fault, "the virtual addresses or probe gates could not be put in place");
            }
            self.enforce_fault = Some(fault);
            self.cannot_enforce();
            self.clear_unwanted().await;
        }
        self.announce();
        self.publish();
    }

    async fn look_at_interfaces(&mut self) {
        let now = clock::now();
        if self.looked_at.is_some_and(|at| now.since(at) < LOOK_EVERY) {
            return;
        }
        self.looked_at = Some(now);
        let mut faults = self.enforcer.faults(&self.assigned, self.ttl).await;
        faults.extend(self.enforcer.gate_faults(&self.assigned_gates, self.ttl).await);
        if faults != self.interface_faults {
            for fault in &faults {
                warn!(%fault, "this appliance cannot hold what the group needs");
            }
            self.interface_faults = faults;
        }
        // No grant is taken while there are any, and the next one once there are none: what is
        // reported as ready has to be.
        if !self.interface_faults.is_empty()
            && let Some(effect) = self.lease.give_up(Why::CannotEnforce)
        {
            self.run_effects(vec![effect]);
        }
    }

    fn cannot_enforce(&mut self) {
        self.not_before = clock::now().plus(RETRY_AFTER);
        if let Some(effect) = self.lease.give_up(Why::CannotEnforce) {
            self.run_effects(vec![effect]);
        }
    }

    fn wanted(&self) -> &[VipAssignment] {
        if self.lease.holding().is_some() { &self.assigned } else { &[] }
    }

    async fn clear_unwanted(&mut self) {
        let wanted = self.wanted().to_vec();
        if wanted.is_empty() {
            self.announce_at.clear();
        }
        if self.lease.holding().is_none() {
            self.up = false;
            if std::mem::take(&mut self.maybe_open) {
                self.enforcer.shut_gates();
            }
        }
        let now = clock::now();
        let look_again = self.cleared_at.is_none_or(|at| now.since(at) >= CLEAR_EVERY);
        let mut unwanted: Vec<_> =
            self.maybe_up.iter().filter(|vip| !wanted.contains(vip)).cloned().collect();
        if look_again && wanted.is_empty() {
            unwanted.extend(self.assigned.iter().filter(|vip| !self.maybe_up.contains(vip)).cloned());
        }
        if unwanted.is_empty() {
            return;
        }
        match self.enforcer.clear(&unwanted).await {
            Ok(()) => {
                self.maybe_up.retain(|vip| wanted.contains(vip));
                self.cleared_at = Some(now);
                if now >= self.not_before {
                    self.enforce_fault = None;
                }
            }
            Err(fault) => {
                if self.enforce_fault.as_ref() != Some(&fault) {
                    error!(%fault, "virtual addresses could not be removed");
                }
                self.cleared_at = Some(now);
                self.enforce_fault = Some(fault);
                self.cannot_enforce();
            }
        }
    }

    async fn hold_wanted(&mut self) -> Result<(), String> {
        let Some(held) = self.lease.holding() else { return Ok(()) };
        // Not before the next life would know what to clear, and nothing is up while all that came
        // with a grant was a declaration older than what is on disk.
        if self.group.is_none() || !self.assigned.iter().all(|vip| self.remembered.contains(vip)) {
            self.up = false;
            return Ok(());
        }
        for vip in &self.assigned {
            if !self.maybe_up.contains(vip) {
                self.maybe_up.push(vip.clone());
            }
        }
        match self.enforcer.hold(&self.assigned, clock::now(), held.deadline).await? {
            Up::Yes { fresh } => {
                self.enforce_fault = None;
                if fresh {
                    let now = clock::now();
                    self.announce_at = announce::SCHEDULE.iter().map(|after| now.plus(*after)).collect();
                }
                self.up = true;
            }
            Up::TooLate => self.up = false,
        }
        self.open_gates(held.deadline).await
    }

    async fn open_gates(&mut self, deadline: Mono) -> Result<(), String> {
        if self.assigned_gates.is_empty() && !self.maybe_open {
            return Ok(());
        }
        self.maybe_open = true;
        if self.enforcer.open_gates(&self.assigned_gates, deadline).await? == Up::TooLate {
            self.up = false;
        }
        Ok(())
    }

    fn announce(&mut self) {
        let now = clock::now();
        let before = self.announce_at.len();
        self.announce_at.retain(|at| *at > now);
        if self.announce_at.len() < before
            && let Err(fault) = self.enforcer.announce(&self.assigned)
        {
            warn!(%fault, "an announcement was not sent");
        }
    }

    fn publish(&mut self) {
        let failsafe = self.group.as_ref().is_some_and(|group| group.failsafe);
        // Once it is said, the coordinators wait for nothing that rests on promises any more: not
        // of this life, and not of the next one.
        if failsafe || !self.lease.relying() && self.to_give_up().is_none() {
            self.acknowledged = self.revision;
        }
        let faults = self.store_fault.iter().chain(&self.enforce_fault).chain(&self.interface_faults);
        let mut faults: Vec<String> = faults.cloned().collect();
        faults.dedup();
        let held = self.lease.holding();
        let next = Standing {
            highest: self.lease.highest(),
            // Whatever may still be on an interface is held, lease or not.
            holding: held
                .map(|held| held.token)
                .or_else(|| (self.maybe_open || !self.maybe_up.is_empty()).then(|| self.lease.highest())),
            deadline: held.map(|held| held.deadline),
            granted_at: self.lease.granted_at(),
            relying: self.lease.relying(),
            promised_until: self.lease.promised_until(clock::now()),
            vips_up: self.up && held.is_some(),
            ttl: (self.ttl < Duration::MAX).then_some(self.ttl),
            vips: self.assigned.clone(),
            gates: self.assigned_gates.clone(),
            group: self.group.clone(),
            acknowledged: self.acknowledged,
            faults,
        };
        self.standing.send_if_modified(|standing| {
            let worth_telling = standing.differs(&next);
            *standing = next;
            worth_telling
        });
    }
}

#[cfg(test)]
mod tests;
