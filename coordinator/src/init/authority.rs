//! The cluster's certificate authority: ECDSA P-256, ten years.
//!
//! Members' certificates are valid as long as the authority's. There is no renewal yet, and a
//! certificate that runs out takes its node out of the cluster, so a shorter life would be a
//! dated outage and not a safeguard.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use coordinator_api::tls::{Identity, PeerIdentity};
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, SanType,
};

use super::InitError;

/// DNS allows labels of 63 bytes at most.
const MAX_LABEL: usize = 63;

/// Issues the certificates of one cluster.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    validity: (Date, Date),
}

/// A certificate and its key, as PEM.
pub(super) struct Issued {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Authority {
    /// A new authority, valid from the day before `today`, in UTC: members' clocks need not agree
    /// to better than a day.
    pub(super) fn new(name: &str, today: Date) -> Result<Authority, InitError> {
        let subject = format!("{name} certificate authority");
        let issue = |source| InitError::Issue { subject: subject.clone(), source };
        let validity = (today.saturating_sub(1.day()), today.saturating_add(10.years()));
        let mut params = params(&subject, validity);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(issue)?;
        let issuer = CertifiedIssuer::self_signed(params, key).map_err(issue)?;
        Ok(Authority { issuer, validity })
    }

    /// Today, in UTC.
    pub(super) fn today() -> Date {
        jiff::Timestamp::now().to_zoned(TimeZone::UTC).date()
    }

    /// The authority's own certificate and key.
    pub(super) fn own(&self) -> Issued {
        Issued { certificate: self.issuer.pem(), key: self.issuer.key().serialize_pem() }
    }

    /// The certificate of a member that is reached at `addresses`.
    pub(super) fn issue(&self, identity: &Identity, addresses: &[IpAddr]) -> Result<Issued, InitError> {
        let subject = identity.peer.to_string();
        let issue = |source| InitError::Issue { subject: subject.clone(), source };
        let mut params = params(&subject, self.validity);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = names(identity, addresses).map_err(issue)?;
        let key = KeyPair::generate().map_err(issue)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(issue)?;
        Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn names(identity: &Identity, addresses: &[IpAddr]) -> Result<Vec<SanType>, rcgen::Error> {
    let mut names = vec![SanType::URI(identity.uri().try_into()?)];
    let dns = identity.dns_name();
    if dns.split('.').all(|label| label.len() <= MAX_LABEL) {
        names.push(SanType::DnsName(dns.try_into()?));
    }
    let mut addresses = addresses.to_vec();
    // Operators on a coordinator's own machine use its API over loopback.
    if matches!(identity.peer, PeerIdentity::Node(_)) {
        names.push(SanType::DnsName("localhost".try_into()?));
        addresses.extend([IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]);
    }
    addresses.sort_unstable();
    addresses.dedup();
    names.extend(addresses.into_iter().map(SanType::IpAddress));
    Ok(names)
}

fn params(subject: &str, (from, until): (Date, Date)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Pointsman");
    params.distinguished_name.push(DnType::CommonName, subject);
    let midnight =
        |d: Date| rcgen::date_time_ymd(i32::from(d.year()), d.month().unsigned_abs(), d.day().unsigned_abs());
    params.not_before = midnight(from);
    params.not_after = midnight(until);
    params
}
