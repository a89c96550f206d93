//! The table of the lease, and its invariants under random histories.

use proptest::prelude::*;

use super::*;

const T5: Token = Token(5);
const T9: Token = Token(9);

fn at(millis: u64) -> Mono {
    Mono::from_millis(millis)
}

fn grant(token: Token, ttl_ms: u64) -> Instruction {
    Instruction::Grant { token, ttl_ms }
}

fn held(token: Token, deadline: u64, lead: u64) -> Held {
    Held { token, deadline: at(deadline), release_at: at(deadline - lead) }
}

/// Holds `T5` until 3,000 ms.
fn holder() -> Lease {
    let mut lease = Lease::new(Token::NONE);
    assert_eq!(lease.on_instruction(at(0), at(10), grant(T5, 3_000)), [Effect::PersistHighest(T5)]);
    assert_eq!(lease.holding(), None, "nothing is held before the token is on disk");
    assert_eq!(lease.highest(), Token::NONE, "nor reported as accepted");
    assert_eq!(lease.on_persisted(T5, at(20)), [Effect::Acquire(held(T5, 3_000, 50))]);
    lease
}

#[test]
fn a_deadline_counts_from_before_the_request_left() {
    let mut lease = holder();
    let renewed = lease.on_instruction(at(1_000), at(1_900), grant(T5, 3_000));
    assert_eq!(renewed, [Effect::Renew(held(T5, 4_000, 50))]);
}

#[test]
fn a_late_reply_neither_extends_nor_shortens() {
    let mut lease = holder();
    assert_eq!(lease.on_instruction(at(500), at(600), grant(T5, 3_000)).len(), 1);
    assert_eq!(lease.on_instruction(at(400), at(700), grant(T5, 9_000)), []);
    assert_eq!(lease.on_instruction(at(800), at(900), grant(T5, 1_000)), [], "shorter than what is held");
    assert_eq!(lease.holding(), Some(held(T5, 3_500, 50)));
}

#[test]
fn a_lower_token_is_refused_and_a_higher_one_takes_over() {
    let mut lease = holder();
    let refused = lease.on_instruction(at(100), at(110), grant(Token(4), 3_000));
    assert_eq!(refused, [Effect::Refused { token: Token(4), highest: T5 }]);
    assert_eq!(lease.on_instruction(at(200), at(210), grant(T9, 3_000)), [Effect::PersistHighest(T9)]);
    assert_eq!(lease.holding().map(|h| h.token), Some(T5), "the old lease stands meanwhile");
    let refused = lease.on_instruction(at(300), at(310), grant(T5, 3_000));
    assert_eq!(refused, [Effect::Refused { token: T5, highest: T9 }], "refusing does not wait for the disk");
    assert_eq!(lease.on_persisted(T9, at(320)), [Effect::Acquire(held(T9, 3_200, 50))]);
}

#[test]
fn standby_releases_before_it_stores() {
    let mut lease = holder();
    let effects = lease.on_instruction(at(100), at(110), Instruction::Standby { token: T9 });
    assert_eq!(effects, [Effect::Release(Why::Standby), Effect::PersistHighest(T9)]);
    assert_eq!(lease.on_persisted(T9, at(120)), []);
    assert_eq!(lease.highest(), T9);
}

#[test]
fn a_deposed_leaders_standby_does_not_take_a_newer_lease() {
    let mut lease = Lease::new(T9);
    lease.on_instruction(at(0), at(1), grant(T9, 3_000));
    assert_eq!(lease.on_instruction(at(10), at(11), Instruction::Standby { token: T5 }), []);
    assert!(lease.holding().is_some());
}

#[test]
fn a_grant_that_left_before_a_newer_standby_is_not_taken() {
    let mut lease = holder();
    lease.on_instruction(at(200), at(210), Instruction::Standby { token: T5 });
    assert_eq!(lease.on_instruction(at(100), at(220), grant(T5, 3_000)), []);
    assert_eq!(lease.holding(), None);
}

