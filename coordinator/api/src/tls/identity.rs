//! Who a certificate speaks for.

use std::fmt;

use coordinator_core::ids::{ApplianceName, NodeId};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Scheme of the URI in a certificate.
const SCHEME: &str = "pointsman://";

/// Who is at the other end of a mutual TLS connection. The cluster listener inserts it into
/// each request as an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerIdentity {
    /// A coordinator.
    Node(NodeId),
    /// The agent of an appliance.
    Agent(ApplianceName),
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerIdentity::Node(id) => write!(f, "node {id}"),
            PeerIdentity::Agent(name) => write!(f, "the agent of {name}"),
        }
    }
}

/// A member of a cluster, as its certificate names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// 32 lower-case hexadecimal digits.
    pub cluster_id: String,
    /// Which member.
    pub peer: PeerIdentity,
}

impl Identity {
    /// The URI in the certificate's subject alternative name.
    pub fn uri(&self) -> String {
        match &self.peer {
            PeerIdentity::Node(id) => format!("{SCHEME}{}/node/{id}", self.cluster_id),
            PeerIdentity::Agent(name) => format!("{SCHEME}{}/agent/{name}", self.cluster_id),
        }
    }

    /// The DNS name in the certificate's subject alternative name.
    pub fn dns_name(&self) -> String {
        match &self.peer {
            PeerIdentity::Node(id) => node_dns_name(&self.cluster_id, *id),
            PeerIdentity::Agent(name) => agent_dns_name(&self.cluster_id, name),
        }
    }

    /// Reads the URI form, strictly: what [`Identity::uri`] would not write is not an identity.
    fn from_uri(uri: &str) -> Option<Identity> {
        let mut parts = uri.strip_prefix(SCHEME)?.split('/');
        let (cluster_id, role, name) = (parts.next()?, parts.next()?, parts.next()?);
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if parts.next().is_some() || cluster_id.len() != 32 || !cluster_id.bytes().all(hex) {
            return None;
        }
        let peer = match role {
            "node" => PeerIdentity::Node(NodeId(name.parse().ok()?)),
            "agent" => PeerIdentity::Agent(ApplianceName::new(name).ok()?),
            _ => return None,
        };
        let identity = Identity { cluster_id: cluster_id.to_owned(), peer };
        // `node/01` and `node/+1` parse as numbers; the round trip refuses them.
        (identity.uri() == uri).then_some(identity)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of cluster {}", self.peer, self.cluster_id)
    }
}

/// The name that a node's certificate carries and that its peers dial.
pub fn node_dns_name(cluster_id: &str, node: NodeId) -> String {
    format!("node-{node}.{cluster_id}.pointsman")
}

/// The name that an agent's certificate carries.
///
/// A label of 63 characters is all that DNS allows, and an appliance's name may be that long by
/// itself; such a certificate has no DNS name, only its URI.
pub fn agent_dns_name(cluster_id: &str, appliance: &ApplianceName) -> String {
    format!("agent-{appliance}.{cluster_id}.pointsman")
}

/// Why a certificate names no member of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// Not an X.509 certificate.
    #[error("it is not a readable X.509 certificate")]
    Malformed,
    /// None of its URIs is an identity.
    #[error(
        "it has no URI of the form pointsman://<cluster-id>/node/<id> or pointsman://<cluster-id>/agent/<name>"
    )]
    Missing,
    /// More than one: it would be a choice whom to believe.
    #[error("it has more than one pointsman:// URI")]
    Ambiguous,
    /// A URI with the right scheme and the wrong content.
    #[error(
        "its URI {0:?} is not of the form pointsman://<cluster-id>/node/<id> or pointsman://<cluster-id>/agent/<name>"
    )]
    Invalid(String),
}

/// Reads the identity from a certificate's subject alternative name. It proves nothing by itself:
/// the TLS handshake has to have verified the certificate.
///
/// # Errors
/// [`IdentityError`] unless the certificate has exactly one valid `pointsman://` URI.
pub fn identity_of(certificate: &CertificateDer<'_>) -> Result<Identity, IdentityError> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| IdentityError::Malformed)?;
    let names = parsed.subject_alternative_name().map_err(|_| IdentityError::Malformed)?;
    let names = names.ok_or(IdentityError::Missing)?;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) if uri.starts_with(SCHEME) => Some(*uri),
        _ => None,
    });
    let uri = uris.next().ok_or(IdentityError::Missing)?;
    if uris.next().is_some() {
        return Err(IdentityError::Ambiguous);
    }
    Identity::from_uri(uri).ok_or_else(|| IdentityError::Invalid(uri.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_uri_reads_back_as_the_identity_it_was_written_from() {
        let peers = [PeerIdentity::Node(NodeId(3)), PeerIdentity::Agent(ApplianceName::new("fw-a").unwrap())];
        for peer in peers {
            let identity = Identity { cluster_id: CLUSTER.to_owned(), peer };
            assert_eq!(Identity::from_uri(&identity.uri()), Some(identity));
        }
    }

    #[test]
    fn a_uri_that_is_nearly_right_is_no_identity() {
        for tail in ["/node/01", "/node/+1", "/node/", "/node/1/", "/agent/FW", "/agent/", "/other/1", ""] {
            assert_eq!(Identity::from_uri(&format!("pointsman://{CLUSTER}{tail}")), None, "{tail}");
        }
        assert_eq!(Identity::from_uri("pointsman://0123/node/1"), None);
        assert_eq!(Identity::from_uri(&format!("https://{CLUSTER}/node/1")), None);
    }
}
