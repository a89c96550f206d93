//! Golden bytes: what was written once must read the same for ever.
//!
//! `golden.txt` has a line per sample. A line that changes means that old data no longer reads:
//! give the layout a new schema number instead, and keep the old one. After adding a sample, run
//! the tests once with `POINTSMAN_REWRITE_GOLDEN=1` and review the difference.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use coordinator_core::chain::{Chain, Digest, Link};
use coordinator_core::command::*;
use coordinator_core::event::{Event, EventBody, Level};
use coordinator_core::ids::{NodeId, OperationId, Token};
use coordinator_core::model::*;
use coordinator_core::notice::{Notice, NoticeKind, NoticeSource};
use coordinator_core::observe::{Evidence, Verdict};
use coordinator_core::reason::Reason;
use coordinator_core::state::{Difference, Drift, Group, HeartbeatPath, Traffic, Withdrawn};
use coordinator_core::time::WallTime;
use openraft::EntryPayload;
use serde::de::DeserializeOwned;

use super::*;

mod pools;
use crate::raft::types::{Entry, Membership, Peer, Proposal, StoredMembership, Vote, log_id};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/raft/codec/golden.txt");

#[test]
fn golden_bytes_are_unchanged() {
    let samples = samples();
    let written: String = samples.iter().fold(String::new(), |mut text, (name, bytes)| {
        let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        });
        writeln!(text, "{name} {hex}").unwrap();
        text
    });
    if std::env::var_os("POINTSMAN_REWRITE_GOLDEN").is_some() {
        std::fs::write(PATH, written).unwrap();
        return;
    }
    let golden = std::fs::read_to_string(PATH).unwrap();
    for (expected, actual) in golden.lines().zip(written.lines()) {
        assert_eq!(actual, expected);
    }
    assert_eq!(golden.lines().count(), samples.len(), "a sample is missing from {PATH}");
}

#[test]
fn every_stored_kind_has_a_sample() {
    let kinds: Vec<u16> = samples().iter().map(|(_, b)| u16::from_le_bytes([b[2], b[3]])).collect();
    for kind in Kind::ALL.iter().filter(|kind| kind.number() < 0x0500) {
        assert!(kinds.contains(&kind.number()), "{kind:?}");
    }
}

#[test]
fn a_payload_of_another_command_is_refused() {
    let entry = entry(CommandBody::RemoveGroup(name("dmz")));
    let (_, schema, payload) = entry.seal().unwrap();
    assert!(matches!(Entry::open(Kind::PutGroup, schema, &payload), Err(CodecError::OtherKind { .. })));
}

fn samples() -> Vec<(String, Vec<u8>)> {
    let mut samples = Vec::new();
    for body in bodies().into_iter().chain(pools::bodies()) {
        let entry = entry(body);
        samples.push((format!("{:?}", entry.seal().unwrap().0), round_trip(&entry)));
    }
    let blank = Entry { log_id: log_id(2, 5), payload: EntryPayload::Blank };
    let members = Entry { log_id: log_id(0, 0), payload: EntryPayload::Membership(membership()) };
    samples.push(("Blank".to_owned(), round_trip(&blank)));
    samples.push(("Membership".to_owned(), round_trip(&members)));
    let meta = StateMeta {
        applied: Some(log_id(2, 5)),
        membership: StoredMembership::new(Some(log_id(0, 0)), membership()),
        time: WallTime(1_700_000_000_000),
        withdrawn: Withdrawn {
            vips: BTreeMap::from([("192.0.2.9".parse().unwrap(), WallTime(7))]),
            gates: BTreeMap::from([(name("fw-a"), BTreeMap::from([(8_686, WallTime(7))]))]),
        },
        events: 3,
        history: Chain { count: 9, head: Digest([7; 32]) },
    };
    for (name, record) in [
        ("Vote", WalRecord::Vote(Vote::new_committed(7, 3))),
        ("Committed", WalRecord::Committed(Some(log_id(2, 5)))),
        ("Truncate", WalRecord::Truncate(None)),
        ("Purge", WalRecord::Purge(log_id(2, 5))),
    ] {
        samples.push((name.to_owned(), encode(&record).unwrap()));
    }
    samples.push(("StateMeta".to_owned(), round_trip(&meta)));
    samples.push(("SnapshotHeader".to_owned(), round_trip(&SnapshotHeader { meta, groups: 1, pools: 1 })));
    samples.push(("SnapshotEnd".to_owned(), round_trip(&SnapshotEnd { checksum: 0x0102_0304 })));
    samples.push(("Group".to_owned(), round_trip(&Group::new(spec(), 4, WallTime(9)))));
    samples.push(("Pool".to_owned(), round_trip(&pools::pool())));
    samples.push(("Event".to_owned(), round_trip(&event())));
    samples
}

