//! Real certificates, real handshakes: in memory where that is enough, over loopback for the
//! HTTP clients.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use coordinator_core::ids::{ApplianceName, NodeId};
use coordinator_core::model::Trust;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

use super::*;

const CLUSTER: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "ffffffffffffffffffffffffffffffff";

#[test]
fn members_of_one_cluster_speak_to_each_other() {
    let ca = Authority::new();
    let (one, two) = (ca.member(&node(CLUSTER, 1)), ca.member(&node(CLUSTER, 2)));
    let agent = ca.member(&agent(CLUSTER, "fw-a"));
    assert_eq!(handshake(&one, &two, NodeId(2)).unwrap(), node(CLUSTER, 1));
    assert_eq!(handshake(&agent, &one, NodeId(1)).unwrap(), *agent.identity());
}

#[test]
fn a_member_under_another_authority_is_refused_in_both_directions() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (one, stranger) = (ours.member(&node(CLUSTER, 1)), theirs.member(&node(CLUSTER, 2)));
    assert!(handshake(&stranger, &one, NodeId(1)).is_err());
    assert!(handshake(&one, &stranger, NodeId(2)).is_err());
}

#[test]
fn a_member_of_another_cluster_under_the_same_authority_is_refused() {
    let ca = Authority::new();
    let (one, other) = (ca.member(&node(CLUSTER, 1)), ca.member(&node(OTHER, 2)));
    assert!(handshake(&one, &other, NodeId(2)).is_err(), "the client reads the cluster in the name");
    // Dial the right name, so that only the server's verifier can refuse.
    let refused = connect(other.peer_tls().unwrap(), one.mutual_server_config(), &node(CLUSTER, 1));
    assert!(refused.unwrap_err().contains("OtherCluster"));
}

#[test]
fn an_agent_cannot_pass_for_a_node() {
    let ca = Authority::new();
    let (one, agent) = (ca.member(&node(CLUSTER, 1)), ca.member(&agent(CLUSTER, "fw-a")));
    let refused = handshake(&one, &agent, NodeId(2)).unwrap_err();
    assert!(refused.contains("NotValidForName") || refused.contains("not valid for name"), "{refused}");
}

#[test]
fn a_node_that_answers_at_another_ones_address_is_refused() {
    let ca = Authority::new();
    let (one, three) = (ca.member(&node(CLUSTER, 1)), ca.member(&node(CLUSTER, 3)));
    assert!(handshake(&one, &three, NodeId(2)).is_err());
}

#[test]
fn a_client_without_a_certificate_reaches_only_the_operators_listener() {
    let ca = Authority::new();
    let one = ca.member(&node(CLUSTER, 1));
    let bare = || client::without_certificate(Arc::clone(&one.roots)).unwrap();
    assert!(connect(bare(), one.mutual_server_config(), &node(CLUSTER, 1)).is_err());
    assert_eq!(connect(bare(), one.server_config(), &node(CLUSTER, 1)).unwrap(), None);
}

#[test]
fn faults_in_the_files_are_named() {
    let ca = Authority::new();
    let dir = ca.files(&node(CLUSTER, 1), valid());
    let files = files_in(dir.path());
    let fails = |files: &TlsFiles| TlsMaterial::load(files).unwrap_err();

    let missing = TlsFiles { ca: dir.path().join("absent.pem"), ..files.clone() };
    assert!(matches!(fails(&missing), TlsError::Read { what: "certificate authority", .. }));
    let not_pem = TlsFiles { certificate: dir.path().join("node.key"), ..files.clone() };
    assert!(matches!(fails(&not_pem), TlsError::Pem { .. }));

    std::fs::set_permissions(&files.key, PermissionsExt::from_mode(0o640)).unwrap();
    assert!(fails(&files).to_string().contains("has mode 640"));
    std::fs::set_permissions(&files.key, PermissionsExt::from_mode(0o600)).unwrap();

    let second = ca.files(&node(CLUSTER, 2), valid());
    let mixed = TlsFiles { key: files_in(second.path()).key, ..files.clone() };
    assert!(matches!(fails(&mixed), TlsError::KeyMismatch { .. }));
    let elsewhere = Authority::new().files(&node(CLUSTER, 1), valid());
    let foreign = TlsFiles { ca: files_in(elsewhere.path()).ca, ..files.clone() };
    assert!(matches!(fails(&foreign), TlsError::OtherAuthority { .. }));
    assert!(TlsMaterial::load(&files).is_ok());
}

#[test]
fn a_certificate_is_refused_outside_its_validity() {
    let ca = Authority::new();
    let dir = ca.files(&node(CLUSTER, 1), valid());
    let files = files_in(dir.path());
    let at = |year: u64| SystemTime::UNIX_EPOCH + Duration::from_secs((year - 1970) * 31_557_600);
    assert!(matches!(TlsMaterial::load_at(&files, at(2019)), Err(TlsError::NotYetValid { .. })));
    assert!(TlsMaterial::load_at(&files, at(2030)).is_ok());
    assert!(matches!(TlsMaterial::load_at(&files, at(2121)), Err(TlsError::Expired { .. })));
}

