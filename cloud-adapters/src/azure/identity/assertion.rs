//! A client assertion: a JSON Web Token (RFC 7519) that an application signs with the key of its
//! certificate to prove who it is (RFC 7523 §2.2).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
use ring::{digest, rand};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

use super::secret::Secret;
use crate::azure::options::Signature;

/// How long an assertion is good for. It is used at once; the rest is for clocks that differ.
const LIFETIME: Duration = Duration::from_secs(600);

/// Why no assertion could be made. No variant holds anything of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// No PEM block `CERTIFICATE`.
    #[error("the certificate is not PEM")]
    Certificate,
    /// No PEM block with a private key.
    #[error("the key is not a PEM private key without a password")]
    Key,
    /// ECDSA, or shorter than 2048 bits, or damaged.
    #[error("the key is not an RSA key of 2048 to 4096 bits, which is what Entra ID takes")]
    Rsa,
    /// The operating system has no randomness to give.
    #[error("the system gave no random bytes")]
    Random,
}

/// Makes an assertion that `client_id` is who it says, for the token endpoint `audience`.
pub(super) fn sign(
    certificate_pem: &[u8],
    key_pem: &Secret,
    signature: Signature,
    client_id: &str,
    audience: &str,
    now: SystemTime,
) -> Result<String, AssertionError> {
    let certificate =
        CertificateDer::from_pem_slice(certificate_pem).map_err(|_| AssertionError::Certificate)?;
    let key = key_pair(key_pem)?;
    let random = SystemRandom::new();
    let mut id = [0; 16];
    random.fill(&mut id).map_err(|_| AssertionError::Random)?;

    let (algorithm, encoding, thumbprint, hash): (_, &dyn RsaEncoding, _, _) = match signature {
        Signature::Ps256 => ("PS256", &RSA_PSS_SHA256, "x5t#S256", &digest::SHA256),
        // The thumbprint says which certificate, it protects nothing: SHA-1 will do for that.
        Signature::Rs256 => ("RS256", &RSA_PKCS1_SHA256, "x5t", &digest::SHA1_FOR_LEGACY_USE_ONLY),
    };
    let fingerprint = URL_SAFE_NO_PAD.encode(digest::digest(hash, &certificate));
    let header = json!({ "alg": algorithm, "typ": "JWT", thumbprint: fingerprint });
    let issued = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims = json!({
        "aud": audience,
        "iss": client_id,
        "sub": client_id,
        "jti": URL_SAFE_NO_PAD.encode(id),
        // Entra ID refuses what is not valid yet, and this machine's clock may be ahead of its.
        "nbf": issued.saturating_sub(60),
        "iat": issued,
        "exp": issued + LIFETIME.as_secs(),
    });
    let encode = |part: &serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let mut bytes = vec![0; key.public().modulus_len()];
    key.sign(encoding, &random as &dyn rand::SecureRandom, signed.as_bytes(), &mut bytes)
        .map_err(|_| AssertionError::Rsa)?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes)))
}

fn key_pair(pem: &Secret) -> Result<RsaKeyPair, AssertionError> {
    let key = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()).map_err(|_| AssertionError::Key)?;
    let pair = match &key {
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        _ => return Err(AssertionError::Rsa),
    };
    pair.map_err(|_| AssertionError::Rsa)
}

#[cfg(test)]
mod tests;
