//! Where a member's certificate is.

use std::path::PathBuf;

use crate::decode::{Report, Table};

/// The files of a member's certificate, relative to the configuration's directory or absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsPaths {
    /// The cluster's authority.
    pub ca: PathBuf,
    /// The member's certificate.
    pub certificate: PathBuf,
    /// Its key, which group and others must not be able to read.
    pub key: PathBuf,
}

impl TlsPaths {
    pub(crate) fn read(report: &Report, t: &mut Table<'_>) -> Option<TlsPaths> {
        let mut file = |key| t.required::<PathBuf>(key).map(|path| report.directory().join(path));
        let (ca, certificate, key) = (file("ca"), file("certificate"), file("key"));
        Some(TlsPaths { ca: ca?, certificate: certificate?, key: key? })
    }
}
