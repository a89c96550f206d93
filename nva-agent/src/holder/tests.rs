//! The holder with interfaces that are a list in memory.

use std::sync::{Arc, Mutex};

use coordinator_api::agent::{AgentGroup, Peer};
use coordinator_api::peer::{PromiseReply, PromiseRequest};
use coordinator_core::ids::{ApplianceName, BindingName, GroupName, NodeId};
use coordinator_core::model::{GateProtocol, GateSpec};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;

mod gates;

const TTL: Duration = Duration::from_millis(600);
/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct World {
    up: Vec<String>,
    open: Vec<u16>,
    announced: usize,
    faults: Vec<String>,
    refuse_to_add: Option<String>,
    refuse_to_remove: Option<String>,
}

#[derive(Clone, Default)]
struct FakeInterfaces(Arc<Mutex<World>>);

impl Enforcer for FakeInterfaces {
    async fn faults(&mut self, vips: &[VipAssignment], _ttl: Duration) -> Vec<String> {
        if vips.is_empty() { Vec::new() } else { self.0.lock().unwrap().faults.clone() }
    }

    async fn hold(&mut self, vips: &[VipAssignment], now: Mono, deadline: Mono) -> Result<Up, String> {
        assert!(now < deadline, "held past the deadline");
        let mut world = self.0.lock().unwrap();
        if let Some(fault) = &world.refuse_to_add {
            return Err(fault.clone());
        }
        let before = world.up.len();
        for vip in vips {
            let vip = vip.address.to_string();
            if !world.up.contains(&vip) {
                world.up.push(vip);
            }
        }
        Ok(Up::Yes { fresh: world.up.len() > before })
    }

    async fn clear(&mut self, vips: &[VipAssignment]) -> Result<(), String> {
        let mut world = self.0.lock().unwrap();
        if let Some(fault) = &world.refuse_to_remove {
            return Err(fault.clone());
        }
        world.up.retain(|up| !vips.iter().any(|vip| vip.address.to_string() == *up));
        Ok(())
    }

    fn announce(&mut self, vips: &[VipAssignment]) -> Result<(), String> {
        self.0.lock().unwrap().announced += vips.len();
        Ok(())
    }

    async fn gate_faults(&mut self, gates: &[GateAssignment], _ttl: Duration) -> Vec<String> {
        if gates.is_empty() { Vec::new() } else { self.0.lock().unwrap().faults.clone() }
    }

    async fn open_gates(&mut self, gates: &[GateAssignment], deadline: Mono) -> Result<Up, String> {
        assert!(clock::now() < deadline, "opened past the deadline");
        let mut world = self.0.lock().unwrap();
        if let Some(fault) = &world.refuse_to_add {
            return Err(fault.clone());
        }
        world.open = gates.iter().map(|assigned| assigned.gate.port).collect();
        Ok(Up::Yes { fresh: false })
    }

    fn shut_gates(&mut self) {
        self.0.lock().unwrap().open.clear();
    }

    async fn retire(&mut self) {
        assert_eq!(self.0.lock().unwrap().open, [0; 0], "only after everything was shut");
        assert_eq!(self.0.lock().unwrap().up, [""; 0], "only after everything was cleared");
    }
}

/// A holder at work, with the leader's side in the test's hands.
struct Bench {
    directory: TempDir,
    interfaces: FakeInterfaces,
    answers: mpsc::Sender<Answer>,
    peers: mpsc::Sender<PeerEvent>,
    stop: watch::Sender<bool>,
    standing: watch::Receiver<Standing>,
    task: JoinHandle<()>,
}

