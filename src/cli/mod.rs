//! The command line, one file per subcommand. Only this module may print.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line prints to the terminal"
)]

pub mod asyncapi;
pub mod config;
pub mod generate;
pub mod healthcheck;
pub mod migrate;
pub mod openapi;
pub mod plugin;
pub mod plugins;
mod process;
pub mod serve;
pub mod webhooks;

use std::{path::PathBuf, process::ExitCode};

use chat_sdk::plugin::PluginFactory;
use clap::{Parser, Subcommand};

use crate::{config::Sources, plugins as program};

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
    /// Write the generated files of the repository: documents, schemas, tables.
    #[command(hide = true)]
    Generate(generate::GenerateArgs),
    /// List the plugins of this program, and how those of a running service are.
    Plugins(plugins::PluginsArgs),
    /// Write the crate of a new plugin.
    Plugin {
        #[command(subcommand)]
        command: plugin::PluginCommand,
    },
    /// Manage the webhooks of a running service: endpoints, deliveries, dead letters.
    Webhooks(webhooks::WebhooksArgs),
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
    run_with([])
}

/// Runs the command line of a program that adds plugins: `serve` runs and `migrate` prepares those that `PLUGINS` names.
pub fn run_with(added: impl IntoIterator<Item = PluginFactory>) -> ExitCode {
    let cli = Cli::parse();
    let plugins = program::of_program(added);
    let sources = Sources::of_process(cli.config, program::variables(&plugins));
    match cli.command {
        Command::Serve(args) => serve::run(&args, &sources, &plugins),
        Command::Config { command } => match command {
            ConfigCommand::Check => config::check(&sources, &plugins),
            ConfigCommand::Show => config::show(&sources),
        },
        Command::Migrate(args) => migrate::run(&args, &sources, &plugins),
        Command::Healthcheck(args) => healthcheck::run(&args),
        Command::Openapi(args) => openapi::run(&args, &plugins),
        Command::Asyncapi(args) => asyncapi::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Plugins(args) => plugins::run(&args, &sources, &plugins),
        Command::Plugin { command } => plugin::run(&command, &plugins),
        Command::Webhooks(args) => webhooks::run(&args, &sources),
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
