//! Ports on which load balancers' health probes are answered, or are not, as somebody says: until a
//! deadline, until further notice, or not at all.
//!
//! Two layers. A gate in the kernel (`ports`) lets the probes' packets pass, in and out, while a port
//! is in a set whose elements time out: exact, and with no process running. Behind it, a
//! `responder` listens only while its port is open, and looks at the clock before it answers. What
//! counts is the gate: the kernel completes TCP handshakes for a process that hangs.
//!
//! Without nftables a TCP gate is refused. An HTTP gate still works, because an answer needs the
//! process: one that is dead or hangs gives none.

mod board;
mod ports;
mod responder;

use std::collections::BTreeMap;
use std::io;

use coordinator_core::ids::ApplianceName;
use coordinator_core::model::{GateProtocol, GateSpec};
use coordinator_core::time::Mono;
use tokio::runtime::Handle;
use tracing::{info, warn};

use crate::clock;
use crate::gate_time::{self, Opened};
pub(crate) use board::GateBoard;
pub use board::GateHealth;
use ports::PortGate;
use responder::Responder;

/// What a gate is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// Answer nobody.
    Shut,
    /// Answer until shortly before this time, whatever becomes of this process.
    Until(Mono),
    /// Answer until told otherwise. The kernel's gate stays open when this process dies; a dead
    /// process answers nothing, one that hangs accepts a few TCP connections more.
    #[allow(dead_code, reason = "for gates that no lease opens")]
    Open,
}

impl Told {
    /// Whether it says to answer now.
    fn answers(self, now: Mono) -> bool {
        match self {
            Told::Shut => false,
            Told::Until(deadline) => now < deadline,
            Told::Open => true,
        }
    }
}

/// The gates of one appliance. They are all told the same.
#[derive(Debug)]
pub(crate) struct ProbeGates {
    kernel: PortGate,
    /// Why the kernel does not enforce them, and when to try again.
    no_kernel: Option<(String, Mono)>,
    opened: Opened,
    declared: Vec<GateSpec>,
    responders: BTreeMap<u16, Responder>,
    /// Where probes are answered: not on the thread that owns the lease.
    runtime: Handle,
    board: GateBoard,
}

impl ProbeGates {
    /// Connects to the kernel, in the network namespace of this thread. Probes will be answered by
    /// tasks of `runtime`, and `board` says how that goes.
    pub(crate) fn connect(appliance: &ApplianceName, runtime: Handle, board: GateBoard) -> io::Result<Self> {
        Ok(ProbeGates {
            kernel: PortGate::connect(appliance)?,
            no_kernel: None,
            opened: Opened::default(),
            declared: Vec::new(),
            responders: BTreeMap::new(),
            runtime,
            board,
        })
    }

    /// Gets ready to open exactly these, and says what keeps them from being opened here; empty when
    /// nothing does. Others are shut and let go. Each port is taken, but nothing listens on it yet.
    pub(crate) async fn prepare(&mut self, gates: &[GateSpec]) -> Vec<String> {
        if self.declared != gates {
            self.shut();
            self.responders.retain(|_, responder| gates.contains(responder.gate()));
            self.declared = gates.to_vec();
            self.board.declared(gates);
        }
        if gates.is_empty() {
            self.leave();
            return Vec::new();
        }
        let mut faults = Vec::new();
        for gate in gates {
            if self.responders.contains_key(&gate.port) {
                continue;
            }
            match Responder::bind(gate.clone()) {
                Ok(responder) => drop(self.responders.insert(gate.port, responder)),
                Err(error) => faults.push(no_port(gate, &error)),
            }
        }
        self.guard().await;
        faults.extend(self.without_kernel());
        faults
    }

    /// Which gates must not be opened because the kernel does not guard them.
    fn without_kernel(&self) -> Vec<String> {
        let Some((error, _)) = &self.no_kernel else { return Vec::new() };
        let tcp = self.declared.iter().filter(|gate| gate.protocol == GateProtocol::Tcp);
        tcp.map(|gate| no_kernel(gate, error)).collect()
    }

