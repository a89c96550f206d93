//! What the owner of the lease asks of the machine.

use std::time::Duration;

use coordinator_api::agent::{GateAssignment, VipAssignment};
use coordinator_core::time::Mono;

/// What became of an attempt to hold VIPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Up {
    /// On the interfaces.
    Yes {
        /// Some were not, or may not have been, a moment ago: to be announced.
        fresh: bool,
    },
    /// The lease is too near its end for the kernel's clock: they are gone, or soon will be.
    TooLate,
}

/// A way to hold VIPs, and to open probe gates, such that they end with the lease even if this
/// process does not live to end them. The lease's owner calls it from one thread. Errors are sentences for an operator.
pub(crate) trait Enforcer {
    /// Gets ready to hold these VIPs, and says what keeps them from being held here; empty when
    /// nothing does.
    async fn faults(&mut self, vips: &[VipAssignment], ttl: Duration) -> Vec<String>;

    /// Adds or refreshes the VIPs, so that they are gone at `deadline` at the latest.
    async fn hold(&mut self, vips: &[VipAssignment], now: Mono, deadline: Mono) -> Result<Up, String>;

    /// Removes the VIPs. Success means that none of them is on its interface.
    async fn clear(&mut self, vips: &[VipAssignment]) -> Result<(), String>;

    /// Tells the neighbours where the VIPs are.
    fn announce(&mut self, vips: &[VipAssignment]) -> Result<(), String>;

    /// Gets ready to open these probe gates and no others, and says what keeps them from being opened
    /// here; empty when nothing does.
    async fn gate_faults(&mut self, gates: &[GateAssignment], ttl: Duration) -> Vec<String>;

    /// Opens these probe gates and no others, so that they are shut at `deadline` at the latest.
    async fn open_gates(&mut self, gates: &[GateAssignment], deadline: Mono) -> Result<Up, String>;

    /// Shuts every probe gate. Nothing is answered any more when it returns.
    fn shut_gates(&mut self);

    /// Leaves nothing behind. Called once, after everything was cleared.
    async fn retire(&mut self);
}
