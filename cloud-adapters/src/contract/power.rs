//! Powering a machine off, for adapters whose cloud can.

use std::time::Duration;

use coordinator_core::ids::{ApplianceName, GroupName, Token};
use futures::future::BoxFuture;

use super::{AdapterError, Gate, Journal};

/// A machine to power off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PowerOffJob {
    /// The group of the appliance.
    pub group: GroupName,
    /// The appliance that runs on the machine.
    pub appliance: ApplianceName,
    /// The machine, by the adapter's own id.
    pub resource: String,
    /// The fencing token of the operation that needs it.
    pub token: Token,
}

/// What an adapter does whose cloud can power machines off. Use it through [`power_off`].
pub trait Power: Send + Sync {
    /// Powers the machine off, without regard for what runs on it, and returns once the cloud
    /// *says that it is off*. Idempotent: a machine that is off is a success, without a write.
    ///
    /// Where the cloud can keep it, the token is written with the change, and a machine that
    /// carries a higher one is left alone. Where it cannot, a call of a deposed leader may come
    /// late and switch off what it was meant for at that time: an outage, and no split brain.
    ///
    /// # Errors
    /// - [`AdapterError::Deposed`]: the machine carries a higher token.
    /// - [`AdapterError::Transient`]: also when it is not known whether it is off.
    /// - [`AdapterError::Conflict`], [`AdapterError::Permanent`]: as in a write.
    fn power_off<'a>(
        &'a self,
        job: &'a PowerOffJob,
        journal: &'a Journal,
    ) -> BoxFuture<'a, Result<(), AdapterError>>;
}

/// Asks the gate, powers the machine off, and waits until the cloud says so, for `deadline` at
/// most.
///
/// # Errors
/// As [`Power::power_off`]. One attempt: to try again is up to the caller.
pub async fn power_off(
    power: &dyn Power,
    job: &PowerOffJob,
    gate: &dyn Gate,
    journal: &Journal,
    deadline: Duration,
) -> Result<(), AdapterError> {
    let work = async {
        gate.confirm().await?;
        power.power_off(job, journal).await
    };
    match tokio::time::timeout(deadline, work).await {
        Ok(result) => result,
        Err(_) => {
            let attempt = format!("power {} off ({})", job.appliance, job.resource);
            Err(AdapterError::transient(attempt, format!("it took longer than {deadline:?}")))
        }
    }
}