impl Bench {
    fn start(interfaces: FakeInterfaces) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), interfaces)
    }

    fn start_in(directory: TempDir, interfaces: FakeInterfaces) -> Self {
        let appliance = ApplianceName::new("fw-a").unwrap();
        let store = TokenStore::open(directory.path(), "c1", &appliance).unwrap();
        let (answers, answered) = mpsc::channel(8);
        let (stop, stopped) = watch::channel(false);
        let (standing, receiver) = watch::channel(Standing::default());
        let (peers, heard) = mpsc::channel(8);
        let holder = Holder::new(store, interfaces.clone(), standing);
        let task = tokio::spawn(holder.run(answered, heard, stopped));
        Bench { directory, interfaces, answers, peers, stop, standing: receiver, task }
    }

    async fn says(&self, instruction: Instruction, vips: &[&str]) {
        self.declares(1, false, instruction, vips).await;
    }

    async fn declares(&self, revision: u64, failsafe: bool, instruction: Instruction, vips: &[&str]) {
        self.declares_gates(revision, failsafe, instruction, (vips, &[])).await;
    }

    async fn declares_gates(
        &self,
        revision: u64,
        failsafe: bool,
        instruction: Instruction,
        (vips, gates): (&[&str], &[u16]),
    ) {
        let group = AgentGroup {
            name: GroupName::new("dmz").unwrap(),
            revision,
            ttl_ms: u64::try_from(TTL.as_millis()).unwrap(),
            vips: vips.iter().map(|address| vip(address)).collect(),
            gates: gates.iter().copied().map(gate).collect(),
            failsafe,
            drift_ppm: 0,
            peers: vec![Peer { appliance: peer(), addresses: Vec::new() }],
        };
        let reply = AgentReply {
            node: NodeId(1),
            leader: Some(NodeId(1)),
            instruction,
            group: Some(group),
            handover: None,
        };
        self.answers.send(Answer { sent_at: clock::now(), reply }).await.unwrap();
    }

    /// A peer that holds under `token` asks for a promise of the whole lease.
    async fn asks(&self, token: u64) -> PromiseReply {
        let (reply, replied) = oneshot::channel();
        let request = PromiseRequest {
            appliance: peer(),
            group: GroupName::new("dmz").unwrap(),
            token: Token(token),
            for_ms: u64::try_from(TTL.as_millis()).unwrap(),
        };
        self.peers.send(PeerEvent::Asked { request, reply }).await.unwrap();
        tokio::time::timeout(PATIENCE, replied).await.unwrap().unwrap()
    }

    async fn grants(&self, token: u64, vips: &[&str]) {
        let ttl_ms = u64::try_from(TTL.as_millis()).unwrap();
        self.says(Instruction::Grant { token: Token(token), ttl_ms }, vips).await;
    }

    async fn until(&mut self, what: &str, condition: impl Fn(&Standing) -> bool) -> Standing {
        let waited = tokio::time::timeout(PATIENCE, self.standing.wait_for(|s| condition(s))).await;
        waited.unwrap_or_else(|_| panic!("not in time: {what}")).unwrap().clone()
    }

    fn up(&self) -> Vec<String> {
        self.interfaces.0.lock().unwrap().up.clone()
    }

    async fn stop(self) -> TempDir {
        self.stop.send_replace(true);
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap();
        self.directory
    }
}

fn peer() -> ApplianceName {
    ApplianceName::new("fw-b").unwrap()
}

fn vip(address: &str) -> VipAssignment {
    VipAssignment {
        binding: BindingName::new("front").unwrap(),
        address: address.parse().unwrap(),
        prefix_len: 24,
        interface: "eth0".to_owned(),
    }
}

fn gate(port: u16) -> GateAssignment {
    let gate = GateSpec { port, protocol: GateProtocol::Tcp, from: Vec::new() };
    GateAssignment { binding: BindingName::new("balanced").unwrap(), gate }
}

#[tokio::test]
async fn a_grant_brings_the_vips_up_and_standby_takes_them_down() {
    let mut bench = Bench::start(FakeInterfaces::default());
    bench.grants(5, &["10.0.0.9", "fd00::9"]).await;
    let standing = bench.until("up", |s| s.vips_up).await;
    assert_eq!((standing.highest, standing.holding), (Token(5), Some(Token(5))));
    assert_eq!(bench.up(), ["10.0.0.9", "fd00::9"]);
    bench.says(Instruction::Standby { token: Token(6) }, &["10.0.0.9", "fd00::9"]).await;
    let standing = bench.until("down", |s| s.highest == Token(6)).await;
    assert_eq!(standing.holding, None);
    assert_eq!(bench.up(), [""; 0]);
    assert!(bench.interfaces.0.lock().unwrap().announced >= 2);
    bench.stop().await;
}

#[tokio::test]
async fn without_renewals_the_vips_go_before_the_deadline() {
    let mut bench = Bench::start(FakeInterfaces::default());
    let granted = clock::now();
    bench.grants(5, &["10.0.0.9"]).await;
    bench.until("up", |s| s.vips_up).await;
    bench.until("down", |s| s.holding.is_none()).await;
    assert_eq!(bench.up(), [""; 0]);
    let took = clock::now().since(granted);
    // Released a tenth early, so late by more than that is late.
    assert!(took >= TTL - TTL / 10 && took < TTL + Duration::from_millis(200), "{took:?}");
    bench.stop().await;
}

#[tokio::test]
async fn a_group_without_vips_holds_the_role_alone() {
    let mut bench = Bench::start(FakeInterfaces::default());
    bench.grants(5, &[]).await;
    let standing = bench.until("held", |s| s.holding == Some(Token(5))).await;
    assert_eq!(standing.faults, [""; 0]);
    bench.stop().await;
}