    /// Opens all that were prepared. False when it is too late for that, and then they are shut.
    pub(crate) async fn open(&mut self, told: Told) -> Result<bool, String> {
        // Twice: somebody may have flushed all rules since, such as a firewall that was reloaded.
        for attempt in 1..=2 {
            if self.declared.is_empty() || !self.guard().await {
                break;
            }
            match self.open_kernel(told) {
                Ok(true) => break,
                Ok(false) => {
                    self.shut();
                    return Ok(false);
                }
                Err(error) if attempt == 1 => warn!(%error, "the probes' gate is gone; installing it again"),
                Err(error) => {
                    self.shut();
                    return Err(format!("could not open the gate for health probes: {error}"));
                }
            }
        }
        // The kernel may have guarded them a moment ago, and will not any more.
        if let Some(fault) = self.without_kernel().into_iter().next() {
            self.shut();
            return Err(fault);
        }
        let told = match told {
            // Behind the kernel's gate this changes nothing; without it, it is what counts.
            Told::Until(deadline) => {
                let now = clock::now();
                match gate_time::timeout(deadline.since(now)) {
                    Some(timeout) => Told::Until(now.plus(timeout)),
                    None => Told::Shut,
                }
            }
            told => told,
        };
        for gate in &self.declared {
            let open = match self.responders.get_mut(&gate.port) {
                Some(responder) => responder.open(told, &self.runtime, &self.board),
                None => Err(io::ErrorKind::NotConnected.into()),
            };
            if let Err(error) = open {
                let fault = no_port(gate, &error);
                self.shut();
                return Err(fault);
            }
        }
        self.board.told(told, self.no_kernel.is_none(), clock::now());
        Ok(told != Told::Shut)
    }

    /// Shuts all of them, at once: when this returns, nothing is answered any more.
    pub(crate) fn shut(&mut self) {
        if self.opened.was_opened() {
            self.opened = Opened::default();
            if let Err(error) = self.kernel.shut() {
                warn!(%error, "the probes' gate could not be shut; nothing listens behind it all the same");
            }
        }
        self.responders.values_mut().for_each(Responder::shut);
        self.board.told(Told::Shut, self.no_kernel.is_none(), clock::now());
    }

    /// Leaves nothing behind.
    pub(crate) fn retire(&mut self) {
        self.shut();
        self.responders.clear();
        self.declared.clear();
        self.board.declared(&[]);
        self.leave();
    }

    fn leave(&mut self) {
        if self.kernel.is_installed()
            && let Err(error) = self.kernel.uninstall()
        {
            warn!(%error, "the probes' gate could not be removed; it refuses nothing but what goes to its ports");
        }
    }

    fn open_kernel(&mut self, told: Told) -> io::Result<bool> {
        let now = clock::now();
        let deadline = match told {
            Told::Shut => return Ok(false),
            Told::Until(deadline) => deadline,
            // Refreshed as often as the others, to notice that somebody has removed the gate.
            Told::Open => now.plus(gate_time::REFRESH_EVERY),
        };
        if self.opened.will_do(now, deadline) {
            return Ok(true);
        }
        let in_time = match told {
            Told::Open => self.kernel.open_for(None).map(|()| true)?,
            _ => gate_time::open_until(deadline, |timeout| self.kernel.open_for(Some(timeout)))?,
        };
        self.opened = Opened::at(now, deadline);
        Ok(in_time)
    }

    /// Makes the kernel guard what is declared, if nftables will have it. True when it does.
    async fn guard(&mut self) -> bool {
        if self.kernel.guards(&self.declared) {
            return true;
        }
        let now = clock::now();
        if self.no_kernel.as_ref().is_some_and(|(_, retry_at)| now < *retry_at) {
            return false;
        }
        self.opened = Opened::default();
        let names = || self.declared.iter().map(GateSpec::to_string).collect::<Vec<_>>().join(", ");
        match self.kernel.install(&self.declared).await {
            Ok(()) => {
                info!(gates = names(), "the kernel guards the probe gates");
                self.no_kernel = None;
                true
            }
            Err(error) => {
                if self.no_kernel.as_ref().is_none_or(|(old, _)| *old != error) {
                    warn!(
                        %error, gates = names(),
                        "the kernel does not guard the probe gates: TCP gates stay shut; HTTP probes are answered by this \
                         process alone, which ends 10 to 20 ms before the lease does. If it is stopped amid an answer, \
                         that one may come once it goes on"
                    );
                }
                self.no_kernel = Some((error, now.plus(gate_time::RETRY)));
                false
            }
        }
    }
}

fn no_port(gate: &GateSpec, error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "something else listens on that port: stop it, or declare another",
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need CAP_NET_BIND_SERVICE: declare a higher one, or give it to nva-agent"
        }
        _ => "declare another port, or put right what the system says",
    };
    format!("probe gate {gate}: could not listen: {error}; {advice}")
}

fn no_kernel(gate: &GateSpec, error: &str) -> String {
    format!(
        "probe gate {gate}: a TCP gate needs nftables, because without it the kernel accepts connections for an \
         agent that hangs. Make nftables work ({error}), or declare the gate with protocol = \"http\""
    )
}

#[cfg(test)]
mod tests;
