use std::path::{Path, PathBuf};
use std::time::Instant;

use super::output::KEPT;
use super::*;

/// For every wait that ought to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A directory with one script in it. A shell reads it: a file that was just written may not be
/// executed while any other thread of the test is between fork and exec.
struct Script {
    dir: tempfile::TempDir,
    timeout: Duration,
}

impl Script {
    fn new(body: &str) -> Script {
        let dir = tempfile::tempdir().unwrap();
        let script = Script { dir, timeout: PATIENCE };
        std::fs::write(script.path("hook"), format!("{body}\n")).unwrap();
        script
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn hooks(&self) -> Hooks {
        let words = [self.path("hook").display().to_string(), self.dir.path().display().to_string()];
        let arguments = words.into_iter().chain(["two words".to_owned()]).collect();
        hooks(Hook { program: "/bin/sh".into(), arguments, timeout: self.timeout })
    }

    async fn run(&self) -> Result<String, HookError> {
        let hooks = self.hooks();
        tokio::time::timeout(PATIENCE, hooks.run(&name(), &told())).await.expect("it has its own limit")
    }

    async fn said(&self) -> String {
        match self.run().await {
            Ok(output) => format!("off: {output}"),
            Err(error) => error.to_string(),
        }
    }
}

fn hooks(hook: Hook) -> Hooks {
    Hooks::new([(name(), hook)].into())
}

fn name() -> HookName {
    "power-off".parse().unwrap()
}

fn told() -> Told {
    let (group, appliance) = ("dmz".parse().unwrap(), "fw-a".parse().unwrap());
    Told { group, appliance, token: Token(42) }
}

/// The process whose number a script has written to a file.
async fn pid_in(path: &Path) -> Pid {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let written = std::fs::read_to_string(path).unwrap_or_default();
        if let (true, Ok(pid)) = (written.ends_with('\n'), written.trim().parse()) {
            return Pid::from_raw(pid);
        }
        assert!(Instant::now() < deadline, "nothing was written to {}", path.display());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A process that nobody has reaped yet is gone as well.
fn is_running(pid: Pid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = status.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    state.is_some_and(|state| state != "Z" && state != "X")
}

async fn until_gone(pid: Pid) {
    let deadline = Instant::now() + PATIENCE;
    while is_running(pid) {
        assert!(Instant::now() < deadline, "process {pid} still runs");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn exit_0_is_off_and_anything_else_is_not() {
    assert_eq!(Script::new("echo done; exit 0").said().await, "off: done");
    let failed = Script::new("echo 'no route to 10.0.9.1' >&2; exit 1");
    assert_eq!(failed.said().await, "exit 1: no route to 10.0.9.1");
    assert_eq!(Script::new("exit 3").said().await, "exit 3");
    assert_eq!(Script::new("kill -9 $$").said().await, "ended by signal 9");
}

#[tokio::test]
async fn it_is_told_what_it_is_for_and_nothing_else() {
    let script = Script::new("/usr/bin/env | /usr/bin/sort; pwd; echo $# \"$2\"");
    let said = script.said().await;
    assert!(said.contains("POINTSMAN_APPLIANCE=fw-a / POINTSMAN_GROUP=dmz / POINTSMAN_TOKEN=42"), "{said}");
    assert!(said.ends_with("/ / / 2 two words"), "{said}");
    // What the shell itself adds.
    let variables = said.split(" / ").filter(|word| word.contains('=')).map(|word| {
        let word = word.trim_start_matches("off: ");
        word.split('=').next().unwrap()
    });
    let foreign: Vec<_> = variables
        .filter(|v| !v.starts_with("POINTSMAN_") && !["PWD", "_", "SHLVL", "OLDPWD"].contains(v))
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}

#[tokio::test]
async fn one_that_hangs_is_killed_at_its_limit_with_all_that_it_started() {
    let mut script = Script::new("sleep 600 & echo $! > $1/child; echo $$ > $1/parent; echo trying; wait");
    script.timeout = Duration::from_millis(700);
    assert_eq!(script.said().await, "killed after 700ms: trying");
    until_gone(pid_in(&script.path("child")).await).await;
    until_gone(pid_in(&script.path("parent")).await).await;
}

#[tokio::test]
async fn what_it_leaves_behind_does_not_hold_up_its_end_and_is_ended() {
    let script = Script::new("sleep 600 & echo $! > $1/child; echo off; exit 0");
    let started = Instant::now();
    assert_eq!(script.said().await, "off: off");
    assert!(started.elapsed() < PATIENCE / 2, "it was waited for");
    until_gone(pid_in(&script.path("child")).await).await;
}

#[tokio::test]
async fn one_that_ignores_the_terminate_signal_is_killed_all_the_same() {
    let mut script = Script::new("trap '' TERM INT HUP; echo $$ > $1/parent; while :; do sleep 1; done");
    script.timeout = Duration::from_millis(700);
    assert_eq!(script.said().await, "killed after 700ms");
    until_gone(pid_in(&script.path("parent")).await).await;
}

#[tokio::test]
async fn megabytes_of_output_are_read_and_only_their_end_is_kept() {
    let script = Script::new(
        "i=0; while [ $i -lt 4096 ]; do printf '%01024d' $i; i=$((i+1)); done; echo; echo 'the end'; exit 5",
    );
    let error = script.run().await.unwrap_err();
    let said = error.to_string();
    assert!(said.starts_with("exit 5: …0") && said.ends_with("the end"), "{said}");
    assert!(said.len() < 300, "a record would cut it: {said}");
    let kept = error.output().unwrap();
    // Line breaks are written longer than they came.
    assert!((KEPT..=KEPT + 8).contains(&kept.len()) && kept.ends_with("the end"), "{} bytes", kept.len());
}

#[tokio::test]
async fn one_that_cannot_be_started_is_a_failed_attempt() {
    let script = Script::new("exit 0");
    let path = script.path("hook");
    for (program, why) in [(path.clone(), "ermission denied"), (path.join("x"), "Not a directory")] {
        let hook = Hook { program, arguments: Vec::new(), timeout: PATIENCE };
        let said = hooks(hook).run(&name(), &told()).await.unwrap_err().to_string();
        assert!(said.starts_with("could not start /") && said.contains(why), "{said}");
    }
}

#[tokio::test]
async fn one_that_is_not_configured_is_named() {
    let error = Hooks::default().run(&name(), &told()).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no [[hook]] power-off in the configuration of this coordinator");
}

#[tokio::test]
async fn giving_up_on_it_kills_it_and_all_that_it_started() {
    let script = Script::new("sleep 600 & echo $! > $1/child; echo $$ > $1/parent; wait");
    let hooks = script.hooks();
    let run = tokio::spawn(async move { hooks.run(&name(), &told()).await.map_err(|e| e.to_string()) });
    let (parent, child) = (pid_in(&script.path("parent")).await, pid_in(&script.path("child")).await);
    assert!(is_running(parent) && is_running(child));
    run.abort();
    until_gone(parent).await;
    until_gone(child).await;
}
