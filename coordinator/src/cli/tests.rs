//! Parsing, exit codes, and what people read.

use clap::{CommandFactory, Parser};
use coordinator_api::client::ClientError;
use coordinator_api::v1::{
    ClusterStatus, Code, GroupStatus, GroupSummary, HistoryEvent, HistoryPage, NodeRole, NodeStatus,
    OperationView, Problem,
};
use coordinator_core::ids::{NodeId, Token};
use coordinator_core::model::{GroupSpec, Trigger};
use coordinator_core::time::WallTime;
use serde_json::json;

use super::apply::changes;
use super::error::CliError;
use super::render::{self, Paint};
use super::{COMMANDS, Cli, history};

const PLAIN: fn() -> Paint = || Paint::new(false);
const NOON: WallTime = WallTime(1_772_366_400_250);

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_visible_command_is_in_the_overview() {
    for command in Cli::command().get_subcommands().filter(|c| !c.is_hide_set()) {
        let line = format!("\n  {:<12} ", command.get_name());
        assert!(COMMANDS.contains(&line), "{} is missing from the overview", command.get_name());
    }
}

#[test]
fn right_lines_are_understood() {
    for line in [
        "pointsman status",
        "pointsman status dmz --watch --output json",
        "pointsman --context x.toml switchover dmz --to fw-b --force --reason drill --yes --no-wait",
        "pointsman failback dmz --reason done",
        "pointsman switchover dmz --dry-run",
        "pointsman switchover dmz --to fw-b --force --dry-run --output json",
        "pointsman failback dmz --dry-run",
        "pointsman mode dmz manual --reason check",
        "pointsman maintenance dmz fw-a on --reason firmware",
        "pointsman unfreeze dmz --reason repaired",
        "pointsman confirm-off dmz fw-a --reason unplugged --yes",
        "pointsman apply -f groups.toml --dry-run",
        "pointsman history --group dmz --level warning --since 15m --limit 500",
        "pointsman history export --out history.jsonl --since 30m",
        "pointsman history export --format csv",
        "pointsman history verify",
        "pointsman history verify history.jsonl --head 00000000000000000000000000000000000000000000000000000000000000ff",
        "pointsman operations 17",
        "pointsman preflight",
        "pointsman preflight dmz --all --write-check --output json",
        "pointsman leader transfer",
        "pointsman config check pointsman.toml",
        "pointsman serve --config pointsman.toml --end-with-stdin",
        "pointsman agent --config nva-agent.toml --end-with-stdin",
        "pointsman demo-appliance --name fw-a --listen 127.0.0.1:1 --end-with-stdin",
        "pointsman demo --exit",
        "pointsman init here --node 10.0.0.1 --node 10.0.0.2,api=1 --agent fw-a,address=10.0.0.4,interface=eth0",
    ] {
        assert!(
            parse(line).is_ok(),
            "{line}: {}",
            parse(line).err().map(|e| e.to_string()).unwrap_or_default()
        );
    }
}

