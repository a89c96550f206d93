//! The agent as a whole: its options, its life, and the view from outside.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::Duration;

use config::agent::Notices;
use coordinator_api::agent::{NoticeSource, PeerPath, SourceReport};
use coordinator_core::ids::{ApplianceName, NodeId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::clock;
use crate::contacts::{Contact, Contacts};
use crate::farewell::{self, Stop};
use crate::health::{self, HealthOptions};
use crate::holder::{Answer, Holder, PeerEvent};
use crate::notices::azure::Azure;
use crate::notices::{self, Board, Listening, Told};
use crate::peer::link::{Keeper, Links};
use crate::peer::promiser::Promiser;
use crate::peer::server::{self, PeerServer, Serving};
use crate::peer::{self, PeerListenError, PeerOptions};
use crate::probe_gate::{GateBoard, GateHealth};
use crate::relayed::Relayed;
use crate::reporter::{Life, Reporter};
use crate::standing::Standing;
use crate::token_store::{StoreError, TokenStore};
use crate::vip::{AllowedInterfaces, KernelEnforcer};

/// The shortest interval between two reports to a coordinator.
pub const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);
/// The longest interval between two reports to a coordinator.
pub const LONGEST_INTERVAL: Duration = Duration::from_millis(1_000);
/// The default interval.
pub const DEFAULT_INTERVAL: Duration = Duration::from_millis(100);

/// Replies waiting for the holder. Each coordinator has at most one on its way, so this is full
/// only when the holder hangs, and then more would not help.
const QUEUE: usize = 64;
/// How long a graceful stop waits for the last reports, and for the VIPs to be gone before that.
const LAST_WORDS: Duration = Duration::from_millis(1_000);

/// How often it is looked whether anything is amiss that no change of standing tells of.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A coordinator to report to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coordinator {
    /// Its id; a reply from any other node is refused.
    pub node: NodeId,
    /// `https://` with the node's name and its cluster port, without a slash at the end.
    pub base_url: String,
}

/// What an agent needs to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The cluster's id: a state directory of another cluster is refused.
    pub cluster: String,
    /// The appliance's name, as in the agent's certificate.
    pub appliance: ApplianceName,
    /// One or more.
    pub coordinators: Vec<Coordinator>,
    /// With the agent's certificate and the cluster's authority.
    pub client: reqwest::Client,
    /// For the highest token and the VIPs to clear; made if it is missing.
    pub state_dir: PathBuf,
    /// Where VIPs may go.
    pub interfaces: AllowedInterfaces,
    /// From one report to the next; at most an eighth of the lease is used. Bounds
    /// [`SHORTEST_INTERVAL`] and [`LONGEST_INTERVAL`], default [`DEFAULT_INTERVAL`].
    pub report_interval: Duration,
    /// `None` serves no health endpoint.
    pub health: Option<HealthOptions>,
    /// `None` speaks with no other appliances.
    pub peers: Option<PeerOptions>,
    /// How long [`Stop::Gracefully`] waits at most until the group has left the appliance.
    pub shutdown_grace: Duration,
    /// Where it learns what is announced to happen to its machine.
    pub notices: Notices,
}

