//! How an appliance is switched off: `fence = { adapter = "…", resource = "…" }` or
//! `fence = { hook = "…" }`.

use std::collections::BTreeSet;
use std::fmt::Display;

use coordinator_core::ids::{AdapterName, HookName};
use coordinator_core::model::FenceSpec;

use super::{Known, adapter};
use crate::decode::Table;

pub(super) fn fence(t: &mut Table<'_>, known: Known<'_>) -> Option<FenceSpec> {
    match (t.has("adapter") || t.has("resource"), t.has("hook")) {
        (true, false) => {
            let (name, resource) = (adapter(t, known.adapters), t.required("resource"));
            let name = name.filter(|name| powers_off(t, name, known));
            Some(FenceSpec::PowerOff { adapter: name?, resource: resource? })
        }
        (false, true) => {
            let name = t.required::<HookName>("hook")?;
            if let Some(hooks) = known.hooks.filter(|hooks| !hooks.contains(&name)) {
                let rule = format!("must be the name of a [[hook]]: {}", listed(hooks));
                t.fault("hook", &format!("\"{name}\""), &rule);
            }
            Some(FenceSpec::Hook { name })
        }
        (true, true) => {
            t.complain("hook", "stands beside adapter; keep one of the two");
            None
        }
        (false, false) => {
            t.missing("hook", "must be the name of a [[hook]], or adapter and resource must name a machine");
            None
        }
    }
}

fn powers_off(t: &Table<'_>, name: &AdapterName, known: Known<'_>) -> bool {
    let (Some(all), Some(able)) = (known.adapters, known.power) else { return true };
    if all.contains(name) && !able.contains(name) {
        let rule = format!("must be an [[adapter]] that can power machines off: {}", listed(able));
        t.fault("adapter", &format!("\"{name}\""), &rule);
        return false;
    }
    true
}

pub(crate) fn listed<T: Display>(names: &BTreeSet<T>) -> String {
    let all: Vec<_> = names.iter().map(ToString::to_string).collect();
    if all.is_empty() { "there is none".to_owned() } else { all.join(", ") }
}