#[test]
fn wrong_lines_are_usage_errors() {
    for line in [
        "pointsman stauts",
        "pointsman switchover dmz",
        "pointsman switchover --reason x",
        "pointsman switchover NO --reason x",
        "pointsman confirm-off dmz --reason x",
        "pointsman confirm-off dmz fw-a",
        "pointsman mode dmz sometimes --reason x",
        "pointsman history --limit 0",
        "pointsman history --limit 501",
        "pointsman operations 17 --group dmz",
        "pointsman init here",
        "pointsman init here --node nowhere",
        "pointsman init here --node 10.0.0.1,port=1",
        "pointsman serve",
    ] {
        let error = parse(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn usage_and_configuration_exit_with_two_and_all_else_with_one() {
    let faults = config::load_cli(std::path::Path::new("/nonexistent/cli.toml")).unwrap_err();
    assert_eq!(CliError::from(faults).code(), 2);
    assert_eq!(CliError::Usage(String::new()).code(), 2);
    assert_eq!(CliError::Declined.code(), 1);
    assert_eq!(CliError::from(ClientError::NoEndpoints).code(), 1);
}

#[test]
fn a_refusal_says_what_why_and_what_to_do() {
    let problem = Problem::new(Code::Refused, "the move was refused; nothing was changed")
        .because(vec!["fw-b is down, so it is not promoted".to_owned()]);
    let error = CliError::from(ClientError::Problem(Box::new(problem)));
    assert_eq!(
        error.lines(),
        [
            "the move was refused; nothing was changed",
            "  - fw-b is down, so it is not promoted",
            "  → repair what stands in the way; --force moves over failing checks and is recorded",
        ]
    );
}

#[test]
fn a_time_is_a_moment_or_how_long_ago() {
    let at = |text| history::point_in_time("--since", text, NOON).map(|time| time.to_string());
    assert_eq!(at("15m").unwrap(), "2026-03-01T11:45:00.250Z");
    assert_eq!(at("2026-03-01T12:00:00Z").unwrap(), "2026-03-01T12:00:00.000Z");
    assert!(at("noon").unwrap_err().to_string().starts_with("--since: \"noon\""));
}

fn cluster() -> ClusterStatus {
    let node = |id: u64, role, lag, age| NodeStatus {
        id: NodeId(id),
        cluster_address: format!("10.0.0.1{id}:7401"),
        role,
        lag,
        vantage_age_ms: age,
    };
    let group = |name: &str, up, hold: Option<&str>| GroupSummary {
        name: name.parse().unwrap(),
        active: Some("fw-a".parse().unwrap()),
        token: Token(12),
        mode: Trigger::Automatic,
        frozen: None,
        hold: hold.map(str::to_owned),
        operation: None,
        up,
        appliances: 2,
        drifting: 0,
    };
    ClusterStatus {
        cluster_id: "0123".to_owned(),
        node: NodeId(1),
        version: "0.1.0".to_owned(),
        leader: Some(NodeId(1)),
        term: 4,
        quorum_ok: true,
        applied: 99,
        time: NOON.into(),
        age_ms: Some(0),
        nodes: vec![
            node(1, NodeRole::Leader, Some(0), Some(12)),
            node(2, NodeRole::Follower, Some(3), Some(1_250)),
            node(3, NodeRole::Follower, None, None),
        ],
        groups: vec![group("dmz", 2, None), group("inside", 0, Some("nothing is up"))],
    }
}

#[test]
fn the_cluster_reads_at_a_glance() {
    let expected = "\
CLUSTER 0123   leader 1   term 4   quorum ok

NODE  ROLE      ADDRESS         BEHIND  SEES
1     leader    10.0.0.11:7401  0       12ms ago
2     follower  10.0.0.12:7401  3       1.2s ago
3     follower  10.0.0.13:7401  -       nothing yet

GROUP   ACTIVE  TOKEN  MODE       UP   STATE
dmz     fw-a    12     automatic  2/2  ok
inside  fw-a    12     automatic  0/2  held: nothing is up
";
    assert_eq!(render::cluster(&cluster(), PLAIN()), expected);
}

#[test]
fn a_group_shows_its_paths() {
    let sight = |node: u64, verdict: &str, detail: &str| json!({"node": node, "verdict": verdict, "detail": detail, "age_ms": 40});
    let way = |to: &str, path: u8, up: Option<bool>, rtt: Option<u32>, down: Option<&str>| json!({"to": to, "path": path, "up": up, "rtt_us": rtt, "down_since": down});
    let member = |name: &str, last: u8, role: &str, via: Option<&str>, heartbeats: serde_json::Value| {
        json!({
            "name": name, "address": format!("10.0.1.{last}"), "role": role, "verdict": "up",
            "since": "2026-03-01T12:00:00.250Z", "maintenance": null, "vantages": [], "heartbeats": heartbeats,
            "agent": {"version": "0.1.0", "highest": 7, "holding": null, "vips_up": false, "faults": [],
                      "via": via, "age_ms": 12}
        })
    };
    let down = Some("2026-03-01T11:59:00.000Z");
    let spec = serde_json::to_value(spec()).unwrap();
    let status: GroupStatus = serde_json::from_value(json!({
        "name": "dmz", "active": "fw-a", "token": 7, "mode": "automatic", "frozen": null, "hold": null,
        "operation": null, "up": 2, "appliances": 2, "drifting": 0, "revision": 1, "why": [], "moved_at": null,
        "members": [
            member("fw-a", 4, "active", Some("fw-b"), json!([
                way("fw-b", 0, Some(false), Some(1_240), down), way("fw-b", 1, Some(true), Some(180), None)
            ])),
            member("fw-b", 5, "standby", None, json!([way("fw-a", 0, None, None, None)])),
        ],
        "bindings": [], "running": null, "spec": spec,
        "path": {
            "verdict": "down", "since": "2026-03-01T12:00:00.250Z", "down_before_move": false,
            "vantages": [sight(1, "up", "answers"), sight(2, "down", "tcp 203.0.113.9:443: no answer")]
        }
    }))
    .unwrap();
    let text = render::group(&status, PLAIN());
    assert!(text.contains("holds nothing, relayed by fw-b (12ms ago)"), "{text}");
    let expected = "\
PATH through fw-a is down since 2026-03-01 12:00:00.250Z
  down for coordinator 2: tcp 203.0.113.9:443: no answer (40ms ago)

HEARTBEAT  TO    WAY         STATE  RESPONSE  DOWN SINCE
fw-a       fw-b  management  down   1.2ms     2026-03-01 11:59:00.000Z
fw-a       fw-b  direct      up     0.1ms     -
fw-b       fw-a  management  -      -         -
";
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn a_group_shows_what_is_announced() {
    let spec = serde_json::to_value(spec()).unwrap();
    let notice = |kind: &str, not_before: Option<&str>, started: bool, about: &str| {
        json!({"source": "azure", "id": kind, "kind": kind, "not_before": not_before, "started": started,
               "lasts_secs": null, "about": about, "drains": kind != "freeze"})
    };
    let status: GroupStatus = serde_json::from_value(json!({
        "name": "dmz", "active": "fw-b", "token": 7, "mode": "automatic", "frozen": null, "hold": null,
        "operation": null, "up": 2, "appliances": 2, "drifting": 0, "revision": 1, "why": [], "moved_at": null,
        "members": [{
            "name": "fw-a", "address": "10.0.1.4", "role": "standby", "verdict": "up", "agent": null,
            "since": "2026-03-01T12:00:00.250Z", "maintenance": null, "vantages": [],
            "notices": [
                notice("reboot", Some("2026-03-01T12:15:00.000Z"), false, "host update"),
                notice("freeze", None, true, ""),
            ],
            "notices_unknown": [{"source": "azure", "why": "status 500"}],
        }],
        "bindings": [], "running": null, "spec": spec,
    }))
    .unwrap();
    let text = render::group(&status, PLAIN());
    let expected = "
fw-a is under notice of a reboot by Azure: not before 2026-03-01 12:15:00.000Z (host update)
fw-a is under notice of a freeze by Azure: it has begun
what Azure announces for fw-a is not known: status 500
";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn without_a_leader_the_status_says_so_and_whose_word_it_is() {
    let status = ClusterStatus { leader: None, quorum_ok: false, ..cluster() };
    let text = render::cluster(&status, PLAIN());
    assert!(text.starts_with("CLUSTER 0123   NO LEADER   term 4   NO QUORUM\n"), "{text}");
    assert!(text.contains("as coordinator 1 sees it; it may be out of date"), "{text}");
}

#[test]
fn colours_change_nothing_but_colours() {
    let coloured = render::cluster(&cluster(), Paint::new(true));
    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some((text, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(text);
        rest = after.split_once('m').unwrap().1;
    }
    plain.push_str(rest);
    let trimmed: Vec<_> = plain.lines().map(str::trim_end).collect();
    assert_eq!(trimmed.join("\n") + "\n", render::cluster(&cluster(), PLAIN()));
}

#[test]
fn a_line_of_the_history_has_time_level_group_and_sentence() {
    let event: HistoryEvent = serde_json::from_value(json!({
        "id": "7.0", "at": "2026-03-01T12:00:00.250Z", "actor": {"operator": "alice"}, "level": "alert",
        "group": "dmz", "appliance": "fw-b", "operation": 7, "sentence": "something happened", "body": {},
        "link": {"number": 9, "previous": "00".repeat(32), "digest": "ff".repeat(32)}
    }))
    .unwrap();
    let page = HistoryPage { next: Some(event.id), events: vec![event] };
    let expected = "\
TIME                      LEVEL  GROUP  WHAT HAPPENED
2026-03-01 12:00:00.250Z  ALERT  dmz    something happened [alice]
there is more: --before 7.0
";
    assert_eq!(render::history(&page, PLAIN()), expected);
}

fn operation() -> OperationView {
    serde_json::from_value(json!({
        "id": 17, "token": 17, "group": "dmz", "kind": "failover", "state": "running", "from": "fw-a", "to": "fw-b",
        "actor": {"coordinator": 1}, "reason": "", "because": ["fw-a is down by 3 of 3 vantages"], "evidence": [],
        "started": "2026-03-01T12:00:00.250Z", "ended": null, "ending": null, "took_ms": 1500,
        "released": {"at": "2026-03-01T12:00:01.250Z", "after_ms": 1000, "proof": "expired"},
        "steps": [
            {"binding": "pip", "done": "2026-03-01T12:00:01.550Z", "after_ms": 1300, "attempts": 2, "took_ms": 40,
             "error": null, "calls": [{"call": "PUT nic-b", "result": "200", "took_ms": 40}]},
            {"binding": "udr", "done": null, "after_ms": null, "attempts": 1, "took_ms": 9, "error": "timed out"}
        ],
        "traffic": {"at": "2026-03-01T12:00:02.250Z", "after_ms": 2000, "outcome": "restored"}
    }))
    .unwrap()
}

#[test]
fn an_operation_tells_its_story() {
    let expected = "\
OPERATION 17   failover of dmz from fw-a to fw-b   running, 1 of 2 bindings moved   1.5s
  ✓ fw-a holds no lease after 1.0s (its lease ran out)
  ✓ pip points at fw-b after 1.3s (2 attempts)
  ✗ udr, attempt 1: timed out
  ✓ traffic passes through fw-b after 2.0s
  started 2026-03-01 12:00:00.250Z by coordinator 1
  because fw-a is down by 3 of 3 vantages

calls for pip:
TOOK  RESULT  CALL
40ms  200     PUT nic-b

";
    assert_eq!(render::operation(&operation(), PLAIN()), expected);
}

fn spec() -> GroupSpec {
    let appliance = |name: &str| json!({"name": name, "address": "10.0.0.4", "probes": []});
    serde_json::from_value(json!({
        "name": "dmz",
        "appliances": [appliance("fw-a"), appliance("fw-b")],
        "bindings": [],
        "policy": serde_json::to_value(coordinator_core::model::Policy::default()).unwrap(),
        "lease": {"ttl_ms": 3000, "drift_ppm": 10000}
    }))
    .unwrap()
}

#[test]
fn a_plan_shows_each_value_that_changes() {
    let mut wanted = spec();
    assert_eq!(changes(Some(&spec()), &wanted), []);
    wanted.policy.failover_wait = std::time::Duration::from_millis(500);
    wanted.appliances.reverse();
    let changes = changes(Some(&spec()), &wanted);
    let expected = "\
group dmz changes:
  ~ order of appliances: fw-a, fw-b → fw-b, fw-a
  ~ policy.failover_wait_ms: 0 → 500
";
    assert_eq!(render::plan("group", &wanted.name, true, &changes, PLAIN()), expected);
}

#[test]
fn a_new_group_is_shown_whole() {
    let changes = changes(None, &spec());
    assert!(changes.iter().all(|change| change.from.is_none()), "{changes:?}");
    assert!(
        changes.iter().any(|change| change.path == "lease.ttl_ms" && change.to.as_deref() == Some("3000"))
    );
}
