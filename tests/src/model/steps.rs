//! Everything that may happen next, whenever it may.

use super::agent::{Answer, Lease, NONE, Reply};
use super::explore::{Goal, Model};
use super::rules::Rules;
use super::state::{Leader, State, View};
use super::{Bounds, Mutation};

/// Bits of [`Step::Tick`]: whose clocks stand still in that tick.
const LAGS: [u8; 4] = [1, 2, 4, 8];

/// One thing that happens. Appliances and leaders go by number; leader 0 is the real one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Time passes: for all but those whose clocks lag (1 and 2 the appliances, 4 the leader,
    /// 8 the deposed ones).
    Tick {
        /// The sum of these bits.
        lag: u8,
    },
    /// A quorum acknowledges a round of this leader.
    Round {
        /// Which; another than 0 only in a mutant.
        leader: usize,
    },
    /// Another coordinator is elected.
    Elect {
        /// The old leader hears of a quorum for its last round, sent just before.
        late_ack: bool,
    },
    /// A leader applies what it has committed.
    Apply {
        /// Which.
        leader: usize,
    },
    /// The active role passes to the other appliance.
    Start {
        /// The leader has applied it at once.
        applied: bool,
    },
    /// A lease is recorded as released.
    Release {
        /// Whose.
        appliance: usize,
        /// The leader has applied it at once.
        applied: bool,
    },
    /// A leader answers an agent.
    Answer {
        /// Who answers.
        leader: usize,
        /// Whom.
        appliance: usize,
        /// How long ago the request left.
        age: u8,
        /// Where the reply is delayed, in place of another that is lost; at once without.
        slot: Option<usize>,
    },
    /// A late reply arrives, not necessarily for the last time.
    Deliver {
        /// Where.
        appliance: usize,
        /// Which.
        slot: usize,
    },
    /// A token is on disk.
    Stored(usize),
    /// A token could not be stored.
    StoreFailed(usize),
    /// An agent dies.
    Crash {
        /// Whose.
        appliance: usize,
        /// The write under way, if any, has reached the disk.
        stored: bool,
    },
    /// An agent starts.
    Restart(usize),
    /// An agent takes away what an earlier life left.
    Clear(usize),
}

/// The protocol within bounds.
#[derive(Debug)]
pub struct Protocol {
    bounds: Bounds,
    rules: Rules,
}

impl Protocol {
    /// The protocol within `bounds`.
    ///
    /// # Errors
    /// See [`Rules::new`].
    pub fn new(bounds: Bounds) -> Result<Protocol, coordinator_core::ids::NameError> {
        Ok(Protocol { bounds, rules: Rules::new(bounds)? })
    }

    fn mutated(&self, mutation: Mutation) -> bool {
        self.bounds.mutation == Some(mutation)
    }

    /// Time, and the clocks that lag.
    fn time(&self, state: &State, into: &mut Vec<(Step, State)>) {
        let lags = if self.bounds.drift && state.steady == 0 { 0..LAGS.iter().sum() } else { 0..1 };
        for lag in lags {
            if lag & LAGS[3] != 0 && state.deposed[0].is_none() {
                continue;
            }
            let goes = |clock: usize| lag & LAGS[clock] == 0;
            let mut next = state.clone();
            next.steady = if lag == 0 { state.steady.saturating_sub(1) } else { self.bounds.ttl };
            for nth in 0..2 {
                if goes(nth) {
                    next.appliances[nth].tick(&self.bounds);
                    next.late[nth].iter_mut().flatten().for_each(|reply| reply.age += 1);
                }
            }
            let passes = |leader: &mut Leader| {
                leader.quorum = (leader.quorum + 1).min(self.bounds.ttl);
                leader.over = leader.over.map(|left| left.saturating_sub(1));
            };
            if goes(2) {
                passes(&mut next.leader);
            }
            if goes(3) {
                next.deposed.iter_mut().flatten().for_each(passes);
            }
            into.push((Step::Tick { lag }, next));
        }
    }

