//! The leader's side: `coordinator_core`'s own `apply`, `LeaseTable` and `proves_release`, with
//! ticks for times. Each question is asked once and its answer kept.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use coordinator_core::apply::apply;
use coordinator_core::command::{Actor, Command, CommandBody, OperationKind, ReleaseProof, StartOperation};
use coordinator_core::ids::{ApplianceName, NameError, Token};
use coordinator_core::lease::{Answer as CoreAnswer, Held, LeaseTable, proves_release};
use coordinator_core::model::{ApplianceSpec, BindingKind, BindingSpec, GroupSpec, LeaseSpec, Policy};
use coordinator_core::state::{Group, State as Replica};
use coordinator_core::time::{Mono, WallTime};

use super::Bounds;
use super::agent::{Answer, NONE};
use super::state::View;

/// The length of a tick. Any would do that is longer than the agent's lead before a deadline.
pub const TICK: Duration = Duration::from_millis(100);
/// Later than the longest lease after the clock's origin.
const NOW: u32 = 1_000;

/// What a leader answered, and when everything granted to the asker is over then.
type Answered = (Answer, u8);

/// The leader's rules for one group of two appliances.
#[derive(Debug)]
pub struct Rules {
    names: [ApplianceName; 2],
    group: Group,
    bounds: Bounds,
    answers: RefCell<HashMap<(View, usize, u8, u8), Answered>>,
    starts: RefCell<HashMap<(View, usize), Option<View>>>,
    releases: RefCell<HashMap<(View, usize), Option<View>>>,
}

