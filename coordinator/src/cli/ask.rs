//! Confirmation before something moves.

use std::io::{BufRead, IsTerminal, Write};

use super::error::CliError;

/// Asks on the terminal, unless `yes`. Without a terminal nobody can answer, so it refuses.
pub(super) fn confirm(question: &str, yes: bool) -> Result<(), CliError> {
    if yes {
        return Ok(());
    }
    let answer = ask(&format!("{question} [y/N] "))?;
    if is_yes(&answer) { Ok(()) } else { Err(CliError::Declined) }
}

/// One line from the terminal.
fn ask(question: &str) -> Result<String, CliError> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(CliError::Usage(
            "this needs a confirmation, and standard input is not a terminal: give --yes to go on without"
                .to_owned(),
        ));
    }
    let failed = |source| CliError::io("could not ask for a confirmation", source);
    // On standard error, so that redirected output holds the result alone.
    let mut err = std::io::stderr().lock();
    write!(err, "{question}").and_then(|()| err.flush()).map_err(failed)?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).map_err(failed)?;
    Ok(answer)
}

/// Like [`confirm`], for what a habit of saying yes must not get past: `name` has to be typed.
pub(super) fn confirm_by_name(question: &str, name: &str, yes: bool) -> Result<(), CliError> {
    if yes {
        return Ok(());
    }
    let answer = ask(&format!("{question}\nType {name} to confirm: "))?;
    if answer.trim() == name { Ok(()) } else { Err(CliError::Declined) }
}

/// Anything but a clear yes is a no.
fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_a_yes() {
        for yes in ["y\n", "Y", " yes \n", "YES"] {
            assert!(is_yes(yes), "{yes:?}");
        }
        for no in ["", "\n", "n", "no", "ye", "yess", "ok"] {
            assert!(!is_yes(no), "{no:?}");
        }
    }
}
