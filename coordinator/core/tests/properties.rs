//! Random commands, sensible and not: whatever is committed, the state stays consistent.
//!
//! `common::Log::apply` checks after each one that [`check`] finds nothing, that neither time nor
//! tokens go back, and that a rejected command changed nothing but the time.
//!
//! [`check`]: coordinator_core::check::check

#![allow(clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

mod common;

use std::time::Duration;

use coordinator_core::action::{Action, pending_actions};
use coordinator_core::apply::apply;
use coordinator_core::command::{
    Actor, Command, CommandBody, OperationKind, RecordFence, RecordStep, ReleaseProof, StartOperation,
    StepOutcome,
};
use coordinator_core::decide::{Observations, decide};
use coordinator_core::ids::{ApplianceName, NodeId, OperationId, Token};
use coordinator_core::lease::{Answer, LeaseTable};
use coordinator_core::model::{Fencing, GroupSpec, QuorumLoss, Trigger};
use coordinator_core::notice::{Notice, NoticeKind, NoticeSource};
use coordinator_core::observe::{PathSight, Sight, VantageReport, Verdict};
use coordinator_core::reason::Reason;
use coordinator_core::state::{Drift, HeartbeatPath, State, Traffic};
use coordinator_core::time::{Mono, Now, WallTime};
use proptest::prelude::*;

use common::{EPOCH, Log, appliance, binding, group, group_name, tcp, with_fences, with_peers};

const APPLIANCES: [&str; 4] = ["fw-a", "fw-b", "fw-c", "fw-z"];
const BINDINGS: [&str; 4] = ["vip", "public-ip", "route", "other"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_commands_leave_a_consistent_state(moves in prop::collection::vec(any_move(), 1..120)) {
        let mut log = Log::default();
        let mut replica = State::default();
        for Move { body, by_operator, step_ms } in moves {
            log.at += Duration::from_millis(step_ms);
            let body = in_context(&log.state, body);
            let actor = if by_operator { Actor::Operator("ops".to_owned()) } else { Actor::Coordinator(NodeId(1)) };
            let command = Command { at: log.wall(), actor: actor.clone(), body: body.clone() };
            let index = log.index + 1;
            let result = log.apply(actor, body);
            // The same log gives the same state and events on another node.
            prop_assert_eq!(&apply(&mut replica, index, &command), &result);
            prop_assert_eq!(&replica, &log.state);
            for (seq, event) in result.unwrap_or_default().iter().enumerate() {
                prop_assert_eq!((event.index, event.seq as usize), (index, seq));
                prop_assert!(!event.to_string().is_empty());
            }
            for action in pending_actions(&log.state) {
                never_against_the_active(&log.state, &action);
            }
        }
    }

    /// The loop of decide and apply comes to rest for any reports, and every proposal of an
    /// up-to-date leader is accepted.
    #[test]
    fn what_is_decided_is_accepted_and_comes_to_rest(rounds in prop::collection::vec(any_round(), 1..40)) {
        let mut log = Log { at: Duration::from_secs(10), ..Log::default() };
        let mut spec = watched("dmz", 3, &["public-ip"]);
        spec.policy.operation_timeout = Duration::from_secs(20);
        spec.policy.failback = Trigger::Automatic;
        spec.policy.stabilisation = Duration::from_secs(5);
        spec.policy.flap_window = Duration::from_secs(60);
        log.by_operator(CommandBody::PutGroup(spec)).expect("a sound group");
        let mut observations = Observations { vantages: (1..=3).map(NodeId).collect(), ..Observations::default() };
        for Round { step_ms, vantage, verdicts, path, finish, notices } in rounds {
            log.at += Duration::from_millis(step_ms);
            let sight = |(name, verdict): (&&str, &Verdict)| Sight {
                appliance: appliance(name), verdict: *verdict, detail: String::new(),
            };
            let path = log.state.groups[&group_name("dmz")].active.as_ref().map(|_| PathSight {
                group: group_name("dmz"),
                token: log.state.groups[&group_name("dmz")].token,
                verdict: path,
                passed: path == Verdict::Up,
                detail: String::new(),
            });
            let sights = APPLIANCES.iter().zip(&verdicts).map(sight);
            if let Some(body) = notices {
                // The appliance may be one that is not declared.
                let _ = log.by_coordinator(body);
            }
            let report = VantageReport::new(Mono(log.at), sights).with_paths(path);
            observations.reports.insert(NodeId(vantage), report);
            if finish && let Some(running) = log.state.groups[&group_name("dmz")].operation.clone() {
                let body = CommandBody::RecordStep(step(running.id, "public-ip", StepOutcome::Done));
                log.by_coordinator(body).expect("the operation runs");
            }
            let now = Now { mono: Mono(log.at), wall: log.wall() };
            let mut rest = false;
            for _ in 0..10 {
                let decision = decide(&log.state, &observations, now);
                prop_assert_eq!(&decision, &decide(&log.state, &observations, now));
                prop_assert!(decision.next_wakeup.is_none_or(|at| at > now.mono));
                if decision.propose.is_empty() {
                    rest = true;
                    break;
                }
                for body in decision.propose {
                    let accepted = log.by_coordinator(body.clone());
                    prop_assert!(accepted.is_ok(), "{:?}: {:?}", body, accepted);
                    prop_assert!(!accepted.expect("just checked").is_empty(), "{:?} says nothing new", body);
                }
            }
            prop_assert!(rest, "it proposes forever");
        }
    }
}

