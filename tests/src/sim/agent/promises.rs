//! Promises between appliances: mirrors `nva-agent/src/holder/peers.rs`, `peer/promiser.rs` and
//! what `peer/server.rs` lets through.

use std::time::Duration;

use coordinator_core::ids::Token;
use coordinator_core::time::Mono;
use nva_agent::lease::promise::{Ask, Given};

use crate::sim::clock::{At, micros};
use crate::sim::event::{Declared, Message, NodeIx, Timer};
use crate::sim::mutation::Mutation;
use crate::sim::setup::COORDINATORS;
use crate::sim::world::World;

/// `holder/peers.rs`, `MAX_WAITING`.
const MAX_WAITING: usize = 32;
/// `promiser.rs`: the longest sleep, the shortest pause, and how often peers are freed.
const TURN: Duration = Duration::from_millis(250);
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const FREEING_ROUNDS: u32 = 3;

/// A peer's question.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) from: NodeIx,
    pub(crate) ask: u64,
    pub(crate) token: Token,
    pub(crate) for_ms: u64,
}

/// The asking side, between and within rounds.
#[derive(Debug, Default)]
pub(crate) struct Promiser {
    /// The token that peers may have promised to.
    asked: Option<Token>,
    not_before: Mono,
    freed: u32,
    round: Option<Round>,
    /// When the one timer fires that counts; 0 when there is none.
    due: At,
    /// For a deliberate mistake: what was held last.
    pub(crate) last_held: Option<Token>,
}

#[derive(Debug)]
struct Round {
    number: u64,
    asked_at: Mono,
    token: Token,
    revision: u64,
    ttl: Duration,
    /// Whom was asked, and what they said: promised or not, and their newest token.
    said: Vec<(NodeIx, Option<(bool, Token)>)>,
}

enum Plan {
    Ask(Token),
    Free(Token),
    Rest(Duration),
}

impl World {
    /// `Holder::on_asked`.
    pub(crate) fn on_asked(&mut self, agent: usize, asked: Asked) {
        self.answer_peer(agent, asked);
        self.turn(agent);
    }

    /// Answers, or has it wait for the disk.
    pub(super) fn answer_peer(&mut self, agent: usize, asked: Asked) {
        let now = self.now;
        let pretends = self.mutation == Some(Mutation::PromiseBlocksNothing);
        let a = &mut self.agents[agent];
        let mono = a.clock.mono(now);
        let lasting = Duration::from_millis(asked.for_ms);
        let promised = match a.declared {
            Some(declared) if lasting <= declared.ttl() => {
                let ask = Ask { token: asked.token, lasting, drift_ppm: declared.drift_ppm };
                let unable = !lasting.is_zero() && (a.maybe_up || a.store_fault);
                let mut lease = a.lease.clone();
                let given = if unable { None } else { lease.promise(mono, ask).ok() };
                if !pretends {
                    a.lease = lease;
                }
                match given {
                    Some(Given::Promised { .. }) => true,
                    Some(Given::OnceStored(_)) if pretends => true,
                    Some(Given::OnceStored(effect)) => {
                        if a.waiting.len() < MAX_WAITING {
                            a.waiting.push(asked);
                        }
                        return self.run_effects(agent, &Vec::from_iter(effect));
                    }
                    Some(Given::Freed) | None => false,
                }
            }
            _ => false,
        };
        let a = &self.agents[agent];
        let token = if a.declared.is_some() { a.lease.newest() } else { Token::NONE };
        self.send(COORDINATORS + agent, asked.from, Message::Promised { ask: asked.ask, promised, token });
    }

    /// `Promiser::run`, from one look to the next.
    pub(crate) fn look_for_promises(&mut self, agent: usize) {
        let now = self.now;
        let mono = self.agents[agent].clock.mono(now);
        let reacquires = self.mutation == Some(Mutation::ReacquireAfterLapse);
        let a = &mut self.agents[agent];
        let Some(declared) = a.declared else { return };
        if a.promiser.round.is_some() || !declared.failsafe && a.promiser.asked.is_none() {
            return;
        }
        let pause = match plan(a, declared, mono, reacquires) {
            Plan::Ask(token) => return self.ask_peers(agent, declared, token),
            Plan::Free(token) => {
                a.promiser.freed += 1;
                if a.promiser.freed >= FREEING_ROUNDS {
                    a.promiser.asked = None;
                }
                self.tell_each_peer(agent, token, 0);
                declared.ttl() / 8
            }
            Plan::Rest(pause) => pause,
        };
        let at = now + micros(pause).max(1);
        let a = &mut self.agents[agent];
        if a.promiser.due <= now || a.promiser.due > at {
            a.promiser.due = at;
            self.at(at, COORDINATORS + agent, Timer::Promiser);
        }
    }

    pub(crate) fn on_promiser_timer(&mut self, agent: usize) {
        let promiser = &mut self.agents[agent].promiser;
        if promiser.due != self.now {
            return;
        }
        promiser.due = 0;
        self.look_for_promises(agent);
    }

