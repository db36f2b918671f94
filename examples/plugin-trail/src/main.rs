//! Chat Service with the audit trail: the complete command line of `chat-service` with one additional plugin.

use std::process::ExitCode;

use chat_plugin_trail::Trail;

fn main() -> ExitCode {
    chat_service::cli::run_with::<Trail>(Some(Trail::make))
}
