//! What `decide` and `apply` cost per group, as a multiple of the cost with one group.
//!
//! Sizes take turns in every round, and every sample covers the same number of groups.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::bail;
use bench::fixture::{command, groups};
use bench::stats::{Samples, print, ratio};
use coordinator_core::action::{Action, pending_actions};
use coordinator_core::apply::apply;
use coordinator_core::command::{Actor, Command, CommandBody, RecordStep, StepOutcome};
use coordinator_core::decide::{Observations, decide};
use coordinator_core::ids::{ApplianceName, NodeId};
use coordinator_core::observe::{Sight, VantageReport, Verdict};
use coordinator_core::state::State;
use coordinator_core::time::{Mono, Now, WallTime};

const SIZES: [u16; 3] = [1, 10, 100];
/// Groups that one sample covers: one call for a hundred groups, or a hundred calls for one.
const COVERED: u16 = 100;
const ROUNDS: usize = 300;
const WARM_UP: usize = 30;

const STAGES: [&str; 5] = [
    "decide: all is well",
    "decide: every active is down, to be recorded",
    "apply: the verdicts",
    "decide: every active is recorded as down",
    "apply: the failovers",
];

fn main() -> anyhow::Result<()> {
    let cases = SIZES.into_iter().map(Case::new).collect::<anyhow::Result<Vec<_>>>()?;
    let mut samples = vec![vec![Samples::default(); SIZES.len()]; STAGES.len()];
    for round in 0..WARM_UP + ROUNDS {
        for (size, case) in cases.iter().enumerate() {
            for (stage, took) in case.round().into_iter().enumerate() {
                if round >= WARM_UP {
                    samples[stage][size].push(took / u32::from(COVERED));
                }
            }
        }
    }
    println!("per group, {ROUNDS} samples each; the ratio is to one group");
    let heading = ["", "1 group ns", "10 groups ns", "ratio", "100 groups ns", "ratio"];
    let rows = STAGES.iter().zip(&samples).map(|(stage, sizes)| {
        let mut row = vec![(*stage).to_owned()];
        for (size, samples) in sizes.iter().enumerate() {
            row.push(samples.p50().as_nanos().to_string());
            if size > 0 {
                row.push(ratio(samples.p50(), sizes[0].p50()));
            }
        }
        row
    });
    print(&heading, &rows.collect::<Vec<_>>());
    Ok(())
}

/// A number of groups at the moments that are measured.
struct Case {
    calls: u16,
    now: Now,
    well: Observations,
    down: Observations,
    at_rest: World,
    verdicts: Vec<Command>,
    recorded: World,
    failovers: Vec<Command>,
}

impl Case {
    fn new(size: u16) -> anyhow::Result<Self> {
        let mut at_rest = World::default();
        at_rest.apply(&command(CommandBody::Seed { groups: groups(size)?, pools: Vec::new() }))?;
        let now = at_rest.settle()?;
        let (well, down) = (at_rest.seen(now, false), at_rest.seen(now, true));
        let verdicts = at_rest.proposals(&down, now);
        let mut recorded = at_rest.clone();
        recorded.apply_all(&verdicts)?;
        let failovers = recorded.proposals(&down, now);
        let each = usize::from(size);
        if verdicts.len() != each || failovers.len() != each {
            bail!("{size} groups gave {} verdicts and {} failovers", verdicts.len(), failovers.len());
        }
        Ok(Self { calls: COVERED / size, now, well, down, at_rest, verdicts, recorded, failovers })
    }

    /// One sample of each stage.
    fn round(&self) -> [Duration; STAGES.len()] {
        let deciding = |world: &World, seen: &Observations| {
            let started = Instant::now();
            for _ in 0..self.calls {
                let _ = black_box(decide(black_box(&world.state), black_box(seen), self.now));
            }
            started.elapsed()
        };
        let applying = |world: &World, commands: &[Command]| {
            // Copied beforehand: in the product the state changes in place.
            let mut worlds = vec![world.clone(); usize::from(self.calls)];
            let started = Instant::now();
            for world in &mut worlds {
                for command in commands {
                    world.index += 1;
                    let _ = black_box(apply(&mut world.state, world.index, black_box(command)));
                }
            }
            started.elapsed()
        };
        [
            deciding(&self.at_rest, &self.well),
            deciding(&self.at_rest, &self.down),
            applying(&self.at_rest, &self.verdicts),
            deciding(&self.recorded, &self.down),
            applying(&self.recorded, &self.failovers),
        ]
    }
}

/// A state with the index of its newest command.
#[derive(Clone, Default)]
struct World {
    state: State,
    index: u64,
}

impl World {
    fn apply(&mut self, command: &Command) -> anyhow::Result<()> {
        self.index += 1;
        apply(&mut self.state, self.index, command)?;
        Ok(())
    }

    fn apply_all(&mut self, commands: &[Command]) -> anyhow::Result<()> {
        commands.iter().try_for_each(|command| self.apply(command))
    }

    /// Goes on, with everything up and every cloud call successful, until nothing is left to do.
    fn settle(&mut self) -> anyhow::Result<Now> {
        for minute in 1..20 {
            let elapsed = Duration::from_secs(60 * minute);
            let now = Now { mono: Mono(elapsed), wall: WallTime(0).plus(elapsed) };
            let seen = self.seen(now, false);
            let mut commands = self.proposals(&seen, now);
            commands.extend(pending_actions(&self.state).into_iter().filter_map(|action| done(action, now)));
            if commands.is_empty() && self.state.groups.values().all(|group| group.active.is_some()) {
                return Ok(now);
            }
            self.apply_all(&commands)?;
        }
        bail!("the groups did not come to rest")
    }

    fn proposals(&self, seen: &Observations, now: Now) -> Vec<Command> {
        let proposed = decide(&self.state, seen, now).propose;
        proposed.into_iter().map(|body| by_coordinator(body, now)).collect()
    }

    /// Fresh reports of three vantages: every appliance is up, or every active one is down.
    fn seen(&self, now: Now, actives_down: bool) -> Observations {
        let sight = |appliance: &ApplianceName, active: bool| {
            let verdict = if active && actives_down { Verdict::Down } else { Verdict::Up };
            Sight { appliance: appliance.clone(), verdict, detail: "agent heartbeat: measured".to_owned() }
        };
        let sights = self.state.groups.values().flat_map(|group| {
            group.appliances.keys().map(move |name| sight(name, group.active.as_ref() == Some(name)))
        });
        let report = VantageReport::new(now.mono, sights);
        let vantages = [1, 2, 3].map(NodeId);
        Observations {
            vantages: vantages.into(),
            reports: vantages.into_iter().map(|vantage| (vantage, report.clone())).collect(),
        }
    }
}

fn done(action: Action, now: Now) -> Option<Command> {
    let Action::MoveBinding { group, operation, binding, .. } = action else { return None };
    let (calls, took) = (Vec::new(), Duration::ZERO);
    let (binding, outcome) = (binding.name, StepOutcome::Done);
    let record = RecordStep { group, operation, binding, outcome, calls, took };
    Some(by_coordinator(CommandBody::RecordStep(record), now))
}

fn by_coordinator(body: CommandBody, now: Now) -> Command {
    Command { at: now.wall, actor: Actor::Coordinator(NodeId(1)), body }
}