/// Nothing is granted or written before a fencing that is waited for, and the active is never
/// switched off.
fn never_against_the_active(state: &State, action: &Action) {
    let group = &state.groups[&group_name("dmz")];
    match action {
        Action::Fence { appliance, .. } => assert_ne!(group.active.as_ref(), Some(appliance)),
        Action::MoveBinding { .. } => assert_eq!(group.waits_for_fencing(), None),
        _ => {}
    }
    if let (Some(active), Some(_)) = (&group.active, group.waits_for_fencing()) {
        let now = Mono::from_millis(1_000_000);
        let answer = LeaseTable::new(Mono::default()).answer(group, active, now, Some(now));
        assert!(matches!(answer, Answer::Wait { .. }), "granted before the fencing: {answer:?}");
    }
}

#[derive(Debug, Clone)]
struct Move {
    body: CommandBody,
    by_operator: bool,
    step_ms: u64,
}

#[derive(Debug, Clone)]
struct Round {
    step_ms: u64,
    vantage: u64,
    verdicts: Vec<Verdict>,
    path: Verdict,
    finish: bool,
    notices: Option<CommandBody>,
}

fn any_move() -> impl Strategy<Value = Move> {
    let step = prop_oneof![Just(0u64), 1u64..5_000, 100_000u64..400_000];
    (any_body(), any::<bool>(), step).prop_map(|(body, by_operator, step_ms)| Move {
        body,
        by_operator,
        step_ms,
    })
}

fn any_round() -> impl Strategy<Value = Round> {
    let seen = (0u64..4_000, 1u64..=3, prop::collection::vec(any_verdict(), 3), any_verdict(), any::<bool>());
    (seen, prop::option::weighted(0.3, any_notices())).prop_map(
        |((step_ms, vantage, verdicts, path, finish), notices)| Round {
            step_ms,
            vantage,
            verdicts,
            path,
            finish,
            notices,
        },
    )
}

fn any_verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![3 => Just(Verdict::Up), 3 => Just(Verdict::Down), 1 => Just(Verdict::Unknown)]
}

fn any_appliance() -> impl Strategy<Value = ApplianceName> {
    prop::sample::select(&APPLIANCES[..]).prop_map(appliance)
}

/// Tokens and operations are drawn as small numbers; [`in_context`] makes most of them fit.
fn any_body() -> impl Strategy<Value = CommandBody> {
    let kind = prop::sample::select(vec![
        OperationKind::Activation,
        OperationKind::Failover,
        OperationKind::Switchover,
        OperationKind::ForcedSwitchover,
        OperationKind::Failback,
    ]);
    let start = (kind, any_appliance(), 0u64..4, 0u64..4).prop_map(|(kind, to, expected, supersedes)| {
        CommandBody::StartOperation(StartOperation {
            group: group_name("dmz"),
            kind,
            to,
            expected: Token(expected),
            supersedes: (supersedes > 0).then_some(OperationId(supersedes)),
            reason: String::new(),
            because: vec![],
            evidence: vec![],
        })
    });
    let record =
        (0u64..4, prop::sample::select(&BINDINGS[..]), any::<bool>()).prop_map(|(id, name, done)| {
            let failed = StepOutcome::Failed { error: "x".repeat(1_000) };
            let outcome = if done { StepOutcome::Done } else { failed };
            CommandBody::RecordStep(step(OperationId(id), name, outcome))
        });
    let proof = prop::sample::select(vec![
        ReleaseProof::Confirmed,
        ReleaseProof::Expired,
        ReleaseProof::Expired,
        ReleaseProof::Fenced,
        ReleaseProof::Operator,
    ]);
    let release = (any_appliance(), 0u64..4, proof).prop_map(|(appliance, token, proof)| {
        CommandBody::RecordRelease { group: group_name("dmz"), appliance, token: Token(token), proof }
    });
    let verdict = (any_appliance(), any_verdict()).prop_map(|(appliance, verdict)| {
        CommandBody::RecordVerdict { group: group_name("dmz"), appliance, verdict, evidence: vec![] }
    });
    let path = (0u64..4, any_verdict()).prop_map(|(token, verdict)| CommandBody::RecordPath {
        group: group_name("dmz"),
        token: Token(token),
        verdict,
        evidence: vec![],
    });
    let traffic = (0u64..4, any::<bool>()).prop_map(|(id, passes)| CommandBody::RecordTraffic {
        group: group_name("dmz"),
        operation: OperationId(id),
        traffic: if passes { Traffic::Restored } else { Traffic::NotRestored },
    });
    let heartbeat =
        (any_appliance(), any_appliance(), 0u8..2, any::<bool>()).prop_map(|(from, to, path, up)| {
            CommandBody::RecordHeartbeat {
                group: group_name("dmz"),
                path: HeartbeatPath { from, to, path },
                up,
            }
        });
    let under_way = (0u64..4, 0usize..2_000).prop_map(|(id, bytes)| CommandBody::RecordUnderWay {
        group: group_name("dmz"),
        operation: OperationId(id),
        resource: "nics/nic-a".to_owned(),
        place: "x".repeat(bytes),
    });
    prop_oneof![
        3 => path, 2 => traffic, 2 => heartbeat, 2 => under_way, 4 => any_notices(),
        6 => start, 6 => record, 4 => release, 6 => verdict, 3 => any_declaration(), 3 => any_setting(),
        4 => any_last_resort(),
    ]
}

