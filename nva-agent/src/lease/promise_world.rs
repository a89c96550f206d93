//! Two or three pure leases, coordinators that come and go, and a network that delays, loses and
//! repeats: at no instant do two appliances carry the VIP. Clocks drift as far as they may,
//! appliances crash and hang. Deliberate mistakes must be found, or the world proves nothing.

use std::collections::BTreeSet;

use coordinator_api::agent::Instruction;
use proptest::prelude::*;

use super::*;

const TTL: Duration = Duration::from_millis(1_000);
/// Far more than machines drift, so that a mistake in the arithmetic shows.
const WILD_PPM: u32 = 200_000;
/// Real milliseconds between two looks at the world; far below the 50 ms that a lease ends early.
const TICK: u64 = 5;
const TICKS: u64 = 6_000;

/// What the shell of an appliance does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    OnePeerSuffices,
    ForgetsAtItsStart,
    PromisesBeforeTheDisk,
    AcceptsDespiteThePromise,
}

const MISTAKES: [Mistake; 4] = [
    Mistake::OnePeerSuffices,
    Mistake::ForgetsAtItsStart,
    Mistake::PromisesBeforeTheDisk,
    Mistake::AcceptsDespiteThePromise,
];

#[derive(Debug, Clone)]
enum Message {
    Report { from: usize, life: u32, sent_at: Mono, highest: Token, holding: bool },
    Reply { to: usize, life: u32, sent_at: Mono, instruction: Instruction },
    Ask { from: usize, life: u32, to: usize, round: u64, ask: Ask },
    Said { from: usize, to: usize, life: u32, round: u64, newer: Option<Token> },
}

#[derive(Debug)]
struct Round {
    number: u64,
    asked_at: Mono,
    token: Token,
    promised: BTreeSet<usize>,
}

struct Appliance {
    lease: Lease,
    /// How much faster than real time its clock runs.
    fast_ppm: u64,
    disk: (Token, Duration),
    writing_token: Option<(u64, Token)>,
    writing_promise: Option<(u64, Duration)>,
    life: u32,
    /// Real time; crashed or hung until then.
    away_until: u64,
    crashed: bool,
    /// Neither reports nor replies get through, what peers say does.
    cut_off: bool,
    /// What the kernel carries, whatever becomes of the process.
    carried: Option<Held>,
    round: Option<Round>,
    reported_at: u64,
    /// The token that peers may have promised to.
    relied_on: Option<Token>,
}

/// The coordinators as one: what `coordinator_core`'s lease table and log amount to.
struct Quorum {
    alive: bool,
    token: Token,
    active: usize,
    unreleased: BTreeSet<usize>,
    /// Real time, as if the leader's clock were the slowest that may be.
    over: Vec<u64>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    renewed_by_promises: u32,
    held_back: u32,
    freed: u32,
    moved: u32,
}

struct World {
    random: u64,
    now: u64,
    quorum: Quorum,
    all: Vec<Appliance>,
    network: Vec<(u64, Message)>,
    mistake: Option<Mistake>,
    drift_ppm: u32,
    rounds: u64,
    seen: Seen,
}

impl World {
    fn new(seed: u64, appliances: usize, mistake: Option<Mistake>) -> World {
        let quorum = Quorum {
            alive: true,
            token: Token(1),
            active: 0,
            unreleased: BTreeSet::new(),
            over: vec![0; appliances],
        };
        let mut world = World {
            random: seed,
            now: 10_000,
            quorum,
            all: Vec::new(),
            network: Vec::new(),
            mistake,
            // Without any, nothing hides behind the allowance for it.
            drift_ppm: if seed.is_multiple_of(2) { 0 } else { WILD_PPM },
            rounds: 0,
            seen: Seen::default(),
        };
        for _ in 0..appliances {
            let fast_ppm = world.below(u64::from(world.drift_ppm) + 1);
            world.all.push(Appliance {
                lease: Lease::new(Token::NONE),
                fast_ppm,
                disk: (Token::NONE, Duration::ZERO),
                writing_token: None,
                writing_promise: None,
                life: 0,
                away_until: 0,
                crashed: false,
                cut_off: false,
                carried: None,
                round: None,
                reported_at: 0,
                relied_on: None,
            });
        }
        world
    }

    /// SplitMix64.
    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn mono(&self, i: usize) -> Mono {
        let micros = self.now * (1_000_000 + self.all[i].fast_ppm) / 1_000;
        Mono(Duration::from_micros(micros))
    }

    fn send(&mut self, message: Message) {
        for _ in 0..=u32::from(self.below(10) == 0) {
            let longest = [25, 25, 25, 25, 25, 250, 250, 2_500][self.below(8) as usize];
            let delay = self.below(longest);
            if self.below(10) > 0 {
                self.network.push((self.now + delay, message.clone()));
            }
        }
    }

