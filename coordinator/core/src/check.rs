//! Internal consistency of the state: what [`apply`](crate::apply::apply) promises, said once
//! more from the outside.

use std::collections::BTreeSet;

mod last_resort;

use crate::ids::ApplianceName;
use crate::notice::MAX_NOTICES;
use crate::observe::Verdict;
use crate::state::{Ending, Group, KEPT_OPERATIONS, KEPT_WITHDRAWN, State};
use crate::validate;

/// What is inconsistent, in words; empty when nothing is.
pub fn check(state: &State) -> Vec<String> {
    let mut faults = Vec::new();
    let mut appliances = BTreeSet::new();
    let mut tokens = BTreeSet::new();
    let (vips, gates) = (state.withdrawn.vips.len(), state.withdrawn.gate_count());
    if vips > KEPT_WITHDRAWN || gates > KEPT_WITHDRAWN {
        faults.push(format!("{vips} virtual addresses and {gates} probe gates are in quarantine"));
    }
    for (name, group) in &state.groups {
        let mut say = |fault: String| faults.push(format!("group {name}: {fault}"));
        if *name != group.spec.name {
            say(format!("is declared as {}", group.spec.name));
        }
        for fault in validate::group(&group.spec) {
            say(format!("its declaration is faulty: {fault}"));
        }
        for appliance in &group.spec.appliances {
            if !appliances.insert(&appliance.name) {
                say(format!("{} belongs to another group too", appliance.name));
            }
        }
        if group.token.0 != 0 && !tokens.insert(group.token) {
            say(format!("token {} is another group's too", group.token));
        }
        faults.extend(check_group(state, group));
    }
    faults.extend(crate::pool::check::check(state));
    faults
}

/// What is inconsistent in one group of `state`, its declaration and the other groups apart.
pub fn check_group(state: &State, group: &Group) -> Vec<String> {
    let mut faults = Vec::new();
    let mut say = |fault: String| faults.push(format!("group {}: {fault}", group.spec.name));
    members(group, &mut say);
    operation(group, &mut say);
    last_resort::relying(group, &mut say);
    last_resort::fencing(group, &mut say);
    ended(group, &mut say);
    times(state, group, &mut say);
    faults
}

/// Whether `later` may replace `earlier`: time and tokens never go back.
///
/// What went back, in words; empty when nothing did.
pub fn check_progress(earlier: &State, later: &State) -> Vec<String> {
    let mut faults = Vec::new();
    if later.time < earlier.time {
        faults.push(format!("time went back from {} to {}", earlier.time.0, later.time.0));
    }
    for (name, before) in &earlier.groups {
        // A removed group that is declared again is another group: its revision is newer and its
        // token is none.
        let Some(after) = later.groups.get(name) else { continue };
        let anew = after.revision > before.revision && after.active.is_none();
        if after.token < before.token && !anew {
            faults.push(format!("group {name}: token went back from {} to {}", before.token, after.token));
        }
        if after.active != before.active && after.token <= before.token && !anew {
            faults.push(format!("group {name}: another appliance is active under token {}", after.token));
        }
    }
    faults.extend(crate::pool::check::check_progress(earlier, later));
    faults
}

fn members(group: &Group, say: &mut impl FnMut(String)) {
    let declared: BTreeSet<&ApplianceName> = group.spec.appliances.iter().map(|a| &a.name).collect();
    let known: BTreeSet<&ApplianceName> = group.appliances.keys().collect();
    if declared != known {
        say("the known appliances are not the declared ones".to_owned());
    }
    if let Some(active) = &group.active
        && !declared.contains(active)
    {
        say(format!("the active {active} is not declared"));
    }
    if group.active.is_some() != (group.token.0 != 0) {
        say(format!("active {:?} under token {}", group.active, group.token));
    }
    for (holder, token) in &group.unreleased {
        if !declared.contains(holder) {
            say(format!("the earlier holder {holder} is not declared"));
        }
        if *token >= group.token {
            say(format!("{holder} is unreleased under {token}, which is not older than {}", group.token));
        }
        if group.active.as_ref() == Some(holder) {
            say(format!("the active {holder} waits for its own release"));
        }
    }
    if group.path.verdict != Verdict::Unknown && group.spec.path_probes.is_empty() {
        say(format!("the path is {} without a probe", group.path.verdict));
    }
    for path in group.heartbeats_down.keys() {
        if !path.is_declared(&group.spec) {
            say(format!("no address of {} for {} has the number {}", path.to, path.from, path.path));
        }
    }
    for (name, known) in &group.appliances {
        for (source, announced) in &known.announced {
            let ids = announced.notices.iter().all(|(id, notice)| *id == notice.id);
            if !ids || announced.notices.len() > MAX_NOTICES {
                say(format!("what {source} announces for {name} is not as it may be recorded"));
            }
        }
    }
    for binding in group.drift.keys() {
        if group.spec.binding(binding).is_none() {
            say(format!("drift of {binding}, which is not declared"));
        }
    }
}

