//! Clients of the two listeners. None follows redirects, none uses a proxy, and all trust the
//! cluster's own authority alone.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coordinator_core::ids::{ApplianceName, NodeId};
use rustls::client::ResolvesClientCert;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};

use super::identity::{agent_dns_name, node_dns_name};
use super::load::{TlsMaterial, parse_certificates, provider, roots_of};
use super::{TlsError, server};

/// A connection through a relay that nobody uses is closed after this long.
const RELAY_IDLE: Duration = Duration::from_secs(10);

/// How soon a client of the cluster listener notices that nobody is there any more.
///
/// Measured: after a black hole of 12 s, the first success came 1,176 ms late with no setting at
/// all, 42 ms late with `user_timeout` and 1 ms late with the keep-alive. Deadlines of single
/// requests are the caller's business, because only the caller knows what the answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientOptions {
    /// For TCP and TLS together. Default 300 ms.
    pub connect_timeout: Duration,
    /// Between HTTP/2 pings, also on an idle connection. Default 100 ms.
    pub keep_alive_interval: Duration,
    /// How long a ping may stay unanswered before the connection is given up. Default 200 ms.
    pub keep_alive_timeout: Duration,
    /// How long the kernel lets sent data stay unacknowledged (TCP_USER_TIMEOUT). Default 300 ms.
    pub user_timeout: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            connect_timeout: Duration::from_millis(300),
            keep_alive_interval: Duration::from_millis(100),
            keep_alive_timeout: Duration::from_millis(200),
            user_timeout: Duration::from_millis(300),
        }
    }
}

impl TlsMaterial {
    /// A client of the other nodes' cluster listeners, with mutual TLS. URLs come from
    /// [`node_url`]; their names resolve to `nodes` and to nothing else, without DNS.
    ///
    /// # Errors
    /// [`TlsError`] when the client cannot be built.
    pub fn peer_client(
        &self,
        nodes: &BTreeMap<NodeId, SocketAddr>,
        options: ClientOptions,
    ) -> Result<reqwest::Client, TlsError> {
        let mut builder = self.patient(options)?;
        for (node, address) in nodes {
            builder = builder.resolve(&node_dns_name(&self.identity.cluster_id, *node), *address);
        }
        builder.build().map_err(TlsError::Client)
    }

    /// A client of what the agent of `appliance` offers its peers at `address`, with mutual TLS.
    /// The URL comes from [`agent_url`].
    ///
    /// # Errors
    /// [`TlsError`] when the client cannot be built.
    pub fn agent_client(
        &self,
        appliance: &ApplianceName,
        address: SocketAddr,
        options: ClientOptions,
    ) -> Result<reqwest::Client, TlsError> {
        let name = agent_dns_name(&self.identity.cluster_id, appliance);
        self.patient(options)?.resolve(&name, address).build().map_err(TlsError::Client)
    }

    /// A client of the coordinators' cluster listeners that reaches them through the agent of
    /// `appliance` at `address`. The agent passes on bytes that it cannot read: inside is the same
    /// mutual TLS as without it. It dials the coordinators' addresses in its own configuration.
    ///
    /// # Errors
    /// [`TlsError`] when the client cannot be built.
    pub fn relayed_client(
        &self,
        appliance: &ApplianceName,
        address: SocketAddr,
        options: ClientOptions,
    ) -> Result<reqwest::Client, TlsError> {
        let cluster = &self.identity.cluster_id;
        let relay = reqwest::Proxy::https(agent_url(cluster, appliance, address.port()));
        let builder = self.patient(options)?.proxy(relay.map_err(TlsError::Client)?);
        // A tunnel is a burden on the peer: not for longer than it is used.
        let builder = builder.pool_idle_timeout(RELAY_IDLE);
        builder.resolve(&agent_dns_name(cluster, appliance), address).build().map_err(TlsError::Client)
    }

    fn patient(&self, options: ClientOptions) -> Result<reqwest::ClientBuilder, TlsError> {
        Ok(hardened(self.peer_tls()?)
            .https_only(true)
            .connect_timeout(options.connect_timeout)
            .http2_keep_alive_interval(options.keep_alive_interval)
            .http2_keep_alive_timeout(options.keep_alive_timeout)
            .http2_keep_alive_while_idle(true)
            .tcp_user_timeout(options.user_timeout))
    }

    /// Shows this member's certificate, trusts the cluster's authority alone.
    pub(super) fn peer_tls(&self) -> Result<ClientConfig, TlsError> {
        let certificate: Arc<dyn ResolvesClientCert> =
            Arc::new(SingleCertAndKey::from(rustls::sign::CertifiedKey::clone(&self.certified)));
        let mut tls = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_root_certificates(Arc::clone(&self.roots))
            .with_client_cert_resolver(certificate);
        tls.alpn_protocols = server::alpn();
        Ok(tls)
    }
}

/// The base URL of a node's cluster listener, without a slash at the end. The port is the
/// listener's: names resolve to the address alone.
pub fn node_url(cluster_id: &str, node: NodeId, port: u16) -> String {
    format!("https://{}:{port}", node_dns_name(cluster_id, node))
}

/// The base URL of what an agent offers its peers, without a slash at the end.
pub fn agent_url(cluster_id: &str, appliance: &ApplianceName, port: u16) -> String {
    format!("https://{}:{port}", agent_dns_name(cluster_id, appliance))
}

/// A client of the operators' listener, which trusts the authority in `ca_pem` alone.
///
/// # Errors
/// [`TlsError`] when `ca_pem` holds no usable authority.
pub fn operator_client(ca_pem: &[u8]) -> Result<reqwest::Client, TlsError> {
    let path = Path::new("-");
    let roots = roots_of(path, parse_certificates("certificate authority", path, ca_pem)?)?;
    let tls = without_certificate(Arc::new(roots))?;
    hardened(tls).https_only(true).connect_timeout(Duration::from_secs(2)).build().map_err(TlsError::Client)
}

/// TLS that trusts `roots` and shows no certificate.
pub(super) fn without_certificate(roots: Arc<RootCertStore>) -> Result<ClientConfig, TlsError> {
    let mut tls = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = server::alpn();
    Ok(tls)
}

/// What all clients have in common.
pub(super) fn hardened(tls: ClientConfig) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("pointsman/", env!("CARGO_PKG_VERSION")))
}