    /// Runs to the end, or to the first instant with two holders.
    fn run(&mut self) -> Result<Seen, String> {
        for _ in 0..TICKS {
            self.now += TICK;
            self.strike();
            self.deliver();
            for i in 0..self.all.len() {
                self.live(i);
            }
            let carrying: Vec<usize> = (0..self.all.len()).filter(|&i| self.carries(i)).collect();
            if carrying.len() > 1 {
                return Err(format!("at {} ms {carrying:?} carry the VIP", self.now));
            }
        }
        Ok(self.seen)
    }

    fn carries(&self, i: usize) -> bool {
        self.all[i].carried.is_some_and(|held| self.mono(i) < held.deadline)
    }

    fn strike(&mut self) {
        let wait = self.wait();
        if self.below(if self.quorum.alive { 800 } else { 300 }) == 0 {
            self.quorum.alive = !self.quorum.alive;
            // Another leader waits for all that earlier ones may have granted.
            self.quorum.over.fill(self.now + wait);
        }
        if self.quorum.alive && self.below(400) == 0 {
            let others = self.below(self.all.len() as u64 - 1) as usize;
            self.quorum.unreleased.insert(self.quorum.active);
            self.quorum.active = (self.quorum.active + 1 + others) % self.all.len();
            self.quorum.token = Token(self.quorum.token.0 + 1);
            self.seen.moved += 1;
        }
        for i in 0..self.all.len() {
            if self.below(300) == 0 {
                self.all[i].cut_off = !self.all[i].cut_off;
            }
            if self.below(800) == 0 && !self.all[i].crashed {
                let away = if self.below(2) == 0 { self.below(200) } else { self.below(2_000) };
                self.all[i].crashed = self.below(2) == 0;
                self.all[i].away_until = self.now + away;
            }
            if self.all[i].crashed {
                // Whether a write that was under way made it to the disk is anybody's guess.
                (self.all[i].writing_token, self.all[i].writing_promise) = (None, None);
            }
        }
        let (now, over) = (self.now, self.quorum.over.clone());
        self.quorum.unreleased.retain(|&holder| now < over[holder]);
    }

    /// How long the slowest clock takes for a lease, in real time.
    fn wait(&self) -> u64 {
        1_000 * (1_000_000 + u64::from(self.drift_ppm)) / 1_000_000 + 1
    }

    fn deliver(&mut self) {
        let now = self.now;
        let (due, later) = std::mem::take(&mut self.network).into_iter().partition(|(at, _)| *at <= now);
        self.network = later;
        let due: Vec<(u64, Message)> = due;
        for (_, message) in due {
            self.arrive(message);
        }
    }

    fn arrive(&mut self, message: Message) {
        let to = match &message {
            Message::Report { .. } => None,
            Message::Reply { to, .. } | Message::Ask { to, .. } | Message::Said { to, .. } => Some(*to),
        };
        if let Some(to) = to
            && self.now < self.all[to].away_until
        {
            // A hung process finds it in its socket when it wakes up, a crashed one does not.
            if !self.all[to].crashed {
                self.network.push((self.all[to].away_until, message));
            }
            return;
        }
        match message {
            Message::Report { from, .. } | Message::Reply { to: from, .. } if self.all[from].cut_off => {}
            Message::Report { from, life, sent_at, highest, holding } => {
                self.reported(from, life, sent_at, highest, holding);
            }
            Message::Reply { to, life, sent_at, instruction } if life == self.all[to].life => {
                let now = self.mono(to);
                if self.mistake == Some(Mistake::AcceptsDespiteThePromise) {
                    self.all[to].lease.promises.until = Mono::default();
                }
                let effects = self.all[to].lease.on_instruction(sent_at, now, instruction);
                self.effects(to, effects);
            }
            Message::Ask { from, life, to, round, ask } => self.asked(from, life, to, round, ask),
            Message::Said { from, to, life, round, newer } if life == self.all[to].life => {
                self.answered(from, to, round, newer);
            }
            Message::Reply { .. } | Message::Said { .. } => {}
        }
    }

    fn reported(&mut self, from: usize, life: u32, sent_at: Mono, highest: Token, holding: bool) {
        let wait = self.wait();
        let quorum = &mut self.quorum;
        if !quorum.alive {
            return;
        }
        if !holding && highest >= quorum.token {
            quorum.unreleased.remove(&from);
        }
        let instruction = if from != quorum.active {
            Instruction::Standby { token: quorum.token }
        } else if quorum.unreleased.iter().any(|&holder| holder != from) {
            Instruction::Wait { token: quorum.token }
        } else {
            let over = self.now + wait;
            quorum.over[from] = quorum.over[from].max(over);
            Instruction::Grant { token: quorum.token, ttl_ms: 1_000 }
        };
        self.send(Message::Reply { to: from, life, sent_at, instruction });
    }

