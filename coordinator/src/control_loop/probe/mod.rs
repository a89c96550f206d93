//! The node as a vantage: one task per declared probe, of an appliance or of the path through the
//! active one, each feeding the local view.
//!
//! Probing never depends on leadership: every coordinator watches every appliance all the time,
//! so that a new leader has fresh sights at once.

mod http;
mod tcp;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coordinator_core::ids::{ApplianceName, GroupName, ProbeName};
use coordinator_core::model::{ProbeKind, ProbeSpec};
use coordinator_core::observe::Outcome;
use coordinator_core::state::State;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::shared::Shared;
pub(crate) use http::HttpProbes;

/// One sample: how it ended, and what was seen, in words. The core puts the probe's own
/// description in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) outcome: Outcome,
    pub(crate) detail: String,
}

impl Sample {
    pub(crate) fn new(outcome: Outcome, detail: impl Into<String>) -> Sample {
        Sample { outcome, detail: detail.into() }
    }

    fn pass(detail: impl Into<String>) -> Sample {
        Sample::new(Outcome::Pass, detail)
    }

    /// Something answered, and not as it should.
    fn fail(detail: impl Into<String>) -> Sample {
        Sample::new(Outcome::Fail, detail)
    }

    /// Nothing answered.
    fn silent(detail: impl Into<String>) -> Sample {
        Sample::new(Outcome::Silent, detail)
    }
}

/// What is probed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Appliance(ApplianceName),
    /// Through the active appliance of this group.
    Path(GroupName),
}

type Key = (Subject, ProbeName);

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
        for (appliance, _, probes) in state.watched() {
            for probe in probes {
                let subject = Subject::Appliance(appliance.clone());
                declared.insert((subject, probe.name.clone()), probe);
            }
        }
        for group in state.groups.values() {
            for probe in &group.spec.path_probes {
                declared.insert((Subject::Path(group.spec.name.clone()), probe.name.clone()), probe);
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
async fn run(shared: Arc<Shared>, http: HttpProbes, subject: Subject, spec: ProbeSpec) {
    let first = Instant::now() + stagger(&subject, &spec);
    let mut ticks = tokio::time::interval_at(first, spec.interval.max(Duration::from_millis(10)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        match &subject {
            Subject::Appliance(appliance) => {
                if let Some(sample) = take(&shared, &http, Some(appliance), &spec).await {
                    shared.feed(appliance, &spec.name, &sample);
                }
            }
            Subject::Path(group) => {
                // Read before the sample begins: one that a move overtakes does not count.
                let Some(token) = shared.path_token(group) else { continue };
                if let Some(sample) = take(&shared, &http, None, &spec).await {
                    shared.feed_path(group, &spec.name, token, &sample);
                }
            }
        }
    }
}

/// One sample. `None` where there is nothing to say yet.
async fn take(
    shared: &Shared,
    http: &HttpProbes,
    appliance: Option<&ApplianceName>,
    spec: &ProbeSpec,
) -> Option<Sample> {
    match &spec.kind {
        ProbeKind::Tcp { address } => Some(tcp::probe(*address, spec.timeout).await),
        ProbeKind::Http { url, status, body_contains, trust } => {
            Some(http.probe(url, *status, body_contains.as_deref(), *trust, spec.timeout).await)
        }
        ProbeKind::AgentHeartbeat => shared.heartbeat_sample(appliance?, spec.timeout),
    }
}

/// Spreads the first samples over one interval, by name and so without a random source.
fn stagger(subject: &Subject, spec: &ProbeSpec) -> Duration {
    let name = match subject {
        Subject::Appliance(appliance) => appliance.as_str(),
        Subject::Path(group) => group.as_str(),
    };
    let seed = name.bytes().chain(spec.name.as_str().bytes());
    let hash = seed.fold(17u32, |h, b| h.wrapping_mul(31).wrapping_add(u32::from(b)));
    spec.interval.mul_f64(f64::from(hash % 64) / 64.0)
}
