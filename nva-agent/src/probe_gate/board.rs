//! What the gates of this appliance are doing, for those who ask: the health endpoint and the log.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coordinator_core::model::GateSpec;
use coordinator_core::time::Mono;
use serde::{Deserialize, Serialize};

use super::Told;

/// A load balancer asks every few seconds. One that has not for this long, of a gate that was open all
/// the time, does not ask here at all.
const SILENCE: Duration = Duration::from_secs(60);

/// How a probe gate is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateHealth {
    /// For instance `http 8686 /ready`.
    pub gate: String,
    /// Whether probes are answered.
    pub open: bool,
    /// The kernel shuts it when the lease is over; otherwise this process alone does.
    pub by_kernel: bool,
    /// Probes that reached this process since it started.
    pub probes: u64,
    /// How long ago the newest one came.
    pub last_ms_ago: Option<u64>,
    /// From whom.
    pub last_from: Option<IpAddr>,
}

/// Shared between those who answer probes and those who tell of it. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct GateBoard(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    by_kernel: bool,
    told: Option<Told>,
    /// Since when it is open without a break.
    open_since: Option<Mono>,
    gates: BTreeMap<u16, Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    name: String,
    probes: u64,
    last: Option<(Mono, IpAddr)>,
}

impl GateBoard {
    /// Exactly these are there. What is known of a port that stays is kept.
    pub(super) fn declared(&self, gates: &[GateSpec]) {
        let mut inner = self.lock();
        inner.gates.retain(|port, _| gates.iter().any(|gate| gate.port == *port));
        for gate in gates {
            inner.gates.entry(gate.port).or_default().name = gate.to_string();
        }
    }

    pub(super) fn told(&self, told: Told, by_kernel: bool, now: Mono) {
        let mut inner = self.lock();
        inner.open_since = if told.answers(now) { inner.open_since.or(Some(now)) } else { None };
        inner.told = Some(told);
        inner.by_kernel = by_kernel;
    }

    /// Somebody who may ask did.
    pub(super) fn probed(&self, port: u16, from: IpAddr, now: Mono) {
        if let Some(gate) = self.lock().gates.get_mut(&port) {
            gate.probes = gate.probes.saturating_add(1);
            gate.last = Some((now, from.to_canonical()));
        }
    }

    pub(crate) fn health(&self, now: Mono) -> Vec<GateHealth> {
        let inner = self.lock();
        let open = inner.told.is_some_and(|told| told.answers(now));
        let of = |gate: &Gate| GateHealth {
            gate: gate.name.clone(),
            open,
            by_kernel: inner.by_kernel,
            probes: gate.probes,
            last_ms_ago: gate
                .last
                .map(|(at, _)| u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX)),
            last_from: gate.last.map(|(_, from)| from),
        };
        inner.gates.values().map(of).collect()
    }

    /// What ought to be put right: an open gate at which nobody asks brings no traffic.
    pub(crate) fn warnings(&self, now: Mono) -> Vec<String> {
        let inner = self.lock();
        let long_ago = |at: Mono| now.since(at) >= SILENCE;
        if !inner.open_since.is_some_and(long_ago) || !inner.told.is_some_and(|told| told.answers(now)) {
            return Vec::new();
        }
        let unasked = inner.gates.values().filter(|gate| gate.last.is_none_or(|(at, _)| long_ago(at)));
        let warning = |gate: &Gate| {
            format!(
                "probe gate {} is open, and nobody has asked for a minute: see that the load balancer probes this port \
                 here, that security groups and firewalls let it pass, and that `from` names where it asks from",
                gate.name
            )
        };
        unasked.map(warning).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing here is left half done by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use coordinator_core::model::GateProtocol;

    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono::from_millis(seconds * 1_000)
    }

    #[test]
    fn an_open_gate_that_nobody_asks_is_told_of_after_a_minute() {
        let board = GateBoard::default();
        let gate = |port| GateSpec { port, protocol: GateProtocol::Tcp, from: Vec::new() };
        board.declared(&[gate(8_686), gate(8_687)]);
        assert_eq!(board.warnings(at(100)), [""; 0], "a standby is not asked in vain");
        // Renewals are no new beginning.
        for second in 100..170 {
            board.told(Told::Until(at(second + 3)), true, at(second));
        }
        board.probed(8_687, "::ffff:168.63.129.16".parse().unwrap(), at(165));
        let warnings = board.warnings(at(170));
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("tcp 8686"), "{warnings:?}");
        assert_eq!(board.warnings(at(174)), [""; 0], "the lease is over");
        board.told(Told::Shut, true, at(175));
        board.told(Told::Until(at(203)), true, at(200));
        assert_eq!(board.warnings(at(201)), [""; 0], "it counts from the new beginning");

        let health = board.health(at(202));
        assert_eq!((health[0].open, health[0].probes, health[0].last_from), (true, 0, None));
        let from = "168.63.129.16".parse().ok();
        assert_eq!((health[1].probes, health[1].last_from, health[1].last_ms_ago), (1, from, Some(37_000)));
        board.declared(&[gate(8_687)]);
        assert_eq!(board.health(at(203)).iter().map(|g| g.probes).collect::<Vec<_>>(), [1]);
    }
}
