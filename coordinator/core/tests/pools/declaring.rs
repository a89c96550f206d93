//! What a declaration must fulfil, and what becomes of members when it is replaced.

use coordinator_core::apply::Rejection;
use coordinator_core::command::CommandBody;
use coordinator_core::event::EventBody;
use coordinator_core::observe::Verdict;
use coordinator_core::pool::{PoolCommand, PoolRejection, PoolSpec, validate};

use crate::common::{Log, group};
use crate::world::{World, backend_pool, name, pool};

fn put(spec: PoolSpec) -> CommandBody {
    CommandBody::Pool(PoolCommand::Put(spec))
}

#[test]
fn every_fault_is_told_at_once() {
    let mut spec = pool(&["px-a", "px-b"]);
    spec.members[1].name = "px-a".parse().expect("a name");
    spec.members[1].address = spec.members[0].address;
    spec.members[0].probes.clear();
    spec.policy.min_in = 2;
    spec.policy.max_out = Some(0);
    spec.policy.flap_moves = 0;
    spec.egress = spec.ingress.clone();
    let faults: Vec<String> = validate::pool(&spec).iter().map(|fault| fault.path.clone()).collect();
    for path in [
        "members[1].name",
        "members[1].address",
        "members[0].probes",
        "ingress.targets.px-b",
        "egress.backend_pool",
        "policy.min_in",
        "policy.max_out",
        "policy.flap_moves",
    ] {
        assert!(faults.iter().any(|fault| fault == path), "{path} is not among {faults:?}");
    }
    spec.ingress = None;
    spec.egress = None;
    assert!(validate::pool(&spec).iter().any(|fault| fault.path == "ingress"));
}

#[test]
fn an_appliance_belongs_to_one_pool_or_group() {
    let mut log = Log::default();
    log.by_operator(put(pool(&["px-a", "px-b"]))).expect("a sound declaration");
    let refused = log.by_operator(CommandBody::PutGroup(group("dmz", &["px-a", "fw-b"], &["route"])));
    assert!(matches!(refused, Err(Rejection::InvalidGroup { .. })), "{refused:?}");
    let refused = log.by_operator(CommandBody::PutGroup(group("proxies", &["fw-a", "fw-b"], &["route"])));
    assert!(matches!(refused, Err(Rejection::InvalidGroup { .. })), "{refused:?}");
    log.by_operator(CommandBody::PutGroup(group("dmz", &["fw-a", "fw-b"], &["route"]))).expect("apart");

    let mut other = pool(&["px-a", "fw-b"]);
    other.name = "others".parse().expect("a name");
    let Err(Rejection::Pool(PoolRejection::Invalid { faults, .. })) = log.by_operator(put(other)) else {
        panic!("what others have was accepted");
    };
    let paths: Vec<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "members[0].name",
            "members[1].address",
            "ingress.backend_pool",
            "egress.backend_pool",
            "members[1].name"
        ]
    );
}

#[test]
fn members_keep_their_standing_and_new_ones_join() {
    let mut world = World::in_service(pool(&["px-a", "px-b"]));
    world.log.by_operator(put(pool(&["px-a", "px-b", "px-c"]))).expect("one more");
    assert_eq!(world.standings(), ["in", "in", "new"]);
    world.see("px-c", Verdict::Up);
    world.settle();
    assert_eq!(world.standings(), ["in", "in", "returning"]);
    world.finish();
    world.log.by_operator(put(pool(&["px-a", "px-c"]))).expect("one less");
    assert_eq!(world.standings(), ["in", "in"]);
}

#[test]
fn a_member_is_looked_at_anew_where_its_place_changes_and_only_one_that_is_in_may() {
    let mut moved = pool(&["px-a", "px-b", "px-c"]);
    moved.egress = Some(backend_pool("elsewhere", &["px-a", "px-b", "px-c"]));
    let mut world = World::in_service(pool(&["px-a", "px-b", "px-c"]));
    world.take_out("px-a").expect("others are left");
    let refused = world.log.by_operator(put(moved.clone()));
    assert!(matches!(refused, Err(Rejection::Pool(PoolRejection::MemberNotIn { .. }))), "{refused:?}");
    world.put_in("px-a").expect("it is up");
    world.finish();
    world.log.by_operator(put(moved)).expect("all are in");
    assert_eq!(world.standings(), ["new", "new", "new"]);
}

#[test]
fn the_file_seeds_pools_beside_groups_once() {
    let mut log = Log::default();
    let dmz = group("dmz", &["fw-a", "fw-b"], &["route"]);
    let seed = |pools| CommandBody::Seed { groups: vec![dmz.clone()], pools };
    let twice = vec![pool(&["px-a", "px-b"]), pool(&["px-a", "px-b"])];
    assert!(matches!(
        Log::default().by_coordinator(seed(twice)),
        Err(Rejection::Pool(PoolRejection::Invalid { .. }))
    ));
    let events = log.by_coordinator(seed(vec![pool(&["px-a", "px-b"])])).expect("an empty log");
    let words: Vec<&str> = events.iter().map(|event| event.body.word()).collect();
    assert_eq!(words, ["group-declared", "pool-declared"]);
    assert_eq!(log.by_coordinator(seed(Vec::new())), Err(Rejection::AlreadySeeded));
    let events = log.by_operator(CommandBody::Pool(PoolCommand::Remove(name()))).expect("it is there");
    assert!(matches!(&events[0].body, EventBody::Pool(event) if event.pool == name()));
    assert_eq!(events[0].to_string(), "proxies: the pool was removed; its members stay where they are");
}
