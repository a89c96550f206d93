//! Secrets, from where the configuration says. Never kept longer than a request takes.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::azure::options::SecretSource;

/// Most bytes of a secret. A private key of 4096 bits is some 3 kB.
const LONGEST: u64 = 64 * 1024;

/// A secret. Shown nowhere.
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    #[cfg(test)]
    pub(super) fn for_test(text: &str) -> Self {
        Secret(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

/// Why a secret could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file could not be read.
    #[error("could not read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// There is nothing in it, or far too much, or it is no text.
    #[error("{place} holds no secret: it must be text, not empty, and at most {LONGEST} bytes")]
    Unusable {
        /// Where.
        place: String,
    },
    /// The environment variable is not set.
    #[error("the environment variable {0} is not set")]
    NoVariable(String),
    /// Not started by systemd, or without credentials.
    #[error("there is no credential {0}: the service needs LoadCredential={0}:PATH in its unit")]
    NoCredential(String),
}

impl SecretSource {
    pub(super) async fn read(&self) -> Result<Secret, SecretError> {
        match self {
            SecretSource::File(path) => read_file(path).await,
            SecretSource::Environment(name) => {
                let text = std::env::var(name).map_err(|_| SecretError::NoVariable(name.clone()))?;
                checked(text, || format!("the environment variable {name}"))
            }
            SecretSource::Credential(name) => {
                let missing = || SecretError::NoCredential(name.clone());
                let directory = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(missing)?;
                read_file(&Path::new(&directory).join(name)).await
            }
        }
    }
}

pub(super) async fn read_file(path: &Path) -> Result<Secret, SecretError> {
    let failed = |source| SecretError::Read { path: path.to_owned(), source };
    let place = || path.display().to_string();
    // A device or a fifo in its place would never end.
    let size = tokio::fs::metadata(path).await.map_err(failed)?;
    if !size.is_file() || size.len() > LONGEST {
        return Err(SecretError::Unusable { place: place() });
    }
    let bytes = tokio::fs::read(path).await.map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|_| SecretError::Unusable { place: place() })?;
    checked(text, place)
}

fn checked(text: String, place: impl FnOnce() -> String) -> Result<Secret, SecretError> {
    let trimmed = text.trim_end_matches(['\n', '\r']);
    if trimmed.is_empty() {
        return Err(SecretError::Unusable { place: place() });
    }
    Ok(Secret(trimmed.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_secret_comes_without_its_line_end_and_never_from_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let read = || async { SecretSource::File(path.clone()).read().await };
        std::fs::write(&path, " s3cret+/=\r\n").unwrap();
        assert_eq!(read().await.unwrap().expose(), " s3cret+/=");
        std::fs::write(&path, "\n").unwrap();
        assert!(read().await.unwrap_err().to_string().contains("holds no secret"));
        std::fs::write(&path, vec![b'x'; 65 * 1024]).unwrap();
        assert!(read().await.unwrap_err().to_string().contains("at most"));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(read().await, Err(SecretError::Read { .. })));
        let missing = SecretSource::Environment("POINTSMAN_NO_SUCH_VARIABLE".to_owned()).read().await;
        assert!(missing.unwrap_err().to_string().contains("POINTSMAN_NO_SUCH_VARIABLE is not set"));
    }
}