#[test]
fn a_certificate_of_nobody_is_refused() {
    let ca = Authority::new();
    for (uris, expected) in [
        (vec![], IdentityError::Missing),
        (vec!["pointsman://x/node/1"], IdentityError::Invalid("pointsman://x/node/1".to_owned())),
        (vec!["pointsman://x/node/1", "pointsman://x/node/2"], IdentityError::Ambiguous),
    ] {
        let mut params = CertificateParams::new(vec!["x".to_owned()]).unwrap();
        params.subject_alt_names.extend(uris.iter().map(|u| SanType::URI((*u).try_into().unwrap())));
        let dir = ca.write(params);
        match TlsMaterial::load(&files_in(dir.path())) {
            Err(TlsError::NoIdentity { source, .. }) => assert_eq!(source, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_certificate_of_another_member_is_refused_by_name() {
    let one = Authority::new().member(&node(CLUSTER, 1));
    assert!(one.require(&node(CLUSTER, 1)).is_ok());
    let message = one.require(&node(CLUSTER, 2)).unwrap_err().to_string();
    assert!(message.contains("belongs to node 1") && message.contains("but node 2"), "{message}");
}

#[test]
fn debug_output_shows_the_identity_and_no_key() {
    let shown = format!("{:?}", Authority::new().member(&node(CLUSTER, 1)));
    assert!(shown.contains(CLUSTER) && shown.len() < 200, "{shown}");
}

#[tokio::test]
async fn clients_reach_a_node_by_its_name_without_dns() {
    let ca = Authority::new();
    let (one, two) = (ca.member(&node(CLUSTER, 1)), ca.member(&node(CLUSTER, 2)));
    let server = serve_once(two.mutual_server_config());
    let nodes = [(NodeId(2), server)].into();
    let client = one.peer_client(&nodes, ClientOptions::default()).unwrap();
    let url = node_url(CLUSTER, NodeId(2), server.port());
    let answer = client.get(url).timeout(Duration::from_secs(5)).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "hello");
}

#[tokio::test]
async fn an_operator_reaches_a_node_by_address_with_the_authority_alone() {
    let ca = Authority::new();
    let one = ca.member(&node(CLUSTER, 1));
    let good = operator_client(ca.issuer.pem().as_bytes()).unwrap();
    let wrong = operator_client(Authority::new().issuer.pem().as_bytes()).unwrap();
    for (client, ok) in [(good, true), (wrong, false)] {
        let server = serve_once(one.server_config());
        let answer = client.get(format!("https://{server}")).timeout(Duration::from_secs(5)).send().await;
        assert_eq!(answer.is_ok(), ok);
    }
    assert!(operator_client(b"no pem").is_err());
}

#[tokio::test]
async fn a_probe_trusts_the_cluster_or_anyone_as_declared() {
    let ca = Authority::new();
    let (one, stranger) = (ca.member(&node(CLUSTER, 1)), Authority::new().member(&node(OTHER, 9)));
    for (trust, answering, ok) in
        [(Trust::Cluster, &one, true), (Trust::Cluster, &stranger, false), (Trust::Any, &stranger, true)]
    {
        let server = serve_once(answering.server_config());
        let client = probe_client(&one, trust).unwrap();
        let answer = client.get(format!("https://{server}")).timeout(Duration::from_secs(5)).send().await;
        assert_eq!(answer.is_ok(), ok, "{trust:?}");
    }
}

fn node(cluster: &str, id: u64) -> Identity {
    Identity { cluster_id: cluster.to_owned(), peer: PeerIdentity::Node(NodeId(id)) }
}

fn agent(cluster: &str, name: &str) -> Identity {
    Identity { cluster_id: cluster.to_owned(), peer: PeerIdentity::Agent(ApplianceName::new(name).unwrap()) }
}

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// A member with loaded material, its certificate valid for the loopback address too.
    fn member(&self, identity: &Identity) -> TlsMaterial {
        TlsMaterial::load(&files_in(self.files(identity, valid()).path())).unwrap()
    }

    fn files(&self, identity: &Identity, mut params: CertificateParams) -> tempfile::TempDir {
        params.subject_alt_names = vec![
            SanType::URI(identity.uri().try_into().unwrap()),
            SanType::DnsName(identity.dns_name().try_into().unwrap()),
            SanType::IpAddress([127, 0, 0, 1].into()),
        ];
        self.write(params)
    }

    fn write(&self, params: CertificateParams) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let files = files_in(dir.path());
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(&files.ca, self.issuer.pem()).unwrap();
        std::fs::write(&files.certificate, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        std::fs::set_permissions(&files.key, PermissionsExt::from_mode(0o600)).unwrap();
        dir
    }
}

fn valid() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2120, 1, 1);
    params
}

fn files_in(dir: &Path) -> TlsFiles {
    TlsFiles { ca: dir.join("ca.pem"), certificate: dir.join("node.pem"), key: dir.join("node.key") }
}

/// `client` dials the name of node `dialled` and reaches `server`, which says whom it sees.
fn handshake(client: &TlsMaterial, server: &TlsMaterial, dialled: NodeId) -> Result<Identity, String> {
    let name = Identity { cluster_id: CLUSTER.to_owned(), peer: PeerIdentity::Node(dialled) };
    connect(client.peer_tls().unwrap(), server.mutual_server_config(), &name).map(Option::unwrap)
}

fn connect(
    client: ClientConfig,
    server: Arc<ServerConfig>,
    dialled: &Identity,
) -> Result<Option<Identity>, String> {
    let name = ServerName::try_from(dialled.dns_name()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    while client.is_handshaking() || server.is_handshaking() || client.wants_write() || server.wants_write() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        if !wire.is_empty() {
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets().map_err(|e| e.to_string())?;
        }
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        if !wire.is_empty() {
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets().map_err(|e| e.to_string())?;
        }
    }
    assert_eq!(server.alpn_protocol(), Some(b"h2".as_slice()));
    Ok(server.peer_certificates().map(|chain| identity_of(&chain[0]).unwrap()))
}

/// Answers one HTTP/1.1 request, or ends with one failed handshake.
fn serve_once(config: Arc<ServerConfig>) -> SocketAddr {
    let mut config = ServerConfig::clone(&config);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let connection = ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, socket);
        if stream.read(&mut [0; 4096]).is_ok() {
            let _client_may_be_gone =
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello");
        }
    });
    address
}