    /// What coordinators do among themselves.
    fn coordinators(&self, state: &State, into: &mut Vec<(Step, State)>) {
        for (nth, leader) in state.leaders().enumerate() {
            let acknowledged = nth == 0 || self.mutated(Mutation::QuorumFromAcknowledgement);
            if acknowledged && leader.quorum > 0 {
                into.push((Step::Round { leader: nth }, changed(state, nth, |leader| leader.quorum = 0)));
            }
            if let Some(view) = leader.unapplied {
                let applied = changed(state, nth, |leader| (leader.view, leader.unapplied) = (view, None));
                into.push((Step::Apply { leader: nth }, applied));
            }
        }
        for late_ack in [false, true] {
            let mut next = state.clone();
            let quorum = if late_ack { 0 } else { state.leader.quorum };
            // It commits nothing any more, so what it remembers to wait for does not matter.
            let old = Leader { quorum, over: [0; 2], ..state.leader };
            next.deposed.rotate_right(1);
            next.deposed[0] = Some(old);
            next.deposed.iter_mut().skip(self.bounds.deposed).for_each(|beyond| *beyond = None);
            let forgets = self.mutated(Mutation::ForgetsEarlierLeaders);
            let over = if forgets { 0 } else { self.rules.wait() };
            next.leader =
                Leader { view: state.committed, unapplied: None, quorum: self.bounds.ttl, over: [over; 2] };
            if self.mutated(Mutation::AnswersFromOldState) && state.committed != View::FIRST {
                next.leader.view = View::FIRST;
                next.leader.unapplied = Some(state.committed);
            }
            into.push((Step::Elect { late_ack }, next));
        }
        if state.leader.unapplied.is_none() {
            self.commands(state, into);
        }
    }

    /// What the leader commits, judged by what it has applied.
    fn commands(&self, state: &State, into: &mut Vec<(Step, State)>) {
        let view = state.leader.view;
        let mut commit = |view: Option<View>, step: fn(usize, bool) -> Step, appliance| {
            for applied in [true, false] {
                let Some(view) = view.filter(|_| applied || self.bounds.slow_apply) else { return };
                let mut next = state.clone();
                next.committed = view;
                if applied {
                    next.leader.view = view;
                } else {
                    next.leader.unapplied = Some(view);
                }
                into.push((step(appliance, applied), next));
            }
        };
        if view.token < self.bounds.moves {
            let to = usize::from(1 - view.active);
            commit(self.rules.start(view, to), |_, applied| Step::Start { applied }, to);
        }
        for nth in 0..2 {
            let over = match self.bounds.mutation {
                Some(Mutation::NoWait) => 0,
                // The bound on drift is the last tick of the wait.
                Some(Mutation::NoDriftInWait) => state.leader.over[nth].saturating_sub(1),
                _ => state.leader.over[nth],
            };
            let proof = self.rules.proof(view, state.appliances[nth].reported, over);
            let released = proof.and_then(|proof| self.rules.release(view, nth, proof));
            commit(released, |appliance, applied| Step::Release { appliance, applied }, nth);
        }
    }

    /// What passes between leaders and agents.
    fn messages(&self, state: &State, into: &mut Vec<(Step, State)>) {
        for appliance in 0..2 {
            let Some(_) = state.appliances[appliance].lease else { continue };
            for (nth, leader) in state.leaders().enumerate() {
                let over = leader.over[appliance];
                let (answer, over) = self.rules.answer(leader.view, appliance, leader.quorum, over);
                // A deposed leader's table decides nothing any more.
                let over = if nth == 0 { over } else { 0 };
                let oldest = if self.bounds.slow_requests { self.bounds.ttl - 1 } else { 0 };
                for age in 0..=state.appliances[appliance].life.min(oldest) {
                    let reply = Reply { age, answer };
                    let answered = changed(state, nth, |leader| leader.over[appliance] = over);
                    let mut now = answered.clone();
                    now.appliances[appliance].with_lease(|lease| lease.on_reply(reply, &self.bounds));
                    into.push((Step::Answer { leader: nth, appliance, age, slot: None }, now));
                    // Any other answer can only make an agent hold less, or refuse more.
                    let grants = matches!(answer, Answer::Grant { .. });
                    for slot in (0..self.bounds.late).filter(|_| grants) {
                        let mut later = answered.clone();
                        later.late[appliance][slot] = Some(reply);
                        into.push((Step::Answer { leader: nth, appliance, age, slot: Some(slot) }, later));
                    }
                }
            }
            for (slot, reply) in state.late[appliance].iter().enumerate() {
                let Some(reply) = *reply else { continue };
                let mut next = state.clone();
                next.appliances[appliance].with_lease(|lease| lease.on_reply(reply, &self.bounds));
                into.push((Step::Deliver { appliance, slot }, next));
            }
        }
    }

