//! The commands of a story, and the small cluster that they drive.
//!
//! | command | what it does |
//! | --- | --- |
//! | `group NAME APPLIANCE.. KIND.. [key=value..]` | an operator declares a group |
//! | `at TIME` | the clock moves on; every vantage that is not silent reports again |
//! | `see [N..] (APPLIANCE VERDICT)..` | these vantages, or all, see this from now on |
//! | `path [N..] VERDICT\|through` | these vantages see this of the path; `through`: one sample passed |
//! | `probe [N..] APPLIANCE tcp\|alive OUTCOME` | two samples of a probe, from which a vantage concludes |
//! | `heartbeat FROM TO NUMBER up\|down` | an agent reports this of a way to a peer |
//! | `notice APPLIANCE SOURCE KIND [in TIME] [for TIME] [begun]` | an agent lists this notice, too |
//! | `notices APPLIANCE SOURCE none\|pending\|unknown\|gone` | it lists none, or has not heard the source |
//! | `silent N..`, `heard N..` | these vantages' reports stop, and come again |
//! | `leader N` | another leader: it has the log and no reports |
//! | `no leader` | nobody decides; what the vantages see is lost |
//! | `step BINDING done\|failed [error..]` | the leader records an attempt |
//! | `released APPLIANCE confirmed\|expired` | the leader records a proof |
//! | `overdue APPLIANCE` | its lease is over and does not count: the leader asks for it to be fenced |
//! | `fence APPLIANCE done\|failed [error..]` | the leader records an attempt to switch it off |
//! | `off APPLIANCE` | an operator confirms that it is off |
//! | `acknowledged APPLIANCE` | the leader records that its agent acts on the newest declaration |
//! | `switchover`, `force`, `failback` `[to APPLIANCE]` | an operator asks for a move |
//! | `mode`, `maintenance`, `freeze`, `unfreeze` | what else operators set |
//! | `show` | the group as the log has it |

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coordinator_core::apply::Rejection;
use coordinator_core::command::{
    Actor, CommandBody, OperationKind, RecordFence, RecordStep, ReleaseProof, StepOutcome,
};
use coordinator_core::decide::{MoveRequest, Observations, admit, decide};
use coordinator_core::event::Event;
use coordinator_core::heartbeats::{self, Heard};
use coordinator_core::ids::{ApplianceName, NodeId, ProbeName, Token};
use coordinator_core::model::{Fencing, GroupSpec, QuorumLoss, Trigger};
use coordinator_core::notice::{self, Listed, Notice, NoticeKind, NoticeSource, SourceReport, SourceState};
use coordinator_core::observe::{Outcome, PathSight, Sight, VantageReport, Verdict, Watch};
use coordinator_core::reason::Reason;
use coordinator_core::state::Group;
use coordinator_core::time::{Mono, Now};

use crate::common::{self, Log, appliance, binding, group, tcp};
use crate::trace;

type Trace = Result<Vec<String>, String>;

/// Rounds of decide and apply after one command; a story that needs more does not come to rest.
const MAX_ROUNDS: usize = 20;

pub(crate) struct Story {
    log: Log,
    leader: Option<NodeId>,
    /// What each vantage sees.
    views: BTreeMap<NodeId, BTreeMap<ApplianceName, Verdict>>,
    /// What each vantage concluded from samples; this goes before what it sees.
    watches: BTreeMap<NodeId, Watch>,
    /// What each vantage sees of the path, and under which grant.
    paths: BTreeMap<NodeId, (Token, Verdict, bool)>,
    heard: BTreeMap<ApplianceName, Heard>,
    listed: BTreeMap<ApplianceName, Vec<SourceReport>>,
    silent: BTreeSet<NodeId>,
    /// What the leader has.
    observations: Observations,
    last_reasons: Vec<Reason>,
    last_pending: Vec<String>,
}

