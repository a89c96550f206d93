//! Powering a virtual machine off, without asking what runs on it: what stands between a hung
//! appliance and two that carry traffic.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;

use super::AzureAdapter;
use super::arm::{CallFailure, Class};
use super::resource_id::{Kind, ResourceId};
use crate::contract::{AdapterError, Journal, Power, PowerOffJob};

/// The version of Microsoft.Compute that requests are shaped for.
pub(super) const COMPUTE: &str = "2024-03-01";

/// The states in which a machine carries nothing and will not by itself.
const OFF: [&str; 2] = ["PowerState/stopped", "PowerState/deallocated"];

impl Power for AzureAdapter {
    fn power_off<'a>(
        &'a self,
        job: &'a PowerOffJob,
        journal: &'a Journal,
    ) -> BoxFuture<'a, Result<(), AdapterError>> {
        self.switch_off(job, journal).boxed()
    }
}

impl AzureAdapter {
    /// The token is not written: `powerOff` has no condition, and a tag on the machine would fence
    /// nothing. A call that comes late switches off what was to be off when it was made.
    async fn switch_off(&self, job: &PowerOffJob, journal: &Journal) -> Result<(), AdapterError> {
        let attempt = format!("power {} off", job.appliance);
        let id = ResourceId::of_kind(&job.resource, Kind::VirtualMachine)
            .map_err(|error| AdapterError::permanent(&attempt, error))?;
        let refuse = |failure: CallFailure| failure.into_adapter_error(&attempt);
        self.arm.check_allowed(&id).map_err(refuse)?;
        if self.is_off(&id, journal).await.map_err(refuse)?.is_ok() {
            return Ok(());
        }
        // `skipShutdown`: a guest that hangs would not shut down, and one that does not hang could
        // take minutes.
        let query = [("skipShutdown", "true")];
        let asked = self.arm.post(&id, "powerOff", &query, COMPUTE, journal).await;
        if let Err(failure) = asked
            // What became of it is for the machine to say.
            && failure.class != Class::Transient
        {
            return Err(refuse(failure));
        }
        match self.is_off(&id, journal).await.map_err(refuse)? {
            Ok(()) => Ok(()),
            Err(state) => Err(AdapterError::transient(attempt, format!("its state is {state}"))),
        }
    }

    /// Whether a machine is off by its own instance view; its state if it is not.
    async fn is_off(&self, id: &ResourceId, journal: &Journal) -> Result<Result<(), String>, CallFailure> {
        Ok(match self.power_state(id, journal).await? {
            Some(state) if OFF.contains(&state.as_str()) => Ok(()),
            state => Err(state.unwrap_or_else(|| "unknown".to_owned())),
        })
    }

    /// The power state of a machine, such as `PowerState/running`.
    pub(super) async fn power_state(
        &self,
        id: &ResourceId,
        journal: &Journal,
    ) -> Result<Option<String>, CallFailure> {
        let path = format!("{}/instanceView", id.as_str());
        let view = self.arm.get_path(&path, COMPUTE, journal).await?.body;
        let statuses = view.get("statuses").and_then(Value::as_array);
        let codes = statuses.into_iter().flatten().filter_map(|status| status.get("code")?.as_str());
        Ok(codes.map(str::to_owned).find(|code| code.starts_with("PowerState/")))
    }
}
