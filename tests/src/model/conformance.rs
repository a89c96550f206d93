//! Drives the agent's real lease and its mirror with the same random inputs.

use coordinator_api::agent::Instruction;
use coordinator_core::ids::Token;
use coordinator_core::time::Mono;
use nva_agent::lease::{Effect, Held, Lease as Real};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::Bounds;
use super::agent::{Answer, Lease as Mirror, NONE, Reply, Term};
use super::rules::TICK;

/// One history of `steps` random inputs.
///
/// # Errors
/// The seed, the step, the input and both leases, where they part.
pub fn compare(seed: u64, steps: u32, bounds: &Bounds) -> Result<(), String> {
    let mut random = SmallRng::seed_from_u64(seed);
    // Later than the longest lease, so that no request left before the clock's origin.
    let mut now = 10;
    let mut mirror = Mirror::new(NONE, bounds);
    let mut real = Real::new(Token::NONE);
    for step in 0..steps {
        let before = mirror;
        let token = random.random_range(0..=4);
        let (effects, input) = match random.random_range(0..12) {
            0..=2 => {
                now += 1;
                mirror.tick(bounds);
                (real.on_time(at(now)), "a tick".to_owned())
            }
            3..=7 => {
                let age = random.random_range(0..=bounds.ttl);
                let answer = match random.random_range(0..6) {
                    0 => Answer::Wait { token },
                    1 => Answer::Standby { token },
                    _ => Answer::Grant { token, ttl: random.random_range(1..=bounds.ttl) },
                };
                mirror.on_reply(Reply { age, answer }, bounds);
                let sent_at = at(now - u32::from(age));
                (real.on_instruction(sent_at, at(now), instruction(answer)), format!("{answer:?} aged {age}"))
            }
            8..=9 if mirror.storing != NONE => {
                let storing = Token(mirror.storing.into());
                mirror.on_stored();
                (real.on_persisted(storing, at(now)), "stored".to_owned())
            }
            10 if mirror.storing != NONE => {
                mirror.on_store_failed();
                (real.on_persist_failed(), "not stored".to_owned())
            }
            11 if random.random_range(0..8) == 0 => {
                let stored = mirror.stored;
                (mirror, real) = (Mirror::new(stored, bounds), Real::new(Token(stored.into())));
                (Vec::new(), "a restart".to_owned())
            }
            _ => continue,
        };
        if seen(&mirror) != observed(&real, now) || !follows(&effects, &before, &mirror, now, &input) {
            return Err(format!(
                "seed {seed}, step {step}, {input}: {before:?} became {mirror:?}, the real one {real:?} with {effects:?}"
            ));
        }
    }
    Ok(())
}

/// What can be seen of the mirror from outside: what is on disk, what is held, the next wakeup.
fn seen(mirror: &Mirror) -> (u8, Term, Option<u8>) {
    let wakeup = [mirror.held, mirror.pending].into_iter().filter(|term| term.is_some());
    (mirror.stored, mirror.held, wakeup.map(|term| term.left).min())
}

/// The same of the real one. It releases a moment before the deadline: within the tick that ends
/// there.
fn observed(real: &Real, now: u32) -> (u8, Term, Option<u8>) {
    let left = |until: Mono| {
        let ticks = until.since(at(now)).as_millis().div_ceil(TICK.as_millis());
        u8::try_from(ticks).unwrap_or(u8::MAX)
    };
    let term = |held: Held| Term { token: rank(held.token), left: left(held.deadline) };
    (rank(real.highest()), real.holding().map_or(Term::NOTHING, term), real.next_wakeup().map(left))
}

/// Whether the effects are those that the mirror's change of state stands for.
fn follows(effects: &[Effect], before: &Mirror, after: &Mirror, now: u32, input: &str) -> bool {
    let (mut stores, mut holds, mut releases) = (None, None, false);
    for effect in effects {
        match effect {
            Effect::PersistHighest(token) => stores = Some(rank(*token)),
            Effect::Acquire(held) | Effect::Renew(held) => {
                holds = Some((rank(held.token), held.deadline));
                releases = false;
            }
            Effect::Release(_) => releases = true,
            Effect::Refused { .. } | Effect::PersistPromise(_) | Effect::HeldBack { .. } => {}
        }
    }
    let restarted = input == "a restart";
    let stored = (after.storing != NONE && (after.storing != before.storing || input == "stored"))
        .then_some(after.storing);
    let deadline = at(now + u32::from(after.held.left));
    let held = holds.is_none_or(|held| held == (after.held.token, deadline));
    let held_on = holds.is_some() || !after.held.is_some() || after.held.left <= before.held.left;
    let released = before.held.is_some() && !after.held.is_some() && !restarted;
    stores == stored && held && held_on && releases == released
}

fn instruction(answer: Answer) -> Instruction {
    match answer {
        Answer::Grant { token, ttl } => {
            let ttl_ms = u64::try_from((TICK * u32::from(ttl)).as_millis()).unwrap_or(u64::MAX);
            Instruction::Grant { token: Token(token.into()), ttl_ms }
        }
        Answer::Standby { token } => Instruction::Standby { token: Token(token.into()) },
        Answer::Wait { token } => Instruction::Wait { token: Token(token.into()) },
    }
}

fn at(ticks: u32) -> Mono {
    Mono(TICK * ticks)
}

fn rank(token: Token) -> u8 {
    u8::try_from(token.0).unwrap_or(u8::MAX)
}
