//! The `nva-agent` binary: everything lives in the library, so that `pointsman` can contain it.

fn main() -> std::process::ExitCode {
    nva_agent::main()
}
