//! Powering virtual machines off.

use std::time::Duration;

use cloud_adapters::contract::{Adapter, AdapterError, Journal, PowerOffJob};
use cloud_adapters::power_off;
use cloud_adapters::simulated::arm::FakeArm;
use cloud_adapters::simulated::arm::documents::{network_id, vm_id};
use cloud_adapters::simulated::arm::faults::{ArmFault, ArmFaults, Trigger};
use cloud_adapters::simulated::faults::Spread;
use coordinator_core::ids::Token;

use crate::stage::{GROUP, adapter, dmz};
use crate::suite::Open;

async fn switch_off(arm: &FakeArm, resource: String) -> (Result<(), AdapterError>, Vec<String>) {
    let adapter = adapter(arm);
    let job = PowerOffJob {
        group: "dmz".parse().unwrap(),
        appliance: "fw-a".parse().unwrap(),
        resource,
        token: Token(10),
    };
    let journal = Journal::default();
    let long = Duration::from_secs(300);
    let result = power_off(adapter.power().unwrap(), &job, &Open, &journal, long).await;
    (result, journal.take().into_iter().map(|call| call.call).collect())
}

fn vm() -> String {
    vm_id(GROUP, "vm-nic-a")
}

#[tokio::test(start_paused = true)]
async fn a_machine_is_off_when_its_own_state_says_so_and_a_second_run_writes_nothing() {
    let arm = dmz();
    arm.set_faults(ArmFaults { provisioning: Spread::millis(8_000, 8_000), ..ArmFaults::default() });
    let (result, calls) = switch_off(&arm, vm()).await;
    result.unwrap();
    assert_eq!(calls[1], "POST rg-dmz/virtualMachines/vm-nic-a/powerOff");
    assert_eq!(calls.last().unwrap(), "GET rg-dmz/virtualMachines/vm-nic-a/instanceView");
    let (result, calls) = switch_off(&arm, vm()).await;
    result.unwrap();
    assert_eq!(calls, ["GET rg-dmz/virtualMachines/vm-nic-a/instanceView"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_is_made_up_for_by_the_machines_own_state() {
    let arm = dmz();
    let single = vec![(Trigger::Write(1), ArmFault::LoseReply)];
    arm.set_faults(ArmFaults { single, ..ArmFaults::default() });
    switch_off(&arm, vm()).await.0.unwrap();

    let arm = dmz();
    let single = vec![(Trigger::Write(1), ArmFault::Drop)];
    arm.set_faults(ArmFaults { single, ..ArmFaults::default() });
    let error = switch_off(&arm, vm()).await.0.unwrap_err();
    assert!(matches!(error, AdapterError::Transient { .. }));
    assert_eq!(error.chain(), "could not power fw-a off: its state is PowerState/running");
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_powered_off_is_not() {
    let arm = dmz();
    arm.with(|cloud| cloud.deny("Microsoft.Compute/virtualMachines/powerOff/action"));
    let error = switch_off(&arm, vm()).await.0.unwrap_err();
    let wanted = "lacks the permission Microsoft.Compute/virtualMachines/powerOff/action";
    assert!(error.chain().contains(wanted), "{}", error.chain());

    let arm = dmz();
    let (result, calls) = switch_off(&arm, vm_id("rg-other", "vm")).await;
    assert!(result.unwrap_err().chain().contains("is not on the adapter's allow-list"));
    let (no_vm, more) = switch_off(&arm, network_id(GROUP, "networkInterfaces", "nic-a")).await;
    assert!(no_vm.unwrap_err().chain().contains("must be Microsoft.Compute/virtualMachines"));
    assert_eq!((calls.len(), more.len()), (0, 0), "refused before anything is sent");
}
