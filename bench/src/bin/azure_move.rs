//! How long a whole group takes to move on Azure, beside the longest chain of calls in it.
//!
//! Against the fake ARM in this process, on paused time: what is measured is how calls are put in
//! order, not how fast Azure is. The chain is what no order can beat: for a public IP a read, the
//! claim, a read, the detach, the attach and a read, each with the time that the cloud is at work
//! on it and one look that finds it done.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use cloud_adapters::azure::options::{Endpoints, Identity, Pace};
use cloud_adapters::azure::{AzureAdapter, AzureOptions};
use cloud_adapters::contract::{AdapterError, Gate, Journal, MoveJob};
use cloud_adapters::simulated::arm::FakeArm;
use cloud_adapters::simulated::arm::documents::{Configuration, network_id, nic, public_ip, route_table};
use cloud_adapters::simulated::arm::faults::ArmFaults;
use cloud_adapters::simulated::faults::Spread;
use cloud_adapters::{entangled, move_bindings};
use coordinator_core::ids::Token;
use coordinator_core::model::{BindingKind, BindingSpec};

const GROUP: &str = "rg-dmz";
/// One call.
const CALL: Duration = Duration::from_millis(100);
/// The cloud at work on a claim.
const CLAIM: Duration = Duration::from_secs(2);

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    println!("calls of {CALL:?}, claims of {CLAIM:?}; virtual time");
    println!("| group | NIC pairs | a change takes | total | longest chain | ratio | writes | calls |");
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for (ips, pairs, tables) in [(1, 1, 3), (10, 1, 20), (10, 10, 20)] {
        for change in [5, 15, 40].map(Duration::from_secs) {
            runtime.block_on(measure(ips, pairs, tables, change))?;
        }
    }
    Ok(())
}

async fn measure(ips: usize, pairs: usize, tables: usize, change: Duration) -> anyhow::Result<()> {
    let arm = FakeArm::new();
    let bindings = group(&arm, ips, pairs, tables)?;
    let exactly = |time: Duration| {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Spread::millis(ms, ms)
    };
    arm.set_faults(ArmFaults {
        latency: exactly(CALL),
        provisioning: exactly(change),
        tagging: exactly(CLAIM),
        ..ArmFaults::default()
    });
    let adapter = adapter(&arm)?;
    let jobs = bindings
        .into_iter()
        .map(|binding| Ok(MoveJob { group: "dmz".parse()?, token: Token(10), binding, to: "fw-b".parse()? }));
    let jobs: Vec<MoveJob> = jobs.collect::<anyhow::Result<_>>()?;
    let started = tokio::time::Instant::now();
    let moves = entangled(&*adapter, jobs).into_iter().map(|jobs| {
        let adapter = adapter.clone();
        async move {
            let mut failed = None;
            let mut report = |_, result: Result<(), AdapterError>| failed = failed.take().or(result.err());
            let (journal, deadline) = (Journal::default(), Duration::from_secs(600));
            move_bindings(&*adapter, &jobs, &Open, &journal, deadline, &mut report).await;
            failed.map_or(Ok(()), Err)
        }
    });
    futures::future::try_join_all(moves).await.context("a binding was not moved")?;
    let total = started.elapsed();
    let chain = 3 * CALL + (2 * CALL + CLAIM) + 2 * (2 * CALL + change);
    let writes = arm.calls().iter().filter(|call| call.call.starts_with("PUT")).count();
    println!(
        "| {ips} + {tables} | {pairs} | {} s | {:.1} s | {:.1} s | {:.3} | {writes} | {} |",
        change.as_secs(),
        total.as_secs_f64(),
        chain.as_secs_f64(),
        total.as_secs_f64() / chain.as_secs_f64(),
        arm.calls_arrived(),
    );
    Ok(())
}

/// Public IPs spread over pairs of NICs, and route tables, all at `fw-a`.
fn group(arm: &FakeArm, ips: usize, pairs: usize, tables: usize) -> anyhow::Result<Vec<BindingSpec>> {
    let mut bindings = Vec::new();
    let pip = |ip: usize| network_id(GROUP, "publicIPAddresses", &format!("pip-{ip}"));
    for ip in 0..ips {
        arm.with(|cloud| cloud.add(public_ip(GROUP, &format!("pip-{ip}"), &format!("203.0.113.{ip}"))));
        let target = |side: &str| {
            let nic = network_id(GROUP, "networkInterfaces", &format!("nic-{side}-{}", ip % pairs));
            format!("{nic}/ipConfigurations/config-{ip}")
        };
        let targets = [("fw-a".parse()?, target("a")), ("fw-b".parse()?, target("b"))].into();
        let kind = BindingKind::PublicIp { adapter: "azure".parse()?, resource: pip(ip), targets };
        bindings.push(BindingSpec { name: format!("web-{ip}").parse()?, kind });
    }
    for pair in 0..pairs {
        for (side, net) in [("a", 1), ("b", 2)] {
            let mine = (0..ips).filter(|ip| ip % pairs == pair);
            let parts: Vec<(String, String, String)> =
                mine.map(|ip| (format!("config-{ip}"), format!("10.{net}.0.{}", 4 + ip), pip(ip))).collect();
            let configurations: Vec<Configuration<'_>> = parts
                .iter()
                .map(|(name, address, pip)| Configuration {
                    name,
                    address,
                    public_ip: (side == "a").then_some(pip),
                })
                .collect();
            let document = nic(GROUP, &format!("nic-{side}-{pair}"), &configurations);
            arm.with(|cloud| cloud.add(document));
        }
    }
    for table in 0..tables {
        let name = format!("rt-{table}");
        arm.with(|cloud| cloud.add(route_table(GROUP, &name, &[("default", "0.0.0.0/0", "10.0.0.4")])));
        let kind = BindingKind::Route {
            adapter: "azure".parse()?,
            table: network_id(GROUP, "routeTables", &name),
            route: "default".to_owned(),
            targets: [("fw-a".parse()?, [10, 0, 0, 4].into()), ("fw-b".parse()?, [10, 0, 0, 5].into())]
                .into(),
        };
        bindings.push(BindingSpec { name: name.parse()?, kind });
    }
    Ok(bindings)
}

fn adapter(arm: &FakeArm) -> anyhow::Result<Arc<AzureAdapter>> {
    let url: reqwest::Url = "https://arm.test/".parse()?;
    let options = AzureOptions {
        endpoints: Endpoints {
            arm: url.clone(),
            authority: url.clone(),
            imds: url.clone(),
            audience: url.to_string(),
        },
        identity: Identity::ManagedIdentity { client_id: None },
        allow: vec![format!("/subscriptions/{}", cloud_adapters::simulated::arm::documents::SUBSCRIPTION)],
        ca: None,
        pace: Pace::default(),
    };
    Ok(Arc::new(AzureAdapter::with_transport(options, Arc::new(arm.clone()))?))
}

/// Lets everything through.
struct Open;

impl Gate for Open {
    fn confirm(&self) -> futures::future::BoxFuture<'_, Result<(), AdapterError>> {
        Box::pin(async { Ok(()) })
    }
}
