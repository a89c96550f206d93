//! Whole groups: 1 public IP with 3 tables, and 10 with 20, under every single fault and under
//! many at once.

use std::sync::Arc;
use std::time::Duration;

use cloud_adapters::azure::AzureAdapter;
use cloud_adapters::contract::{AdapterError, Journal, MoveJob};
use cloud_adapters::simulated::arm::faults::{ArmFault, ArmFaults, Trigger};
use cloud_adapters::simulated::arm::scene::{Scene, Shape};
use cloud_adapters::simulated::faults::Spread;
use cloud_adapters::{entangled, move_bindings};
use coordinator_core::ids::Token;
use coordinator_core::model::BindingSpec;
use futures::future::join_all;

use crate::stage::{self, active, adapter, nic_id, public_ip_between, route_binding, table_id};
use crate::suite::Open;

/// A group, and how it is moved.
struct World(Scene);

fn small() -> World {
    World(Scene::new(Shape::SMALL))
}

fn large() -> World {
    World(Scene::new(Shape::LARGE))
}

impl std::ops::Deref for World {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.0
    }
}

impl World {
    fn jobs(&self, token: u64, to: &str) -> Vec<MoveJob> {
        let job = |binding: &BindingSpec| MoveJob {
            group: "dmz".parse().unwrap(),
            token: Token(token),
            binding: binding.clone(),
            to: to.parse().unwrap(),
        };
        self.bindings.iter().map(job).collect()
    }

    /// One attempt by a new process, as the control loop makes it: what is entangled together,
    /// everything else side by side. Gives what was not moved, and why.
    async fn attempt(&self, jobs: Vec<MoveJob>, adapter: &AzureAdapter) -> Vec<(MoveJob, AdapterError)> {
        let together = entangled(adapter, jobs);
        let moves = together.into_iter().map(|jobs| async move {
            let mut failed = Vec::new();
            let journal = Journal::default();
            let mut report = |at: usize, result: Result<(), AdapterError>| {
                failed.extend(result.err().map(|error| (jobs[at].clone(), error)));
            };
            move_bindings(adapter, &jobs, &Open, &journal, Duration::from_secs(120), &mut report).await;
            failed
        });
        join_all(moves).await.into_iter().flatten().collect()
    }

