//! `[[adapter]] kind = "azure"`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use coordinator_core::ids::NodeId;

use crate::decode::{Report, Table, Value};

/// A connection to Azure, checked as far as that goes without connecting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureConfig {
    /// Which cloud. Default: public.
    pub cloud: AzureCloud,
    /// Azure Resource Manager, when it is not the cloud's own.
    pub arm_url: Option<String>,
    /// The token endpoint's authority, when it is not the cloud's own.
    pub authority_url: Option<String>,
    /// The metadata service, when it is not at its usual link-local address.
    pub imds_url: Option<String>,
    /// Whom tokens are for. Default: the cloud's own ARM.
    pub audience: Option<String>,
    /// Authorities to trust beside the system's, PEM.
    pub ca: Option<PathBuf>,
    /// What may be written. At least one.
    pub allow: Vec<String>,
    /// Reads an hour and subscription that watching groups at rest may take. Default 7,200.
    pub watch_reads_per_hour: u32,
    /// Who the adapter is.
    pub identity: AzureIdentity,
    /// The coordinators' own network interfaces, by id: whose effective routes preflight looks at.
    /// May be empty.
    pub coordinator_nics: BTreeMap<NodeId, String>,
}

/// The clouds that Microsoft and its partners run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AzureCloud {
    /// `public`
    Public,
    /// `us-government`
    UsGovernment,
    /// `china`
    China,
}

/// Who the adapter is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AzureIdentity {
    /// The identity of this virtual machine.
    Managed {
        /// A user-assigned one, by client id.
        client_id: Option<String>,
    },
    /// An application with a password.
    Secret {
        /// Which application.
        application: AzureApplication,
        /// Where its password is.
        secret: SecretPlace,
    },
    /// An application with a certificate.
    Certificate {
        /// Which application.
        application: AzureApplication,
        /// The certificate, PEM.
        certificate: PathBuf,
        /// Where its key is.
        key: SecretPlace,
        /// RS256 instead of PS256.
        rs256: bool,
    },
    /// An application that trusts another issuer's tokens.
    Workload {
        /// Which application.
        application: AzureApplication,
        /// The other issuer's token.
        token_file: PathBuf,
    },
}

/// An application of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureApplication {
    /// Id or domain of the tenant.
    pub tenant: String,
    /// Id of the application.
    pub client_id: String,
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPlace {
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A systemd credential, by name.
    Credential(String),
}

impl Value for AzureCloud {
    const RULE: &'static str = "must be \"public\", \"us-government\" or \"china\"";
    fn read(value: &toml::de::DeValue<'_>) -> Option<Self> {
        match value.as_str()? {
            "public" => Some(AzureCloud::Public),
            "us-government" => Some(AzureCloud::UsGovernment),
            "china" => Some(AzureCloud::China),
            _ => None,
        }
    }
}

/// In lower case: ids are compared without regard to it.
const NIC: &str = "/providers/microsoft.network/networkinterfaces/";
/// The default, and what is allowed: the upper end is all that ARM lets one caller read.
const WATCH_READS: (u32, std::ops::RangeInclusive<u32>) = (7_200, 60..=90_000);

pub(super) fn read(report: &Report, t: &mut Table<'_>) -> Option<AzureConfig> {
    let cloud = t.or("cloud", AzureCloud::Public);
    let arm_url = url(t, "arm_url", false);
    let authority_url = url(t, "authority_url", false);
    let imds_url = url(t, "imds_url", true);
    let audience = t.optional("audience");
    let ca = path(report, t, "ca");
    let allow = t.required::<Vec<String>>("allow");
    if let Some(allow) = &allow {
        check_allow(t, allow);
    }
    let coordinator_nics = nics(t);
    let watch_reads_per_hour = t.or("watch_reads_per_hour", WATCH_READS.0);
    if !WATCH_READS.1.contains(&watch_reads_per_hour) {
        t.fault("watch_reads_per_hour", &watch_reads_per_hour.to_string(), "must be from 60 to 90000");
    }
    let identity = t.required_table("identity", |t| identity(report, t));
    Some(AzureConfig {
        cloud,
        arm_url,
        authority_url,
        imds_url,
        audience,
        ca,
        allow: allow?,
        watch_reads_per_hour,
        identity: identity??,
        coordinator_nics: coordinator_nics?,
    })
}

fn nics(t: &mut Table<'_>) -> Option<BTreeMap<NodeId, String>> {
    if !t.has("coordinator_nics") {
        return Some(BTreeMap::new());
    }
    let nics = t.per_node::<String>("coordinator_nics")?;
    for (node, nic) in &nics {
        let lower = nic.to_ascii_lowercase();
        if !lower.starts_with("/subscriptions/") || !lower.contains(NIC) {
            let key = format!("coordinator_nics.{node}");
            t.fault(
                &key,
                &format!("{nic:?}"),
                "must be the id of a network interface: /subscriptions/…/networkInterfaces/NAME",
            );
        }
    }
    Some(nics)
}

