//! Files that are wrong, and every word that is said about them.
//!
//! Each `tests/faults/NAME.toml` has its faults in `NAME.txt` beside it, as `pointsman config
//! check` prints them. After a change of a rule or its wording, run with `POINTSMAN_REWRITE=1` and
//! read the difference.

use std::path::{Path, PathBuf};

#[test]
fn each_faulty_file_is_refused_with_exactly_these_words() {
    let mut wrong = Vec::new();
    let files = faulty_files().unwrap();
    assert!(files.len() >= 10, "the files were not found");
    for file in files {
        let faults = match config::check(&file) {
            Ok(summary) => panic!("{} passed as {summary}", file.display()),
            Err(faults) => faults.to_string(),
        };
        // The directory differs from one checkout to the next; the name does not.
        let seen = faults.replace(&format!("{}/", file.parent().unwrap().display()), "") + "\n";
        let expected = file.with_extension("txt");
        if std::env::var_os("POINTSMAN_REWRITE").is_some() {
            std::fs::write(&expected, &seen).unwrap();
        }
        let expected = std::fs::read_to_string(&expected).unwrap_or_default();
        if seen != expected {
            wrong.push(format!("{}:\n{seen}expected:\n{expected}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_file_that_is_not_there_is_a_fault_of_its_own() {
    let faults = config::load_coordinator(Path::new("/nonexistent/pointsman.toml")).unwrap_err();
    let said = faults.to_string();
    assert!(said.starts_with("/nonexistent/pointsman.toml: could not be read"), "{said}");
}

#[test]
fn a_file_of_absurd_size_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pointsman.toml");
    std::fs::write(&file, "#".repeat(2 * 1024 * 1024)).unwrap();
    assert!(config::check(&file).unwrap_err().to_string().contains("is longer than"));
}

#[test]
fn a_token_pasted_for_its_hash_is_not_repeated() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/tokens.toml");
    let said = config::check(&file).unwrap_err().to_string();
    assert!(said.contains("not shown here") && !said.contains("hunter2"), "{said}");
}

fn faulty_files() -> std::io::Result<Vec<PathBuf>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults");
    let all: Result<Vec<_>, _> = std::fs::read_dir(dir)?.map(|entry| entry.map(|e| e.path())).collect();
    let mut files = all?;
    files.retain(|path| path.extension().is_some_and(|e| e == "toml"));
    files.sort();
    Ok(files)
}
