//! An agent and coordinators that do as the test says, over plain HTTP on loopback, without VIPs:
//! the lease alone.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod support;

use std::time::{Duration, Instant};

use coordinator_api::agent::{AgentReport, Instruction};
use coordinator_core::ids::Token;
use nva_agent::{Agent, Coordinator, Error, Handle, Stop};
use support::{FakeCoordinator, PATIENCE, eventually, options, vip};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const TTL: Duration = Duration::from_millis(1_500);

struct Running {
    directory: TempDir,
    handle: Handle,
    stop: watch::Sender<Stop>,
    task: JoinHandle<Result<(), Error>>,
}

impl Running {
    fn start(coordinators: &[&FakeCoordinator]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), coordinators)
    }

    fn start_in(directory: TempDir, coordinators: &[&FakeCoordinator]) -> Self {
        let to = |c: &&FakeCoordinator| Coordinator { node: c.node, base_url: c.base_url.clone() };
        let options = options(directory.path(), coordinators.iter().map(to).collect());
        let agent = Agent::new(options).unwrap();
        let handle = agent.handle();
        let (stop, stopped) = watch::channel(Stop::No);
        Running { directory, handle, stop, task: tokio::spawn(agent.run(stopped)) }
    }

    fn holding(&self) -> Option<Token> {
        self.handle.standing().holding
    }

    async fn stop(self) -> TempDir {
        self.stop.send_replace(Stop::Now);
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
        self.directory
    }
}

async fn declared(node: u64) -> FakeCoordinator {
    let coordinator = FakeCoordinator::start(node).await;
    coordinator.declares(TTL, &[]);
    coordinator
}

#[tokio::test]
async fn a_lease_is_granted_renewed_and_taken_back() {
    let leader = declared(1).await;
    let agent = Running::start(&[&leader]);
    leader.hears("the first report", |report| report.holding.is_none()).await;
    leader.grants(7, TTL);
    let report = leader.hears("the lease", |report| report.holding == Some(Token(7))).await;
    assert!(report.vips_up && report.faults.is_empty(), "{report:?}");
    assert_eq!(report.highest, Token(7));

    let first_deadline = agent.handle.standing().deadline.unwrap();
    eventually("a renewal", || {
        leader.newest().is_some_and(|(_, r)| r.holding == Some(Token(7)))
            && agent.handle.standing().deadline.is_some_and(|deadline| deadline > first_deadline)
    })
    .await;

    let told = Instant::now();
    leader.says(Instruction::Standby { token: Token(9) });
    leader.hears("the confirmation", |r| r.holding.is_none() && r.highest == Token(9)).await;
    // One report to be told, one at once to confirm; far below waiting for the lease to end.
    assert!(told.elapsed() < TTL, "{:?}", told.elapsed());
    let reports = leader.reports();
    assert!(reports.windows(2).all(|two| two[0].seq < two[1].seq && two[0].boot == two[1].boot));
    agent.stop().await;
}

