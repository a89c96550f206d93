//! Reports to the coordinators: mirrors `nva-agent/src/reporter.rs`.

use std::time::Duration;

use super::Reporter;
use crate::sim::clock::micros;
use crate::sim::event::{Declared, Message, NodeIx, Report, Timer};
use crate::sim::setup::COORDINATORS;
use crate::sim::world::World;

impl World {
    /// `Reporter::run`: at every interval, and at once when something changed.
    pub(crate) fn on_report_timer(&mut self, agent: usize, to: NodeIx) {
        let now = self.now;
        let longest = self.timings.report;
        let a = &mut self.agents[agent];
        if now < a.reporters[to].due {
            return;
        }
        let ttl = a.declared.map_or(Duration::from_secs(8), Declared::ttl);
        let wait = micros((ttl / 3).clamp(Duration::from_millis(250), Duration::from_millis(1_000)));
        let interval = micros(longest.min(ttl / 8).max(Duration::from_millis(20)));
        let next = match a.reporters[to].waiting {
            Some((_, sent, _)) if now < sent + wait => {
                let at = sent + wait;
                a.reporters[to].due = at;
                return self.at(at, COORDINATORS + agent, Timer::Report { to });
            }
            // The answer came too late, and the next report is due already.
            Some(_) | None => now + interval,
        };
        self.numbers += 1;
        let request = self.numbers;
        let a = &mut self.agents[agent];
        a.seq += 1;
        let mono = a.clock.mono(now);
        a.reporters[to] = Reporter { waiting: Some((request, now, mono)), due: next };
        let (highest, holding, vips_up, fault, revision) = a.told;
        let report = Report { boot: a.life, seq: a.seq, highest, holding, vips_up, fault, revision };
        self.at(next, COORDINATORS + agent, Timer::Report { to });
        self.send(COORDINATORS + agent, to, Message::Report { request, report });
    }
}
