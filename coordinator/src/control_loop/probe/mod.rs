//! The node as a vantage: one task per declared probe, each feeding the local view.
//!
//! Probing never depends on leadership: every coordinator watches every appliance all the time,
//! so that a new leader has fresh sights at once.

mod http;
mod tcp;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coordinator_core::ids::{ApplianceName, ProbeName};
use coordinator_core::model::{ProbeKind, ProbeSpec};
use coordinator_core::state::State;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::shared::Shared;
pub(crate) use http::HttpProbes;

/// One sample: whether it passed, and what was seen, in words. The core puts the probe's own
/// description in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) pass: bool,
    pub(crate) detail: String,
}

impl Sample {
    fn pass(detail: impl Into<String>) -> Sample {
        Sample { pass: true, detail: detail.into() }
    }

    fn fail(detail: impl Into<String>) -> Sample {
        Sample { pass: false, detail: detail.into() }
    }
}

type Key = (ApplianceName, ProbeName);

/// The running probe tasks; dropping it ends them.
pub(crate) struct Prober {
    shared: Arc<Shared>,
    http: HttpProbes,
    running: BTreeMap<Key, (ProbeSpec, Task)>,
}

struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Prober {
    pub(crate) fn new(shared: Arc<Shared>, http: HttpProbes) -> Prober {
        Prober { shared, http, running: BTreeMap::new() }
    }

    /// Makes the running tasks match what the state declares.
    pub(crate) fn reconcile(&mut self, state: &State) {
        let mut declared = BTreeMap::new();
        for group in state.groups.values() {
            for appliance in &group.spec.appliances {
                for probe in &appliance.probes {
                    declared.insert((appliance.name.clone(), probe.name.clone()), probe);
                }
            }
        }
        self.running.retain(|key, (spec, _)| declared.get(key) == Some(&&*spec));
        for (key, spec) in declared {
            if !self.running.contains_key(&key) {
                let task = Task(tokio::spawn(run(
                    self.shared.clone(),
                    self.http.clone(),
                    key.0.clone(),
                    spec.clone(),
                )));
                self.running.insert(key, (spec.clone(), task));
            }
        }
    }
}

/// Samples for ever, at a fixed rate: a slow answer does not shift the next sample, a missed
/// tick is not made up for.
async fn run(shared: Arc<Shared>, http: HttpProbes, appliance: ApplianceName, spec: ProbeSpec) {
    let first = Instant::now() + stagger(&appliance, &spec);
    let mut ticks = tokio::time::interval_at(first, spec.interval.max(Duration::from_millis(10)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let sample = match &spec.kind {
            ProbeKind::Tcp { address } => Some(tcp::probe(*address, spec.timeout).await),
            ProbeKind::Http { url, status, body_contains, trust } => {
                Some(http.probe(url, *status, body_contains.as_deref(), *trust, spec.timeout).await)
            }
            ProbeKind::AgentHeartbeat => shared.heartbeat_sample(&appliance, spec.timeout),
        };
        if let Some(sample) = sample {
            shared.feed(&appliance, &spec.name, &sample);
        }
    }
}

/// Spreads the first samples over one interval, by name and so without a random source.
fn stagger(appliance: &ApplianceName, spec: &ProbeSpec) -> Duration {
    let seed = appliance.as_str().bytes().chain(spec.name.as_str().bytes());
    let hash = seed.fold(17u32, |h, b| h.wrapping_mul(31).wrapping_add(u32::from(b)));
    spec.interval.mul_f64(f64::from(hash % 64) / 64.0)
}