#[test]
fn waiting_keeps_what_is_held_and_gains_nothing() {
    let mut lease = holder();
    let wait = |token| Instruction::Wait { token };
    assert_eq!(lease.on_instruction(at(100), at(110), wait(T5)), []);
    assert_eq!(lease.holding(), Some(held(T5, 3_000, 50)));
    lease.on_instruction(at(200), at(210), grant(T9, 3_000));
    lease.on_instruction(at(300), at(310), wait(T9));
    assert_eq!(lease.on_persisted(T9, at(320)), [], "the pending grant is off");
}

#[test]
fn waiting_stores_the_token_ahead_of_the_grant() {
    let mut lease = holder();
    let effects = lease.on_instruction(at(100), at(110), Instruction::Wait { token: T9 });
    assert_eq!(effects, [Effect::PersistHighest(T9)]);
    assert_eq!(lease.holding(), Some(held(T5, 3_000, 50)));
    assert_eq!(lease.on_persisted(T9, at(120)), []);
    let granted = lease.on_instruction(at(200), at(210), grant(T9, 3_000));
    assert_eq!(granted, [Effect::Acquire(held(T9, 3_200, 50))], "without the disk");
}

#[test]
fn a_token_that_was_waited_for_and_not_stored_costs_nothing_that_is_not_held() {
    let mut lease = Lease::new(T5);
    lease.on_instruction(at(100), at(110), Instruction::Wait { token: T9 });
    assert_eq!(lease.on_persist_failed(), []);
    let tried_again = lease.on_instruction(at(200), at(210), Instruction::Wait { token: T9 });
    assert_eq!(tried_again, [Effect::PersistHighest(T9)]);
}

#[test]
fn not_declared_releases() {
    let mut lease = holder();
    let effects = lease.on_instruction(at(100), at(110), Instruction::NotDeclared);
    assert_eq!(effects, [Effect::Release(Why::NotDeclared)]);
}

#[test]
fn a_follower_changes_nothing() {
    let mut lease = holder();
    assert_eq!(lease.on_instruction(at(900), at(910), Instruction::NotLeader), []);
    assert_eq!(lease.on_instruction(at(500), at(920), grant(T5, 3_000)).len(), 1, "its reply is no answer");
}

#[test]
fn a_lease_ends_in_time_for_the_removal() {
    let mut lease = holder();
    assert_eq!(lease.next_wakeup(), Some(at(2_950)));
    assert_eq!(lease.on_time(at(2_949)), []);
    assert_eq!(lease.on_time(at(2_950)), [Effect::Release(Why::Expired)]);
    assert_eq!(lease.next_wakeup(), None);
}

#[test]
fn a_grant_that_is_over_on_arrival_is_not_taken() {
    let mut lease = Lease::new(T5);
    assert_eq!(lease.on_instruction(at(0), at(3_000), grant(T5, 3_000)), []);
    assert_eq!(lease.on_instruction(at(3_100), at(3_100), grant(T5, 0)), []);
    assert_eq!(lease.on_instruction(at(3_200), at(3_200), grant(Token::NONE, 100)).len(), 1, "refused");
    assert_eq!(lease.holding(), None);
}

#[test]
fn a_full_disk_takes_the_lease_and_a_later_grant_tries_again() {
    let mut lease = holder();
    lease.on_instruction(at(100), at(110), grant(T9, 3_000));
    assert_eq!(lease.on_persist_failed(), [Effect::Release(Why::CannotStore)]);
    assert_eq!(lease.highest(), T5);
    assert_eq!(lease.on_instruction(at(200), at(210), grant(T9, 3_000)), [Effect::PersistHighest(T9)]);
}

#[test]
fn a_token_that_rises_while_the_disk_works_is_stored_next() {
    let mut lease = Lease::new(Token::NONE);
    assert_eq!(lease.on_instruction(at(0), at(1), grant(T5, 3_000)), [Effect::PersistHighest(T5)]);
    assert_eq!(lease.on_instruction(at(10), at(11), Instruction::Standby { token: T9 }), []);
    assert_eq!(lease.on_persisted(T5, at(12)), [Effect::PersistHighest(T9)], "and no lease under T5");
    assert_eq!(lease.on_persisted(T9, at(13)), []);
}

