//! From the configuration's adapters to those of `cloud-adapters`: two vocabularies on purpose,
//! so that neither crate has to know the other.

use std::collections::BTreeMap;

use cloud_adapters::azure::AzureOptions;
use cloud_adapters::azure::options::{
    Application, AzureCloud, Endpoints, IMDS_URL, Identity, Pace, SecretSource, Signature,
};
use cloud_adapters::{AdapterKind, AdapterSpec};
use config::coordinator as configured;
use coordinator_core::ids::{AdapterName, NodeId};

/// A URL of an adapter that is none.
#[derive(Debug, thiserror::Error)]
#[error("adapter {adapter}: {key} is {url:?}, which is no URL")]
pub struct UrlError {
    adapter: AdapterName,
    key: &'static str,
    url: String,
}

/// What each adapter is told.
///
/// # Errors
/// [`UrlError`] names the first URL that is none.
pub(crate) fn specs(
    adapters: &BTreeMap<AdapterName, configured::AdapterKind>,
) -> Result<Vec<AdapterSpec>, UrlError> {
    adapters
        .iter()
        .map(|(name, kind)| Ok(AdapterSpec { name: name.clone(), kind: spec(name, kind)? }))
        .collect()
}

fn spec(name: &AdapterName, kind: &configured::AdapterKind) -> Result<AdapterKind, UrlError> {
    Ok(match kind {
        configured::AdapterKind::Simulated { url } => {
            AdapterKind::Simulated { url: url.clone(), token: None }
        }
        configured::AdapterKind::Azure(azure) => AdapterKind::Azure(Box::new(options(name, azure)?)),
    })
}

fn options(name: &AdapterName, azure: &configured::AzureConfig) -> Result<AzureOptions, UrlError> {
    let cloud = match azure.cloud {
        configured::AzureCloud::Public => AzureCloud::Public,
        configured::AzureCloud::UsGovernment => AzureCloud::UsGovernment,
        configured::AzureCloud::China => AzureCloud::China,
    };
    let url = |key, given: &Option<String>, usual: &str| {
        let text = given.as_deref().unwrap_or(usual);
        text.parse().map_err(|_| UrlError { adapter: name.clone(), key, url: text.to_owned() })
    };
    let audience = azure.audience.clone().unwrap_or_else(|| cloud.arm_url().to_owned());
    Ok(AzureOptions {
        endpoints: Endpoints {
            arm: url("arm_url", &azure.arm_url, cloud.arm_url())?,
            authority: url("authority_url", &azure.authority_url, cloud.authority_url())?,
            imds: url("imds_url", &azure.imds_url, IMDS_URL)?,
            audience,
        },
        identity: identity(&azure.identity),
        allow: azure.allow.clone(),
        ca: azure.ca.clone(),
        pace: Pace { watch_reads_per_hour: azure.watch_reads_per_hour, ..Pace::default() },
    })
}

/// The coordinators' own network interfaces, by the adapter that is told of them.
pub(crate) fn nics(
    adapters: &BTreeMap<AdapterName, configured::AdapterKind>,
) -> BTreeMap<AdapterName, BTreeMap<NodeId, String>> {
    let told = adapters.iter().filter_map(|(name, kind)| match kind {
        configured::AdapterKind::Azure(azure) => Some((name.clone(), azure.coordinator_nics.clone())),
        configured::AdapterKind::Simulated { .. } => None,
    });
    told.collect()
}

fn identity(identity: &configured::AzureIdentity) -> Identity {
    match identity {
        configured::AzureIdentity::Managed { client_id } => {
            Identity::ManagedIdentity { client_id: client_id.clone() }
        }
        configured::AzureIdentity::Secret { application: app, secret } => {
            Identity::ClientSecret { application: application(app), secret: place(secret) }
        }
        configured::AzureIdentity::Certificate { application: app, certificate, key, rs256 } => {
            Identity::ClientCertificate {
                application: application(app),
                certificate: certificate.clone(),
                key: place(key),
                signature: if *rs256 { Signature::Rs256 } else { Signature::Ps256 },
            }
        }
        configured::AzureIdentity::Workload { application: app, token_file } => {
            Identity::WorkloadIdentity { application: application(app), token_file: token_file.clone() }
        }
    }
}

fn application(application: &configured::AzureApplication) -> Application {
    Application { tenant: application.tenant.clone(), client_id: application.client_id.clone() }
}

fn place(place: &configured::SecretPlace) -> SecretSource {
    match place {
        configured::SecretPlace::File(path) => SecretSource::File(path.clone()),
        configured::SecretPlace::Environment(name) => SecretSource::Environment(name.clone()),
        configured::SecretPlace::Credential(name) => SecretSource::Credential(name.clone()),
    }
}
