//! The table of the promises. Several appliances with clocks of their own: `promise_world`.

use coordinator_api::agent::Instruction;

use super::*;

const T5: Token = Token(5);
const T9: Token = Token(9);
const TTL: Duration = Duration::from_millis(1_000);
/// `TTL`, longer by the drift below and by the millisecond for rounding.
const WIDER: Duration = Duration::from_millis(1_011);

fn at(millis: u64) -> Mono {
    Mono::from_millis(millis)
}

fn ask(token: Token) -> Ask {
    Ask { token, lasting: TTL, drift_ppm: 10_000 }
}

fn grant(token: Token) -> Instruction {
    Instruction::Grant { token, ttl_ms: 1_000 }
}

/// Holds nothing, knows `T5`, and has promised to a holder of `T5` until 1,111 ms.
fn promiser() -> Lease {
    let mut lease = Lease::new(T5);
    let store = Effect::PersistPromise(WIDER);
    assert_eq!(lease.promise(at(90), ask(T5)), Ok(Given::OnceStored(Some(store))));
    assert_eq!(lease.promised_until(at(90)), None, "nothing is promised before it is on disk");
    lease.on_promise_persisted(WIDER);
    assert_eq!(lease.promise(at(100), ask(T5)), Ok(Given::Promised { until: at(1_111) }));
    lease
}

/// Holds `T5` until 1,000 ms.
fn holder() -> Lease {
    let mut lease = Lease::new(T5);
    assert_eq!(lease.on_instruction(at(0), at(1), grant(T5)).len(), 1);
    lease
}

#[test]
fn a_promise_keeps_every_grant_away_until_it_is_over() {
    let mut lease = promiser();
    for token in [T5, T9] {
        let effects = lease.on_instruction(at(1_000 + token.0), at(1_110), grant(token));
        assert_eq!(effects[0], Effect::HeldBack { token, until: at(1_111) });
        assert_eq!(lease.holding(), None);
    }
    lease.on_persisted(T9, at(1_110));
    assert_eq!(lease.on_instruction(at(1_100), at(1_111), grant(T9)).len(), 1);
    assert!(lease.holding().is_some());
}

#[test]
fn a_grant_that_was_held_back_teaches_its_token() {
    let mut lease = promiser();
    let effects = lease.on_instruction(at(200), at(210), grant(T9));
    assert_eq!(effects, [Effect::HeldBack { token: T9, until: at(1_111) }, Effect::PersistHighest(T9)]);
    assert_eq!(lease.promise(at(220), ask(T5)), Err(Refusal::NewerToken(T9)), "before it is on disk");
    assert_eq!(lease.on_persisted(T9, at(230)), [], "stored, and nothing is held");
}

#[test]
fn who_holds_or_is_about_to_promises_nothing() {
    let mut lease = holder();
    assert_eq!(lease.promise(at(10), ask(T5)), Err(Refusal::Holding));
    assert_eq!(lease.promise(at(10), ask(T9)), Err(Refusal::Holding));
    let mut lease = Lease::new(T5);
    assert_eq!(lease.on_instruction(at(0), at(1), grant(T9)), [Effect::PersistHighest(T9)]);
    assert_eq!(lease.promise(at(2), ask(T9)), Err(Refusal::Holding), "the grant waits for the disk alone");
}

#[test]
fn a_renewal_counts_from_before_the_first_peer_was_asked() {
    let mut lease = holder();
    let effects = lease.on_promises(at(400), at(500), T5, TTL);
    assert_eq!(effects, [Effect::Renew(Held { token: T5, deadline: at(1_400), release_at: at(1_350) })]);
    assert!(lease.relying());
    assert_eq!(lease.on_promises(at(300), at(500), T5, TTL), [], "an older round shortens nothing");
    assert_eq!(lease.granted_at(), Some(at(0)), "no leader granted it");
}

#[test]
fn promises_renew_only_what_is_held_under_the_same_token() {
    let mut lease = Lease::new(T5);
    assert_eq!(lease.on_promises(at(400), at(500), T5, TTL), [], "nothing is held");
    let mut lease = holder();
    assert_eq!(lease.on_promises(at(400), at(500), T9, TTL), []);
    assert_eq!(lease.on_promises(at(949), at(950), T5, TTL), [Effect::Release(Why::Expired)], "it lapsed");
    assert_eq!(lease.on_promises(at(949), at(951), T5, TTL), []);
    let mut lease = holder();
    lease.on_instruction(at(100), at(110), grant(T9));
    assert_eq!(lease.on_promises(at(400), at(500), T5, TTL), [], "a newer token is known");
}

#[test]
fn a_leaders_grant_ends_the_reliance_once_it_lasts_as_long() {
    let mut lease = holder();
    lease.on_promises(at(400), at(500), T5, TTL);
    assert_eq!(lease.on_instruction(at(390), at(500), grant(T5)), []);
    assert!(lease.relying(), "what the leader granted ends sooner");
    assert_eq!(lease.granted_at(), Some(at(390)));
    assert_eq!(lease.on_instruction(at(410), at(510), grant(T5)).len(), 1);
    assert!(!lease.relying());
    lease.on_promises(at(450), at(520), T5, TTL);
    lease.give_up(Why::Stopping);
    assert!(!lease.relying());
}

