//! Programs that switch appliances off: `[[hook]]`.
//!
//! They stand in this file and nowhere else. What comes over the API only names them, so nobody who
//! may declare groups can have a coordinator run what its administrator did not put there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use coordinator_core::ids::HookName;

use crate::decode::Table;
use crate::duration::Span;

/// The shortest and the longest time limit of a hook.
pub const HOOK_TIMEOUT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(600));

/// Most arguments of a hook, the program not counted.
pub const MAX_HOOK_ARGUMENTS: usize = 64;

/// A program that switches an appliance off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The program, by its absolute path.
    pub program: PathBuf,
    /// Its arguments, as they are: no shell reads them.
    pub arguments: Vec<String>,
    /// After this time it is killed, with everything that it started. Default 30 s.
    pub timeout: Duration,
}

pub(super) fn hooks(file: &mut Table<'_>) -> Option<BTreeMap<HookName, Hook>> {
    let mut all = BTreeMap::new();
    let read = file.each("hook", |t| {
        let name = t.required::<HookName>("name");
        let hook = hook(t);
        let name = name?;
        if all.contains_key(&name) {
            t.fault("name", &format!("\"{name}\""), "must be unique");
        }
        all.insert(name, hook?);
        Some(())
    });
    read.map(|_| all)
}

fn hook(t: &mut Table<'_>) -> Option<Hook> {
    let command = t.required::<Vec<String>>("command");
    let timeout = t.defaulted("timeout", Duration::from_secs(30));
    if let Some(timeout) = timeout.filter(|timeout| !within(*timeout)) {
        let (low, high) = HOOK_TIMEOUT;
        let rule = format!("must be from {} to {}", Span(low), Span(high));
        t.fault("timeout", &Span(timeout).to_string(), &rule);
    }
    let mut words = command?.into_iter();
    let shown = format!("a list of {}", words.len());
    if words.len() == 0 || words.len() > MAX_HOOK_ARGUMENTS + 1 {
        let rule = format!("must name a program and at most {MAX_HOOK_ARGUMENTS} arguments");
        t.fault("command", &shown, &rule);
    }
    let program = PathBuf::from(words.next()?);
    if !program.is_absolute() {
        let rule = "must start with the absolute path of a program: no shell looks for it";
        t.fault("command", &format!("[{:?}, …]", program.display().to_string()), rule);
    }
    let arguments: Vec<String> = words.collect();
    if program.as_os_str().as_encoded_bytes().contains(&0) || arguments.iter().any(|a| a.contains('\0')) {
        t.fault("command", &shown, "must not have a zero byte in it");
    }
    Some(Hook { program, arguments, timeout: timeout? })
}

fn within(timeout: Duration) -> bool {
    (HOOK_TIMEOUT.0..=HOOK_TIMEOUT.1).contains(&timeout)
}