#[tokio::test]
async fn a_fault_of_an_interface_keeps_the_lease_away() {
    let interfaces = FakeInterfaces::default();
    interfaces.0.lock().unwrap().faults.push("eth0 is down".to_owned());
    let mut bench = Bench::start(interfaces);
    bench.grants(5, &["10.0.0.9"]).await;
    let standing = bench.until("told", |s| !s.faults.is_empty()).await;
    assert_eq!((standing.holding, standing.vips_up), (None, false));
    assert_eq!(standing.faults, ["eth0 is down"]);
    bench.grants(5, &["10.0.0.9"]).await;
    bench.grants(5, &["10.0.0.9"]).await;
    assert_eq!(bench.up(), [""; 0]);
    bench.stop().await;
}

#[tokio::test]
async fn a_corrected_declaration_is_taken_in_while_a_fault_keeps_the_lease_away() {
    let interfaces = FakeInterfaces::default();
    interfaces.0.lock().unwrap().faults.push("there is no eth9".to_owned());
    let mut bench = Bench::start(interfaces.clone());
    bench.grants(5, &["10.0.0.9"]).await;
    bench.until("told", |s| !s.faults.is_empty()).await;
    interfaces.0.lock().unwrap().faults.clear();
    bench.grants(5, &["10.0.0.8"]).await;
    bench.until("up", |s| s.vips_up && s.vips == [vip("10.0.0.8")]).await;
    assert_eq!(bench.up(), ["10.0.0.8"]);
    bench.stop().await;
}

#[tokio::test]
async fn a_link_that_goes_down_gives_up_the_lease() {
    let mut bench = Bench::start(FakeInterfaces::default());
    bench.grants(5, &["10.0.0.9"]).await;
    bench.until("up", |s| s.vips_up).await;
    bench.interfaces.0.lock().unwrap().faults.push("eth0 has no carrier".to_owned());
    let standing = bench.until("given up", |s| s.holding.is_none()).await;
    assert_eq!(standing.faults, ["eth0 has no carrier"]);
    assert_eq!(bench.up(), [""; 0]);
    bench.stop().await;
}

#[tokio::test]
async fn the_first_grant_after_a_link_came_back_is_taken() {
    let mut bench = Bench::start(FakeInterfaces::default());
    bench.interfaces.0.lock().unwrap().faults.push("eth0 has no carrier".to_owned());
    bench.grants(5, &["10.0.0.9"]).await;
    bench.until("told", |s| !s.faults.is_empty()).await;
    bench.interfaces.0.lock().unwrap().faults.clear();
    bench.until("ready", |s| s.faults.is_empty()).await;
    bench.grants(5, &["10.0.0.9"]).await;
    bench.until("up", |s| s.vips_up).await;
    bench.stop().await;
}

#[tokio::test]
async fn what_cannot_be_added_is_never_reported_as_held() {
    let interfaces = FakeInterfaces::default();
    interfaces.0.lock().unwrap().refuse_to_add = Some("not permitted".to_owned());
    let mut bench = Bench::start(interfaces);
    bench.grants(5, &["10.0.0.9"]).await;
    let standing = bench.until("told", |s| !s.faults.is_empty()).await;
    assert_eq!((standing.holding, standing.vips_up), (None, false));
    bench.stop().await;
}

#[tokio::test]
async fn what_cannot_be_removed_is_reported_as_held() {
    let mut bench = Bench::start(FakeInterfaces::default());
    bench.grants(5, &["10.0.0.9"]).await;
    bench.until("up", |s| s.vips_up).await;
    bench.interfaces.0.lock().unwrap().refuse_to_remove = Some("netlink hangs".to_owned());
    bench.says(Instruction::Standby { token: Token(6) }, &["10.0.0.9"]).await;
    let standing = bench.until("told", |s| s.highest == Token(6) && !s.faults.is_empty()).await;
    assert_eq!((standing.holding, standing.vips_up), (Some(Token(6)), false));
    bench.interfaces.0.lock().unwrap().refuse_to_remove = None;
    bench.until("removed after all", |s| s.holding.is_none() && s.faults.is_empty()).await;
    bench.stop().await;
}

#[tokio::test]
async fn what_an_earlier_life_left_is_cleared_before_anything_else() {
    let mut bench = Bench::start(FakeInterfaces::default());
    bench.grants(5, &["10.0.0.9"]).await;
    bench.until("up", |s| s.vips_up).await;
    // Killed: nothing is released.
    bench.task.abort();
    let Bench { directory, interfaces, task, .. } = bench;
    assert!(task.await.unwrap_err().is_cancelled());
    let mut bench = Bench::start_in(directory, interfaces);
    let standing = bench.until("started", |s| s.highest == Token(5)).await;
    assert_eq!(standing.holding, None);
    assert_eq!(bench.up(), [""; 0]);
    bench.stop().await;
}