#[test]
fn a_newer_token_at_a_peer_ends_the_lease_at_once() {
    let mut lease = holder();
    assert_eq!(lease.on_newer_token(T5, at(100)), []);
    let effects = lease.on_newer_token(T9, at(100));
    assert_eq!(effects, [Effect::Release(Why::NewerToken), Effect::PersistHighest(T9)]);
    assert_eq!(lease.on_instruction(at(200), at(210), grant(T5)).len(), 1, "refused from now on");
    assert_eq!(lease.holding(), None);
}

#[test]
fn a_token_of_another_group_is_no_newer_token() {
    let mut lease = Lease::new(T9);
    lease.on_instruction(at(0), at(1), Instruction::Standby { token: T9 });
    assert_eq!(lease.promise(at(2), ask(T5)), Err(Refusal::NewerToken(T9)));
    lease.on_other_group();
    lease.on_instruction(at(10), at(11), Instruction::Standby { token: T5 });
    assert!(lease.promise(at(12), ask(T5)).is_ok());
}

#[test]
fn a_peer_that_moved_on_frees_what_was_promised_to_older_tokens_only() {
    let free = |token| Ask { token, lasting: Duration::ZERO, drift_ppm: 10_000 };
    let mut lease = promiser();
    assert_eq!(lease.promise(at(200), free(T5)), Ok(Given::Freed));
    assert!(lease.promised_until(at(200)).is_some(), "whoever has T5 may be granted it again");
    assert_eq!(lease.promise(at(200), free(T9)), Ok(Given::Freed));
    assert_eq!(lease.promised_until(at(200)), None);
    assert_eq!(lease.promise(at(210), ask(T9)), Ok(Given::Promised { until: at(1_221) }));
    lease.promise(at(220), free(T9)).unwrap();
    assert!(lease.promised_until(at(220)).is_some(), "a late copy frees no newer promise");
}

#[test]
fn a_peer_that_was_replaced_earlier_frees_nobody_from_a_promise_to_its_successor() {
    let free = |token| Ask { token, lasting: Duration::ZERO, drift_ppm: 10_000 };
    let mut lease = promiser();
    let Ok(Given::Promised { until }) = lease.promise(at(210), ask(T9)) else { panic!("no promise") };
    // It held under the token before, and knows of a newer one than this appliance does.
    lease.promise(at(220), free(T9)).unwrap();
    assert_eq!(lease.promised_until(at(220)), Some(until));
}

#[test]
fn what_an_earlier_life_promised_holds_from_the_start_and_cannot_be_freed() {
    let mut lease = Lease::after_promise(T5, WIDER, at(5_000));
    let free = Ask { token: T9, lasting: Duration::ZERO, drift_ppm: 0 };
    lease.promise(at(5_001), free).unwrap();
    let effects = lease.on_instruction(at(6_000), at(6_010), grant(T5));
    assert_eq!(effects, [Effect::HeldBack { token: T5, until: at(6_011) }]);
    assert_eq!(lease.on_instruction(at(6_001), at(6_011), grant(T5)).len(), 1);
    assert!(lease.holding().is_some());
}

#[test]
fn a_longer_promise_is_stored_first_and_a_shorter_one_is_not() {
    let mut lease = promiser();
    let longer = Ask { lasting: 2 * TTL, ..ask(T5) };
    let wider = Duration::from_millis(2_021);
    let store = Effect::PersistPromise(wider);
    assert_eq!(lease.promise(at(200), longer), Ok(Given::OnceStored(Some(store))));
    assert_eq!(lease.promise(at(201), longer), Ok(Given::OnceStored(None)), "one write at a time");
    assert!(
        matches!(lease.promise(at(202), ask(T5)), Ok(Given::Promised { .. })),
        "what is on disk covers it"
    );
    lease.on_promise_persist_failed();
    assert_eq!(lease.promise(at(203), longer), Ok(Given::OnceStored(Some(store))), "tried again when asked");
    lease.on_promise_persisted(wider);
    assert_eq!(lease.promise(at(204), longer), Ok(Given::Promised { until: at(2_225) }));
}

#[test]
fn a_promise_that_is_over_is_taken_from_the_disk_lazily() {
    let mut lease = promiser();
    assert_eq!(lease.on_time(at(31_110)), []);
    assert_eq!(lease.on_time(at(31_111)), [Effect::PersistPromise(Duration::ZERO)]);
    assert_eq!(lease.promise(at(31_112), ask(T5)), Ok(Given::OnceStored(None)), "the disk is uncertain");
    lease.on_promise_persisted(Duration::ZERO);
    let store = Effect::PersistPromise(WIDER);
    assert_eq!(lease.promise(at(31_113), ask(T5)), Ok(Given::OnceStored(Some(store))));
    assert_eq!(lease.on_time(at(31_114)), []);
}
