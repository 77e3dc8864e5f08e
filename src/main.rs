//! The program `countersign`.
//! In: the command line. Out: the exit code.
//! Implements nothing itself: the library's `cli` does.
//! Never more than this call.

/// What the memory comes from, for the C libraries that are built in too. It keeps large blocks apart from small ones, so that
/// what a waiting call never touched of its buffers is not there.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    countersign::cli::main()
}
