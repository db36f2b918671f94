//! `migrate`: prepares the database and exits. `serve` runs the same migrations when it starts.

use std::process::ExitCode;

use chat_sdk::plugin::Plugin;
use clap::Args;

use crate::{
    app,
    config::{self, Config, Sources},
    plugins::PluginFactory,
};

/// Arguments of `migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// The database was restored from a backup: clients reload everything since the backup, and the event stream is refilled from the log.
    /// Stop every process of the service before using it.
    #[arg(long)]
    restored: bool,
}

/// Creates the missing collections and indexes of the core and of the configured plugins.
pub fn run<P: Plugin>(
    args: &MigrateArgs,
    sources: &Sources,
    guest: Option<PluginFactory<P>>,
) -> ExitCode {
    let config = match Config::load(sources) {
        Ok(loaded) => loaded.config,
        Err(faults) => {
            eprintln!("{faults}");
            return ExitCode::from(config::EXIT_CODE);
        }
    };
    super::block_on(async move {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let done = match args.restored {
            false => app::prepare_with(&config, guest)
                .await
                .map(|()| "the database is prepared"),
            true => app::begin_epoch(&config).await.map(
                |()| "a new epoch of the log has begun, and the event stream will be recreated",
            ),
        };
        match done {
            Ok(what) => {
                println!("{what}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::from(match error.is_configuration() {
                    true => config::EXIT_CODE,
                    false => super::EXIT_UNAVAILABLE,
                })
            }
        }
    })
}