impl Default for Story {
    fn default() -> Self {
        let vantages: BTreeSet<_> = (1..=3).map(NodeId).collect();
        Story {
            log: Log::default(),
            leader: Some(NodeId(1)),
            views: vantages.iter().map(|v| (*v, BTreeMap::new())).collect(),
            watches: vantages.iter().map(|v| (*v, Watch::new())).collect(),
            paths: BTreeMap::new(),
            heard: BTreeMap::new(),
            listed: BTreeMap::new(),
            silent: BTreeSet::new(),
            observations: Observations { vantages, reports: BTreeMap::new() },
            last_reasons: Vec::new(),
            last_pending: Vec::new(),
        }
    }
}

impl Story {
    pub(crate) fn run(&mut self, words: &[&str]) -> Trace {
        let mut out = self.command(words)?;
        if words[0] != "show" && self.leader.is_some() {
            self.settle(&mut out)?;
        }
        let pending = trace::pending(&self.log.state);
        if pending != self.last_pending {
            out.extend(pending.clone());
            self.last_pending = pending;
        }
        Ok(out)
    }

    fn command(&mut self, words: &[&str]) -> Trace {
        match words {
            ["group", name, rest @ ..] => self.declare(name, rest),
            ["at", time] => {
                self.log.at = time_of(time)?;
                self.report();
                Ok(Vec::new())
            }
            ["see", rest @ ..] => self.see(rest),
            ["path", rest @ ..] => self.see_path(rest),
            ["probe", rest @ ..] => self.probe(rest),
            ["heartbeat", from, to, path, state] => self.hear(from, to, path, state),
            ["notice", name, source, kind, rest @ ..] => self.announce(name, source, kind, rest),
            ["notices", name, source, state] => self.announces(name, source, state),
            ["silent", nodes @ ..] => {
                self.silent.extend(node_ids(nodes)?);
                Ok(Vec::new())
            }
            ["heard", nodes @ ..] => {
                let back = node_ids(nodes)?;
                self.silent.retain(|n| !back.contains(n));
                self.report();
                Ok(Vec::new())
            }
            ["no", "leader"] => {
                self.leader = None;
                self.observations.reports.clear();
                Ok(Vec::new())
            }
            ["leader", node] => {
                self.leader = node_ids(&[node])?.pop();
                self.observations.reports.clear();
                self.last_reasons.clear();
                self.last_pending.clear();
                Ok(Vec::new())
            }
            ["step", name, rest @ ..] => self.step(name, rest),
            ["released", name, proof] => self.release(name, proof),
            ["overdue", name] => {
                let group = self.group()?;
                let (token, group) = (group.token, group.spec.name.clone());
                Ok(self.record(CommandBody::RequestFence { group, appliance: appliance(name), token }))
            }
            ["fence", name, rest @ ..] => self.fence(name, rest),
            ["acknowledged", name] => {
                let group = self.group()?;
                let (revision, group) = (group.revision, group.spec.name.clone());
                let appliance = appliance(name);
                Ok(self.record(CommandBody::RecordAcknowledged { group, appliance, revision }))
            }
            ["show"] => Ok(trace::summary(self.group()?)),
            _ => self.operator(words),
        }
    }

    fn operator(&mut self, words: &[&str]) -> Trace {
        let group = self.group()?.spec.name.clone();
        let reason = "a drill".to_owned();
        let body = match words {
            ["switchover", rest @ ..] => return self.ask(OperationKind::Switchover, rest),
            ["force", rest @ ..] => return self.ask(OperationKind::ForcedSwitchover, rest),
            ["failback", rest @ ..] => return self.ask(OperationKind::Failback, rest),
            ["mode", mode] => CommandBody::SetMode { group, mode: trigger(mode)?, reason },
            ["maintenance", name, on] => {
                let enabled = *on == "on";
                CommandBody::SetMaintenance { group, appliance: appliance(name), enabled, reason }
            }
            ["freeze"] => CommandBody::Freeze { group, reason: Reason::Requested { reason } },
            ["unfreeze"] => CommandBody::Unfreeze { group, reason },
            ["remove"] => CommandBody::RemoveGroup(group),
            ["off", name] => {
                let token = self.group()?.token;
                CommandBody::ConfirmOff { group, appliance: appliance(name), token, reason }
            }
            other => return Err(format!("{other:?} is no command")),
        };
        Ok(shown(self.log.by_operator(body)))
    }

