//! What the server, the data plane and [`Running`](super::Running) share: the cloud behind a lock,
//! the clock that it is told, and the tasks.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;

use super::cloud::{Cloud, Refusal};
use super::dataplane;
use super::faults::{Fate, FaultPlan};
use super::model::{CallSeen, Carried, CarriedBy, Machine, Nic, RouteTable, Topology};

/// Most calls kept; the oldest go first.
const CALLS: usize = 10_000;

/// What the server, the data plane and [`Running`](super::Running) share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) token: Option<String>,
    started: Instant,
    inner: Mutex<Inner>,
    data_plane: BTreeMap<Carried, SocketAddr>,
    /// The cloud has new work to finish at some time.
    work_changed: Notify,
    stop: watch::Sender<bool>,
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Debug, Default)]
struct Inner {
    cloud: Cloud,
    faults: FaultPlan,
    arrived: u64,
    calls: VecDeque<CallSeen>,
    ways: BTreeMap<Carried, Way>,
}

/// A data plane listener.
#[derive(Debug)]
struct Way {
    address: SocketAddr,
    target: watch::Sender<Option<SocketAddr>>,
}

/// A call of the API.
#[derive(Debug)]
pub(super) enum Call {
    GetNic(String),
    GetPublicIp(String),
    GetTable(String),
    PutNic { name: String, if_match: Option<String>, nic: Nic },
    PutTable { name: String, if_match: Option<String>, table: RouteTable },
    GetMachine(String),
    PutMachine { name: String, if_match: Option<String>, machine: Machine },
}

/// What a successful call gives.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) etag: String,
    pub(super) document: Value,
}

/// Where the data plane listens for something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ListensFor {
    what: Carried,
    address: SocketAddr,
}

impl Call {
    fn is_write(&self) -> bool {
        matches!(self, Call::PutNic { .. } | Call::PutTable { .. } | Call::PutMachine { .. })
    }

    fn words(&self) -> String {
        match self {
            Call::GetNic(name) => format!("GET nics/{name}"),
            Call::GetPublicIp(name) => format!("GET public-ips/{name}"),
            Call::GetTable(name) => format!("GET route-tables/{name}"),
            Call::PutNic { name, .. } => format!("PUT nics/{name}"),
            Call::PutTable { name, .. } => format!("PUT route-tables/{name}"),
            Call::GetMachine(name) => format!("GET machines/{name}"),
            Call::PutMachine { name, .. } => format!("PUT machines/{name}"),
        }
    }
}

impl Shared {
    pub(super) fn new(
        token: Option<String>,
        faults: FaultPlan,
        data_plane: BTreeMap<Carried, SocketAddr>,
    ) -> Self {
        Shared {
            token,
            started: Instant::now(),
            inner: Mutex::new(Inner { faults, ..Inner::default() }),
            data_plane,
            work_changed: Notify::new(),
            stop: watch::Sender::new(false),
            tasks: Mutex::new(JoinSet::new()),
        }
    }

    /// Counts a call and draws its fate.
    pub(super) fn arrive(&self, call: &Call) -> (u64, Fate) {
        let mut inner = self.lock();
        inner.arrived += 1;
        let number = inner.arrived;
        let seen = CallSeen {
            number,
            at: self.started.elapsed(),
            call: call.words(),
            result: "under way".to_owned(),
        };
        inner.calls.push_back(seen);
        if inner.calls.len() > CALLS {
            inner.calls.pop_front();
        }
        (number, inner.faults.fate(number, call.is_write()))
    }

    pub(super) fn note_result(&self, number: u64, result: &Result<Answer, Refusal>, remark: &str) {
        let words = match result {
            Ok(_) => format!("200{remark}"),
            Err(refusal) => format!("{} {}{remark}", refusal.status, refusal.code),
        };
        if let Some(seen) = self.lock().calls.iter_mut().rev().find(|seen| seen.number == number) {
            seen.result = words;
        }
    }

    pub(super) fn carry_out(&self, call: Call, takes: Duration) -> Result<Answer, Refusal> {
        let (mut inner, now) = self.now();
        let cloud = &mut inner.cloud;
        let answer = match call {
            Call::GetNic(name) => cloud.nic(&name).map(|nic| answer(&nic.etag, nic)),
            Call::GetPublicIp(name) => cloud.public_ip(&name).map(|ip| answer(&ip.etag, ip)),
            Call::GetTable(name) => cloud.route_table(&name).map(|table| answer(&table.etag, table)),
            Call::PutNic { name, if_match, nic } => {
                cloud.put_nic(now, &name, if_match.as_deref(), nic, takes).map(|nic| answer(&nic.etag, &nic))
            }
            Call::PutTable { name, if_match, table } => {
                let put = cloud.put_route_table(now, &name, if_match.as_deref(), table, takes);
                put.map(|table| answer(&table.etag, &table))
            }
            Call::GetMachine(name) => cloud.machine(&name).map(|machine| answer(&machine.etag, machine)),
            Call::PutMachine { name, if_match, machine } => {
                let put = cloud.put_machine(now, &name, if_match.as_deref(), machine, takes);
                put.map(|machine| answer(&machine.etag, &machine))
            }
        };
        inner.redirect();
        drop(inner);
        self.work_changed.notify_one();
        answer?
    }

