use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::Value;

use super::*;

const CERTIFICATE: &[u8] = include_bytes!("testdata/certificate.pem");
const PKCS8: &str = include_str!("testdata/key-pkcs8.pem");
const PKCS1: &str = include_str!("testdata/key-pkcs1.pem");
const ELLIPTIC: &str = include_str!("testdata/key-ec.pem");
const AUDIENCE: &str = "https://login.microsoftonline.com/contoso.example/oauth2/v2.0/token";

fn made(key: &str, signature: Signature) -> Result<String, AssertionError> {
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    sign(CERTIFICATE, &Secret::for_test(key), signature, "client-1", AUDIENCE, now)
}

fn part(token: &str, at: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(at).unwrap()).unwrap()).unwrap()
}

#[test]
fn an_assertion_says_who_to_whom_and_for_how_long_and_its_signature_holds() {
    for (key, signature, algorithm) in [
        (PKCS8, Signature::Ps256, "PS256"),
        (PKCS1, Signature::Ps256, "PS256"),
        (PKCS8, Signature::Rs256, "RS256"),
    ] {
        let token = made(key, signature).unwrap();
        let (header, claims) = (part(&token, 0), part(&token, 1));
        assert_eq!((&header["alg"], &header["typ"]), (&json!(algorithm), &json!("JWT")));
        assert_eq!(claims["aud"], AUDIENCE);
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("client-1"), &json!("client-1")));
        assert_eq!((&claims["nbf"], &claims["exp"]), (&json!(1_799_999_940), &json!(1_800_000_600)));

        let (signed, bytes) = token.rsplit_once('.').unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(bytes).unwrap();
        let public = key_pair(&Secret::for_test(key)).unwrap().public().as_ref().to_vec();
        let verified =
            match signature {
                Signature::Ps256 => UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, &public)
                    .verify(signed.as_bytes(), &bytes),
                Signature::Rs256 => UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &public)
                    .verify(signed.as_bytes(), &bytes),
            };
        verified.unwrap();
    }
}

/// Compared with what `openssl x509 -outform DER | openssl dgst` says of the same file.
#[test]
fn the_header_names_the_certificate_by_its_thumbprint() {
    assert_eq!(
        part(&made(PKCS8, Signature::Ps256).unwrap(), 0)["x5t#S256"],
        "FC3LWlK084sJtsKvdeh0L-Y2CBGm2Kml6Y9d7JggzbM"
    );
    assert_eq!(part(&made(PKCS8, Signature::Rs256).unwrap(), 0)["x5t"], "D_1Qk8bFS-iQ280rW89v2X6O4Pk");
}

#[test]
fn no_two_assertions_have_one_id() {
    let id = |token: String| part(&token, 1)["jti"].clone();
    assert_ne!(id(made(PKCS8, Signature::Ps256).unwrap()), id(made(PKCS8, Signature::Ps256).unwrap()));
}

#[test]
fn a_key_of_the_wrong_kind_is_refused_without_being_shown() {
    assert_eq!(made(ELLIPTIC, Signature::Ps256), Err(AssertionError::Rsa));
    assert_eq!(made("no key at all", Signature::Ps256), Err(AssertionError::Key));
    let now = SystemTime::now();
    let refused = sign(b"x", &Secret::for_test(PKCS8), Signature::Ps256, "c", "a", now);
    assert_eq!(refused, Err(AssertionError::Certificate));
    assert_eq!(format!("{:?}", Secret::for_test("s3cret")), "(not shown)");
}
