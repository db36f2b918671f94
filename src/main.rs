//! The program: parses its command line and does what it says.

/// See the reason beside the dependency.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    chat_service::cli::run()
}
