//! `serve`: runs the service.

use std::{io::IsTerminal, process::ExitCode};

use chat_sdk::plugin::PluginFactory;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::{
    app::{self, Listeners, Roles, StartError},
    config::{self, Config, LogFormat, Sources},
    plugins,
};

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Roles of this process, comma-separated: api, ws, webhooks. Default: all.
    #[arg(long, value_name = "ROLES", default_value = "all", value_parser = Roles::parse)]
    roles: Roles,
}

/// Runs until SIGTERM or SIGINT.
pub fn run(args: &ServeArgs, sources: &Sources, plugins: &[PluginFactory]) -> ExitCode {
    let loaded = match Config::load(sources) {
        Ok(loaded) => loaded,
        Err(faults) => {
            eprintln!("{faults}");
            return ExitCode::from(config::EXIT_CODE);
        }
    };
    let config = loaded.config;
    if let Err(faults) = plugins::configure(&config, plugins) {
        for fault in faults {
            eprintln!("{fault}");
        }
        return ExitCode::from(config::EXIT_CODE);
    }
    start_logging(&config);
    for warning in loaded.warnings {
        tracing::warn!("{warning}");
    }
    let roles = args.roles;
    super::process::block_on(async move {
        let stop = CancellationToken::new();
        tokio::spawn(stop_on_signal(stop.clone()));
        let run = async {
            let listeners = Listeners::open(&config, roles)?;
            app::run(config, roles, listeners, stop, plugins).await
        };
        match run.await {
            Ok(()) => ExitCode::SUCCESS,
            // Settings that only the plugin or a server can validate.
            Err(error) if error.is_configuration() => {
                eprintln!("{error}");
                ExitCode::from(config::EXIT_CODE)
            }
            Err(StartError::TaskLost(_)) => ExitCode::from(super::process::EXIT_SOFTWARE),
            Err(error) => {
                tracing::error!("{error}");
                ExitCode::from(super::process::EXIT_UNAVAILABLE)
            }
        }
    })
}

async fn stop_on_signal(stop: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.cancel();
}

fn start_logging(config: &Config) {
    // The NATS client also logs each connection; the service's own log line is enough. A directive set by the operator comes later and wins.
    let directives = format!("async_nats=error,{}", config.server.log_level);
    let filter = EnvFilter::try_new(directives).unwrap_or_else(|_| EnvFilter::new("info"));
    // Colours only on a terminal: escape codes in a log file make it hard to search.
    let is_read_by_people =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder = tracing_subscriber::fmt()
        .with_ansi(is_read_by_people)
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match config.server.log_format {
        LogFormat::Text => builder.with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