#[derive(Debug, Clone)]
enum Happening {
    Reply { age: u64, instruction: Instruction },
    Stored(bool),
    Tick(u64),
    Restart,
}

fn happening() -> impl Strategy<Value = Happening> {
    let token = (0..12u64).prop_map(Token);
    let instruction = prop_oneof![
        5 => (token.clone(), 0..400u64).prop_map(|(token, ttl_ms)| Instruction::Grant { token, ttl_ms }),
        1 => token.clone().prop_map(|token| Instruction::Standby { token }),
        1 => token.prop_map(|token| Instruction::Wait { token }),
        1 => Just(Instruction::NotLeader),
        1 => Just(Instruction::NotDeclared),
    ];
    prop_oneof![
        6 => (0..300u64, instruction).prop_map(|(age, instruction)| Happening::Reply { age, instruction }),
        4 => any::<bool>().prop_map(Happening::Stored),
        4 => (0..150u64).prop_map(Happening::Tick),
        1 => Just(Happening::Restart),
    ]
}

/// The world around a lease: its disk, and every grant that a leader ever gave it.
struct World {
    now: u64,
    disk: Token,
    storing: Option<Token>,
    /// Token and deadline, by the rule `a0 + ttl`.
    granted: Vec<(Token, u64)>,
    /// The highest token held, over all lives.
    highest_held: Token,
    up: Option<Held>,
}

impl World {
    fn run(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::PersistHighest(token) => {
                    assert_eq!(self.storing, None, "one write at a time");
                    assert!(token > self.disk, "only upwards");
                    self.storing = Some(token);
                }
                Effect::Acquire(held) | Effect::Renew(held) => {
                    assert!(held.token <= self.disk, "on disk before it is held");
                    assert!(held.token >= self.highest_held, "never a lower token");
                    let deadline = u64::try_from(held.deadline.0.as_millis()).unwrap();
                    assert!(self.granted.contains(&(held.token, deadline)), "only what was granted");
                    self.highest_held = held.token;
                    self.up = Some(held);
                }
                Effect::Release(_) => self.up = None,
                Effect::Refused { .. } | Effect::PersistPromise(_) | Effect::HeldBack { .. } => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_history_breaks_the_lease(history in prop::collection::vec(happening(), 1..80)) {
        let mut lease = Lease::new(Token::NONE);
        let mut world = World {
            now: 1_000, disk: Token::NONE, storing: None, granted: Vec::new(),
            highest_held: Token::NONE, up: None,
        };
        for happening in history {
            let effects = match happening {
                Happening::Reply { age, instruction } => {
                    let sent_at = world.now - age;
                    if let Instruction::Grant { token, ttl_ms } = instruction {
                        world.granted.push((token, sent_at + ttl_ms));
                    }
                    lease.on_instruction(at(sent_at), at(world.now), instruction)
                }
                Happening::Stored(fine) => match world.storing.take() {
                    Some(token) if fine => {
                        world.disk = token;
                        lease.on_persisted(token, at(world.now))
                    }
                    Some(_) => lease.on_persist_failed(),
                    None => continue,
                },
                Happening::Tick(by) => {
                    // The shell wakes when it is asked to, so time never jumps over a wake-up.
                    let until = world.now + by;
                    while let Some(wakeup) = lease.next_wakeup().filter(|&w| w <= at(until)) {
                        let effects = lease.on_time(wakeup);
                        world.run(effects);
                        prop_assert!(lease.next_wakeup().is_none_or(|next| next > wakeup));
                    }
                    world.now = until;
                    Vec::new()
                }
                Happening::Restart => {
                    // A write under way may or may not have reached the disk: take the harder case.
                    world.storing = None;
                    world.up = None;
                    lease = Lease::new(world.disk);
                    Vec::new()
                }
            };
            world.run(effects);
            prop_assert_eq!(lease.highest(), world.disk);
            prop_assert_eq!(lease.holding(), world.up);
            if let Some(held) = world.up {
                prop_assert!(at(world.now) < held.deadline, "held past its deadline");
            }
        }
    }
}
