//! The leader's side of the VIP lease: who may be granted what, until when.
//!
//! The rule is DESIGN's: a grant lasts at most until `t_q + ttl`, where `t_q` is when this leader
//! *sent* the newest heartbeat round that a quorum acknowledged. So every lease that an earlier
//! leader gave ends within `ttl` of an instant before this leader was elected, and this leader
//! can wait for that on its own clock. Never confuse it with Raft's leader lease.
//!
//! A grant to a *different* holder waits until the old one cannot hold any more. That is not
//! remembered here but in the log ([`Group::unreleased`]), so a later leader need not wait again.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::{ApplianceName, GroupName, Token};
use crate::state::Group;
use crate::time::Mono;

/// What an appliance's agent says about itself when it asks for a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The highest token that it has accepted and stored on disk.
    pub highest: Token,
    /// The token of the lease that it holds now.
    pub holding: Option<Token>,
}

/// The leader's answer to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Hold, for `ttl` counted from before the agent's request left.
    Grant {
        /// The fencing token of the grant.
        token: Token,
        /// What is left of the lease by the leader's reckoning; never more than the group's ttl.
        ttl: Duration,
    },
    /// Hold nothing; store `token` and refuse every lower one from now on.
    Standby {
        /// The group's newest token.
        token: Token,
    },
    /// The role is yours, but not yet: keep what you have, gain nothing.
    Wait {
        /// Why not yet.
        because: WaitReason,
    },
}

/// Why an agent with the active role is not granted the lease yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitReason {
    /// An earlier holder may still hold.
    EarlierHolder,
    /// An earlier active has to be switched off first.
    Fencing,
    /// No quorum has confirmed this leader for so long that a grant would already be over.
    QuorumTooOld,
}

/// The leases that this leader may have given, and those that an earlier one may have.
///
/// Made anew at each election, once the leader has applied everything committed before it.
#[derive(Debug)]
pub struct LeaseTable {
    /// Not earlier than the election: earlier leaders' grants count from before it.
    elected_at: Mono,
    /// When the latest lease that this leader granted is over everywhere, on its own clock:
    /// fixed at the grant, so that a later declaration of another lease time changes nothing.
    over: BTreeMap<(GroupName, ApplianceName), Mono>,
}

impl LeaseTable {
    /// A table for a leader that learned of its election at `elected_at`.
    pub fn new(elected_at: Mono) -> Self {
        LeaseTable { elected_at, over: BTreeMap::new() }
    }

    /// Answers an agent of `group`, and remembers what was granted.
    ///
    /// `quorum_acked_at` is `t_q`; `None` when no round was acknowledged in this term yet.
    pub fn answer(
        &mut self,
        group: &Group,
        asker: &ApplianceName,
        now: Mono,
        quorum_acked_at: Option<Mono>,
    ) -> Answer {
        if group.active.as_ref() != Some(asker) {
            return Answer::Standby { token: group.token };
        }
        if group.unreleased.keys().any(|holder| holder != asker) {
            return Answer::Wait { because: WaitReason::EarlierHolder };
        }
        if group.waits_for_fencing().is_some() {
            return Answer::Wait { because: WaitReason::Fencing };
        }
        let lease = &group.spec.lease;
        // A time read a moment after `now` must not lengthen the lease beyond its ttl.
        let Some(t_q) = quorum_acked_at.map(|t_q| t_q.min(now)) else {
            return Answer::Wait { because: WaitReason::QuorumTooOld };
        };
        let ttl = t_q.plus(lease.ttl).since(now);
        if ttl.is_zero() {
            return Answer::Wait { because: WaitReason::QuorumTooOld };
        }
        let over = self.over.entry((group.spec.name.clone(), asker.clone())).or_default();
        *over = (*over).max(t_q.plus(lease.wait()));
        Answer::Grant { token: group.token, ttl }
    }

    /// When, on this leader's clock, every lease that an earlier leader can have given is over:
    /// from an instant after every earlier leader's newest `t_q`.
    pub fn earlier_over_at(&self, group: &Group) -> Mono {
        self.elected_at.plus(group.spec.lease.wait())
    }

    /// When, on this leader's clock, every lease that any leader can have given `holder` is over.
    pub fn over_at(&self, group: &Group, holder: &ApplianceName) -> Mono {
        let earlier_leaders = self.earlier_over_at(group);
        let own = self.over.get(&(group.spec.name.clone(), holder.clone()));
        own.map_or(earlier_leaders, |own| earlier_leaders.max(*own))
    }
}

/// Whether an agent's report proves that it has released everything older than `token`.
pub fn proves_release(held: Held, token: Token) -> bool {
    held.holding.is_none() && held.highest >= token
}