    fn asked(&mut self, from: usize, life: u32, to: usize, round: u64, ask: Ask) {
        let now = self.mono(to);
        let before = self.all[to].lease.promised_until(now);
        // The shell's own rule: whatever may still be up is held.
        if self.carries(to) && !ask.lasting.is_zero() {
            return;
        }
        let mut given = self.all[to].lease.promise(now, ask);
        if let Ok(Given::OnceStored(Some(Effect::PersistPromise(lasting)))) = given
            && self.mistake == Some(Mistake::PromisesBeforeTheDisk)
        {
            self.all[to].lease.on_promise_persisted(lasting);
            given = self.all[to].lease.promise(now, ask);
        }
        let newer = match given {
            Ok(Given::Promised { .. }) => None,
            Ok(Given::OnceStored(effect)) => return self.effects(to, effect.into_iter().collect()),
            Ok(Given::Freed) => {
                let freed = before.is_some() && self.all[to].lease.promised_until(now).is_none();
                self.seen.freed += u32::from(freed);
                return;
            }
            Err(Refusal::NewerToken(token)) => Some(token),
            Err(Refusal::Holding) => return,
        };
        self.send(Message::Said { from: to, to: from, life, round, newer });
    }

    fn answered(&mut self, from: usize, to: usize, number: u64, newer: Option<Token>) {
        let now = self.mono(to);
        let wanted = match self.mistake {
            Some(Mistake::OnePeerSuffices) => 1,
            _ => self.all.len() - 1,
        };
        let a = &mut self.all[to];
        let effects = match (newer, &mut a.round) {
            (Some(newer), _) => a.lease.on_newer_token(newer, now),
            (None, Some(round)) if round.number == number => {
                round.promised.insert(from);
                if round.promised.len() < wanted {
                    return;
                }
                let effects = a.lease.on_promises(round.asked_at, now, round.token, TTL);
                let renewed = effects.iter().any(|effect| matches!(effect, Effect::Renew(_)));
                self.seen.renewed_by_promises += u32::from(renewed);
                effects
            }
            _ => return,
        };
        self.effects(to, effects);
    }

    fn effects(&mut self, i: usize, effects: Vec<Effect>) {
        for effect in effects {
            let takes = self.now + 1 + self.below(150);
            let a = &mut self.all[i];
            match effect {
                Effect::PersistHighest(token) => a.writing_token = Some((takes, token)),
                Effect::PersistPromise(lasting) => a.writing_promise = Some((takes, lasting)),
                Effect::Acquire(held) | Effect::Renew(held) => a.carried = Some(held),
                Effect::Release(_) => a.carried = None,
                Effect::HeldBack { .. } => self.seen.held_back += 1,
                Effect::Refused { .. } => {}
            }
        }
    }

    /// What an appliance does by itself.
    fn live(&mut self, i: usize) {
        if self.now < self.all[i].away_until {
            return;
        }
        let now = self.mono(i);
        if std::mem::take(&mut self.all[i].crashed) {
            let forgets = self.mistake == Some(Mistake::ForgetsAtItsStart);
            let a = &mut self.all[i];
            let (highest, promised) = a.disk;
            a.lease =
                if forgets { Lease::new(highest) } else { Lease::after_promise(highest, promised, now) };
            a.life += 1;
            // A new life clears what the kernel still carries before it does anything else.
            (a.carried, a.round, a.relied_on) = (None, None, None);
        }
        let effects = self.all[i].lease.on_time(now);
        self.effects(i, effects);
        self.write(i, now);
        self.report(i, now);
        self.ask(i, now);
        self.free(i);
    }

    fn write(&mut self, i: usize, now: Mono) {
        let fails = self.below(20) == 0;
        let real = self.now;
        let a = &mut self.all[i];
        if let Some((_, token)) = a.writing_token.take_if(|(due, _)| *due <= real) {
            let effects = if fails {
                a.lease.on_persist_failed()
            } else {
                a.disk.0 = token;
                a.lease.on_persisted(token, now)
            };
            self.effects(i, effects);
        }
        let a = &mut self.all[i];
        if let Some((_, lasting)) = a.writing_promise.take_if(|(due, _)| *due <= real) {
            if fails {
                a.lease.on_promise_persist_failed();
            } else {
                a.disk.1 = lasting;
                a.lease.on_promise_persisted(lasting);
            }
        }
    }

