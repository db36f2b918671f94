//! `migrate`: prepares the database and exits. `serve` runs the same migrations when it starts.

use std::process::ExitCode;

use chat_sdk::plugin::PluginFactory;
use clap::Args;

use crate::{
    app,
    config::{self, Config, Sources},
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
pub fn run(args: &MigrateArgs, sources: &Sources, plugins: &[PluginFactory]) -> ExitCode {
    let config = match Config::load(sources) {
        Ok(loaded) => loaded.config,
        Err(faults) => {
            eprintln!("{faults}");
            return ExitCode::from(config::EXIT_CODE);
        }
    };
    super::process::block_on(async move {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let done = if args.restored {
            app::begin_epoch(&config).await.map(
                |()| "a new epoch of the log has begun, and the event stream will be recreated",
            )
        } else {
            app::prepare(&config, plugins)
                .await
                .map(|()| "the database is prepared")
        };
        match done {
            Ok(what) => {
                println!("{what}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::from(if error.is_configuration() {
                    config::EXIT_CODE
                } else {
                    super::process::EXIT_UNAVAILABLE
                })
            }
        }
    })
}
