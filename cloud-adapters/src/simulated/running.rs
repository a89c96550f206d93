//! A running simulated cloud.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::cloud::Refusal;
use super::faults::FaultPlan;
use super::model::{CallSeen, Carried, CarriedBy, Machine, Nic, PublicIp, RouteTable, Topology};
use super::server;
use super::shared::{Shared, advance_when_due, any_port};

/// How long [`Running::shutdown`] waits for answers under way.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// How to start a simulated cloud.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the API listens; a loopback address. Default `127.0.0.1:0`.
    pub listen: SocketAddr,
    /// The bearer token that each call must carry. Default: none.
    pub token: Option<String>,
    /// What exists from the start.
    pub topology: Topology,
    /// What goes wrong from the start.
    pub faults: FaultPlan,
    /// Where the data plane listens, for what is not to get a port of the system's choosing.
    /// Loopback addresses.
    pub data_plane: BTreeMap<Carried, SocketAddr>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            listen: any_port(),
            token: None,
            topology: Topology::default(),
            faults: FaultPlan::default(),
            data_plane: BTreeMap::new(),
        }
    }
}

/// Why a simulated cloud did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It is a tool for tests and has no place in a network.
    #[error("the simulated cloud listens on loopback addresses only, and {0} is none")]
    NotLoopback(SocketAddr),
    /// The address is taken, or not ours.
    #[error("could not listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The topology breaks a rule, or a port for it is missing.
    #[error("could not create the topology")]
    Topology(#[source] Refusal),
}

/// Starts simulated clouds.
#[derive(Debug)]
pub struct SimulatedCloud;

impl SimulatedCloud {
    /// Starts one. It stops when [`Running`] is dropped.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(options: Options) -> Result<Running, StartError> {
        let Options { listen, token, topology, faults, data_plane } = options;
        if let Some(address) =
            data_plane.values().chain([&listen]).find(|address| !address.ip().is_loopback())
        {
            return Err(StartError::NotLoopback(*address));
        }
        let failed = |source| StartError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared::new(token, faults, data_plane));
        shared.add(topology).await.map_err(StartError::Topology)?;
        let mut stopped = shared.stopped();
        let app = server::router(shared.clone());
        let serve = axum::serve(listener, app).with_graceful_shutdown(async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        });
        let (served, served_to_the_end) = oneshot::channel();
        // Not one of `tasks`: it ends by itself once it is told to, after the last answer.
        tokio::spawn(async move {
            if let Err(error) = serve.await {
                tracing::warn!(%error, "the simulated cloud stopped serving");
            }
            let _ = served.send(());
        });
        let clock = Arc::downgrade(&shared);
        shared.spawn(advance_when_due(clock));
        Ok(Running { address, shared, served: Some(served_to_the_end) })
    }
}

/// A running simulated cloud. Stops when dropped.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    shared: Arc<Shared>,
    served: Option<oneshot::Receiver<()>>,
}

impl Running {
    /// What an adapter needs: `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds resources, all or none, with data plane listeners for them.
    ///
    /// # Errors
    /// [`Refusal`] when the topology breaks a rule, or no port could be opened.
    pub async fn add(&self, topology: Topology) -> Result<(), Refusal> {
        self.shared.add(topology).await
    }

    /// Where to connect to a public IP.
    pub fn public_ip_addr(&self, name: &str) -> Option<SocketAddr> {
        self.shared.listener(&Carried::PublicIp(name.to_owned()))
    }

    /// Where to connect to go along a route.
    pub fn route_addr(&self, table: &str, route: &str) -> Option<SocketAddr> {
        self.shared.listener(&Carried::Route { table: table.to_owned(), route: route.to_owned() })
    }

    /// Replaces the fault plan, for calls that arrive from now on.
    pub fn set_faults(&self, plan: FaultPlan) {
        self.shared.set_faults(plan);
    }

    /// A NIC as it is.
    pub fn nic(&self, name: &str) -> Option<Nic> {
        self.shared.look(|cloud| cloud.nic(name).ok().cloned())
    }

    /// A public IP as it is.
    pub fn public_ip(&self, name: &str) -> Option<PublicIp> {
        self.shared.look(|cloud| cloud.public_ip(name).ok().cloned())
    }

    /// A route table as it is.
    pub fn route_table(&self, name: &str) -> Option<RouteTable> {
        self.shared.look(|cloud| cloud.route_table(name).ok().cloned())
    }

    /// A machine as it is.
    pub fn machine(&self, name: &str) -> Option<Machine> {
        self.shared.look(|cloud| cloud.machine(name).ok().cloned())
    }

    /// The newest calls, oldest first.
    pub fn calls(&self) -> Vec<CallSeen> {
        self.shared.calls()
    }

    /// Calls that have arrived so far.
    pub fn calls_arrived(&self) -> u64 {
        self.shared.calls_arrived()
    }

    /// Who carried what and since when, oldest first.
    pub fn history(&self) -> Vec<CarriedBy> {
        self.shared.history()
    }

    /// Time since the start, on the clock of the history.
    pub fn elapsed(&self) -> Duration {
        self.shared.elapsed()
    }

    /// Stops, closes every port and cuts every forwarded connection.
    pub async fn shutdown(mut self) {
        self.shared.stop();
        if let Some(served) = self.served.take() {
            let _ = tokio::time::timeout(SHUTDOWN, served).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.stop();
    }
}
