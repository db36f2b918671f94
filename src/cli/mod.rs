//! The command line, one file per subcommand. Only this module may print.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line prints to the terminal"
)]

pub mod asyncapi;
pub mod bench;
pub mod config;
pub mod healthcheck;
pub mod migrate;
pub mod openapi;
pub mod serve;
pub mod webhooks;

use std::{path::PathBuf, process::ExitCode};

use chat_sdk::plugin::Plugin;
use clap::{Parser, Subcommand};

use crate::{
    config::Sources,
    plugins::{NoPlugin, PluginFactory},
};

/// Exit code if a dependency is unavailable.
pub const EXIT_UNAVAILABLE: u8 = 69;
/// Exit code after an internal failure: a task failed that cannot be restarted.
pub const EXIT_SOFTWARE: u8 = 70;

/// A pluggable real-time chat microservice.
#[derive(Debug, Parser)]
#[command(name = "chat-service", version, about)]
pub struct Cli {
    /// Configuration file to read instead of chat.toml.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service.
    Serve(serve::ServeArgs),
    /// Check or show the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Create indexes and collections, then exit.
    Migrate(migrate::MigrateArgs),
    /// Check that a running service is ready.
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Print the OpenAPI document.
    Openapi(openapi::OpenapiArgs),
    /// Print the AsyncAPI document of events, or write the JSON Schemas of the events.
    Asyncapi(asyncapi::AsyncapiArgs),
    /// Manage the webhooks of a running service: endpoints, deliveries, dead letters.
    Webhooks(webhooks::WebhooksArgs),
    /// Put load on a running service and print its performance.
    Bench(Box<bench::BenchArgs>),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Validate the configuration.
    Check,
    /// Print every setting with its value and origin; secrets are masked.
    Show,
}

/// Runs the command that the command line names.
pub fn run() -> ExitCode {
    run_with::<NoPlugin>(None)
}

/// Runs the command line of a program that adds a plugin: `serve` runs it and `migrate` prepares it if `PLUGINS` names it.
pub fn run_with<P: Plugin>(guest: Option<PluginFactory<P>>) -> ExitCode {
    let cli = Cli::parse();
    let sources = Sources::of_process(cli.config);
    match cli.command {
        Command::Serve(args) => serve::run(&args, &sources, guest),
        Command::Config { command } => match command {
            ConfigCommand::Check => config::check(&sources, guest.map(|_| P::NAME)),
            ConfigCommand::Show => config::show(&sources),
        },
        Command::Migrate(args) => migrate::run(&args, &sources, guest),
        Command::Healthcheck(args) => healthcheck::run(&args),
        Command::Openapi(args) => openapi::run(&args),
        Command::Asyncapi(args) => asyncapi::run(&args),
        Command::Webhooks(args) => webhooks::run(&args, &sources),
        Command::Bench(args) => block_on(async {
            match bench::run(*args).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("{error:#}");
                    ExitCode::FAILURE
                }
            }
        }),
    }
}

/// Runs `work` on a runtime with one thread per core.
fn block_on(work: impl Future<Output = ExitCode>) -> ExitCode {
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