/// The bytes of `value`, once they are known to give it back.
fn round_trip<T: Stored + PartialEq + std::fmt::Debug>(value: &T) -> Vec<u8> {
    let bytes = encode(value).unwrap();
    assert_eq!(&decode::<T>(&bytes).unwrap(), value);
    bytes
}

fn name<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_value(text.into()).unwrap()
}

fn entry(body: CommandBody) -> Entry {
    let command = Command { at: WallTime(1_700_000_000_000), actor: Actor::Operator("ops".to_owned()), body };
    Entry { log_id: log_id(3, 42), payload: EntryPayload::Normal(Proposal(command)) }
}

fn membership() -> Membership {
    let nodes: BTreeMap<u64, Peer> =
        (1..=3).map(|id| (id, Peer { address: format!("10.0.0.{id}:7001") })).collect();
    Membership::new(vec![(1..=3).collect()], nodes).unwrap()
}

fn spec() -> GroupSpec {
    let probe = |kind| ProbeSpec {
        name: name("ssh"),
        kind,
        interval: Duration::from_millis(500),
        timeout: Duration::from_millis(200),
        rise: 2,
        fall: 3,
    };
    let appliance = |id: &str, last: u8| ApplianceSpec {
        name: name(id),
        address: [10, 0, 1, last].into(),
        probes: vec![
            probe(ProbeKind::Tcp { address: ([10, 0, 1, last], 22).into() }),
            probe(ProbeKind::AgentHeartbeat),
        ],
        peer: Vec::new(),
        fence: None,
    };
    let vip = BindingKind::Vip {
        address: [10, 0, 1, 100].into(),
        prefix_len: 24,
        interfaces: BTreeMap::from([(name("fw-a"), "eth1".to_owned())]),
    };
    let public_ip = BindingKind::PublicIp {
        adapter: name("azure"),
        resource: "pip-1".to_owned(),
        targets: BTreeMap::from([(name("fw-a"), "nic-a".to_owned())]),
    };
    let gate = BindingKind::ProbeGate(GateSpec {
        port: 8_686,
        protocol: GateProtocol::Http { path: "/ready".to_owned() },
        from: vec!["168.63.129.16/32".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
    });
    GroupSpec {
        name: name("dmz"),
        appliances: vec![appliance("fw-a", 4), appliance("fw-b", 5)],
        bindings: vec![
            BindingSpec { name: name("inside"), kind: vip },
            BindingSpec { name: name("outside"), kind: public_ip },
            BindingSpec { name: name("balanced"), kind: gate },
        ],
        policy: Policy::default(),
        lease: LeaseSpec::default(),
        path_probes: Vec::new(),
    }
}

fn evidence() -> Vec<Evidence> {
    vec![Evidence {
        vantage: NodeId(2),
        appliance: name("fw-a"),
        verdict: Verdict::Down,
        detail: "tcp 10.0.1.4:22: timed out".to_owned(),
        age_ms: 120,
    }]
}

fn reason() -> Reason {
    Reason::Down { appliance: name("fw-a"), vantages: 2, of: 3 }
}

fn bodies() -> Vec<CommandBody> {
    let group = || name("dmz");
    let words = || "planned work".to_owned();
    vec![
        CommandBody::PutGroup(spec()),
        CommandBody::RemoveGroup(group()),
        CommandBody::RecordVerdict {
            group: group(),
            appliance: name("fw-a"),
            verdict: Verdict::Down,
            evidence: evidence(),
        },
        CommandBody::StartOperation(StartOperation {
            group: group(),
            kind: OperationKind::Failover,
            to: name("fw-b"),
            expected: Token(17),
            supersedes: Some(OperationId(17)),
            reason: words(),
            because: vec![reason()],
            evidence: evidence(),
        }),
        CommandBody::RecordRelease {
            group: group(),
            appliance: name("fw-a"),
            token: Token(42),
            proof: ReleaseProof::Expired,
        },
        CommandBody::RecordStep(RecordStep {
            group: group(),
            operation: OperationId(42),
            binding: name("outside"),
            outcome: StepOutcome::Failed { error: "412".to_owned() },
            calls: vec![CallRecord {
                call: "PUT networkInterfaces/nic-a".to_owned(),
                result: "412".to_owned(),
                took: Duration::from_millis(80),
            }],
            took: Duration::from_millis(90),
        }),
        CommandBody::SetMode { group: group(), mode: Trigger::Manual, reason: words() },
        CommandBody::SetMaintenance {
            group: group(),
            appliance: name("fw-a"),
            enabled: true,
            reason: words(),
        },
        CommandBody::Freeze { group: group(), reason: reason() },
        CommandBody::Unfreeze { group: group(), reason: words() },
        CommandBody::RecordHold { group: group(), hold: Some(reason()) },
        CommandBody::RecordDrift {
            group: group(),
            binding: name("outside"),
            drift: Some(Drift {
                summary: words(),
                differences: vec![Difference {
                    resource: words(),
                    field: words(),
                    expected: words(),
                    found: words(),
                }],
            }),
        },
        CommandBody::Seed { groups: vec![spec()], pools: vec![pools::spec()] },
        CommandBody::RecordAcknowledged { group: group(), appliance: name("fw-a"), revision: 43 },
        CommandBody::RecordPath {
            group: group(),
            token: Token(42),
            verdict: Verdict::Down,
            evidence: evidence(),
        },
        CommandBody::RecordTraffic {
            group: group(),
            operation: OperationId(42),
            traffic: Traffic::NotRestored,
        },
        CommandBody::RecordHeartbeat {
            group: group(),
            path: HeartbeatPath { from: name("fw-a"), to: name("fw-b"), path: 1 },
            up: false,
        },
        CommandBody::RecordNotices {
            group: group(),
            appliance: name("fw-a"),
            source: NoticeSource::Azure,
            notices: vec![Notice {
                id: "602d9444-d2cd-49c7-8624-8643e7171297".to_owned(),
                kind: NoticeKind::Redeploy,
                not_before: Some(WallTime(1_700_000_900_000)),
                started: false,
                lasts_secs: Some(540),
                about: "host maintenance".to_owned(),
            }],
            unknown: Some("no answer within 5 s".to_owned()),
        },
        CommandBody::RequestFence { group: group(), appliance: name("fw-a"), token: Token(42) },
        CommandBody::RecordFence(RecordFence {
            group: group(),
            appliance: name("fw-a"),
            asked: 42,
            outcome: StepOutcome::Failed { error: "exit 1".to_owned() },
            took: Duration::from_millis(700),
        }),
        CommandBody::ConfirmOff {
            group: group(),
            appliance: name("fw-a"),
            token: Token(42),
            reason: words(),
        },
        CommandBody::RecordUnderWay {
            group: group(),
            operation: OperationId(42),
            resource: words(),
            place: words(),
        },
    ]
}

fn event() -> Event {
    Event {
        index: 42,
        seq: 1,
        at: WallTime(1_700_000_000_000),
        actor: Actor::Coordinator(NodeId(1)),
        level: Level::Warning,
        group: Some(name("dmz")),
        appliance: Some(name("fw-a")),
        operation: Some(OperationId(42)),
        body: EventBody::GroupDeclared { new: true },
        link: Link { number: 9, previous: Digest([6; 32]), digest: Digest([7; 32]) },
    }
}
