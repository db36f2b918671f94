//! The program: parses its command line and does what it says.

/// See the reason beside the dependency.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    chat_service::cli::run()
}
