//! What a coordinator's probe connects to.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// An appliance's TCP service on loopback, which lives and dies as it is told.
#[derive(Debug)]
pub struct Service {
    address: SocketAddr,
    task: Option<JoinHandle<()>>,
}

impl Service {
    /// A service that lives, on a loopback address of this process's own: connections are made
    /// from 127.0.0.1, and so could take its port while it is dead.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn new(host: u8) -> Result<Service> {
        let [.., high, low] = std::process::id().to_be_bytes();
        let mut service = Service { address: ([127, 128 | (high >> 1), low, host], 0).into(), task: None };
        service.start().await?;
        Ok(service)
    }

    /// Where it listens, dead or alive.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets it live.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(&mut self) -> Result<()> {
        let listener = TcpListener::bind(self.address).await?;
        self.address = listener.local_addr()?;
        self.task = Some(tokio::spawn(async move { while listener.accept().await.is_ok() {} }));
        Ok(())
    }

    /// Lets it die.
    pub fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}