    pub(super) async fn add(&self, topology: Topology) -> Result<(), Refusal> {
        let mut wanted: Vec<Carried> =
            topology.public_ips.iter().map(|ip| Carried::PublicIp(ip.name.clone())).collect();
        for table in &topology.route_tables {
            wanted.extend(
                table
                    .routes
                    .iter()
                    .map(|route| Carried::Route { table: table.name.clone(), route: route.name.clone() }),
            );
        }
        let mut bound = Vec::with_capacity(wanted.len());
        for what in wanted {
            let address = self.data_plane.get(&what).copied().unwrap_or_else(any_port);
            let listener = TcpListener::bind(address).await;
            let listener = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
            let (address, listener) = listener.map_err(|error| {
                Refusal::new(500, "NoPort", format!("could not listen on {address} for {what}: {error}"))
            })?;
            bound.push((what, address, listener));
        }
        let (mut inner, now) = self.now();
        inner.cloud.add(now, topology)?;
        for (what, address, listener) in bound {
            let target = watch::Sender::new(None);
            let forwarding = dataplane::forward(listener, target.subscribe());
            inner.ways.insert(what, Way { address, target });
            self.spawn(forwarding);
        }
        inner.redirect();
        Ok(())
    }

    pub(super) fn set_faults(&self, plan: FaultPlan) {
        self.lock().faults = plan;
    }

    pub(super) fn calls(&self) -> Vec<CallSeen> {
        self.lock().calls.iter().cloned().collect()
    }

    pub(super) fn calls_arrived(&self) -> u64 {
        self.lock().arrived
    }

    pub(super) fn history(&self) -> Vec<CarriedBy> {
        self.look(|cloud| cloud.history().cloned().collect())
    }

    /// Looks at the cloud as it is at this moment.
    pub(super) fn look<T>(&self, at: impl FnOnce(&Cloud) -> T) -> T {
        at(&self.now().0.cloud)
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) fn listeners(&self) -> Vec<ListensFor> {
        let inner = self.lock();
        inner.ways.iter().map(|(what, way)| ListensFor { what: what.clone(), address: way.address }).collect()
    }

    pub(super) fn listener(&self, what: &Carried) -> Option<SocketAddr> {
        self.lock().ways.get(what).map(|way| way.address)
    }

    /// Runs `work` until it ends or the cloud stops.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        if !*self.stop.borrow() {
            tasks.spawn(work);
        }
    }

    /// Runs `work` whatever becomes of the caller, and waits for its result; `None` when the
    /// cloud stopped first.
    pub(super) async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (done, result) = oneshot::channel();
        self.spawn(async move {
            let _ = done.send(work.await);
        });
        result.await.ok()
    }

    pub(super) fn stopped(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }

    /// The cloud as it is at this moment, and the moment.
    fn now(&self) -> (MutexGuard<'_, Inner>, Duration) {
        let mut inner = self.lock();
        let now = self.started.elapsed();
        inner.cloud.advance(now);
        inner.redirect();
        (inner, now)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Points the data plane at what carries each thing now.
    fn redirect(&self) {
        for (what, way) in &self.ways {
            let target = self.cloud.forward_to(what);
            way.target.send_if_modified(|now| std::mem::replace(now, target) != target);
        }
    }
}

/// Lets the cloud's work take effect when it is due, even if nobody calls.
pub(super) async fn advance_when_due(shared: Weak<Shared>) {
    // Upper bound of a sleep, so that a stopped cloud is let go of.
    const LONGEST: Duration = Duration::from_secs(1);
    loop {
        let Some(strong) = shared.upgrade() else { return };
        let wait = {
            let (inner, now) = strong.now();
            inner.cloud.next_due().map_or(LONGEST, |due| due.saturating_sub(now).min(LONGEST))
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = strong.work_changed.notified() => {}
        }
    }
}

fn answer(etag: &str, document: &impl Serialize) -> Result<Answer, Refusal> {
    let document = serde_json::to_value(document)
        .map_err(|error| Refusal::new(500, "NotJson", format!("the document cannot be written: {error}")))?;
    Ok(Answer { etag: etag.to_owned(), document })
}

/// A loopback address with a port of the system's choosing.
pub(super) fn any_port() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
}
