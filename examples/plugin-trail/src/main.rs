//! Chat Service with the audit trail: the whole command line of `chat-service`, and one plugin more.

use std::process::ExitCode;

use chat_plugin_trail::Trail;

fn main() -> ExitCode {
    chat_service::cli::run_with::<Trail>(Some(Trail::make))
}
