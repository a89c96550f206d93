//! What an Azure adapter is told.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

/// Everything that an Azure adapter is told. Holds no secret, only where secrets are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureOptions {
    /// Where ARM, the token endpoint and the instance metadata service are.
    pub endpoints: Endpoints,
    /// Who the adapter is.
    pub identity: Identity,
    /// What may be written: ids of resources, resource groups or subscriptions. Everything else
    /// is refused. At least one.
    pub allow: Vec<String>,
    /// A PEM file with authorities to trust beside the system's: for an ARM of one's own.
    pub ca: Option<PathBuf>,
    /// How often to ask, and how long to wait.
    pub pace: Pace,
}

/// Where the services are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// Azure Resource Manager.
    pub arm: Url,
    /// The token endpoint's authority; the tenant is added to its path.
    pub authority: Url,
    /// The instance metadata service of the machine.
    pub imds: Url,
    /// Whom tokens are for; nearly always ARM's own URL.
    pub audience: String,
}

/// The clouds that Microsoft and its partners run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AzureCloud {
    /// `management.azure.com`
    Public,
    /// `management.usgovcloudapi.net`
    UsGovernment,
    /// `management.chinacloudapi.cn`, run by 21Vianet.
    China,
}

impl AzureCloud {
    /// ARM's URL.
    pub fn arm_url(self) -> &'static str {
        match self {
            AzureCloud::Public => "https://management.azure.com/",
            AzureCloud::UsGovernment => "https://management.usgovcloudapi.net/",
            AzureCloud::China => "https://management.chinacloudapi.cn/",
        }
    }

    /// The token endpoint's authority.
    pub fn authority_url(self) -> &'static str {
        match self {
            AzureCloud::Public => "https://login.microsoftonline.com/",
            AzureCloud::UsGovernment => "https://login.microsoftonline.us/",
            AzureCloud::China => "https://login.chinacloudapi.cn/",
        }
    }
}

/// The instance metadata service: a link-local address, the same in every cloud.
pub const IMDS_URL: &str = "http://169.254.169.254/";

/// Who the adapter is, and what it proves that with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The identity that Azure gives to this virtual machine, from its metadata service.
    ManagedIdentity {
        /// Which of several user-assigned ones, by client id; none means the system-assigned
        /// one, or the only one.
        client_id: Option<String>,
    },
    /// An application with a password.
    ClientSecret {
        /// Which application.
        application: Application,
        /// Its password.
        secret: SecretSource,
    },
    /// An application with a certificate: it signs an assertion, and no secret leaves the machine.
    ClientCertificate {
        /// Which application.
        application: Application,
        /// The certificate, PEM.
        certificate: PathBuf,
        /// Its RSA private key, PEM, PKCS#8 or PKCS#1, 2048 bits or more.
        key: SecretSource,
        /// How assertions are signed.
        signature: Signature,
    },
    /// An application that trusts tokens of another issuer, such as a Kubernetes cluster.
    WorkloadIdentity {
        /// Which application.
        application: Application,
        /// The other issuer's token, which its owner renews.
        token_file: PathBuf,
    },
}

/// An application registered in a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// The tenant's id or domain.
    pub tenant: String,
    /// The application's (client) id.
    pub client_id: String,
}

/// How client assertions are signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Signature {
    /// RSASSA-PSS with SHA-256: what Entra ID asks for today.
    #[default]
    Ps256,
    /// RSASSA-PKCS1-v1_5 with SHA-256: for an AD FS that knows nothing newer.
    Rs256,
}

/// Where a secret is. It is read each time that it is needed, so a new one needs no restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file, without the line end after the secret.
    File(PathBuf),
    /// An environment variable of this process.
    Environment(String),
    /// A credential that systemd hands over (`LoadCredential=`), by name.
    Credential(String),
}

/// How often to ask, and how long to wait. All bounds; the defaults suit Azure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// How long one read may take. Default 10 s.
    pub read_timeout: Duration,
    /// How long ARM may take to accept one write. Default 30 s.
    pub write_timeout: Duration,
    /// The shortest wait between two looks at one operation under way; it grows to a
    /// sixteenth of the time that the operation has taken, so that what is lost by looking too
    /// late stays small beside it. Default 500 ms.
    pub poll_first: Duration,
    /// The longest. `Retry-After` of an accepted write is not waited for: ARM's ten seconds are
    /// meant for scripts, and every second here is an outage. Default 2 s.
    pub poll_longest: Duration,
    /// Looks a second of all operations under way together. ARM lets a subscription have 250
    /// reads at once and gives back 25 a second; looks become rarer as operations get older, so
    /// that 40 a second at first stay within that. Default 40.
    pub polls_per_second: u32,
    /// How often a read is tried, the first time included. Default 4.
    pub read_attempts: u32,
    /// The first wait before a read is tried again. Default 100 ms, doubled up to 1 s.
    pub read_retry_first: Duration,
    /// How long a call waits for a subscription that has had enough (429), before it is given
    /// back to its caller. Default 20 s.
    pub longest_throttle: Duration,
    /// Reads an hour and subscription that watching groups at rest may take. From 60. Default
    /// 7,200: ARM lets a caller read 25 times a second in each subscription (in China 12,000 times
    /// an hour), and moves are to find most of that free.
    pub watch_reads_per_hour: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            read_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            poll_first: Duration::from_millis(500),
            poll_longest: Duration::from_secs(2),
            polls_per_second: 40,
            read_attempts: 4,
            read_retry_first: Duration::from_millis(100),
            longest_throttle: Duration::from_secs(20),
            watch_reads_per_hour: 7_200,
        }
    }
}
