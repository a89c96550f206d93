//! Which cluster, and with which token.

use std::path::{Path, PathBuf};

use config::cli::TOKEN_VARIABLE;
use coordinator_api::client::Client;

use super::error::CliError;

/// What a command needs to reach a cluster.
pub(super) struct Context {
    /// Asks the cluster.
    pub(super) client: Client,
}

impl Context {
    /// Reads the context file: the given one, or the first that exists of the usual places.
    pub(super) fn find(given: Option<&Path>) -> Result<Context, CliError> {
        let file = match given {
            Some(file) => file.to_owned(),
            None => usual_places().into_iter().find(|file| file.is_file()).ok_or_else(missing)?,
        };
        let context = config::load_cli(&file)?;
        let token = context.token(std::env::var(TOKEN_VARIABLE).ok())?;
        let ca = std::fs::read(&context.ca).map_err(|source| {
            CliError::io(format!("could not read the certificate authority {}", context.ca.display()), source)
        })?;
        let client = Client::new(context.endpoints, &ca, token.expose())?;
        Ok(Context { client })
    }
}

fn usual_places() -> Vec<PathBuf> {
    let home = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".config")));
    let mut places = vec![PathBuf::from("cli.toml")];
    places.extend(home.map(|home| home.join("pointsman/cli.toml")));
    places
}

fn missing() -> CliError {
    let places = usual_places();
    let places: Vec<_> = places.iter().map(|file| file.display().to_string()).collect();
    CliError::Usage(format!(
        "there is no context file ({}); `pointsman init` writes one: name it with --context or POINTSMAN_CONTEXT",
        places.join(", ")
    ))
}
