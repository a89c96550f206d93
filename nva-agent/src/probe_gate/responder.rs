//! What answers health probes on one port, while it is told to.
//!
//! The port is bound from the start, so that a port which is taken is known before it is needed, but
//! nothing listens on it before it is open.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use coordinator_core::model::{GateProtocol, GateSpec};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;
use tracing::debug;

use super::{GateBoard, Told};
use crate::clock;

/// Connections that wait to be accepted. Few: without the kernel's gate, this is how many more a
/// process accepts after it has begun to hang.
const BACKLOG: i32 = 16;
/// HTTP probes answered at once; the next one is turned away.
const CONNECTIONS: usize = 64;
/// From accepting a connection to the end of its answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most bytes of a request: the least that the HTTP library takes.
const MAX_REQUEST: usize = 8 * 1024;
/// After a connection could not be accepted, for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// One port.
#[derive(Debug)]
pub(crate) struct Responder {
    gate: GateSpec,
    socket: Socket,
    told: watch::Sender<Told>,
    listening: Option<AbortHandle>,
}

impl Responder {
    /// Takes the port, on all addresses of IPv6 and IPv4. Nothing listens yet.
    pub(crate) fn bind(gate: GateSpec) -> io::Result<Self> {
        Ok(Responder {
            socket: bound(gate.port)?,
            gate,
            told: watch::Sender::new(Told::Shut),
            listening: None,
        })
    }

    pub(crate) fn gate(&self) -> &GateSpec {
        &self.gate
    }

    /// Answers as told, from now on; listens if it did not.
    pub(crate) fn open(&mut self, told: Told, runtime: &Handle, board: &GateBoard) -> io::Result<()> {
        self.told.send_replace(told);
        if self.listening.as_ref().is_some_and(|task| !task.is_finished()) {
            return Ok(());
        }
        self.socket.listen(BACKLOG)?;
        let listener: std::net::TcpListener = self.socket.try_clone()?.into();
        let answering = answer(listener, self.gate.clone(), self.told.subscribe(), board.clone());
        self.listening = Some(runtime.spawn(answering).abort_handle());
        Ok(())
    }

    /// Answers nobody, from now on: it does not even listen.
    pub(crate) fn shut(&mut self) {
        self.told.send_replace(Told::Shut);
        if let Some(task) = self.listening.take() {
            task.abort();
            // The socket goes on living, bound, and can listen again. What it had accepted for
            // nobody yet is reset.
            if let Err(error) = self.socket.shutdown(std::net::Shutdown::Both) {
                debug!(%error, port = self.gate.port, "was not listening");
            }
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.shut();
    }
}

fn bound(port: u16) -> io::Result<Socket> {
    // A machine without IPv6 has no such sockets.
    let (socket, any) = match Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP)) {
        Ok(socket) => {
            socket.set_only_v6(false)?;
            (socket, SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))
        }
        Err(_) => {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
            (socket, SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
        }
    };
    // Connections that have ended keep the port busy for a minute otherwise.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&any.into())?;
    Ok(socket)
}

async fn answer(
    listener: std::net::TcpListener,
    gate: GateSpec,
    told: watch::Receiver<Told>,
    board: GateBoard,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return debug!(%error, port = gate.port, "could not listen for probes"),
    };
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let gate = Arc::new(gate);
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!(%error, port = gate.port, "a probe could not be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        if !gate.admits(peer.ip()) {
            continue;
        }
        board.probed(gate.port, peer.ip(), clock::now());
        // To be accepted is all that a TCP probe asks for.
        if gate.protocol == GateProtocol::Tcp {
            continue;
        }
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { continue };
        let (gate, told) = (gate.clone(), told.clone());
        tokio::spawn(async move {
            let served = serve(stream, gate, told);
            // Whoever sends too slowly gets no answer.
            if let Ok(Err(error)) = tokio::time::timeout(PATIENCE, served).await {
                debug!(%error, %peer, "a probe was not answered");
            }
            drop(slot);
        });
    }
}

/// Answers one request and closes the connection.
async fn serve(
    stream: TcpStream,
    gate: Arc<GateSpec>,
    told: watch::Receiver<Told>,
) -> Result<(), hyper::Error> {
    let answer = service_fn(move |request: Request<Incoming>| {
        let status = status(&gate.protocol, request.method(), request.uri().path(), *told.borrow());
        async move {
            let mut response = Response::new(format!("{status}\n"));
            *response.status_mut() = status;
            Ok::<_, Infallible>(response)
        }
    });
    http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(MAX_REQUEST)
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), answer)
        .await
}

fn status(protocol: &GateProtocol, method: &Method, path: &str, told: Told) -> StatusCode {
    match protocol {
        _ if !told.answers(clock::now()) => StatusCode::SERVICE_UNAVAILABLE,
        GateProtocol::Http { path: wanted } if path != wanted => StatusCode::NOT_FOUND,
        _ if method != Method::GET && method != Method::HEAD => StatusCode::METHOD_NOT_ALLOWED,
        _ => StatusCode::OK,
    }
}