fn check_allow(t: &Table<'_>, allow: &[String]) {
    if allow.is_empty() {
        let rule = "must name at least one resource, resource group or subscription: nothing else is written";
        t.fault("allow", "empty", rule);
    }
    for entry in allow {
        let lower = entry.trim_end_matches('/').to_ascii_lowercase();
        let parts: Vec<&str> = lower.split('/').collect();
        let group = parts.get(3).is_none_or(|part| *part == "resourcegroups");
        let shaped = lower.starts_with("/subscriptions/") && parts.len() % 2 == 1 && group;
        if !shaped || parts.iter().skip(1).any(|part| part.is_empty()) {
            let rule = "must hold ids only: /subscriptions/ID, /subscriptions/ID/resourceGroups/NAME, or a resource's";
            t.fault("allow", &format!("{entry:?}"), rule);
        }
    }
}

/// Tokens go there, so it has to be TLS, but for this machine itself and what is link-local.
fn url(t: &mut Table<'_>, key: &'static str, link_local: bool) -> Option<String> {
    let url = t.optional::<String>(key)?;
    let local = ["http://127.0.0.1", "http://[::1]", "http://localhost"];
    let local = link_local && url.starts_with("http://") || local.iter().any(|start| url.starts_with(start));
    if !url.starts_with("https://") && !local {
        t.fault(key, &format!("{url:?}"), "must start with https://");
    }
    Some(url)
}

fn path(report: &Report, t: &mut Table<'_>, key: &'static str) -> Option<PathBuf> {
    t.optional::<PathBuf>(key).map(|path| report.directory().join(path))
}

fn required_path(report: &Report, t: &mut Table<'_>, key: &'static str) -> Option<PathBuf> {
    t.required::<PathBuf>(key).map(|path| report.directory().join(path))
}

fn identity(report: &Report, t: &mut Table<'_>) -> Option<AzureIdentity> {
    let kind = t.required::<String>("kind");
    match kind.as_deref() {
        Some("managed-identity") => Some(AzureIdentity::Managed { client_id: t.optional("client_id") }),
        Some("client-secret") => {
            let (application, secret) = (application(t), place(report, t, SECRET));
            Some(AzureIdentity::Secret { application: application?, secret: secret? })
        }
        Some("client-certificate") => {
            let application = application(t);
            let certificate = required_path(report, t, "certificate_file");
            let key = place(report, t, KEY);
            let rs256 = match t.or("signature", "PS256".to_owned()).as_str() {
                "PS256" => false,
                "RS256" => true,
                other => {
                    t.fault("signature", &format!("{other:?}"), "must be \"PS256\" or \"RS256\"");
                    false
                }
            };
            Some(AzureIdentity::Certificate {
                application: application?,
                certificate: certificate?,
                key: key?,
                rs256,
            })
        }
        Some("workload-identity") => {
            let (application, token_file) = (application(t), required_path(report, t, "token_file"));
            Some(AzureIdentity::Workload { application: application?, token_file: token_file? })
        }
        other => {
            if let Some(other) = other {
                let rule = "must be \"managed-identity\", \"client-secret\", \"client-certificate\" or \
                            \"workload-identity\"";
                t.fault("kind", &format!("{other:?}"), rule);
            }
            t.allow_all();
            None
        }
    }
}

fn application(t: &mut Table<'_>) -> Option<AzureApplication> {
    let (tenant, client_id) = (t.required::<String>("tenant"), t.required::<String>("client_id"));
    if let Some(tenant) = &tenant
        && !tenant.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
    {
        t.fault("tenant", &format!("{tenant:?}"), "must be a tenant's id or its domain");
    }
    Some(AzureApplication { tenant: tenant?, client_id: client_id? })
}

/// The three keys of which one says where a secret is.
type Keys = [&'static str; 3];
const SECRET: Keys = ["secret_file", "secret_env", "secret_credential"];
const KEY: Keys = ["key_file", "key_env", "key_credential"];

fn place(report: &Report, t: &mut Table<'_>, keys: Keys) -> Option<SecretPlace> {
    let [file, environment, credential] = keys;
    let places = [
        path(report, t, file).map(SecretPlace::File),
        t.optional(environment).map(SecretPlace::Environment),
        t.optional(credential).map(SecretPlace::Credential),
    ];
    let given = keys.iter().filter(|key| t.has(key)).count();
    let one_of = format!("{file}, {environment} and {credential}");
    match given {
        0 => t.missing(file, &format!("must say where the secret is, or one of the others of {one_of}")),
        1 => {}
        _ => t.complain(file, &format!("is not alone: keep one of {one_of}")),
    }
    places.into_iter().flatten().next().filter(|_| given == 1)
}
