//! The `pointsman` binary: everything lives in the library, so that tests can link it.

fn main() -> std::process::ExitCode {
    coordinator::main()
}
