//! The program `countersign`.
//! In: the command line. Out: the exit code.
//! Implements nothing itself: the library's `cli` does.
//! Never more than this call.

fn main() -> std::process::ExitCode {
    countersign::cli::main()
}