#[tokio::test]
async fn an_address_that_is_no_longer_declared_goes() {
    let mut bench = Bench::start(FakeInterfaces::default());
    bench.grants(5, &["10.0.0.9", "10.0.0.8"]).await;
    bench.until("up", |s| s.vips_up && s.vips.len() == 2).await;
    bench.grants(5, &["10.0.0.8", "10.0.0.7"]).await;
    bench.until("changed", |s| s.vips_up && s.vips == [vip("10.0.0.8"), vip("10.0.0.7")]).await;
    assert_eq!(bench.up(), ["10.0.0.8", "10.0.0.7"]);
    bench.stop().await;
}

#[tokio::test]
async fn a_full_disk_keeps_the_lease_away_until_there_is_room() {
    let mut bench = Bench::start(FakeInterfaces::default());
    let obstacle = bench.directory.path().join("agent.state.new");
    std::fs::create_dir(&obstacle).unwrap();
    bench.grants(5, &["10.0.0.9"]).await;
    let standing = bench.until("told", |s| !s.faults.is_empty()).await;
    assert_eq!((standing.highest, standing.holding), (Token::NONE, None));
    assert!(standing.faults[0].contains("agent.state.new"), "{:?}", standing.faults);
    std::fs::remove_dir(&obstacle).unwrap();
    bench.until("room again", |s| s.faults.is_empty()).await;
    bench.grants(5, &["10.0.0.9"]).await;
    bench.until("up", |s| s.vips_up).await;
    bench.stop().await;
}

#[tokio::test]
async fn stopping_releases() {
    let mut bench = Bench::start(FakeInterfaces::default());
    bench.grants(5, &["10.0.0.9"]).await;
    bench.until("up", |s| s.vips_up).await;
    let (interfaces, standing) = (bench.interfaces.clone(), bench.standing.clone());
    bench.stop().await;
    assert_eq!(interfaces.0.lock().unwrap().up, [""; 0]);
    assert_eq!(standing.borrow().holding, None);
}