/// What a source announces for an appliance, rubbish included.
fn any_notices() -> impl Strategy<Value = CommandBody> {
    let source = prop::sample::select(&NoticeSource::ALL[..]);
    let notices = prop::collection::vec(any_notice(), 0..12);
    let unknown = prop::option::of(Just("x".repeat(1_000)));
    (any_appliance(), source, notices, unknown).prop_map(|(appliance, source, notices, unknown)| {
        CommandBody::RecordNotices { group: group_name("dmz"), appliance, source, notices, unknown }
    })
}

fn any_notice() -> impl Strategy<Value = Notice> {
    let kind = prop::sample::select(&NoticeKind::ALL[..]);
    let not_before = prop::option::of(prop_oneof![Just(0u64), Just(u64::MAX), EPOCH.0..EPOCH.0 + 600_000]);
    let lasts = prop::option::of(prop_oneof![Just(0u32), Just(u32::MAX), 1u32..300]);
    (0usize..80, kind, not_before, any::<bool>(), lasts).prop_map(
        |(id, kind, not_before, started, lasts_secs)| {
            let not_before = not_before.map(WallTime);
            Notice { id: "i".repeat(id), kind, not_before, started, lasts_secs, about: "x".repeat(400) }
        },
    )
}

/// What failsafe and fencing add.
fn any_last_resort() -> impl Strategy<Value = CommandBody> {
    let group = || group_name("dmz");
    prop_oneof![
        (any_appliance(), 0u64..4).prop_map(move |(appliance, revision)| CommandBody::RecordAcknowledged {
            group: group(),
            appliance,
            revision,
        }),
        (any_appliance(), 0u64..4).prop_map(move |(appliance, token)| CommandBody::RequestFence {
            group: group(),
            appliance,
            token: Token(token),
        }),
        (any_appliance(), 0u64..4, any::<bool>()).prop_map(move |(appliance, asked, done)| {
            let failed = StepOutcome::Failed { error: "exit 1".to_owned() };
            let outcome = if done { StepOutcome::Done } else { failed };
            let took = Duration::from_millis(1);
            CommandBody::RecordFence(RecordFence { group: group(), appliance, asked, outcome, took })
        }),
        (any_appliance(), 0u64..4).prop_map(move |(appliance, token)| CommandBody::ConfirmOff {
            group: group(),
            appliance,
            token: Token(token),
            reason: String::new(),
        }),
    ]
}

fn any_declaration() -> impl Strategy<Value = CommandBody> {
    let fencing = prop::sample::select(vec![Fencing::Never, Fencing::Prefer, Fencing::Require]);
    let loss = prop::sample::select(vec![QuorumLoss::Drop, QuorumLoss::Failsafe]);
    let shape = (2usize..=3, 1usize..=3, 1u32..4, fencing, loss);
    let spec = shape.prop_map(|(appliances, bindings, flap_moves, fencing, loss)| {
        let mut spec = watched("dmz", appliances, &BINDINGS[..bindings]);
        if flap_moves == 3 {
            (spec.path_probes, spec.policy.path_decides) = (Vec::new(), false);
        }
        with_fences(&mut spec, fencing);
        spec.policy.quorum_loss = loss;
        spec.policy.flap_moves = flap_moves;
        spec.policy.failback = Trigger::Automatic;
        spec
    });
    prop_oneof![
        8 => spec.clone().prop_map(CommandBody::PutGroup),
        1 => Just(CommandBody::RemoveGroup(group_name("dmz"))),
        1 => spec.prop_map(|spec| CommandBody::Seed { groups: vec![spec], pools: Vec::new() }),
    ]
}

