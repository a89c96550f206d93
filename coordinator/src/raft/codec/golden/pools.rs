//! Samples of what is stored of pools.

use coordinator_core::pool::*;

use super::*;

pub(super) fn spec() -> PoolSpec {
    let way = |backend_pool: &str| Way::BackendPool {
        adapter: name("azure"),
        backend_pool: backend_pool.to_owned(),
        targets: BTreeMap::from([(name("px-a"), "nic-a/ip".to_owned())]),
    };
    PoolSpec {
        name: name("proxies"),
        members: vec![MemberSpec {
            name: name("px-a"),
            address: [10, 1, 0, 1].into(),
            probes: vec![ProbeSpec {
                name: name("proxy"),
                kind: ProbeKind::Tcp { address: ([10, 1, 0, 1], 3128).into() },
                interval: Duration::from_millis(500),
                timeout: Duration::from_millis(200),
                rise: 2,
                fall: 3,
            }],
        }],
        ingress: Some(way("front")),
        egress: Some(way("back")),
        policy: PoolPolicy { max_out: Some(1), ..PoolPolicy::default() },
    }
}

fn change() -> ChangeMember {
    ChangeMember {
        pool: name("proxies"),
        member: name("px-a"),
        expected: Some(Token(17)),
        reason: "planned work".to_owned(),
        because: vec![PoolReason::Seen(reason()), PoolReason::Stable { member: name("px-a") }],
        evidence: evidence(),
    }
}

pub(super) fn bodies() -> Vec<CommandBody> {
    let (pool, member) = (|| name("proxies"), || name("px-a"));
    let all = [
        PoolCommand::Put(spec()),
        PoolCommand::Remove(pool()),
        PoolCommand::RecordVerdict {
            pool: pool(),
            member: member(),
            verdict: Verdict::Down,
            evidence: evidence(),
        },
        PoolCommand::TakeOut(change()),
        PoolCommand::PutIn(change()),
        PoolCommand::RecordPlacement(RecordPlacement {
            pool: pool(),
            member: member(),
            token: Token(42),
            side: Side::Egress,
            outcome: StepOutcome::Failed { error: "412".to_owned() },
            calls: Vec::new(),
            took: Duration::from_millis(90),
        }),
        PoolCommand::RecordHold { pool: pool(), hold: Some(PoolReason::AllDown) },
        PoolCommand::RecordDrift {
            pool: pool(),
            member: member(),
            side: Side::Ingress,
            drift: Some("is not in it".to_owned()),
        },
    ];
    all.into_iter().map(CommandBody::Pool).collect()
}

/// With a change under way.
pub(super) fn pool() -> Pool {
    let at = WallTime(1_700_000_000_000);
    let mut pool = Pool::new(spec(), 40, at);
    pool.token = Token(42);
    let step = |side, done| PlacementStep { side, done, attempts: 1, took: Duration::ZERO, error: None };
    let leaving = Change {
        token: Token(42),
        actor: Actor::Coordinator(NodeId(1)),
        reason: String::new(),
        because: vec![PoolReason::Seen(reason())],
        started: at,
        steps: vec![step(Side::Ingress, Some(at)), step(Side::Egress, None)],
    };
    if let Some(member) = pool.members.get_mut(&name::<coordinator_core::ids::ApplianceName>("px-a")) {
        member.standing = Standing::Leaving(leaving);
        member.left.push_back(at);
    }
    pool
}