    fn report(&mut self, i: usize, now: Mono) {
        if self.now < self.all[i].reported_at + 100 {
            return;
        }
        let carries = self.carries(i);
        let a = &mut self.all[i];
        a.reported_at = self.now;
        let (highest, holding) = (a.lease.highest(), a.lease.holding().is_some() || carries);
        let life = a.life;
        self.send(Message::Report { from: i, life, sent_at: now, highest, holding });
    }

    fn ask(&mut self, i: usize, now: Mono) {
        let a = &self.all[i];
        let Some(held) = a.lease.holding() else { return };
        let overdue = a.lease.granted_at().is_none_or(|at| now.since(at) > TTL / 3);
        let lately = a.round.as_ref().is_some_and(|round| now.since(round.asked_at) < TTL / 6);
        if !overdue || lately {
            return;
        }
        self.rounds += 1;
        let (number, life, token) = (self.rounds, a.life, held.token);
        self.all[i].round = Some(Round { number, asked_at: now, token, promised: BTreeSet::new() });
        self.all[i].relied_on = Some(token);
        let ask = Ask { token, lasting: TTL, drift_ppm: self.drift_ppm };
        self.ask_all(i, life, number, ask);
    }

    fn free(&mut self, i: usize) {
        let a = &self.all[i];
        let Some(token) = a.relied_on else { return };
        if a.lease.holding().is_some() || a.carried.is_some() {
            return;
        }
        if a.lease.highest() > token {
            let (life, below) = (a.life, Token(token.0 + 1));
            self.all[i].relied_on = None;
            self.ask_all(i, life, 0, Ask { token: below, lasting: Duration::ZERO, drift_ppm: 0 });
        }
    }

    fn ask_all(&mut self, from: usize, life: u32, round: u64, ask: Ask) {
        for to in (0..self.all.len()).filter(|&to| to != from) {
            self.send(Message::Ask { from, life, to, round, ask });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// The arithmetic alone, for all clocks within the bound and all delays.
    #[test]
    fn a_promise_outlasts_what_rests_on_it(
        drift_ppm in 0..300_000_u32, fast in (0..=1_000_u64, 0..=1_000_u64), delay_us in 0..500_000_u64,
        ttl_ms in 100..60_000_u64,
    ) {
        let ttl = Duration::from_millis(ttl_ms);
        let rate = |part: u64| 1_000_000 + part * u64::from(drift_ppm) / 1_000;
        let (rate_a, rate_b) = (u128::from(rate(fast.0)), u128::from(rate(fast.1)));
        let clock = |real_us: u64, rate: u128| {
            Mono(Duration::from_nanos(u64::try_from(u128::from(real_us) * rate / 1_000).unwrap()))
        };
        let real_ns = |mono: Mono, rate: u128| mono.0.as_nanos() * 1_000_000 / rate;
        let asked = 1_000_000_000_u64;

        let mut active = Lease::new(Token(5));
        let grant = Instruction::Grant { token: Token(5), ttl_ms };
        active.on_instruction(clock(asked - 10_000, rate_a), clock(asked - 9_000, rate_a), grant);
        active.on_promises(clock(asked, rate_a), clock(asked, rate_a), Token(5), ttl);
        prop_assert!(active.relying());

        let mut peer = Lease::after_promise(Token(5), 10 * ttl, Mono::default());
        let ask = Ask { token: Token(5), lasting: ttl, drift_ppm };
        let given = peer.promise(clock(asked + delay_us, rate_b), ask);
        let Ok(Given::Promised { until }) = given else { return Err(TestCaseError::fail(format!("{given:?}"))) };
        prop_assert!(real_ns(active.holding().unwrap().deadline, rate_a) <= real_ns(until, rate_b));
    }

    #[test]
    fn two_appliances_never_hold_at_once(seed in any::<u64>(), appliances in 2..4_usize) {
        prop_assert_eq!(World::new(seed, appliances, None).run().err(), None);
    }
}

#[test]
fn the_world_does_what_it_is_about() {
    let mut all = Seen::default();
    for seed in 0..20 {
        let seen = World::new(seed, 2 + (seed % 2) as usize, None).run().unwrap();
        all.renewed_by_promises += seen.renewed_by_promises;
        all.held_back += seen.held_back;
        all.freed += seen.freed;
        all.moved += seen.moved;
    }
    assert!(
        all.renewed_by_promises > 100 && all.held_back > 50 && all.freed > 5 && all.moved > 100,
        "{all:?}"
    );
}

#[test]
fn every_deliberate_mistake_is_found() {
    for mistake in MISTAKES {
        let appliances = if mistake == Mistake::OnePeerSuffices { 3 } else { 2 };
        let found = (0..600).any(|seed| World::new(seed, appliances, Some(mistake)).run().is_err());
        assert!(found, "{mistake:?} went unnoticed");
    }
}