    /// Disks and lives of agents.
    fn agents(&self, state: &State, into: &mut Vec<(Step, State)>) {
        for nth in 0..2 {
            let appliance = state.appliances[nth];
            let mut push = |step, change: &dyn Fn(&mut State)| {
                let mut next = state.clone();
                change(&mut next);
                into.push((step, next));
            };
            let Some(lease) = appliance.lease else {
                push(Step::Restart(nth), &|next| {
                    next.appliances[nth].lease = Some(Lease::new(appliance.disk, &self.bounds));
                });
                continue;
            };
            if lease.storing != NONE {
                push(Step::Stored(nth), &|next| {
                    next.appliances[nth].disk = appliance.disk.max(lease.storing);
                    next.appliances[nth].with_lease(Lease::on_stored);
                });
                push(Step::StoreFailed(nth), &|next| {
                    next.appliances[nth].with_lease(Lease::on_store_failed);
                });
            }
            if appliance.vip > 0 && !lease.held.is_some() {
                push(Step::Clear(nth), &|next| next.appliances[nth].vip = 0);
            }
            for stored in [false, true] {
                if nth >= self.bounds.crashes || (stored && lease.storing == NONE) {
                    continue;
                }
                push(Step::Crash { appliance: nth, stored }, &|next| {
                    let dead = &mut next.appliances[nth];
                    dead.disk = if stored { dead.disk.max(lease.storing) } else { dead.disk };
                    dead.lease = None;
                    dead.life = 0;
                    // Replies go to the connections of the life that is over.
                    next.late[nth] = Default::default();
                });
            }
        }
    }

    /// Sends what agents may report, and forgets what cannot matter any more.
    fn settle(&self, state: &mut State) {
        for (appliance, late) in state.appliances.iter_mut().zip(&mut state.late) {
            appliance.report(&self.bounds);
            let mut floor = NONE;
            if let Some(lease) = &mut appliance.lease {
                // Replies are taken in any order: more than the real agent does, which drops
                // those to requests older than the newest answered one. Nothing rests on it.
                lease.newest = self.bounds.ttl;
                floor = lease.floor;
            }
            if !self.bounds.slow_requests {
                appliance.life = 0;
            }
            for reply in late.iter_mut() {
                *reply = reply.filter(|reply| self.still_matters(*reply, floor));
            }
            late.sort_unstable_by_key(|slot| (slot.is_none(), *slot));
        }
        // Without a quorum it only ever answers "wait", or "standby" with a token that is known.
        let inert = |leader: &Leader| leader.quorum >= self.bounds.ttl;
        if !self.mutated(Mutation::QuorumFromAcknowledgement) {
            state.deposed.iter_mut().for_each(|slot| *slot = slot.filter(|leader| !inert(leader)));
            state.deposed.sort_by_key(Option::is_none);
        }
    }

    fn still_matters(&self, reply: Reply, floor: u8) -> bool {
        let Answer::Grant { token, ttl } = reply.answer else { return false };
        let refused = token < floor && !self.mutated(Mutation::LowerTokenAccepted);
        let limit = if self.mutated(Mutation::DeadlineFromArrival) { self.bounds.ttl + 1 } else { ttl };
        !refused && reply.age < limit
    }
}

impl Model for Protocol {
    type State = State;
    type Step = Step;

    fn first(&self) -> State {
        State::first(&self.bounds)
    }

    fn successors(&self, state: &State, into: &mut Vec<(Step, State)>) {
        self.time(state, into);
        self.coordinators(state, into);
        self.messages(state, into);
        self.agents(state, into);
        into.iter_mut().for_each(|(_, next)| self.settle(next));
    }

    fn broken(&self, before: &State, after: &State) -> Option<&'static str> {
        if after.appliances.iter().all(|appliance| appliance.vip > 0) {
            return Some("two appliances hold at one instant");
        }
        let fell = before.appliances.iter().zip(&after.appliances).any(|(old, new)| new.disk < old.disk);
        fell.then_some("a token on disk fell")
    }

    fn goals(&self) -> &'static [Goal<State>] {
        &[
            ("the active holds", |state| state.committed.token == 1 && state.settled_on(0)),
            ("a switchover completes, the old active having confirmed", |state| {
                state.committed.token == 2 && state.settled_on(1) && state.appliances[0].reported == 2
            }),
            ("and so does the way back", |state| {
                state.committed.token == 3 && state.settled_on(0) && state.appliances[1].reported == 3
            }),
            ("a failover completes after a crash that left the VIP to the kernel", |state| {
                let dead = &state.appliances[0];
                state.committed.token == 2 && state.settled_on(1) && dead.lease.is_none() && dead.disk == 1
            }),
            ("an active holds on while a leader that does not know it is deposed still grants", |state| {
                let apart = |old: &Leader| old.view.token < state.committed.token && old.quorum == 0;
                state.deposed.iter().flatten().any(apart) && state.appliances[0].vip > 0
            }),
        ]
    }
}

fn changed(state: &State, nth: usize, change: impl FnOnce(&mut Leader)) -> State {
    let mut next = state.clone();
    if let Some(leader) = next.leader_mut(nth) {
        change(leader);
    }
    next
}
