//! One cell of the matrix: one fault on one target, and what it did.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coordinator_api::v1::{OperationState, OperationView};
use coordinator_core::command::OperationKind;
use tests::clock::now_us;
use tests::timeline::{outage, together_ms};
use tests::wait::{self, Look};

use crate::fault::{Expected, Fault, Target, Victim};
use crate::stage::{LEASE, Stage};

/// How long a fault lasts at least.
const LASTS: Duration = Duration::from_secs(3);

/// How long it takes until an appliance that says nothing counts as down: a heartbeat times out,
/// two samples in a row say so, and a follower tells the leader.
pub(crate) const DETECTION: Duration = Duration::from_millis(1_000 + 2 * 200 + 250);

/// What a busy machine may add.
pub(crate) const BUSY: Duration = Duration::from_secs(2);

/// What one cell showed.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) target: Target,
    pub(crate) fault: Fault,
    /// The longest time in which the client got no answer, in milliseconds.
    pub(crate) outage_ms: u64,
    /// How long two hosts answered for the VIP at once, in milliseconds.
    pub(crate) together_ms: u64,
    pub(crate) moved: bool,
    pub(crate) new_leader: bool,
    /// From healing until everything was as it should be, in milliseconds.
    pub(crate) whole_after_ms: u64,
    /// What is not as it must be.
    pub(crate) wrong: Vec<String>,
}

impl Cell {
    /// Plays the fault on a cluster that is whole, and leaves one that is whole.
    pub(crate) fn play(stage: &mut Stage, target: Target, fault: Fault) -> Result<Cell> {
        let active = stage.whole()?;
        let leader = stage.leader().context("nobody leads")?;
        let victim = Victim::find(stage, target, &active, leader)?;
        let before = stage.newest_id()?;
        let expected = fault.expected(target);

        let began = now_us();
        fault.strike(stage, target, &victim)?;
        if expected.moves {
            let standby = if active == "fw-a" { "fw-b" } else { "fw-a" };
            let operation = moved(stage, &active, standby)?;
            ensure!(operation.kind == OperationKind::Failover, "this was a {}", operation.kind.word());
            stage.served_by(standby, now_us())?;
        }
        if expected.new_leader {
            wait::until("somebody else leads", || {
                let seen = stage.leader();
                Ok(wait::is(seen.is_some_and(|seen| seen != leader), || format!("{seen:?} leads")))
            })?;
        }
        let lasted = Duration::from_micros(now_us() - began);
        thread::sleep(LASTS.saturating_sub(lasted));
        let new_leader = stage.leader() != Some(leader);

        let healed = now_us();
        stage.heal()?;
        let now_active = stage.whole()?;
        let whole_after_ms = (now_us() - healed) / 1_000;
        stage.check()?;

        let outage = outage(stage.traffic.seen()?, began);
        let moved = stage.newest_id()? != before;
        let mut cell = Cell {
            target,
            fault,
            outage_ms: outage.longest_ms,
            together_ms: together_ms(stage.arp.seen()?, began),
            moved,
            new_leader,
            whole_after_ms,
            wrong: Vec::new(),
        };
        cell.judge(expected, moved != (now_active == active));
        Ok(cell)
    }

    /// The longest outage that is in order.
    pub(crate) fn bound(expected: Expected) -> Duration {
        if expected.moves { LEASE + DETECTION + BUSY } else { LEASE }
    }

    fn judge(&mut self, expected: Expected, consistent: bool) {
        let mut demand = |so: bool, otherwise: &str| self.wrong.extend((!so).then(|| otherwise.to_owned()));
        demand(self.together_ms == 0, "two hosts answered at once");
        demand(self.moved == expected.moves, if expected.moves { "it did not move" } else { "it moved" });
        demand(consistent, "it moved more than once");
        let bound = Cell::bound(expected);
        demand(u128::from(self.outage_ms) < bound.as_millis(), &format!("no answer for more than {bound:?}"));
    }
}

/// Waits until the move has ended.
fn moved(stage: &Stage, from: &str, to: &str) -> Result<OperationView> {
    wait::until(&format!("the group moves from {from} to {to}"), || {
        let newest = match stage.newest_operation() {
            Ok(Some(newest)) => newest,
            Ok(None) => return Ok(Look::NotYet("no operation".to_owned())),
            Err(error) => return Ok(Look::NotYet(format!("{error:#}"))),
        };
        let so = newest.state == OperationState::Ended
            && newest.to.as_str() == to
            && newest.from.as_ref().is_some_and(|name| name.as_str() == from);
        Ok(if so { Look::Yes(newest) } else { Look::NotYet(format!("{newest:?}")) })
    })
}