    fn ask_peers(&mut self, agent: usize, declared: Declared, token: Token) {
        let asked_at = self.agents[agent].clock.mono(self.now);
        let number = self.tell_each_peer(agent, token, declared.ttl_ms);
        let said = self.peers_of(agent).map(|peer| (peer, None)).collect();
        let (revision, ttl) = (declared.revision, declared.ttl());
        let promiser = &mut self.agents[agent].promiser;
        promiser.asked = Some(token);
        promiser.freed = 0;
        promiser.round = Some(Round { number, asked_at, token, revision, ttl, said });
        self.at(self.now + micros(ttl / 4), COORDINATORS + agent, Timer::PromisesOver { round: number });
    }

    fn peers_of(&self, agent: usize) -> impl Iterator<Item = NodeIx> + use<> {
        let group = self.agents[agent].group;
        let of: Vec<usize> = (0..self.agents.len()).filter(|a| self.agents[*a].group == group).collect();
        of.into_iter().filter(move |other| *other != agent).map(|other| COORDINATORS + other)
    }

    fn tell_each_peer(&mut self, agent: usize, token: Token, for_ms: u64) -> u64 {
        self.numbers += 1;
        let ask = self.numbers;
        for peer in self.peers_of(agent) {
            self.send(COORDINATORS + agent, peer, Message::Promise { ask, token, for_ms });
        }
        ask
    }

    /// A peer has answered.
    pub(crate) fn on_promised(&mut self, agent: usize, from: NodeIx, ask: u64, promised: bool, token: Token) {
        let Some(round) = self.agents[agent].promiser.round.as_mut().filter(|round| round.number == ask)
        else {
            return;
        };
        if let Some((_, said)) = round.said.iter_mut().find(|(peer, _)| *peer == from) {
            *said = Some((promised, token));
        }
        if round.said.iter().all(|(_, said)| said.is_some()) {
            self.promises_are_in(agent);
        }
    }

    pub(crate) fn on_promises_over(&mut self, agent: usize, round: u64) {
        if self.agents[agent].promiser.round.as_ref().is_some_and(|now| now.number == round) {
            self.promises_are_in(agent);
        }
    }

    /// `Promiser::round`, after the last answer, and `Holder::on_peer`.
    fn promises_are_in(&mut self, agent: usize) {
        let (now, mutation) = (self.now, self.mutation);
        let a = &mut self.agents[agent];
        let Some(round) = a.promiser.round.take() else { return };
        let mono = a.clock.mono(now);
        let said = || round.said.iter().filter_map(|(_, said)| *said);
        let newer = said().map(|(_, token)| token).filter(|token| *token > round.token).max();
        let promised = said().filter(|(promised, _)| *promised).count();
        let enough = match mutation {
            Some(Mutation::OnePromiseSuffices) => promised > 0,
            _ => promised == round.said.len() && promised > 0,
        };
        let pause = if enough && newer.is_none() { round.ttl / 3 } else { round.ttl / 12 };
        a.promiser.not_before = round.asked_at.plus(pause.max(SHORTEST_PAUSE));
        let effects = match (newer, a.declared) {
            (Some(token), _) => a.lease.on_newer_token(token, mono),
            (None, Some(declared)) if enough && declared.failsafe && declared.revision == round.revision => {
                let asked_at = match mutation {
                    Some(Mutation::ExtensionFromReply) => mono,
                    _ => round.asked_at,
                };
                if mutation == Some(Mutation::ReacquireAfterLapse) && a.lease.holding().is_none() {
                    let (token, ttl_ms) = (round.token, declared.ttl_ms);
                    let grant = coordinator_api::agent::Instruction::Grant { token, ttl_ms };
                    a.lease.on_instruction(asked_at, mono, grant)
                } else {
                    a.lease.on_promises(asked_at, mono, round.token, declared.ttl())
                }
            }
            _ => Vec::new(),
        };
        if a.lease.relying() && !effects.is_empty() {
            self.oracle.last_resorts[0] += 1;
        }
        self.run_effects(agent, &effects);
        self.turn(agent);
    }
}

/// `promiser.rs`, `plan`.
fn plan(a: &super::Agent, declared: Declared, now: Mono, reacquires: bool) -> Plan {
    let (highest, holding, ..) = a.told;
    let promiser = &a.promiser;
    if let (Some(token), None) = (promiser.asked, holding)
        && highest > token
    {
        return Plan::Free(Token(token.0 + 1));
    }
    let lapsed = promiser.last_held.filter(|token| reacquires && *token == highest && holding.is_none());
    let held = a.lease.holding();
    let token = match (holding, held, lapsed) {
        (Some(token), Some(_), _) | (_, None, Some(token)) if declared.failsafe => token,
        _ => return Plan::Rest(TURN),
    };
    let overdue_at = a.lease.granted_at().map_or(now, |at| at.plus(declared.ttl() / 3));
    let short_at = held.map_or(now, |held| held.deadline.minus(declared.ttl() * 2 / 5));
    let ask_at = overdue_at.min(short_at).max(promiser.not_before);
    if ask_at <= now { Plan::Ask(token) } else { Plan::Rest(ask_at.since(now).min(TURN)) }
}
