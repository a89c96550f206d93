//! A pool as the log has it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{PoolReason, PoolSpec, Side};
use crate::command::Actor;
use crate::ids::{ApplianceName, Token};
use crate::observe::Verdict;
use crate::time::{WallTime, millis};

/// A pool as the log has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// As declared.
    pub spec: PoolSpec,
    /// The log index of the newest declaration.
    pub revision: u64,
    /// The token of the newest change of any member.
    pub token: Token,
    /// What is known of each declared member.
    pub members: BTreeMap<ApplianceName, Member>,
    /// Why a sick member is left where it is.
    pub hold: Option<PoolReason>,
    /// Differences between the log and the cloud.
    pub drift: BTreeMap<Placement, String>,
}

impl Pool {
    /// A pool as first declared: nothing is known of its members.
    pub fn new(spec: PoolSpec, revision: u64, time: WallTime) -> Pool {
        let members = spec.members.iter().map(|member| (member.name.clone(), Member::unknown(time)));
        Pool {
            members: members.collect(),
            spec,
            revision,
            token: Token::NONE,
            hold: None,
            drift: BTreeMap::new(),
        }
    }

    /// The recorded verdict on a member; unknown when it is not declared.
    pub fn verdict(&self, name: &ApplianceName) -> Verdict {
        self.members.get(name).map_or(Verdict::Unknown, |member| member.verdict)
    }

    /// The members that are in, and up by the recorded verdict.
    pub fn serving(&self) -> impl Iterator<Item = &ApplianceName> {
        self.inside().filter(|(_, member)| member.verdict == Verdict::Up).map(|(name, _)| name)
    }

    /// The members that are in, and not known to be down: they may serve.
    pub fn may_serve(&self) -> usize {
        self.inside().filter(|(_, member)| member.verdict != Verdict::Down).count()
    }

    /// How many members are in and up apart from this one.
    pub fn serving_beside(&self, member: &ApplianceName) -> usize {
        self.serving().filter(|name| *name != member).count()
    }

    /// How many members are out, or on their way.
    pub fn out(&self) -> usize {
        let out = |member: &&Member| matches!(member.standing, Standing::Out(_) | Standing::Leaving(_));
        self.members.values().filter(out).count()
    }

    fn inside(&self) -> impl Iterator<Item = (&ApplianceName, &Member)> {
        self.members.iter().filter(|(_, member)| matches!(member.standing, Standing::In { .. }))
    }
}

/// What the log knows of a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The recorded verdict of the majority.
    pub verdict: Verdict,
    /// Since when.
    pub since: WallTime,
    /// Whether it is in.
    pub standing: Standing,
    /// When it was taken out by decision, within the flap window, oldest first.
    pub left: VecDeque<WallTime>,
}

impl Member {
    /// A member of which nothing is known yet.
    pub fn unknown(time: WallTime) -> Member {
        Member { verdict: Verdict::Unknown, since: time, standing: Standing::New, left: VecDeque::new() }
    }

    /// How often it was taken out by decision within `window` before `time`.
    pub fn recently_left(&self, time: WallTime, window: Duration) -> usize {
        self.left.iter().filter(|at| time.since(**at) < window).count()
    }
}

/// Whether a member is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Declared, and never yet put in or taken out: it counts as neither.
    New,
    /// On every side, read back under `token`.
    In {
        /// The change that put it in.
        token: Token,
        /// Since when.
        since: WallTime,
    },
    /// Being taken out, side by side.
    Leaving(Change),
    /// On no side.
    Out(Left),
    /// Being put in.
    Returning(Change),
}

impl Standing {
    /// As written in tables.
    pub fn word(&self) -> &'static str {
        match self {
            Standing::New => "new",
            Standing::In { .. } => "in",
            Standing::Leaving(_) => "leaving",
            Standing::Out(_) => "out",
            Standing::Returning(_) => "returning",
        }
    }

    /// The change that is under way.
    pub fn change(&self) -> Option<&Change> {
        match self {
            Standing::Leaving(change) | Standing::Returning(change) => Some(change),
            _ => None,
        }
    }

    pub(crate) fn change_mut(&mut self) -> Option<&mut Change> {
        match self {
            Standing::Leaving(change) | Standing::Returning(change) => Some(change),
            _ => None,
        }
    }

    /// Whether an operator took it out: then only an operator puts it in.
    pub fn out_by_operator(&self) -> bool {
        let actor = match self {
            Standing::Leaving(change) => &change.actor,
            Standing::Out(left) => &left.actor,
            _ => return false,
        };
        matches!(actor, Actor::Operator(_))
    }
}

/// A change of one member, on all its sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The log index of the command that started it: what is written on the resources.
    pub token: Token,
    /// Who asked.
    pub actor: Actor,
    /// The operator's reason; empty for the coordinator's own changes.
    pub reason: String,
    /// Why, in order.
    pub because: Vec<PoolReason>,
    /// When it started.
    pub started: WallTime,
    /// One per side.
    pub steps: Vec<PlacementStep>,
}

impl Change {
    /// Whether some of its sides have changed and others have not.
    pub fn half_applied(&self) -> bool {
        let done = self.steps.iter().filter(|step| step.done.is_some()).count();
        done > 0 && done < self.steps.len()
    }
}

/// The change of one member on one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementStep {
    /// Which side.
    pub side: Side,
    /// When it was read back as done.
    pub done: Option<WallTime>,
    /// Attempts recorded so far.
    pub attempts: u32,
    /// How long the newest attempt took.
    #[serde(rename = "took_ms", with = "millis")]
    pub took: Duration,
    /// What went wrong in the newest attempt.
    pub error: Option<String>,
}

impl PlacementStep {
    pub(crate) fn new(side: Side) -> PlacementStep {
        PlacementStep { side, done: None, attempts: 0, took: Duration::ZERO, error: None }
    }
}

/// How a member came to be out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The change that took it out.
    pub token: Token,
    /// Who asked.
    pub actor: Actor,
    /// The operator's reason.
    pub reason: String,
    /// Why, in order.
    pub because: Vec<PoolReason>,
    /// Since when.
    pub since: WallTime,
}

/// A member on one side.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Placement {
    /// The member.
    pub member: ApplianceName,
    /// The side.
    pub side: Side,
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on the {} side", self.member, self.side)
    }
}