/// Why an agent does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The health endpoint's address is taken or not on this machine.
    #[error("could not listen on {address} for the health endpoint; choose another `health` address")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// An address for peers is taken, or not to be had.
    #[error(transparent)]
    PeerListen(#[from] PeerListenError),
    /// No HTTP client could be set up for the metadata service.
    #[error("could not set up a client for the metadata service")]
    Metadata(#[source] reqwest::Error),
    /// The thread that owns the lease could not start.
    #[error("could not start the thread that holds the lease")]
    Thread(#[source] io::Error),
    /// The asynchronous runtime could not be set up.
    #[error("could not set up the runtime")]
    Runtime(#[source] io::Error),
    /// The thread that owns the lease ended by itself: a defect. The kernel removes the VIPs.
    #[error("the thread that holds the lease ended unexpectedly; please report this with the log")]
    HolderEnded,
}

/// An agent, ready to run. It has its state directory locked and its port bound.
#[derive(Debug)]
pub struct Agent {
    options: Options,
    store: TokenStore,
    health: Option<(TcpListener, HealthOptions)>,
    peer_listeners: Vec<TcpListener>,
    keeper: Option<Keeper>,
    azure: Option<(Azure, Listening)>,
    standing: watch::Sender<Standing>,
    handle: Handle,
}

/// The view from outside. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    appliance: ApplianceName,
    standing: watch::Receiver<Standing>,
    contacts: Contacts,
    links: Links,
    board: Board,
    probes: GateBoard,
    health: Option<SocketAddr>,
    peer_listen: Vec<SocketAddr>,
}

impl Handle {
    /// The appliance's name.
    pub fn appliance(&self) -> &ApplianceName {
        &self.appliance
    }

    /// How things stand now.
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// To wait for a change of how things stand. Renewals alone wake nobody.
    pub fn watch(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Which coordinators answer.
    pub fn coordinators(&self) -> BTreeMap<NodeId, Contact> {
        self.contacts.snapshot()
    }

    /// The ways to the group's other appliances.
    pub fn peers(&self) -> Vec<PeerPath> {
        self.links.paths()
    }

    /// What is announced to happen to this machine, by who announces it.
    pub fn notices(&self) -> Vec<SourceReport> {
        self.board.all()
    }

    /// How the group's probe gates on this appliance are.
    pub fn gates(&self) -> Vec<GateHealth> {
        self.probes.health(clock::now())
    }

    /// Where the agent listens for the other appliances.
    pub fn peer_addresses(&self) -> &[SocketAddr] {
        &self.peer_listen
    }

    /// What ought to be put right although it keeps no traffic away.
    pub(crate) fn warnings(&self, standing: &Standing) -> Vec<String> {
        let failsafe = standing.group.as_ref().is_some_and(|group| group.failsafe);
        let deaf = failsafe && self.peer_listen.is_empty();
        let warning = "the group is declared with quorum_loss = \"failsafe\", and this agent has no `peer_listen`: \
                       it promises nothing, so the group's VIPs go when the coordinators' quorum is lost";
        deaf.then(|| warning.to_owned()).into_iter().chain(self.probes.warnings(clock::now())).collect()
    }

    /// Where the health endpoint listens.
    pub fn health_address(&self) -> Option<SocketAddr> {
        self.health
    }
}

impl Agent {
    /// Locks and reads the state directory and binds the listeners. Blocks on the disk.
    ///
    /// # Errors
    /// See [`Error`]: nothing is changed on the interfaces, and nothing was reported.
    pub fn new(options: Options) -> Result<Self, Error> {
        let store = TokenStore::open(&options.state_dir, &options.cluster, &options.appliance)?;
        let health = match options.health.clone() {
            Some(health) => {
                let listen = |source| Error::Listen { address: health.listen, source };
                let listener = TcpListener::bind(health.listen).map_err(listen)?;
                listener.set_nonblocking(true).map_err(listen)?;
                Some((listener, health))
            }
            None => None,
        };
        let listen = options.peers.as_ref().map_or(&[][..], |peers| &peers.listen);
        let peer_listeners: Vec<TcpListener> =
            listen.iter().map(|address| peer::bind(*address)).collect::<Result<_, _>>()?;
        let azure = match &options.notices.azure {
            Some(azure) => {
                let how = Listening { poll: azure.poll, acknowledge: azure.acknowledge };
                Some((Azure::new(azure).map_err(Error::Metadata)?, how))
            }
            None => None,
        };
        let stored = store.stored();
        let (standing, receiver) = watch::channel(Standing {
            highest: stored.highest,
            // What an earlier life may have left is held until it is cleared.
            holding: (!stored.vips.is_empty()).then_some(stored.highest),
            ..Standing::default()
        });
        let (keeper, links) = match &options.peers {
            Some(peers) => {
                let (tls, interval) = (peers.tls.clone(), options.report_interval);
                let made = Keeper::new(options.appliance.clone(), tls, interval, receiver.clone());
                (Some(made.0), made.1)
            }
            None => (None, Links::none()),
        };
        let handle = Handle {
            appliance: options.appliance.clone(),
            standing: receiver,
            contacts: Contacts::new(options.coordinators.iter().map(|c| c.node)),
            links,
            board: Board::new(azure.iter().map(|_| NoticeSource::Azure)),
            probes: GateBoard::default(),
            health: health.as_ref().and_then(|(listener, _)| listener.local_addr().ok()),
            peer_listen: peer_listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect(),
        };
        Ok(Agent { options, store, health, peer_listeners, keeper, azure, standing, handle })
    }

    /// The view from outside.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs until it is asked to stop or the sender of `asked` is gone; waits, where that is wanted,
    /// until the group has left the appliance; releases everything, tells the coordinators (for a
    /// second at most) and returns.
    ///
    /// # Errors
    /// [`Error::Thread`] and [`Error::HolderEnded`].
    pub async fn run(self, asked: watch::Receiver<Stop>) -> Result<(), Error> {
        let Agent { options, store, health, peer_listeners, keeper, azure, standing, handle } = self;
        info!(appliance = %options.appliance, highest = store.stored().highest.0, "nva-agent starts");
        let (answers, answered) = mpsc::channel(QUEUE);
        let (events, heard) = mpsc::channel(QUEUE);
        let (stop, stopping) = watch::channel(false);
        let mut holder = spawn_holder(
            store,
            options.appliance.clone(),
            (options.interfaces.clone(), handle.probes.clone()),
            standing,
            (answered, heard),
            stopping,
        )?;

        let (closing, closed) = watch::channel(false);
        let life = Arc::new(Life {
            appliance: options.appliance.clone(),
            boot: rand::random(),
            seq: AtomicU64::new(0),
            interval: options.report_interval,
            board: handle.board.clone(),
            told: watch::Sender::new(Told::default()),
        });
        let mut reporters = spawn_reporters(&options, &handle, &life, &answers, &closed);
        let mut listening = JoinSet::new();
        if let Some((azure, how)) = azure {
            listening.spawn(notices::listen(azure, how, handle.board.clone(), life.told.subscribe()));
        }
        let health =
            health.map(|(listener, options)| tokio::spawn(health::serve(listener, options, handle.clone())));

        let warner = tokio::spawn(warn_of_what_is_amiss(handle.clone()));
        let mut peers = None;
        if let (Some(options), Some(keeper)) = (&options.peers, keeper) {
            peers = Some(spawn_peers(peer_listeners, options, keeper, &handle, events));
        }

        let announce = farewell::announcer(handle.board.clone(), life.boot);
        let standing = handle.watch();
        let (grace, told) = (options.shutdown_grace, life.told.subscribe());
        let free = farewell::until_free(asked, grace, announce, &standing, told);
        let stopped = wait_for_holder(&mut holder, free, &stop).await;
        closing.send_replace(true);
        let last_words = async { while reporters.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_WORDS, last_words).await.is_err() {
            warn!("not every coordinator took the last report in time");
        }
        drop((peers, listening));
        warner.abort();
        if let Some(health) = health {
            health.abort();
        }
        info!("nva-agent stops");
        stopped
    }
}

fn spawn_reporters(
    options: &Options,
    handle: &Handle,
    life: &Arc<Life>,
    answers: &mpsc::Sender<Answer>,
    closing: &watch::Receiver<bool>,
) -> JoinSet<()> {
    let mut reporters = JoinSet::new();
    for coordinator in &options.coordinators {
        let reporter = Reporter {
            coordinator: coordinator.clone(),
            client: options.client.clone(),
            links: handle.links.clone(),
            life: life.clone(),
            standing: handle.watch(),
            answers: answers.clone(),
            contacts: handle.contacts.clone(),
            closing: closing.clone(),
        };
        if options.peers.is_some() {
            reporters.spawn(Relayed(reporter.clone()).run());
        }
        reporters.spawn(reporter.run());
    }
    reporters
}

/// Starts everything that has to do with the group's other appliances.
fn spawn_peers(
    listeners: Vec<TcpListener>,
    options: &PeerOptions,
    keeper: Keeper,
    handle: &Handle,
    events: mpsc::Sender<PeerEvent>,
) -> (Serving, JoinSet<()>) {
    let server =
        PeerServer { appliance: handle.appliance.clone(), standing: handle.watch(), events: events.clone() };
    let promiser = Promiser {
        appliance: handle.appliance.clone(),
        standing: handle.watch(),
        links: handle.links.clone(),
        events,
    };
    let serving = server::serve(listeners, options, &server);
    let mut peers = JoinSet::new();
    peers.spawn(keeper.run());
    peers.spawn(promiser.run());
    (serving, peers)
}

/// Says once what ought to be put right: a declaration that asks for more than this agent is configured
/// for, a probe gate at which nobody asks.
async fn warn_of_what_is_amiss(handle: Handle) {
    let mut standing = handle.watch();
    let mut before = Vec::new();
    loop {
        let warnings = handle.warnings(&standing.borrow_and_update().clone());
        for warning in warnings.iter().filter(|warning| !before.contains(*warning)) {
            warn!("{warning}");
        }
        before = warnings;
        // An error within the time means that the holder is gone.
        if let Ok(Err(_)) = tokio::time::timeout(LOOK_EVERY, standing.changed()).await {
            return;
        }
    }
}

/// Starts the thread that owns the lease. The receiver resolves when it ends. Within a runtime.
fn spawn_holder(
    store: TokenStore,
    appliance: ApplianceName,
    (interfaces, probes): (AllowedInterfaces, GateBoard),
    standing: watch::Sender<Standing>,
    (answers, peers): (mpsc::Receiver<Answer>, mpsc::Receiver<PeerEvent>),
    stop: watch::Receiver<bool>,
) -> Result<oneshot::Receiver<io::Result<()>>, Error> {
    let (ended, end) = oneshot::channel();
    // Health probes are answered here: nothing but the lease is done on the lease's thread.
    let answering = tokio::runtime::Handle::current();
    let body = move || {
        let result = tokio::runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
            runtime.block_on(async {
                let enforcer = KernelEnforcer::connect(&appliance, interfaces, answering, probes)?;
                Holder::new(store, enforcer, standing).run(answers, peers, stop).await;
                Ok(())
            })
        });
        // Nobody waits any more when the whole agent was dropped.
        let _ = ended.send(result);
    };
    thread::Builder::new().name("nva-lease".to_owned()).spawn(body).map_err(Error::Thread)?;
    Ok(end)
}

async fn wait_for_holder(
    holder: &mut oneshot::Receiver<io::Result<()>>,
    free: impl Future<Output = ()>,
    stop: &watch::Sender<bool>,
) -> Result<(), Error> {
    let ended = tokio::select! {
        ended = &mut *holder => ended,
        () = free => {
            stop.send_replace(true);
            let Ok(ended) = tokio::time::timeout(LAST_WORDS, holder).await else {
                warn!("the virtual addresses are not confirmed as removed; the kernel removes them within the lease");
                return Ok(());
            };
            ended
        }
    };
    match ended {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Error::Thread(error)),
        Err(_) => Err(Error::HolderEnded),
    }
}