    /// Attempts until everything is moved, as the control loop does.
    async fn insist(&self, token: u64, to: &str) {
        let adapter = adapter(&self.arm);
        let mut jobs = self.jobs(token, to);
        for _ in 0..40 {
            let failed = self.attempt(jobs, &adapter).await;
            for (job, error) in &failed {
                let passes = matches!(
                    error,
                    AdapterError::Transient { .. }
                        | AdapterError::Busy { .. }
                        | AdapterError::Conflict { .. }
                );
                assert!(passes, "{}: {}", job.binding.name, error.chain());
            }
            jobs = failed.into_iter().map(|(job, _)| job).collect();
            if jobs.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(jobs.is_empty(), "not moved: {jobs:?}");
    }

    async fn settled(&self) {
        let under_way = || self.arm.calls().iter().any(|call| call.result == "under way");
        while under_way() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    #[track_caller]
    fn assert_all_at(&self, fw: &str, how: &str) {
        assert_eq!(self.wrong(fw), Vec::<String>::new(), "{how}");
    }
}

fn slow(faults: ArmFaults) -> ArmFaults {
    ArmFaults {
        latency: Spread::millis(20, 80),
        provisioning: Spread::millis(2_000, 9_000),
        tagging: Spread::millis(0, 900),
        ..faults
    }
}

/// Operations so short that few looks at them are needed: what is tried at every call is tried
/// at fewer.
fn brisk(faults: ArmFaults) -> ArmFaults {
    ArmFaults {
        latency: Spread::millis(5, 20),
        provisioning: Spread::millis(200, 900),
        tagging: Spread::millis(0, 100),
        ..faults
    }
}

/// What can happen to any call.
const ON_ANY_CALL: [ArmFault; 11] = [
    ArmFault::Throttle { retry_after: 3 },
    ArmFault::Locked,
    ArmFault::AnotherOperation,
    ArmFault::NotProvisioned,
    ArmFault::ServerError,
    ArmFault::Unavailable,
    ArmFault::LoseReply,
    ArmFault::Drop,
    ArmFault::ExpireToken,
    ArmFault::Silent,
    ArmFault::Dead,
];
/// What can happen to a write only.
const ON_WRITES: [ArmFault; 4] = [
    ArmFault::ApplyLate(Duration::from_secs(4)),
    ArmFault::FailOperation,
    ArmFault::SlowOperation(Duration::from_secs(70)),
    ArmFault::ChangedMeanwhile,
];

/// How many calls, and how many writes, a move without faults takes.
async fn extent(world: World) -> (u64, u64) {
    world.arm.set_faults(brisk(ArmFaults::default()));
    world.insist(10, "fw-b").await;
    (world.arm.calls_arrived(), u64::try_from(world.writes()).unwrap())
}

/// One fault, in one move.
async fn meets(world: World, trigger: Trigger, fault: ArmFault) {
    world.arm.set_faults(brisk(ArmFaults { single: vec![(trigger, fault)], ..ArmFaults::default() }));
    world.insist(10, "fw-b").await;
    world.settled().await;
    world.assert_all_at("fw-b", &format!("{fault:?} at {trigger:?}"));
}

#[tokio::test(start_paused = true)]
async fn what_several_bindings_want_of_one_resource_is_one_write() {
    for (world, resources) in [(small(), 2 + 3), (large(), 2 * 6 + 20)] {
        world.arm.set_faults(slow(ArmFaults::default()));
        world.insist(10, "fw-b").await;
        world.assert_all_at("fw-b", "without faults");
        assert_eq!(world.writes(), 2 * resources, "a claim and a change each");
        world.insist(10, "fw-b").await;
        assert_eq!(world.writes(), 2 * resources, "the second run writes nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn every_call_of_a_small_group_meets_every_fault() {
    let (calls, writes) = extent(small()).await;
    for n in 1..=calls {
        for fault in ON_ANY_CALL {
            meets(small(), Trigger::Number(n), fault).await;
        }
    }
    for n in 1..=writes {
        for fault in ON_WRITES {
            meets(small(), Trigger::Write(n), fault).await;
        }
    }
}

/// Each fault meets calls that are spread over the whole move, other ones for each fault: reads,
/// claims, changes, and looks at operations.
#[tokio::test(start_paused = true)]
async fn calls_throughout_the_move_of_a_large_group_meet_every_fault() {
    const EACH: u64 = 4;
    let (calls, writes) = extent(large()).await;
    let spread = |of: u64, at: u64, k: u64, faults: u64| 1 + (k * of + at * of / faults) / EACH % of;
    for (at, fault) in (0..).zip(ON_ANY_CALL) {
        for k in 0..EACH {
            meets(large(), Trigger::Number(spread(calls, at, k, 11)), fault).await;
        }
    }
    for (at, fault) in (0..).zip(ON_WRITES) {
        for k in 0..EACH {
            meets(large(), Trigger::Write(spread(writes, at, k, 4)), fault).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn groups_of_both_sizes_move_when_a_fifth_of_all_calls_fail() {
    for seed in 0..20 {
        // The large one takes ten times as long to simulate.
        let large = (seed % 2 == 0).then(large);
        for world in [Some(small()), large].into_iter().flatten() {
            world.arm.set_faults(slow(ArmFaults {
                seed,
                throttle: 0.07,
                error: 0.07,
                lose_reply: 0.06,
                ..ArmFaults::default()
            }));
            world.insist(10, "fw-b").await;
            world.settled().await;
            world.assert_all_at("fw-b", &format!("seed {seed}"));
        }
    }
}

/// The coordinator dies at any call of the whole move, and another takes the operation over.
#[tokio::test(start_paused = true)]
async fn a_move_of_a_group_that_was_cut_anywhere_is_finished_by_the_next_leader() {
    let (calls, _) = extent(small()).await;
    for number in 1..=calls {
        for to in ["fw-b", "fw-a"] {
            let world = small();
            world.arm.set_faults(brisk(ArmFaults { silent_from: Some(number), ..ArmFaults::default() }));
            let first = adapter(&world.arm);
            let cut = async {
                while world.arm.calls_arrived() < number {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                tokio::time::sleep(Duration::from_millis(60)).await;
            };
            tokio::select! {
                _ = world.attempt(world.jobs(10, "fw-b"), &first) => {}
                () = cut => {}
            }
            world.arm.set_faults(brisk(ArmFaults::default()));
            world.insist(if to == "fw-a" { 11 } else { 10 }, to).await;
            world.settled().await;
            world.assert_all_at(to, &format!("cut at call {number}"));
        }
    }
}

/// Independent resources at once: the whole group takes about as long as its slowest binding.
#[tokio::test(start_paused = true)]
async fn a_group_takes_as_long_as_its_longest_chain_of_calls() {
    // Ten pairs of NICs and twenty tables are more than can be looked at as often as one likes.
    let wide = Shape { pairs: 10, ..Shape::LARGE };
    for (shape, change) in
        [(Shape::SMALL, 15_000), (Shape::LARGE, 15_000), (Shape::SMALL, 5_000), (wide, 5_000), (wide, 40_000)]
    {
        let world = World(Scene::new(shape));
        let (call, tagging) = (100, 2_000);
        world.arm.set_faults(ArmFaults {
            latency: Spread::millis(call, call),
            provisioning: Spread::millis(change, change),
            tagging: Spread::millis(tagging, tagging),
            ..ArmFaults::default()
        });
        // A token, three reads side by side, the claims, reads, the detach, the attach, reads; and
        // a look at each operation that finds it done.
        let chain = 3 * call + (2 * call + tagging) + 2 * (2 * call + change);
        let started = tokio::time::Instant::now();
        world.insist(10, "fw-b").await;
        let took = started.elapsed();
        world.assert_all_at("fw-b", "on time");
        let ratio = took.as_secs_f64() / Duration::from_millis(chain).as_secs_f64();
        assert!((1.0..=1.10).contains(&ratio), "{took:?} is {ratio} of the longest chain, {chain} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_binding_that_cannot_be_moved_keeps_no_other_from_it() {
    let mut world = large();
    let lost = public_ip_between(
        "web-0",
        "pip-0",
        [
            ("fw-a", format!("{}/ipConfigurations/config-0", nic_id("nic-a-0"))),
            ("fw-b", format!("{}/ipConfigurations/no-such", nic_id("nic-b-0"))),
        ],
    );
    world.0.bindings[0] = lost;
    let failed = world.attempt(world.jobs(10, "fw-b"), &adapter(&world.arm)).await;
    let [(job, error)] = failed.as_slice() else { panic!("{failed:?}") };
    assert_eq!(job.binding.name.as_str(), "web-0");
    assert_eq!(
        error.chain(),
        "could not move public IP `pip-0` to fw-b: NIC `nic-b-0` has no IP configuration `no-such`"
    );
    for binding in &world.bindings[1..] {
        assert_eq!(active(&world.arm, binding).unwrap().as_str(), "fw-b", "{}", binding.name);
    }
    assert_eq!(active(&world.arm, &world.bindings[0]).unwrap().as_str(), "fw-a", "it has not left either");
}

#[tokio::test(start_paused = true)]
async fn a_failed_state_is_ended_by_the_same_write() {
    let world = small();
    for failed in [nic_id("nic-b-0"), table_id("rt-1")] {
        world.insist(10, "fw-b").await;
        world.arm.with(|cloud| {
            cloud.meddle(&failed, |document| {
                document["properties"]["provisioningState"] = serde_json::json!("Failed");
            });
        });
        let writes = world.writes();
        world.insist(10, "fw-b").await;
        assert_eq!(world.writes(), writes + 1);
        let state = world
            .arm
            .with(|cloud| cloud.document(&failed).unwrap()["properties"]["provisioningState"].clone());
        assert_eq!(state, "Succeeded");
        world.assert_all_at("fw-b", "after the reset");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_outside_the_allow_list_is_touched() {
    let arm = stage::dmz();
    let mut options = stage::options("https://arm.test/");
    options.allow = vec![nic_id("nic-a"), nic_id("nic-b")];
    let narrow = Arc::new(AzureAdapter::with_transport(options, Arc::new(arm.clone())).unwrap());
    let bindings =
        vec![stage::public_ip_binding("web", "pip-web", "ipconfig1"), route_binding("rt-hub", "default")];
    let world = World(Scene::around(arm, bindings));
    let failed = world.attempt(world.jobs(10, "fw-b"), &narrow).await;
    let [(job, error)] = failed.as_slice() else { panic!("{failed:?}") };
    assert_eq!(job.binding.name.as_str(), "rt-hub-default");
    assert!(error.chain().contains("is not on the adapter's allow-list"), "{}", error.chain());
    let calls = world.arm.calls();
    assert!(calls.iter().all(|call| !call.call.contains("routeTables")), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_is_named() {
    let world = small();
    world.arm.with(|cloud| cloud.deny("Microsoft.Network/routeTables/write"));
    let failed = world.attempt(world.jobs(10, "fw-b"), &adapter(&world.arm)).await;
    assert_eq!(failed.len(), 4, "three tables, one of them with two routes");
    let refused = world.arm.calls().into_iter().filter(|call| call.result.starts_with("403")).count();
    assert_eq!(refused, 4, "no binding asks twice");
    for (_, error) in failed {
        assert!(
            error.chain().contains("the identity lacks the permission Microsoft.Network/routeTables/write"),
            "{}",
            error.chain()
        );
    }
    assert_eq!(active(&world.arm, &world.bindings[0]).unwrap().as_str(), "fw-b");
}
