//! The core cannot read a clock, a socket, a file or a random source. `clippy.toml` bans the ways
//! around that rule; this test checks again from outside, without clippy: the dependencies
//! against a list, and the sources for the names of what is banned.

#![expect(clippy::disallowed_methods, reason = "this test reads the sources; the crate itself reads nothing")]
#![expect(clippy::expect_used, reason = "a panic is how a test fails, in its supporting functions too")]

use std::fs;
use std::path::{Path, PathBuf};

/// Each of these is pure: data formats, error types, arithmetic.
const ALLOWED_DEPENDENCIES: [&str; 5] = ["serde", "thiserror", "ipnet", "serde_json", "sha2"];

const BANNED: [&str; 22] = [
    "std::time::Instant",
    "SystemTime",
    "Instant::now",
    "std::fs",
    "std::io",
    "std::env",
    "std::process",
    "std::thread",
    "std::net::Tcp",
    "std::net::Udp",
    "ToSocketAddrs",
    "std::os",
    "tokio",
    "rand::",
    "getrandom",
    "HashMap",
    "HashSet",
    "RandomState",
    "static mut",
    "thread_local",
    "OnceLock",
    "Atomic",
];

#[test]
fn dependencies_are_on_the_list() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest is readable");
    let mut section = "";
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
            continue;
        }
        let Some((name, _)) = line.split_once(['.', '=', ' ']) else { continue };
        assert!(!section.starts_with("[target"), "a dependency by platform would differ between nodes");
        assert!(section != "[build-dependencies]", "the core has no build script: {name}");
        if section == "[dependencies]" {
            assert!(ALLOWED_DEPENDENCIES.contains(&name), "{name} is not on the list of pure dependencies");
        }
    }
    assert!(!root().join("build.rs").exists(), "the core has no build script");
}

#[test]
fn sources_name_no_way_to_the_outside() {
    let mut files = Vec::new();
    collect(&root().join("src"), &mut files);
    assert!(files.len() > 20, "only {} sources found", files.len());
    for file in files {
        let text = fs::read_to_string(&file).expect("a source is readable");
        for (number, line) in text.lines().enumerate() {
            for banned in BANNED {
                assert!(!line.contains(banned), "{}:{}: {banned}", file.display(), number + 1);
            }
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a source directory is readable") {
        let path = entry.expect("an entry is readable").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}
