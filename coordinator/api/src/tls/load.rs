//! Reading a member's certificate, its key and the cluster's authority, with every fault that
//! would otherwise show up as a failed handshake at three in the morning found at the start.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use coordinator_core::model::Trust;
use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

use super::identity::{Identity, IdentityError, identity_of};
use super::{TlsError, probe, server};

/// The three files that a member of a cluster needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The cluster's certificate authority, in PEM form.
    pub ca: PathBuf,
    /// The member's certificate, in PEM form; intermediate certificates may follow.
    pub certificate: PathBuf,
    /// The certificate's private key, in PEM form. Group and others must have no access to it.
    pub key: PathBuf,
}

/// A member's TLS identity, checked. Cheap to clone.
#[derive(Clone)]
pub struct TlsMaterial {
    pub(super) identity: Identity,
    pub(super) roots: Arc<RootCertStore>,
    pub(super) certified: Arc<CertifiedKey>,
    mutual: Arc<rustls::ServerConfig>,
    operators: Arc<rustls::ServerConfig>,
    certificate_file: PathBuf,
}

/// The key stays out of logs: only the identity is shown.
impl fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsMaterial").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl TlsMaterial {
    /// Reads and checks the files: the key is private and belongs to the certificate, the
    /// certificate is valid now, was issued by the authority, and names a node or an agent.
    ///
    /// # Errors
    /// [`TlsError`], which names the file and the fault.
    pub fn load(files: &TlsFiles) -> Result<TlsMaterial, TlsError> {
        TlsMaterial::load_at(files, SystemTime::now())
    }

    /// Like [`TlsMaterial::load`], with the time as a parameter.
    pub(super) fn load_at(files: &TlsFiles, now: SystemTime) -> Result<TlsMaterial, TlsError> {
        let provider = provider();
        let roots = Arc::new(authorities(&files.ca)?);
        let chain = certificates("certificate", &files.certificate)?;
        let identity = check_certificate(&files.certificate, &chain, now)?;
        let certified = Arc::new(certified_key(files, chain, &provider)?);
        let verifier = server::member_verifier(&roots, &identity.cluster_id, &provider)
            .map_err(|source| TlsError::ClientVerifier { ca: files.ca.clone(), source })?;
        let unix = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (leaf, rest) = certified.cert.split_first().ok_or_else(|| no_certificate(&files.certificate))?;
        verifier.verify_client_cert(leaf, rest, UnixTime::since_unix_epoch(unix)).map_err(|source| {
            TlsError::OtherAuthority { certificate: files.certificate.clone(), ca: files.ca.clone(), source }
        })?;
        Ok(TlsMaterial {
            identity,
            mutual: server::mutual(&certified, verifier, &provider)?,
            operators: server::operators(&certified, &provider)?,
            roots,
            certified,
            certificate_file: files.certificate.clone(),
        })
    }

    /// Who this member is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Checks that the certificate is the one of the member that the configuration speaks of.
    ///
    /// # Errors
    /// [`TlsError::OtherIdentity`].
    pub fn require(&self, expected: &Identity) -> Result<(), TlsError> {
        if self.identity == *expected {
            return Ok(());
        }
        Err(TlsError::OtherIdentity {
            path: self.certificate_file.clone(),
            found: self.identity.clone(),
            expected: expected.clone(),
        })
    }

    /// For the cluster listener: a client must show a certificate of this cluster. Sessions are
    /// never resumed, so each connection proves its identity anew. Offers HTTP/2 and HTTP/1.1.
    pub fn mutual_server_config(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.mutual)
    }

    /// For the operators' listener: no client certificate is asked for, tokens do that work.
    /// Offers HTTP/2 and HTTP/1.1.
    pub fn server_config(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.operators)
    }

    /// A client for HTTP and HTTPS probes; see [`probe_client`](super::probe_client).
    ///
    /// # Errors
    /// [`TlsError`] when the client cannot be built.
    pub fn probe_client(&self, trust: Trust) -> Result<reqwest::Client, TlsError> {
        probe::client(trust, Arc::clone(&self.roots))
    }
}

/// The one crypto provider.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// A store that trusts exactly the certificates in `pem`.
pub(super) fn roots_of(path: &Path, pem: Vec<CertificateDer<'static>>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in pem {
        roots.add(certificate).map_err(|source| TlsError::Authority { ca: path.to_owned(), source })?;
    }
    Ok(roots)
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    roots_of(path, certificates("certificate authority", path)?)
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    parse_certificates(what, path, &read(what, path)?)
}

/// All certificates in `pem`, of which there must be one.
pub(super) fn parse_certificates(
    what: &'static str,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(no_certificate(path)),
        Ok(found) => Ok(found),
        Err(source) => Err(TlsError::Pem { what, path: path.to_owned(), source }),
    }
}

fn no_certificate(path: &Path) -> TlsError {
    let source = rustls::pki_types::pem::Error::NoItemsFound;
    TlsError::Pem { what: "certificate", path: path.to_owned(), source }
}

fn check_certificate(
    path: &Path,
    chain: &[CertificateDer<'_>],
    now: SystemTime,
) -> Result<Identity, TlsError> {
    let no_identity = |source| TlsError::NoIdentity { path: path.to_owned(), source };
    let leaf = chain.first().ok_or_else(|| no_certificate(path))?;
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| no_identity(IdentityError::Malformed))?;
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = ASN1Time::from_timestamp(i64::try_from(seconds).unwrap_or(i64::MAX))
        .map_err(|_| no_identity(IdentityError::Malformed))?;
    let validity = parsed.validity();
    if now < validity.not_before {
        return Err(TlsError::NotYetValid { path: path.to_owned(), from: validity.not_before.to_string() });
    }
    if now > validity.not_after {
        return Err(TlsError::Expired { path: path.to_owned(), until: validity.not_after.to_string() });
    }
    identity_of(leaf).map_err(no_identity)
}

fn certified_key(
    files: &TlsFiles,
    chain: Vec<CertificateDer<'static>>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    refuse_exposed(&files.key)?;
    let key = PrivateKeyDer::from_pem_slice(&read("key", &files.key)?).map_err(|source| TlsError::Pem {
        what: "private key",
        path: files.key.clone(),
        source,
    })?;
    CertifiedKey::from_der(chain, key, provider).map_err(|source| match source {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::KeyMismatch { key: files.key.clone(), certificate: files.certificate.clone() }
        }
        source => TlsError::Key { path: files.key.clone(), source },
    })
}

/// A key that others can read is no secret, so starting with it would be a false comfort.
fn refuse_exposed(path: &Path) -> Result<(), TlsError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = std::fs::metadata(path).map_err(|source| TlsError::Read {
        what: "key",
        path: path.to_owned(),
        source,
    })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(TlsError::KeyExposed { path: path.to_owned(), mode })
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { what, path: path.to_owned(), source })
}