    fn ask(&mut self, kind: OperationKind, rest: &[&str]) -> Trace {
        let to = match rest {
            [] => None,
            ["to", name] => Some(appliance(name)),
            other => return Err(format!("{other:?} is no target")),
        };
        let reason = "a drill".to_owned();
        let request = MoveRequest { group: self.group()?.spec.name.clone(), kind, to, reason };
        match admit(&self.log.state, &self.observations, self.now(), &request) {
            Ok(start) => Ok(shown(self.log.by_operator(CommandBody::StartOperation(start)))),
            Err(reasons) => Ok(reasons.iter().map(|r| format!("refused: {r}")).collect()),
        }
    }

    fn declare(&mut self, name: &str, rest: &[&str]) -> Trace {
        let (options, rest): (Vec<_>, Vec<_>) = rest.iter().copied().partition(|w| w.contains('='));
        let is_kind = |w: &&str| ["vip", "public-ip", "route"].contains(w);
        let (kinds, appliances): (Vec<_>, Vec<_>) = rest.into_iter().partition(is_kind);
        let mut spec = group(name, &appliances, &kinds);
        for option in options {
            let (key, value) = option.split_once('=').ok_or("an option is key=value")?;
            set(&mut spec, key, value)?;
        }
        Ok(shown(self.log.by_operator(CommandBody::PutGroup(spec))))
    }

    fn see(&mut self, words: &[&str]) -> Trace {
        let (who, what) = self.vantages(words)?;
        for pair in what.chunks(2) {
            let [name, verdict] = pair else { return Err("an appliance without a verdict".to_owned()) };
            for node in &who {
                let view = self.views.get_mut(node).ok_or("no such vantage")?;
                view.insert(appliance(name), verdict_of(verdict)?);
            }
        }
        self.report();
        Ok(Vec::new())
    }

