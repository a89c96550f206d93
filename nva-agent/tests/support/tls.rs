//! A cluster's authority, and what it issues.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use coordinator_api::tls::{Identity, PeerIdentity, TlsFiles, TlsMaterial};
use coordinator_core::ids::{ApplianceName, NodeId};
use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::pair::Member;

pub(crate) const CLUSTER: &str = "0123456789abcdef0123456789abcdef";

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        coordinator_api::tls::install_provider();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn agent(&self, appliance: &str) -> TlsMaterial {
        self.member(PeerIdentity::Agent(ApplianceName::new(appliance).unwrap()))
    }

    pub(crate) fn node(&self, node: u64) -> TlsMaterial {
        self.member(PeerIdentity::Node(NodeId(node)))
    }

    fn issue(&self, peer: PeerIdentity) -> (Certificate, KeyPair) {
        let identity = Identity { cluster_id: CLUSTER.to_owned(), peer };
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![
            SanType::URI(identity.uri().try_into().unwrap()),
            SanType::DnsName(identity.dns_name().try_into().unwrap()),
        ];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    fn member(&self, peer: PeerIdentity) -> TlsMaterial {
        let (certificate, key) = self.issue(peer);
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        let files = TlsFiles { ca: file("ca.pem"), certificate: file("member.pem"), key: file("member.key") };
        std::fs::write(&files.ca, self.0.pem()).unwrap();
        std::fs::write(&files.certificate, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        std::fs::set_permissions(&files.key, PermissionsExt::from_mode(0o600)).unwrap();
        TlsMaterial::load(&files).unwrap()
    }
}

/// A connection on which a test writes what it likes.
pub(crate) struct Raw(TlsStream<TcpStream>);

impl Raw {
    /// Sends bytes to a member with the certificate of `appliance`; returns the beginning of the
    /// answer, and the connection.
    pub(crate) async fn ask(
        authority: &Authority,
        appliance: &str,
        to: &Member,
        bytes: &[u8],
    ) -> (String, Raw) {
        let (certificate, key) = authority.issue(PeerIdentity::Agent(ApplianceName::new(appliance).unwrap()));
        let mut roots = RootCertStore::empty();
        roots.add(authority.0.der().clone()).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let name = ServerName::try_from(coordinator_api::tls::agent_dns_name(CLUSTER, &to.name)).unwrap();
        let stream = TcpStream::connect(to.listens()).await.unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.flush().await.unwrap();
        let mut answer = [0; 64];
        let read = tokio::time::timeout(super::PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
        (String::from_utf8_lossy(&answer[..read]).into_owned(), Raw(stream))
    }
}
