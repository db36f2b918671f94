//! The program: parses its command line and does what it says.

fn main() -> std::process::ExitCode {
    chat_service::cli::run()
}