impl Rules {
    /// The rules for a lease of `bounds.ttl` ticks, and a bound on clock drift that makes the
    /// wait for one exactly a tick longer.
    ///
    /// # Errors
    /// None: the names are good ones.
    pub fn new(bounds: Bounds) -> Result<Rules, NameError> {
        let names = [ApplianceName::new("fw-a")?, ApplianceName::new("fw-b")?];
        let address = |last| [10, 0, 0, last].into();
        let appliances = names.iter().zip(4..).map(|(name, last)| ApplianceSpec {
            name: name.clone(),
            address: address(last),
            probes: Vec::new(),
            peer: Vec::new(),
            fence: None,
        });
        let interfaces = names.iter().map(|name| (name.clone(), "eth0".to_owned())).collect();
        let vip = BindingKind::Vip { address: address(9), prefix_len: 24, interfaces };
        let ttl = TICK * u32::from(bounds.ttl);
        // The wait adds a millisecond for rounding.
        let slack_ms = u32::try_from(TICK.as_millis()).unwrap_or(u32::MAX) - 1;
        let drift_ppm = slack_ms * 1_000_000 / u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX);
        let spec = GroupSpec {
            name: "dmz".parse()?,
            appliances: appliances.collect(),
            bindings: vec![BindingSpec { name: "vip".parse()?, kind: vip }],
            policy: Policy::default(),
            lease: LeaseSpec { ttl, drift_ppm, ..LeaseSpec::default() },
            path_probes: Vec::new(),
        };
        let group = Group::new(spec, 1, WallTime(0));
        let (answers, starts, releases) = Default::default();
        Ok(Rules { names, group, bounds, answers, starts, releases })
    }

    /// How many ticks a leader waits after its election for what earlier ones granted.
    pub fn wait(&self) -> u8 {
        let table = LeaseTable::new(at(NOW));
        ticks_left(table.over_at(&self.group, &self.names[0]))
    }

    /// A leader's answer to `asker`, `quorum` ticks after its `t_q`, when all that was granted to
    /// the asker is over in `over` ticks; and when it is over after this answer.
    pub fn answer(&self, view: View, asker: usize, quorum: u8, over: u8) -> Answered {
        let key = (view, asker, quorum, over);
        *self.answers.borrow_mut().entry(key).or_insert_with(|| {
            let mut table = LeaseTable::new(Mono::default());
            let name = &self.names[asker];
            if over > 0 {
                // A grant that ends then: the only way to tell the table.
                let granted = at(NOW + u32::from(over) - u32::from(self.wait()));
                let mut group = self.group.clone();
                group.active = Some(name.clone());
                table.answer(&group, name, granted, Some(granted));
            }
            let t_q = (quorum < self.bounds.ttl).then(|| at(NOW - u32::from(quorum)));
            let group = self.group(view);
            let answer = match table.answer(&group, name, at(NOW), t_q) {
                CoreAnswer::Grant { token, ttl } => Answer::Grant { token: rank(token), ttl: ticks(ttl) },
                CoreAnswer::Standby { token } => Answer::Standby { token: rank(token) },
                CoreAnswer::Wait { .. } => Answer::Wait { token: rank(group.token) },
            };
            (answer, ticks_left(table.over_at(&group, name)))
        })
    }

    /// What follows from the command that gives the active role to `to`.
    pub fn start(&self, view: View, to: usize) -> Option<View> {
        *self.starts.borrow_mut().entry((view, to)).or_insert_with(|| {
            let start = StartOperation {
                group: self.group.spec.name.clone(),
                // The kind that asks for no verdict and no policy: any move may be wanted.
                kind: OperationKind::ForcedSwitchover,
                to: self.names[to].clone(),
                expected: Token(view.token.into()),
                supersedes: None,
                reason: String::new(),
                because: Vec::new(),
                evidence: Vec::new(),
            };
            self.applied(view, u64::from(view.token) + 1, CommandBody::StartOperation(start))
        })
    }

    /// What follows from the command that takes `appliance` out of the unreleased.
    pub fn release(&self, view: View, appliance: usize, proof: ReleaseProof) -> Option<View> {
        *self.releases.borrow_mut().entry((view, appliance)).or_insert_with(|| {
            let (group, appliance) = (self.group.spec.name.clone(), self.names[appliance].clone());
            let token = Token(view.token.into());
            self.applied(view, 0, CommandBody::RecordRelease { group, appliance, token, proof })
        })
    }

    /// The proof of release that a leader has, if it has one: `reported` is the highest token
    /// that a report gave while it gave nothing as held.
    pub fn proof(&self, view: View, reported: u8, over: u8) -> Option<ReleaseProof> {
        let held = Held { highest: Token(reported.into()), holding: None };
        if proves_release(held, Token(view.token.into())) {
            return Some(ReleaseProof::Confirmed);
        }
        (over == 0).then_some(ReleaseProof::Expired)
    }

    fn applied(&self, view: View, index: u64, body: CommandBody) -> Option<View> {
        let group = self.group(view);
        let name = group.spec.name.clone();
        let mut replica = Replica { groups: [(name.clone(), group)].into(), ..Replica::default() };
        let command = Command { at: WallTime(0), actor: Actor::Operator("model".to_owned()), body };
        apply(&mut replica, index, &command).ok()?;
        replica.groups.get(&name).map(|group| self.view(group))
    }

    fn group(&self, view: View) -> Group {
        let mut group = self.group.clone();
        group.active = Some(self.names[usize::from(view.active)].clone());
        group.token = Token(view.token.into());
        let unreleased = self.names.iter().cloned().zip(view.unreleased);
        let unreleased = unreleased.filter(|(_, token)| *token != NONE);
        group.unreleased = unreleased.map(|(name, token)| (name, Token(token.into()))).collect();
        group
    }

    fn view(&self, group: &Group) -> View {
        let unreleased = |name| group.unreleased.get(name).map_or(NONE, |token| rank(*token));
        View {
            active: u8::from(group.active.as_ref() == Some(&self.names[1])),
            token: rank(group.token),
            unreleased: [unreleased(&self.names[0]), unreleased(&self.names[1])],
        }
    }
}

fn at(ticks: u32) -> Mono {
    Mono(TICK * ticks)
}

/// Whole ticks, rounded up: a moment between two ticks is past at the later one.
fn ticks_left(until: Mono) -> u8 {
    ticks(until.since(at(NOW)) + TICK - Duration::from_nanos(1))
}

/// Whole ticks, rounded down.
fn ticks(time: Duration) -> u8 {
    u8::try_from(time.as_nanos() / TICK.as_nanos()).unwrap_or(u8::MAX)
}

fn rank(token: Token) -> u8 {
    u8::try_from(token.0).unwrap_or(u8::MAX)
}
