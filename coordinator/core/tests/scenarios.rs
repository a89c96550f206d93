//! Stories in domain commands, each followed by its full trace.
//!
//! A file in `scenarios/` has one command per line; the indented lines below it are what the core
//! answered. `POINTSMAN_REWRITE=1 cargo test -p coordinator-core --test scenarios` writes the
//! answers anew: review them as a diff.

#![allow(clippy::disallowed_methods, reason = "this test reads and writes the stories")]
#![allow(clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

mod common;
#[path = "scenarios/story.rs"]
mod story;
#[path = "scenarios/trace.rs"]
mod trace;

use std::fs;
use std::path::Path;

use story::Story;

/// At least so many: a story that is lost is noticed.
const STORIES: usize = 36;

#[test]
fn every_story_ends_as_it_is_told() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let rewrite = std::env::var_os("POINTSMAN_REWRITE").is_some();
    let entries = fs::read_dir(&dir).expect("the stories are there");
    let mut paths: Vec<_> = entries.map(|e| e.expect("an entry").path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "txt"));
    paths.sort();
    assert!(paths.len() >= STORIES, "only {} stories", paths.len());
    let mut differing = Vec::new();
    for path in &paths {
        let told = fs::read_to_string(path).expect("a story");
        let retold = retell(path, &told);
        if told == retold {
            continue;
        }
        if rewrite {
            fs::write(path, retold).expect("the story can be written");
        } else {
            differing.push(format!("{}\n{}", path.display(), first_difference(&told, &retold)));
        }
    }
    assert!(
        differing.is_empty(),
        "{}\nrewrite with POINTSMAN_REWRITE=1 cargo test -p coordinator-core --test scenarios",
        differing.join("\n")
    );
}

/// The story with its commands and comments as they are, and the answers as they come.
fn retell(path: &Path, told: &str) -> String {
    let mut story = Story::default();
    let mut out = String::new();
    for line in told.lines().filter(|l| !l.starts_with(' ')) {
        out.push_str(line);
        out.push('\n');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = story.run(&words).unwrap_or_else(|e| panic!("{}: {line}: {e}", path.display()));
        for line in answer {
            out.push_str("    ");
            out.push_str(&line);
            out.push('\n');
        }
    }
    out
}

fn first_difference(told: &str, retold: &str) -> String {
    let lines = told.lines().map(Some).chain(std::iter::repeat(None));
    let others = retold.lines().map(Some).chain(std::iter::repeat(None));
    let differs = lines.zip(others).enumerate().find(|(_, (a, b))| a != b);
    let (number, (a, b)) = differs.expect("the texts differ");
    let shown = |line: Option<&str>| line.unwrap_or("(the end)").to_owned();
    format!("line {}\n  told:   {}\n  retold: {}", number + 1, shown(a), shown(b))
}
