//! A healthy active appliance is never replaced by the coordinators themselves.
//!
//! Healthy is what is true, not what anybody says: the appliance is well, and for some time a
//! majority of coordinators has been able to see it. A failover needs a majority that cannot.

use coordinator_core::command::{Command, CommandBody, OperationKind};

use crate::sim::clock::{At, ms};
use crate::sim::event::NodeIx;
use crate::sim::setup::COORDINATORS;
use crate::sim::world::World;

pub(crate) const NAME: &str = "healthy-stays";

/// A trouble longer ago than this is in no fresh report, and in no row of failed samples.
const FORGOTTEN: At = ms(15_000);

impl World {
    /// Why a proposal must not be committed, if it is a failover from a healthy appliance.
    pub(crate) fn would_move_a_healthy_active(&mut self, node: NodeIx, command: &Command) -> Option<String> {
        let CommandBody::StartOperation(start) = &command.body else { return None };
        if start.kind != OperationKind::Failover {
            return None;
        }
        let active = self.coordinators[node].state.groups.get(&start.group)?.active.clone()?;
        let agent = self.agents.iter().position(|a| a.name == active)?;
        let since = self.now.saturating_sub(FORGOTTEN);
        let troubled = (0..COORDINATORS).filter(|c| self.troubled(*c, agent, since)).count();
        (troubled * 2 < COORDINATORS)
            .then(|| format!("{active} is replaced, and only {troubled} of {COORDINATORS} coordinators can have seen it fail"))
    }

    /// Whether a coordinator can have seen an appliance fail since then.
    fn troubled(&mut self, coordinator: NodeIx, agent: usize, since: At) -> bool {
        let a = &self.agents[agent];
        if !a.well() || a.unwell_at >= since {
            return true;
        }
        let c = &self.coordinators[coordinator];
        c.paused > 0 || c.resumed_at >= since || self.net.disturbed(coordinator, COORDINATORS + agent, since)
    }
}