#[tokio::test]
async fn a_promise_is_on_disk_before_it_is_given_and_keeps_the_lease_away_until_it_is_over() {
    let mut bench = Bench::start(FakeInterfaces::default());
    bench.says(Instruction::Standby { token: Token(5) }, &["10.0.0.9"]).await;
    bench.until("told", |s| s.highest == Token(5)).await;
    let given = bench.asks(5).await;
    let asked = clock::now();
    assert!(given.promised, "{given:?}");
    let file = std::fs::read_to_string(bench.directory.path().join("agent.state")).unwrap();
    assert!(file.contains("\"promised_ms\": 601"), "{file}");
    while clock::now().since(asked) < TTL / 2 {
        bench.grants(5, &["10.0.0.9"]).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(bench.up(), [""; 0]);
    }
    while bench.up().is_empty() {
        assert!(clock::now().since(asked) < PATIENCE, "not up in time");
        bench.grants(5, &["10.0.0.9"]).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bench.stop().await;
}

#[tokio::test]
async fn what_may_still_be_up_is_a_reason_to_promise_nothing() {
    let mut bench = Bench::start(FakeInterfaces::default());
    bench.grants(5, &["10.0.0.9"]).await;
    bench.until("up", |s| s.vips_up).await;
    bench.interfaces.0.lock().unwrap().refuse_to_remove = Some("netlink hangs".to_owned());
    bench.says(Instruction::Standby { token: Token(6) }, &["10.0.0.9"]).await;
    bench.until("told", |s| s.highest == Token(6) && !s.faults.is_empty()).await;
    let refused = bench.asks(6).await;
    assert!(!refused.promised && refused.why.contains("may still be up"), "{refused:?}");
    bench.interfaces.0.lock().unwrap().refuse_to_remove = None;
    bench.until("removed after all", |s| s.holding.is_none() && s.faults.is_empty()).await;
    assert!(bench.asks(6).await.promised);
    bench.stop().await;
}

#[tokio::test]
async fn a_full_disk_promises_nothing_until_there_is_room() {
    let mut bench = Bench::start(FakeInterfaces::default());
    bench.says(Instruction::Standby { token: Token(5) }, &[]).await;
    bench.until("told", |s| s.highest == Token(5)).await;
    let obstacle = bench.directory.path().join("agent.state.new");
    std::fs::create_dir(&obstacle).unwrap();
    let refused = bench.asks(5).await;
    assert!(!refused.promised && refused.why.contains("could not be stored"), "{refused:?}");
    std::fs::remove_dir(&obstacle).unwrap();
    assert!(bench.asks(5).await.promised);
    bench.stop().await;
}

#[tokio::test]
async fn failsafe_that_was_given_up_stays_so_in_the_next_life() {
    let mut bench = Bench::start(FakeInterfaces::default());
    let standby = Instruction::Standby { token: Token(3) };
    bench.declares(5, true, standby, &["10.0.1.100"]).await;
    bench.until("acts on the first declaration", |s| s.acknowledged == 5).await;
    bench.declares(8, false, standby, &["10.0.1.100"]).await;
    bench.until("has given failsafe up", |s| s.acknowledged == 8).await;
    let mut bench = Bench::start_in(bench.stop().await, FakeInterfaces::default());
    // A deposed leader that does not know of the newer declaration.
    bench.declares(5, true, Instruction::Standby { token: Token(4) }, &["10.0.1.100"]).await;
    let standing = bench.until("has heard it", |s| s.highest == Token(4)).await;
    assert_eq!((standing.group, standing.acknowledged), (None, 8), "an older declaration counts again");
    bench.declares(9, true, standby, &["10.0.1.100"]).await;
    bench.until("acts on the newest", |s| s.acknowledged == 9 && s.group.is_some()).await;
    bench.stop().await;
}

#[tokio::test]
async fn nothing_is_said_to_be_up_while_only_an_older_declaration_came_with_the_grant() {
    let mut bench = Bench::start(FakeInterfaces::default());
    bench.declares(8, false, Instruction::Standby { token: Token(3) }, &["10.0.1.100"]).await;
    bench.until("has given failsafe up", |s| s.acknowledged == 8).await;
    let mut bench = Bench::start_in(bench.stop().await, FakeInterfaces::default());
    let ttl_ms = u64::try_from(TTL.as_millis()).unwrap();
    let grant = Instruction::Grant { token: Token(4), ttl_ms };
    // A deposed leader that does not know of the newer declaration.
    bench.declares(5, true, grant, &["10.0.1.100"]).await;
    let standing = bench.until("holds", |s| s.holding == Some(Token(4))).await;
    assert!(!standing.vips_up && bench.up().is_empty(), "{standing:?}");
    bench.declares(8, false, grant, &["10.0.1.100"]).await;
    bench.until("up", |s| s.vips_up).await;
    bench.stop().await;
}

#[tokio::test]
async fn failsafe_is_not_said_to_be_given_up_before_that_is_on_disk() {
    let mut bench = Bench::start(FakeInterfaces::default());
    let standby = Instruction::Standby { token: Token(3) };
    bench.declares(5, true, standby, &[]).await;
    bench.until("acts on the first declaration", |s| s.acknowledged == 5 && s.highest == Token(3)).await;
    let in_the_way = bench.directory.path().join("agent.state.new");
    std::fs::create_dir(&in_the_way).unwrap();
    bench.declares(8, false, standby, &[]).await;
    bench.until("has heard it", |s| s.group.as_ref().is_some_and(|g| g.revision == 8)).await;
    bench.declares(8, false, Instruction::Standby { token: Token(4) }, &[]).await;
    let standing = bench.until("says what is wrong", |s| !s.faults.is_empty()).await;
    assert_eq!(standing.acknowledged, 5);
    std::fs::remove_dir(&in_the_way).unwrap();
    bench.until("has given failsafe up", |s| s.acknowledged == 8 && s.faults.is_empty()).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_full_disk_does_not_make_a_healthy_active_faulty_when_its_declaration_changes() {
    let mut bench = Bench::start(FakeInterfaces::default());
    bench.grants(5, &["10.0.0.9"]).await;
    bench.until("up", |s| s.vips_up && s.acknowledged == 1).await;
    let in_the_way = bench.directory.path().join("agent.state.new");
    std::fs::create_dir(&in_the_way).unwrap();
    let ttl_ms = u64::try_from(TTL.as_millis()).unwrap();
    for _ in 0..10 {
        bench.declares(2, false, Instruction::Grant { token: Token(5), ttl_ms }, &["10.0.0.9"]).await;
        tokio::time::sleep(TTL / 10).await;
        let standing = bench.standing.borrow().clone();
        assert_eq!((standing.vips_up, standing.faults, standing.acknowledged), (true, Vec::new(), 1));
    }
    std::fs::remove_dir(&in_the_way).unwrap();
    bench.until("is told", |s| s.acknowledged == 2).await;
    bench.stop().await;
}
