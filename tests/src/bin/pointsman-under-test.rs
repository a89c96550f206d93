//! `pointsman` as the tests run it: the same entry point, built where they can find it.

fn main() -> std::process::ExitCode {
    coordinator::main()
}
