//! What the operator's command line needs to reach a cluster: `cli.toml`.

use std::fmt;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::decode::{Report, Table};
use crate::fault::{ConfigFaults, Fault};

/// The environment variable that carries the token.
pub const TOKEN_VARIABLE: &str = "POINTSMAN_TOKEN";

/// Longest token that is read from a file.
const MAX_TOKEN: u64 = 4096;

/// How to reach a cluster. The token is not part of the file, and never of the command line, where
/// every user of the machine could read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliContext {
    /// The file it was read from.
    pub file: PathBuf,
    /// The coordinators' API, such as `https://10.0.0.11:7400`, to be tried in turn. One or more.
    pub endpoints: Vec<String>,
    /// The cluster's authority.
    pub ca: PathBuf,
    /// A file with the token, for which group and others must have no permission.
    pub token_file: Option<PathBuf>,
}

/// Reads and checks a context.
///
/// # Errors
/// [`ConfigFaults`] with everything that is wrong.
pub fn load(path: &Path) -> Result<CliContext, ConfigFaults> {
    let report = Report::open(path)?;
    read(&report)
}

pub(crate) fn read(report: &Report) -> Result<CliContext, ConfigFaults> {
    let document = report.document()?;
    let context = Table::read_file(report, &document, |t| {
        let endpoints = t.required::<Vec<String>>("endpoints");
        let (ca, token_file) = (t.required::<PathBuf>("ca"), t.optional::<PathBuf>("token_file"));
        if endpoints.as_ref().is_some_and(Vec::is_empty) {
            t.fault("endpoints", "an empty list", "must name one coordinator or more");
        }
        for url in endpoints.iter().flatten().filter(|url| !url.starts_with("https://")) {
            t.fault("endpoints", &format!("a list with {url:?}"), "must hold URLs that start with https://");
        }
        Some(CliContext {
            file: report.file().to_owned(),
            endpoints: endpoints?.iter().map(|url| url.trim_end_matches('/').to_owned()).collect(),
            ca: report.directory().join(ca?),
            token_file: token_file.map(|path| report.directory().join(path)),
        })
    });
    report.finish(context)
}

/// A token in the clear. Debug output does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// For the `Authorization` header, and for nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(not shown)")
    }
}

impl CliContext {
    /// The token: from `variable`, the content of [`TOKEN_VARIABLE`] as the caller found it, or
    /// else from the token file.
    ///
    /// # Errors
    /// [`ConfigFaults`] when there is none, or when the file is readable by others.
    pub fn token(&self, variable: Option<String>) -> Result<Token, ConfigFaults> {
        if let Some(token) = variable.filter(|t| !t.trim().is_empty()) {
            return Ok(Token(token.trim().to_owned()));
        }
        let Some(path) = &self.token_file else {
            let message = format!(
                "has no token_file, and {TOKEN_VARIABLE} is not set; set one of them to reach the cluster"
            );
            return Err(refuse(&self.file, message));
        };
        read_token(path)
    }
}

fn read_token(path: &Path) -> Result<Token, ConfigFaults> {
    let unreadable = |e: std::io::Error| refuse(path, format!("could not be read: {e}"));
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let message = format!(
            "has mode {mode:03o}; group and others must have no access to a token: run `chmod 600` on it"
        );
        return Err(refuse(path, message));
    }
    let mut text = String::new();
    file.take(MAX_TOKEN).read_to_string(&mut text).map_err(unreadable)?;
    let token = text.trim();
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(refuse(path, "must hold one token and nothing else".to_owned()));
    }
    Ok(Token(token.to_owned()))
}

fn refuse(file: &Path, message: String) -> ConfigFaults {
    ConfigFaults { faults: vec![Fault { file: file.to_owned(), line: None, message }] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_goes_before_the_file() {
        let (_dir, context) = context("from-file\n", 0o600);
        assert_eq!(context.token(Some(" from-env ".to_owned())).unwrap().expose(), "from-env");
        assert_eq!(context.token(Some(String::new())).unwrap().expose(), "from-file");
        assert_eq!(context.token(None).unwrap().expose(), "from-file");
    }

    #[test]
    fn a_token_that_others_can_read_is_refused_and_not_repeated() {
        let (_dir, context) = context("hunter2", 0o640);
        let said = context.token(None).unwrap_err().to_string();
        assert!(said.contains("has mode 640") && !said.contains("hunter2"), "{said}");
    }

    #[test]
    fn a_file_with_more_than_a_token_is_refused() {
        for content in ["", "  \n", "two words"] {
            let (_dir, context) = context(content, 0o600);
            assert!(context.token(None).is_err(), "{content:?}");
        }
    }

    #[test]
    fn without_a_token_the_message_says_where_to_put_one() {
        let (_dir, mut context) = context("x", 0o600);
        context.token_file = None;
        let said = context.token(None).unwrap_err().to_string();
        assert!(said.contains(TOKEN_VARIABLE) && said.contains("token_file"), "{said}");
    }

    #[test]
    fn debug_output_does_not_show_the_token() {
        assert_eq!(format!("{:?}", Token("hunter2".to_owned())), "Token(not shown)");
    }

    fn context(token: &str, mode: u32) -> (tempfile::TempDir, CliContext) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, token).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        let context = CliContext {
            file: dir.path().join("cli.toml"),
            endpoints: vec!["https://10.0.0.11:7400".to_owned()],
            ca: "ca.pem".into(),
            token_file: Some(path),
        };
        (dir, context)
    }
}