#[tokio::test]
async fn a_change_of_leader_keeps_the_lease() {
    let (old, new) = (declared(1).await, declared(2).await);
    let agent = Running::start(&[&old, &new]);
    old.grants(7, TTL);
    new.hears("both hear of it", |report| report.holding == Some(Token(7))).await;
    old.says(Instruction::NotLeader);
    new.grants(7, TTL);
    let changed = Instant::now();
    while changed.elapsed() < TTL + Duration::from_millis(300) {
        assert_eq!(agent.holding(), Some(Token(7)));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    agent.stop().await;
}

#[tokio::test]
async fn a_deposed_leader_that_goes_on_granting_is_refused() {
    let (old, new) = (declared(1).await, declared(2).await);
    let agent = Running::start(&[&old, &new]);
    old.grants(7, TTL);
    new.hears("held", |report| report.holding == Some(Token(7))).await;
    new.says(Instruction::Standby { token: Token(9) });
    new.hears("released", |report| report.holding.is_none() && report.highest == Token(9)).await;
    let seen = old.reports().len();
    eventually("the old leader is heard a few times more", || old.reports().len() > seen + 3).await;
    assert_eq!(agent.holding(), None);
    assert!(old.reports()[seen + 1..].iter().all(|report| report.holding.is_none()));
    agent.stop().await;
}

#[tokio::test]
async fn without_any_coordinator_the_lease_ends() {
    let leader = declared(1).await;
    let agent = Running::start(&[&leader]);
    leader.grants(7, TTL);
    leader.hears("held", |report| report.holding.is_some()).await;
    let (newest, _) = leader.newest().unwrap();
    drop(leader);
    eventually("over", || agent.holding().is_none()).await;
    assert!(newest.elapsed() < TTL + Duration::from_millis(100), "{:?}", newest.elapsed());
    agent.stop().await;
}

#[tokio::test]
async fn the_highest_token_outlives_the_agent() {
    let leader = declared(1).await;
    let agent = Running::start(&[&leader]);
    leader.says(Instruction::Standby { token: Token(9) });
    leader.hears("stored", |report| report.highest == Token(9)).await;
    let directory = agent.stop().await;

    leader.grants(7, TTL);
    let boots = |leader: &FakeCoordinator| {
        let mut boots: Vec<_> = leader.reports().iter().map(|report| report.boot).collect();
        boots.dedup();
        boots.len()
    };
    let agent = Running::start_in(directory, &[&leader]);
    eventually("the new life reports", || boots(&leader) == 2).await;
    let seen = leader.reports().len();
    eventually("and goes on", || leader.reports().len() > seen + 3).await;
    let (_, report) = leader.newest().unwrap();
    assert_eq!((report.highest, report.holding), (Token(9), None));
    agent.stop().await;
}

#[tokio::test]
async fn a_graceful_stop_confirms_the_release() {
    let leader = declared(1).await;
    let agent = Running::start(&[&leader]);
    leader.grants(7, TTL);
    leader.hears("held", |report| report.holding == Some(Token(7))).await;
    agent.stop().await;
    let (_, last) = leader.newest().unwrap();
    assert_eq!((last.holding, last.highest), (None, Token(7)));
}

#[tokio::test]
async fn a_vip_on_a_missing_interface_is_a_fault_and_nothing_is_held() {
    let leader = declared(1).await;
    leader.declares(Duration::from_secs(3), &[vip("192.0.2.9", 24, "nosuch0")]);
    let agent = Running::start(&[&leader]);
    leader.grants(7, Duration::from_secs(3));
    let report = leader.hears("the fault", |report| !report.faults.is_empty()).await;
    assert!(report.faults.iter().any(|fault| fault.contains("no interface nosuch0")), "{report:?}");
    let seen = leader.reports().len();
    eventually("more reports", || leader.reports().len() > seen + 5).await;
    assert!(leader.reports()[seen..].iter().all(|report| !report.vips_up));
    leader.hears("nothing held", |report| report.holding.is_none()).await;
    agent.stop().await;
}

#[tokio::test]
async fn without_privileges_a_vip_is_a_fault_and_nothing_is_held() {
    if nix::unistd::geteuid().is_root() {
        println!("skipped: runs without root only");
        return;
    }
    let leader = declared(1).await;
    let long = Duration::from_secs(3);
    leader.declares(long, &[vip("192.0.2.9", 32, "lo")]);
    let agent = Running::start(&[&leader]);
    leader.grants(7, long);
    let says = |report: &AgentReport, text| report.faults.iter().any(|fault| fault.contains(text));
    let report = leader.hears("the fault", |report| says(report, "CAP_NET_ADMIN")).await;
    assert!(says(&report, "CAP_NET_RAW"), "{report:?}");
    leader.hears("nothing held", |report| report.holding.is_none()).await;
    assert!(leader.reports().iter().all(|report| !report.vips_up));
    agent.stop().await;
}

#[tokio::test]
async fn a_reply_from_another_node_is_not_taken() {
    let leader = declared(1).await;
    leader.grants(7, TTL);
    let coordinator =
        Coordinator { node: coordinator_core::ids::NodeId(5), base_url: leader.base_url.clone() };
    let directory = tempfile::tempdir().unwrap();
    let agent = Agent::new(options(directory.path(), vec![coordinator])).unwrap();
    let handle = agent.handle();
    let (stop, stopped) = watch::channel(Stop::No);
    let task = tokio::spawn(agent.run(stopped));
    eventually("noticed", || {
        handle.coordinators().values().any(|c| c.error.as_ref().is_some_and(|e| e.contains("node 1 answers")))
    })
    .await;
    assert_eq!(handle.standing().holding, None);
    stop.send_replace(Stop::Now);
    tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap().unwrap();
}