    /// The vantages that are named first, or all, and the rest of the words.
    fn vantages<'a>(&self, words: &'a [&'a str]) -> Result<(Vec<NodeId>, &'a [&'a str]), String> {
        let numbers = words.iter().take_while(|w| w.parse::<u64>().is_ok()).count();
        let (who, what) = words.split_at(numbers);
        let who = if who.is_empty() { self.views.keys().copied().collect() } else { node_ids(who)? };
        Ok((who, what))
    }

    fn see_path(&mut self, words: &[&str]) -> Trace {
        let (who, what) = self.vantages(words)?;
        let token = self.group()?.token;
        let [word] = what else { return Err("the path is one thing".to_owned()) };
        let through = *word == "through";
        let verdict = if through { Verdict::Unknown } else { verdict_of(word)? };
        let passed = through || verdict == Verdict::Up;
        self.paths.extend(who.into_iter().map(|node| (node, (token, verdict, passed))));
        self.report();
        Ok(Vec::new())
    }

    fn probe(&mut self, words: &[&str]) -> Trace {
        let (who, what) = self.vantages(words)?;
        let [name, probe, outcome] = what else { return Err("an appliance, a probe, an outcome".to_owned()) };
        let (outcome, detail) = match *outcome {
            "pass" => (Outcome::Pass, "answers"),
            "relayed" => (Outcome::Relayed, "reports through its peer"),
            "fail" if *probe == "alive" => (Outcome::Fail, "eth1 has no carrier"),
            "fail" => (Outcome::Fail, "connection refused"),
            "silent" => (Outcome::Silent, "no answer"),
            other => return Err(format!("{other} is no outcome")),
        };
        let probe = ProbeName::new(*probe).map_err(|e| e.to_string())?;
        let now = self.now().mono;
        for (_, watch) in self.watches.iter_mut().filter(|(node, _)| who.contains(node)) {
            watch.declare(&self.log.state);
            for _ in 0..2 {
                watch.feed(&appliance(name), &probe, outcome, detail, now);
            }
        }
        self.report();
        Ok(Vec::new())
    }

    fn hear(&mut self, from: &str, to: &str, path: &str, state: &str) -> Trace {
        let path: u8 = path.parse().map_err(|_| "a way is a number")?;
        let at = self.now().mono;
        let heard = self.heard.entry(appliance(from)).or_insert(Heard { at, peers: Vec::new() });
        heard.at = at;
        heard.peers.retain(|(peer, number, _)| (peer.as_str(), *number) != (to, path));
        heard.peers.push((appliance(to), path, state == "up"));
        Ok(Vec::new())
    }

    /// What the agent of an appliance says of one source of notices.
    fn source(&mut self, name: &str, source: &str) -> Result<&mut SourceReport, String> {
        let source = match source {
            "agent" => NoticeSource::Agent,
            "azure" => NoticeSource::Azure,
            other => return Err(format!("{other} announces nothing")),
        };
        let all = self.listed.entry(appliance(name)).or_default();
        if !all.iter().any(|report| report.source == source) {
            all.push(SourceReport { source, state: SourceState::Known, notices: Vec::new() });
        }
        all.iter_mut().find(|report| report.source == source).ok_or_else(|| "it was added".to_owned())
    }

    /// The id of a notice is the word of its kind.
    fn announce(&mut self, name: &str, source: &str, kind: &str, rest: &[&str]) -> Trace {
        let now = self.log.wall();
        let wanted = |known: &NoticeKind| known.word() == kind;
        let kind = NoticeKind::ALL.into_iter().find(wanted).ok_or_else(|| format!("{kind} is no notice"))?;
        let mut notice = Notice {
            id: kind.word().to_owned(),
            kind,
            not_before: None,
            started: false,
            lasts_secs: None,
            about: String::new(),
        };
        let mut rest = rest;
        loop {
            rest = match rest {
                [] => break,
                ["begun", rest @ ..] => {
                    notice.started = true;
                    rest
                }
                ["in", time, rest @ ..] => {
                    notice.not_before = Some(now.plus(time_of(time)?));
                    rest
                }
                ["for", time, rest @ ..] => {
                    notice.lasts_secs = u32::try_from(time_of(time)?.as_secs()).ok();
                    rest
                }
                other => return Err(format!("{other:?} says nothing of a notice")),
            };
        }
        let report = self.source(name, source)?;
        report.state = SourceState::Known;
        report.notices.retain(|known| known.id != notice.id);
        report.notices.push(notice);
        Ok(Vec::new())
    }

    fn announces(&mut self, name: &str, source: &str, state: &str) -> Trace {
        let report = self.source(name, source)?;
        report.notices.clear();
        report.state = match state {
            "none" => SourceState::Known,
            "pending" => SourceState::Pending,
            "unknown" => SourceState::Unknown { why: "no answer within 5 s".to_owned() },
            "gone" => {
                let source = report.source;
                self.listed.entry(appliance(name)).or_default().retain(|report| report.source != source);
                return Ok(Vec::new());
            }
            other => return Err(format!("{other} is no state of a source")),
        };
        Ok(Vec::new())
    }

    /// Every vantage that is not silent reports to the leader.
    fn report(&mut self) {
        if self.leader.is_none() {
            return;
        }
        let about = self.now().mono;
        let group = self.group().ok().map(|group| group.spec.name.clone());
        for (node, view) in self.views.iter().filter(|(node, _)| !self.silent.contains(node)) {
            let sight = |(name, verdict): (&ApplianceName, &Verdict)| Sight {
                appliance: name.clone(),
                verdict: *verdict,
                detail: format!("vantage {node} says {verdict}"),
            };
            let concluded = self.watches.get(node).map(|watch| watch.sights(about)).unwrap_or_default();
            let sights = view.iter().map(sight).chain(concluded);
            let path = |(token, verdict, passed): (Token, Verdict, bool)| PathSight {
                group: group.clone().expect("a path belongs to a group"),
                token,
                verdict,
                passed,
                detail: format!("vantage {node} says {verdict}"),
            };
            let paths = self.paths.get(node).copied().map(path);
            let report = VantageReport::new(about, sights).with_paths(paths);
            self.observations.reports.insert(*node, report);
        }
    }

    fn fence(&mut self, name: &str, rest: &[&str]) -> Trace {
        let outcome = outcome(rest)?;
        let group = self.group()?;
        let record = RecordFence {
            group: group.spec.name.clone(),
            asked: group.fencing.get(&appliance(name)).map_or(0, |fence| fence.asked),
            appliance: appliance(name),
            outcome,
            took: Duration::from_millis(700),
        };
        Ok(self.record(CommandBody::RecordFence(record)))
    }

    fn step(&mut self, name: &str, rest: &[&str]) -> Trace {
        let outcome = outcome(rest)?;
        let group = self.group()?;
        let running = group.operation.as_ref().or(group.ended.back()).ok_or("no operation ever ran")?;
        let record = RecordStep {
            group: group.spec.name.clone(),
            operation: running.id,
            binding: binding(name),
            outcome,
            calls: Vec::new(),
            took: Duration::from_millis(120),
        };
        Ok(self.record(CommandBody::RecordStep(record)))
    }

    fn release(&mut self, name: &str, proof: &str) -> Trace {
        let proof = match proof {
            "confirmed" => ReleaseProof::Confirmed,
            "expired" => ReleaseProof::Expired,
            other => return Err(format!("{other} is no proof")),
        };
        let group = self.group()?;
        let (token, group) = (group.token, group.spec.name.clone());
        Ok(self.record(CommandBody::RecordRelease { group, appliance: appliance(name), token, proof }))
    }

    fn record(&mut self, body: CommandBody) -> Vec<String> {
        let leader = self.leader.unwrap_or_default();
        shown(self.log.apply(Actor::Coordinator(leader), body))
    }

    /// Decides and applies until there is nothing left to propose.
    fn settle(&mut self, out: &mut Vec<String>) -> Result<(), String> {
        for _ in 0..MAX_ROUNDS {
            let decision = decide(&self.log.state, &self.observations, self.now());
            let again = decide(&self.log.state, &self.observations, self.now());
            if decision != again {
                return Err("the same inputs gave two decisions".to_owned());
            }
            if let Some(wakeup) = decision.next_wakeup.filter(|at| *at <= self.now().mono) {
                return Err(format!("the next wake-up, {wakeup}, is not in the future"));
            }
            let mut propose = decision.propose;
            propose.extend(heartbeats::due(&self.log.state, &self.heard, self.now()));
            // Agents report all the time.
            let at = self.now().mono;
            let listed = |(name, sources): (&ApplianceName, &Vec<SourceReport>)| {
                (name.clone(), Listed { at, sources: sources.clone() })
            };
            let listed = self.listed.iter().map(listed).collect();
            propose.extend(notice::due(&self.log.state, &listed, self.now()));
            if propose.is_empty() {
                let reasons: Vec<_> = decision.reasons.into_values().flatten().collect();
                if reasons != self.last_reasons {
                    out.extend(reasons.iter().map(|r| format!("because: {r}")));
                    self.last_reasons = reasons;
                }
                return Ok(());
            }
            for body in propose {
                out.push(trace::proposal(&body));
                out.extend(self.record(body));
            }
        }
        Err(format!("no rest after {MAX_ROUNDS} rounds"))
    }

    fn group(&self) -> Result<&Group, String> {
        self.log.state.groups.values().next().ok_or_else(|| "no group is declared".to_owned())
    }

    fn now(&self) -> Now {
        Now { mono: Mono(self.log.at), wall: self.log.wall() }
    }
}

fn shown(result: Result<Vec<Event>, Rejection>) -> Vec<String> {
    match result {
        Ok(events) => events.iter().map(|e| format!("{} {}: {e}", e.index, e.level)).collect(),
        Err(rejection) => vec![format!("rejected: {rejection}")],
    }
}

fn outcome(words: &[&str]) -> Result<StepOutcome, String> {
    match words {
        ["done"] => Ok(StepOutcome::Done),
        ["failed", error @ ..] => Ok(StepOutcome::Failed { error: error.join(" ") }),
        other => Err(format!("{other:?} is no outcome")),
    }
}

fn set(spec: &mut GroupSpec, key: &str, value: &str) -> Result<(), String> {
    let policy = &mut spec.policy;
    match key {
        "quorum-loss" => set_quorum_loss(spec, value)?,
        "fencing" => set_fencing(spec, value)?,
        "failover" => policy.failover = trigger(value)?,
        "wait" => policy.failover_wait = time_of(value)?,
        "failback" => policy.failback = trigger(value)?,
        "stabilisation" => policy.stabilisation = time_of(value)?,
        "flap-moves" => policy.flap_moves = value.parse().map_err(|_| "flap-moves is a number")?,
        "flap-window" => policy.flap_window = time_of(value)?,
        "path" => {
            policy.path_decides = value == "decides";
            spec.path_probes = vec![tcp("through", "10.0.0.100:443")];
        }
        "also" => {
            for appliance in &mut spec.appliances {
                appliance.probes.push(tcp(value, &format!("{}:22", appliance.address)));
            }
        }
        "ways" => {
            for (number, appliance) in (1..).zip(&mut spec.appliances) {
                let direct = std::net::IpAddr::from([192, 168, 0, number]);
                appliance.peer = vec![(appliance.address, 7403).into(), (direct, 7403).into()];
            }
        }
        "drain" => {
            let kinds = NoticeKind::ALL.into_iter();
            policy.drain = kinds.filter(|kind| value.split(',').any(|word| word == kind.word())).collect();
        }
        "ahead" => policy.drain_ahead = time_of(value)?,
        "time-limit" => policy.operation_timeout = time_of(value)?,
        "freshness" => policy.freshness = time_of(value)?,
        other => return Err(format!("{other} is no option")),
    }
    Ok(())
}

/// In a failsafe group every agent has an address for its peers.
fn set_quorum_loss(spec: &mut GroupSpec, word: &str) -> Result<(), String> {
    spec.policy.quorum_loss = match word {
        "drop" => QuorumLoss::Drop,
        "failsafe" => QuorumLoss::Failsafe,
        other => return Err(format!("{other} is neither drop nor failsafe")),
    };
    common::with_peers(spec);
    Ok(())
}

/// With every appliance switched off by a hook of the same name.
fn set_fencing(spec: &mut GroupSpec, word: &str) -> Result<(), String> {
    let fencing = match word {
        "never" => Fencing::Never,
        "prefer" => Fencing::Prefer,
        "require" => Fencing::Require,
        other => return Err(format!("{other} is neither never, prefer nor require")),
    };
    common::with_fences(spec, fencing);
    Ok(())
}

fn trigger(word: &str) -> Result<Trigger, String> {
    match word {
        "automatic" => Ok(Trigger::Automatic),
        "manual" => Ok(Trigger::Manual),
        other => Err(format!("{other} is neither automatic nor manual")),
    }
}

fn verdict_of(word: &str) -> Result<Verdict, String> {
    match word {
        "up" => Ok(Verdict::Up),
        "down" => Ok(Verdict::Down),
        "unknown" => Ok(Verdict::Unknown),
        other => Err(format!("{other} is no verdict")),
    }
}

fn node_ids(words: &[&str]) -> Result<Vec<NodeId>, String> {
    words.iter().map(|w| w.parse().map(NodeId).map_err(|_| format!("{w} is no vantage"))).collect()
}

/// `300ms`, `2s`, `1.5s`, `30m`, `1h`.
fn time_of(word: &str) -> Result<Duration, String> {
    let split = word.find(|c: char| c.is_alphabetic()).ok_or_else(|| format!("{word} has no unit"))?;
    let (number, unit) = word.split_at(split);
    let number: f64 = number.parse().map_err(|_| format!("{word} is no time"))?;
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        other => return Err(format!("{other} is no unit")),
    };
    Ok(Duration::from_millis((number * seconds * 1000.0).round() as u64))
}
