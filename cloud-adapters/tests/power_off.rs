//! Machines are powered off: surely, once, and not by a leader of the past.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use cloud_adapters::Adapter;
use cloud_adapters::contract::{AdapterError, Gate, Journal, PowerOffJob, power_off};
use cloud_adapters::simulated::faults::{FaultPlan, Spread};
use cloud_adapters::simulated::model::{Carried, CarriedBy, MachinePower, Topology};
use cloud_adapters::simulated::{Options, Running, SimulatedAdapter, SimulatedCloud};
use coordinator_core::ids::Token;
use futures::FutureExt;
use futures::future::BoxFuture;

const DEADLINE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_machine_that_was_powered_off_carries_nothing() {
    let cloud = cloud().await;
    cloud.set_faults(FaultPlan { provisioning: Spread::millis(50, 80), ..FaultPlan::default() });
    off(&cloud, 7, &Leads).await.unwrap();
    let machine = cloud.machine("vm-a").unwrap();
    assert_eq!((machine.power, machine.tags["pointsman-token-dmz"].as_str()), (MachinePower::Off, "7"));
    let newest = |what: Carried| {
        let of_it = |entry: &CarriedBy| entry.what == what;
        cloud.history().into_iter().rfind(of_it).unwrap().carriers
    };
    assert!(newest(Carried::PublicIp("pip".to_owned())).is_empty());
    let route = Carried::Route { table: "rt".to_owned(), route: "default".to_owned() };
    assert!(newest(route).is_empty());
}

#[tokio::test]
async fn a_machine_that_is_off_is_a_success_without_a_write() {
    let cloud = cloud().await;
    off(&cloud, 7, &Leads).await.unwrap();
    off(&cloud, 8, &Leads).await.unwrap();
    let writes = cloud.calls().iter().filter(|call| call.call == "PUT machines/vm-a").count();
    assert_eq!(writes, 1);
}

#[tokio::test]
async fn a_lower_token_than_the_machines_is_deposed() {
    let cloud = cloud().await;
    off(&cloud, 7, &Leads).await.unwrap();
    let error = off(&cloud, 6, &Leads).await.unwrap_err();
    assert!(error.is_deposed(), "{error}");
}

#[tokio::test]
async fn one_that_does_not_lead_touches_nothing() {
    let cloud = cloud().await;
    let error = off(&cloud, 7, &Deposed).await.unwrap_err();
    assert!(error.is_deposed(), "{error}");
    assert!(cloud.calls().is_empty());
}

#[tokio::test]
async fn no_answer_is_not_taken_for_off() {
    let cloud = cloud().await;
    let plan = FaultPlan { lose_reply: 1.0, ..FaultPlan::default() };
    cloud.set_faults(plan);
    let error = off(&cloud, 7, &Leads).await.unwrap_err();
    assert!(matches!(error, AdapterError::Transient { .. }), "{error}");
    off(&cloud, 7, &Leads).await.unwrap();
}

#[tokio::test]
async fn a_machine_that_is_not_there_is_named() {
    let cloud = cloud().await;
    let job = PowerOffJob { resource: "vm-z".to_owned(), ..job(7) };
    let adapter = SimulatedAdapter::new(&cloud.url(), None).unwrap();
    let error = power_off(adapter.power().unwrap(), &job, &Leads, &Journal::default(), DEADLINE).await;
    let said = error.unwrap_err().chain();
    assert!(said.starts_with("could not power fw-a off (machines/vm-z): 404"), "{said}");
}

async fn cloud() -> Running {
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let mut topology = Topology::default()
        .public_ip("pip", [203, 0, 113, 1].into())
        .nic("nic-a", [10, 0, 0, 4].into(), nowhere)
        .machine("vm-a", "nic-a")
        .route("rt", "default", "0.0.0.0/0", [10, 0, 0, 4].into());
    topology.nics[0].ip_configurations[0].public_ip = Some("pip".to_owned());
    SimulatedCloud::start(Options { topology, ..Options::default() }).await.unwrap()
}

fn job(token: u64) -> PowerOffJob {
    PowerOffJob {
        group: "dmz".parse().unwrap(),
        appliance: "fw-a".parse().unwrap(),
        resource: "vm-a".to_owned(),
        token: Token(token),
    }
}

async fn off(cloud: &Running, token: u64, gate: &dyn Gate) -> Result<(), AdapterError> {
    let adapter = SimulatedAdapter::new(&cloud.url(), None).unwrap();
    power_off(adapter.power().unwrap(), &job(token), gate, &Journal::default(), DEADLINE).await
}

struct Leads;

impl Gate for Leads {
    fn confirm(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        async { Ok(()) }.boxed()
    }
}

struct Deposed;

impl Gate for Deposed {
    fn confirm(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        async { Err(AdapterError::deposed("another leads")) }.boxed()
    }
}