fn any_setting() -> impl Strategy<Value = CommandBody> {
    let group = || group_name("dmz");
    let reason = String::new;
    prop_oneof![
        any::<bool>().prop_map(move |on| CommandBody::SetMode {
            group: group(),
            mode: if on { Trigger::Automatic } else { Trigger::Manual },
            reason: reason(),
        }),
        (any_appliance(), any::<bool>()).prop_map(move |(appliance, enabled)| CommandBody::SetMaintenance {
            group: group(),
            appliance,
            enabled,
            reason: reason(),
        }),
        Just(CommandBody::Freeze { group: group(), reason: Reason::Frozen }),
        Just(CommandBody::Unfreeze { group: group(), reason: "x".repeat(1_000) }),
        Just(CommandBody::Unfreeze { group: group(), reason: reason() }),
        any::<bool>().prop_map(move |on| CommandBody::RecordHold {
            group: group(),
            hold: on.then_some(Reason::BothDown),
        }),
        any::<bool>().prop_map(move |on| CommandBody::RecordDrift {
            group: group(),
            binding: binding("route"),
            drift: on.then(|| Drift { summary: "x".repeat(1_000), differences: Vec::new() }),
        }),
    ]
}

/// A group whose path is watched and decides, and whose agents hear each other on two ways.
fn watched(name: &str, appliances: usize, bindings: &[&str]) -> GroupSpec {
    let mut spec = group(name, &APPLIANCES[..appliances], bindings);
    spec.path_probes = vec![tcp("through", "10.0.0.100:443")];
    spec.policy.path_decides = true;
    with_peers(&mut spec);
    spec
}

fn step(operation: OperationId, name: &str, outcome: StepOutcome) -> RecordStep {
    RecordStep {
        group: group_name("dmz"),
        operation,
        binding: binding(name),
        outcome,
        calls: vec![],
        took: Duration::from_millis(1),
    }
}

/// Three of four tokens and operations become those of the group, so that commands get through.
fn in_context(state: &State, body: CommandBody) -> CommandBody {
    let Some(group) = state.groups.get(&group_name("dmz")) else { return body };
    let running = group.operation.as_ref().map(|o| o.id);
    let token = |drawn: Token| if drawn.0 > 0 { group.token } else { drawn };
    match body {
        CommandBody::StartOperation(start) => CommandBody::StartOperation(StartOperation {
            expected: token(start.expected),
            supersedes: if start.supersedes.is_some() { running } else { None },
            ..start
        }),
        CommandBody::RecordStep(record) => CommandBody::RecordStep(RecordStep {
            operation: running.filter(|_| record.operation.0 > 0).unwrap_or(record.operation),
            ..record
        }),
        CommandBody::RecordUnderWay { group: name, operation, resource, place } => {
            let operation = running.filter(|_| operation.0 > 0).unwrap_or(operation);
            CommandBody::RecordUnderWay { group: name, operation, resource, place }
        }
        CommandBody::RecordPath { group: name, token: drawn, verdict, evidence } => {
            CommandBody::RecordPath { group: name, token: token(drawn), verdict, evidence }
        }
        CommandBody::RecordTraffic { group: name, operation, traffic } => {
            let newest = group.ended.back().map(|o| o.id).filter(|_| operation.0 > 0);
            CommandBody::RecordTraffic { group: name, operation: newest.unwrap_or(operation), traffic }
        }
        CommandBody::RecordRelease { group: name, appliance, token: drawn, proof } => {
            CommandBody::RecordRelease { group: name, appliance, token: token(drawn), proof }
        }
        CommandBody::RequestFence { group: name, appliance, token: drawn } => {
            CommandBody::RequestFence { group: name, appliance, token: token(drawn) }
        }
        CommandBody::ConfirmOff { group: name, appliance, token: drawn, reason } => {
            CommandBody::ConfirmOff { group: name, appliance, token: token(drawn), reason }
        }
        CommandBody::RecordAcknowledged { group: name, appliance, revision } => {
            let revision = if revision > 0 { group.revision } else { revision };
            CommandBody::RecordAcknowledged { group: name, appliance, revision }
        }
        CommandBody::RecordFence(record) => {
            let pending = group.fencing.get(&record.appliance).filter(|_| record.asked > 0);
            CommandBody::RecordFence(RecordFence {
                asked: pending.map_or(record.asked, |fence| fence.asked),
                ..record
            })
        }
        other => other,
    }
}
