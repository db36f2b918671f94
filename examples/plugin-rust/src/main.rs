//! Chat Service with polls: the complete command line of `chat-service` with one additional plugin.

use std::process::ExitCode;

fn main() -> ExitCode {
    chat_service::cli::run_with([chat_plugin_polls::PLUGIN])
}
