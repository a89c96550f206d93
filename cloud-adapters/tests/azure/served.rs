//! The same over real sockets, with every URL from the configuration: what a whole coordinator
//! does, once, in real time.

use std::sync::Arc;
use std::time::Duration;

use cloud_adapters::azure::AzureAdapter;
use cloud_adapters::azure::options::Pace;
use cloud_adapters::contract::{Journal, MoveJob};
use cloud_adapters::simulated::arm::faults::ArmFaults;
use cloud_adapters::simulated::faults::Spread;
use cloud_adapters::{AdapterKind, AdapterSpec, Adapters, move_binding};
use coordinator_core::ids::Token;

use crate::stage::{active, assert_never_two, dmz, options, public_ip_binding, route_binding};
use crate::suite::{Open, until};

#[tokio::test]
async fn a_group_moves_over_http_with_faults() {
    let arm = dmz();
    let served = arm.serve().await.unwrap();
    let pace = Pace { poll_first: Duration::from_millis(5), ..Pace::default() };
    let kind =
        AdapterKind::Azure(Box::new(cloud_adapters::azure::AzureOptions { pace, ..options(&served.url()) }));
    let spec = AdapterSpec { name: "azure".parse().unwrap(), kind };
    let adapters = Adapters::from_specs(vec![spec]).unwrap();
    // The registry fetches a token before anybody asks for one.
    until(|| arm.tokens_given() == 1).await;
    arm.set_faults(ArmFaults {
        seed: 3,
        latency: Spread::millis(1, 3),
        provisioning: Spread::millis(5, 30),
        error: 0.05,
        lose_reply: 0.05,
        ..ArmFaults::default()
    });
    for binding in [public_ip_binding("web", "pip-web", "ipconfig1"), route_binding("rt-hub", "default")] {
        let adapter = adapters.for_binding(&binding).unwrap();
        let job = MoveJob {
            group: "dmz".parse().unwrap(),
            token: Token(10),
            binding: binding.clone(),
            to: "fw-b".parse().unwrap(),
        };
        let long = Duration::from_secs(20);
        move_binding(&*adapter, &job, &Open, &Journal::default(), long).await.unwrap();
        assert_eq!(active(&arm, &binding).unwrap().as_str(), "fw-b");
    }
    assert_never_two(&arm);
}

#[tokio::test]
async fn an_arm_that_is_not_there_is_told_as_such() {
    let url = {
        let served = dmz().serve().await.unwrap();
        served.url()
    };
    let pace = Pace { read_retry_first: Duration::from_millis(1), ..Pace::default() };
    let told = cloud_adapters::azure::AzureOptions { pace, ..options(&url) };
    let adapter = Arc::new(AzureAdapter::new(told).unwrap());
    let binding = route_binding("rt-hub", "default");
    let (group, journal) = ("dmz".parse().unwrap(), Journal::default());
    // The listener of the fake is gone once its task is.
    let mut said = String::new();
    for _ in 0..200 {
        let seen =
            cloud_adapters::inspect(&*adapter, &group, &binding, &journal, Duration::from_secs(5)).await;
        match seen {
            Err(error) => {
                said = error.chain();
                break;
            }
            Ok(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
    assert!(said.contains("the token endpoint at 127.0.0.1 did not answer: could not connect"), "{said}");
}

#[tokio::test]
async fn a_token_never_travels_in_the_clear() {
    let error = AzureAdapter::new(options("http://management.example/")).unwrap_err();
    assert!(error.to_string().contains("must be https"), "{error}");
    let error = AzureAdapter::new(cloud_adapters::azure::AzureOptions {
        allow: Vec::new(),
        ..options("https://management.example/")
    })
    .unwrap_err();
    assert!(error.to_string().starts_with("`allow` is empty"), "{error}");
}
