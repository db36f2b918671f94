//! Exit codes and the runtime of the commands.

use std::process::ExitCode;

/// Exit code if a dependency is unavailable.
pub(super) const EXIT_UNAVAILABLE: u8 = 69;

/// Exit code after an internal failure: a task failed that cannot be restarted.
pub(super) const EXIT_SOFTWARE: u8 = 70;

/// Runs `work` on a runtime with one thread per core.
pub(super) fn block_on(work: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => {
            eprintln!("the runtime failed to start: {error}");
            ExitCode::FAILURE
        }
    }
}
