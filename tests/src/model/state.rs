//! One instant of the whole: the log, its leaders, two appliances, and what is under way.
//!
//! There is no absolute time in it, so that the states are finite though time has no end.

use super::Bounds;
use super::agent::{Appliance, NONE, Reply};

/// Deposed leaders that a state has room for: two of three coordinators, beside the leader.
pub const MOST_DEPOSED: usize = 2;
/// Late replies to each agent that a state has room for.
pub const MOST_LATE: usize = 2;

/// What a replica knows of the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct View {
    /// Who has the active role: 0 or 1.
    pub active: u8,
    /// The token of the newest grant of it, counted from 1. Other commands do not count, so it
    /// is the rank of the log index among the grants'.
    pub token: u8,
    /// For each appliance the token that it may still hold a lease under, or [`NONE`].
    pub unreleased: [u8; 2],
}

/// A coordinator that leads, or believes that it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Leader {
    /// What it has applied.
    pub view: View,
    /// What it has committed and not applied yet.
    pub unapplied: Option<View>,
    /// Ticks since `t_q`; the lease's length means that it is too old, or that there is none.
    pub quorum: u8,
    /// Ticks until everything that any leader granted each appliance is over; 0 when it is.
    pub over: [u8; 2],
}

/// One instant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// What the committed log adds up to.
    pub committed: View,
    /// The newest leader: the only one that can commit.
    pub leader: Leader,
    /// Those that do not know that they are deposed, newest first.
    pub deposed: [Option<Leader>; MOST_DEPOSED],
    /// The appliances.
    pub appliances: [Appliance; 2],
    /// Replies on their way to each agent, in order of their contents.
    pub late: [[Option<Reply>; MOST_LATE]; 2],
    /// Ticks until a clock may lag again.
    pub steady: u8,
}

impl View {
    /// The first appliance was just made active, and nobody ever was before.
    pub const FIRST: View = View { active: 0, token: 1, unreleased: [NONE; 2] };

    /// Whether nobody may hold an older lease any more.
    pub fn released(&self) -> bool {
        self.unreleased == [NONE; 2]
    }
}

impl State {
    /// A leader of long standing, and two agents that hold nothing yet.
    pub fn first(bounds: &Bounds) -> State {
        State {
            committed: View::FIRST,
            leader: Leader { view: View::FIRST, unapplied: None, quorum: bounds.ttl, over: [0; 2] },
            deposed: [None; MOST_DEPOSED],
            appliances: [Appliance::new(bounds); 2],
            late: [[None; MOST_LATE]; 2],
            steady: 0,
        }
    }

    /// The leader, and those who believe that they are.
    pub fn leaders(&self) -> impl Iterator<Item = &Leader> {
        std::iter::once(&self.leader).chain(self.deposed.iter().flatten())
    }

    /// The `nth` of [`State::leaders`].
    pub fn leader_mut(&mut self, nth: usize) -> Option<&mut Leader> {
        std::iter::once(&mut self.leader).chain(self.deposed.iter_mut().flatten()).nth(nth)
    }

    /// Whether the appliance holds under the newest token, with nobody left to wait for.
    pub fn settled_on(&self, appliance: usize) -> bool {
        let held = self.appliances[appliance].lease.map(|lease| lease.held.token);
        self.committed.released()
            && usize::from(self.committed.active) == appliance
            && held == Some(self.committed.token)
    }
}