fn operation(group: &Group, say: &mut impl FnMut(String)) {
    let Some(operation) = &group.operation else {
        if group.active.is_some() && !group.unreleased.is_empty() {
            say("at rest with an earlier holder unreleased".to_owned());
        }
        return;
    };
    let id = operation.id;
    if group.active.as_ref() != Some(&operation.to) {
        say(format!("operation {id} moves to {}, and {:?} is active", operation.to, group.active));
    }
    if operation.from.as_ref() == Some(&operation.to) {
        say(format!("operation {id} moves from {} to itself", operation.to));
    }
    if id.token() != group.token {
        say(format!("operation {id} runs under token {}", group.token));
    }
    if operation.ended.is_some() {
        say(format!("operation {id} runs and has ended"));
    }
    let waits = !group.unreleased.is_empty() || group.waits_for_fencing().is_some();
    if operation.all_done() && !waits {
        say(format!("operation {id} is done and still runs"));
    }
    let steps: Vec<_> = operation.steps.iter().map(|s| &s.binding).collect();
    let bindings: Vec<_> = group.spec.bindings.iter().map(|b| &b.name).collect();
    if steps != bindings {
        say(format!("the steps of operation {id} are not the declared bindings"));
    }
    for step in &operation.steps {
        let leased = group.spec.binding(&step.binding).is_some_and(|b| b.kind.needs_lease());
        if leased && step.done.is_some() && !group.unreleased.is_empty() {
            say(format!("{} has moved while an earlier holder may hold it", step.binding));
        }
    }
}

fn ended(group: &Group, say: &mut impl FnMut(String)) {
    if group.ended.len() > KEPT_OPERATIONS {
        say(format!("{} ended operations are kept", group.ended.len()));
    }
    let mut newest = 0;
    for operation in &group.ended {
        let id = operation.id;
        if id.0 <= newest {
            say(format!("operation {id} is listed after {newest}"));
        }
        newest = id.0;
        match operation.ended {
            None => say(format!("operation {id} is listed as ended and has not")),
            Some((_, Ending::Completed)) if !operation.all_done() => {
                say(format!("operation {id} is completed with steps left"));
            }
            Some((_, Ending::Superseded(_))) if operation.traffic.is_some() => {
                say(format!("operation {id} is superseded, and traffic was settled"));
            }
            Some((_, Ending::Superseded(by))) if by <= id => {
                say(format!("operation {id} is superseded by the older {by}"));
            }
            Some(_) => {}
        }
    }
    if newest > group.token.0 || group.operation.as_ref().is_some_and(|o| o.id.0 <= newest) {
        say(format!("operation {newest} has ended and is newer than what runs"));
    }
}

fn times(state: &State, group: &Group, say: &mut impl FnMut(String)) {
    let seen = group.appliances.values().map(|a| a.since);
    let seen = seen.chain(group.automatic_moves.iter().copied()).chain(group.moved_at);
    let seen = seen.chain(group.operation.as_ref().map(|o| o.started));
    let announced = group.appliances.values().flat_map(|a| a.announced.values());
    let seen = seen.chain(announced.map(|announced| announced.changed));
    let seen = seen.chain([group.path.since]).chain(group.heartbeats_down.values().copied());
    for at in seen.filter(|at| *at > state.time) {
        say(format!("time {} lies after the state's own, {}", at.0, state.time.0));
    }
    if !group.automatic_moves.iter().is_sorted() {
        say("the automatic moves are out of order".to_owned());
    }
}
