//! Random bits, and the first token made of them.

use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};

use super::{FirstToken, InitError};

/// Bits from the operating system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], InitError> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).map_err(InitError::Random)?;
    Ok(bytes)
}

/// A token of 256 random bits. With that many, its plain SHA-256 in the configuration gives
/// nothing away, and a slow password hash would only cost time on each request. The prefix lets
/// scanners for leaked secrets recognise it.
pub(super) fn token() -> Result<FirstToken, InitError> {
    Ok(FirstToken(format!("pointsman_{}", hex(&random::<32>()?))))
}

/// What stands in the configuration in the token's place.
pub(super) fn sha256(token: &FirstToken) -> String {
    hex(&Sha256::digest(token.expose().as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
