//! TLS identities. One provider (ring), TLS 1.3 and 1.2, and no way to switch verification off.
//!
//! A node's certificate carries the URI `pointsman://<cluster-id>/node/<id>` and the DNS name
//! `node-<id>.<cluster-id>.pointsman`; an agent's the URI `pointsman://<cluster-id>/agent/<name>`
//! and `agent-<name>.<cluster-id>.pointsman`. Clients connect to those names, resolved to the
//! configured addresses, so an address that changes hands is noticed.
//!
//! Both directions check the cluster: a client because the name it dials contains the cluster id,
//! a server because its verifier reads the URI. A company that signs two clusters with one
//! authority therefore still cannot mix them up.

mod client;
mod identity;
mod load;
mod probe;
mod server;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use rustls::server::VerifierBuilderError;

pub use client::{ClientOptions, agent_url, node_url, operator_client};
pub use identity::{Identity, IdentityError, PeerIdentity, agent_dns_name, identity_of, node_dns_name};
pub use load::{TlsFiles, TlsMaterial};
pub use probe::probe_client;

/// Makes ring the process's default crypto provider. The first thing that `main` does; calling
/// it again does nothing.
pub fn install_provider() {
    // An error means that a default exists already. Everything in this module names its provider
    // explicitly, so another default could only affect clients that are built elsewhere.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
}

/// Why the TLS files cannot be used, or a client cannot be built. Each names the file at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file is missing or cannot be read.
    #[error("could not read the {what} {path}")]
    Read {
        /// What the file is for.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A private key that others on the machine can read.
    #[error(
        "the key {path} has mode {mode:03o}: group and others must have no access to it; run `chmod 600` on it"
    )]
    KeyExposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file that is not the PEM it ought to be.
    #[error("{path} is not a {what} in PEM form")]
    Pem {
        /// What was expected.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// A certificate that is not valid yet.
    #[error("the certificate {path} is not valid before {from}; is this machine's clock right?")]
    NotYetValid {
        /// Which file.
        path: PathBuf,
        /// The start of its validity.
        from: String,
    },
    /// A certificate that is no longer valid.
    #[error("the certificate {path} expired at {until}; issue a new one")]
    Expired {
        /// Which file.
        path: PathBuf,
        /// The end of its validity.
        until: String,
    },
    /// The key belongs to another certificate.
    #[error("the key {key} does not belong to the certificate {certificate}")]
    KeyMismatch {
        /// The key file.
        key: PathBuf,
        /// The certificate file.
        certificate: PathBuf,
    },
    /// A key of a kind that the provider cannot use.
    #[error("the key {path} cannot be used")]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// A certificate without the name of a node or an agent in it.
    #[error("the certificate {path} does not name a node or an agent")]
    NoIdentity {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: IdentityError,
    },
    /// The certificate of somebody else.
    #[error("the certificate {path} belongs to {found}, but {expected} is configured here")]
    OtherIdentity {
        /// Which file.
        path: PathBuf,
        /// Whom it names.
        found: Identity,
        /// Whom it must name.
        expected: Identity,
    },
    /// The certificate was issued by another authority than the configured one.
    #[error("the certificate {certificate} is not one that the authority in {ca} issued")]
    OtherAuthority {
        /// The certificate file.
        certificate: PathBuf,
        /// The authority's file.
        ca: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The authority's certificate cannot be trusted.
    #[error("could not use {ca} as a certificate authority")]
    Authority {
        /// The authority's file, or `-` when it did not come from one.
        ca: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The verifier of client certificates cannot be built.
    #[error("could not verify clients with the authority in {ca}")]
    ClientVerifier {
        /// The authority's file.
        ca: PathBuf,
        /// Why.
        source: VerifierBuilderError,
    },
    /// The configuration as a whole was refused.
    #[error("could not set up TLS")]
    Setup(#[source] rustls::Error),
    /// The HTTP client cannot be built.
    #[error("could not build the HTTPS client")]
    Client(#[source] reqwest::Error),
}
