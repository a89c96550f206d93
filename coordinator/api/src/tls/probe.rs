//! Clients for HTTP and HTTPS probes of appliances.

use std::sync::Arc;
use std::time::Duration;

use coordinator_core::model::Trust;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::load::{TlsMaterial, provider};
use super::{TlsError, client, server};

/// A client for HTTP and HTTPS probes: a new connection each time, because a probe that reuses
/// one does not notice that no new ones are accepted; no redirects, because the probe's answer is
/// the first one.
///
/// # Errors
/// [`TlsError`] when the client cannot be built.
pub fn probe_client(material: &TlsMaterial, trust: Trust) -> Result<reqwest::Client, TlsError> {
    material.probe_client(trust)
}

pub(super) fn client(trust: Trust, roots: Arc<RootCertStore>) -> Result<reqwest::Client, TlsError> {
    let tls = match trust {
        Trust::Cluster => client::without_certificate(roots)?,
        Trust::Any => anyone()?,
    };
    client::hardened(tls)
        .pool_max_idle_per_host(0)
        // Deadlines come with each probe; this bounds a connection that none was set for.
        .connect_timeout(Duration::from_secs(30))
        .build()
        .map_err(TlsError::Client)
}

fn anyone() -> Result<ClientConfig, TlsError> {
    let provider = provider();
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone { schemes }))
        .with_no_client_auth();
    tls.alpn_protocols = server::alpn();
    Ok(tls)
}

/// Accepts every certificate. It exists for `trust = "any"` alone: such a probe asks whether
/// something answers at an address, and appliances come with expired, self-signed and X.509v1
/// certificates. No secret is ever sent over such a connection, and nothing but "it answered"
/// follows from it. The type is private and only [`anyone`] makes one.
#[derive(Debug)]
struct Anyone {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
