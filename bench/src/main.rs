//! `chat-bench`: puts load on a running service from outside, as its clients would.
//!
//! Modules: `client` creates users, tokens and conversations and opens sockets; `socket` is one connected user and `frame` parses what it receives; `run` is
//! the state that they share; `load` sends at a pace and measures a window; `ordinary` runs such a load with fresh users; `cpu` reads processes; `check` judges
//! the deliveries; `environment` and `report` print. The other modules are the subcommands.
//!
//! Invariants: this crate imports no other crate of the workspace, so that a fault of the service cannot hide itself. During the load a socket only records
//! seqs and times; all counting comes afterwards, because the driver shares the machine with what it measures.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command that prints its results to the terminal"
)]

mod bare_write;
mod check;
mod client;
mod cpu;
mod environment;
mod fanout;
mod floor;
mod frame;
mod hook;
mod hostile;
mod idle;
mod limits;
mod list;
mod load;
mod operations;
mod ordinary;
mod report;
mod run;
mod send;
mod socket;
mod webhooks;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Puts load on a running Chat Service and prints its performance.
#[derive(Debug, Parser)]
#[command(name = "chat-bench", version, about)]
struct Cli {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Send messages in many conversations; measure rate, latency and CPU; check every delivery.
    Send(send::SendArgs),
    /// Send into one large conversation; measure the cost of a delivery; check every delivery.
    Fanout(fanout::FanoutArgs),
    /// Send, read, react and type in many conversations, in turn; measure the cost of each kind of change relative to a send.
    #[command(alias = "acts")]
    Operations(operations::OperationsArgs),
    /// Open many idle sockets; measure the memory of a connection.
    Idle(idle::IdleArgs),
    /// Let one user flood above the rate limits; measure the effect on the other users.
    Limits(limits::LimitsArgs),
    /// Let hostile clients work at the rate limits; measure the memory of the service and the effect on ordinary users.
    Hostile(Box<hostile::HostileArgs>),
    /// Request the first page of a user's many conversations; measure latency, before and after history is added.
    List(list::ListArgs),
    /// Measure the unavoidable cost of writes and deliveries on this machine without the service, as a reference for the other commands.
    Floor(floor::FloorArgs),
    /// Send messages and receive their webhooks; measure deliveries, latency and CPU; check that every event arrives.
    Webhooks(webhooks::WebhooksArgs),
    /// Run `send` with an increasing number of concurrent sends and print a table.
    Max(send::MaxArgs),
}

/// Route from the bench to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Via {
    /// Through nginx: BASE_URL and WS_URL.
    Nginx,
    /// Directly to the nodes: CHAT_BENCH_API_URLS and CHAT_BENCH_WS_URLS.
    Direct,
}

/// Addresses and credentials of the service. `./dev bench` sets all of them in the environment.
#[derive(Debug, Clone, Args)]
pub(crate) struct TargetArgs {
    /// Route to the service.
    #[arg(long, value_enum, default_value = "direct")]
    via: Via,
    /// REST address of nginx.
    #[arg(long, env = "BASE_URL", default_value = "http://127.0.0.1:8080")]
    base_url: String,
    /// WebSocket address of nginx.
    #[arg(long, env = "WS_URL", default_value = "ws://127.0.0.1:8080/ws")]
    ws_url: String,
    /// REST addresses of the api nodes, comma-separated.
    #[arg(
        long,
        env = "CHAT_BENCH_API_URLS",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:4000"
    )]
    api_urls: Vec<String>,
    /// WebSocket addresses of the ws nodes, comma-separated.
    #[arg(
        long,
        env = "CHAT_BENCH_WS_URLS",
        value_delimiter = ',',
        default_value = "ws://127.0.0.1:4001/ws"
    )]
    ws_urls: Vec<String>,
    /// Secret with which the service verifies tokens (HS256).
    #[arg(long, env = "AUTH_JWT_SECRET", hide_env_values = true)]
    jwt_secret: Option<String>,
    /// Issuer of the tokens, if the service requires one.
    #[arg(long, env = "AUTH_JWT_ISSUER")]
    jwt_issuer: Option<String>,
    /// Audience of the tokens, if the service requires one.
    #[arg(long, env = "AUTH_JWT_AUDIENCE")]
    jwt_audience: Option<String>,
    /// Secret of the internal operations: it syncs the users, and exempts them from the rate limits.
    #[arg(long, env = "INTERNAL_API_SECRET", hide_env_values = true)]
    internal_secret: Option<String>,
    /// Server processes to measure, as `name=pid,name=pid`.
    #[arg(long, env = "CHAT_BENCH_PIDS", default_value = "")]
    pids: String,
    /// File to which the results are also written, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    // reqwest is built without a TLS provider. Installing a second one fails, which is harmless.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(Cli::parse().command).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("the check found faults; they are listed above");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one command; returns false if its check found faults.
async fn run(command: BenchCommand) -> anyhow::Result<bool> {
    match command {
        BenchCommand::Send(args) => send::run(args).await,
        BenchCommand::Fanout(args) => fanout::run(args).await,
        BenchCommand::Operations(args) => operations::run(args).await,
        BenchCommand::Idle(args) => idle::run(args).await,
        BenchCommand::Limits(args) => limits::run(args).await,
        BenchCommand::Hostile(args) => hostile::run(*args).await,
        BenchCommand::List(args) => list::run(args).await,
        BenchCommand::Floor(args) => floor::run(args).await,
        BenchCommand::Webhooks(args) => webhooks::run(args).await,
        BenchCommand::Max(args) => send::run_max(args).await,
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
