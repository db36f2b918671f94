//! `migrate`: prepares the database and exits. `serve` does the same at its start.

use std::process::ExitCode;

use crate::{
    app,
    config::{self, Config, Sources},
};

/// Creates what is missing in the database.
pub fn run(sources: &Sources) -> ExitCode {
    let config = match Config::load(sources) {
        Ok(loaded) => loaded.config,
        Err(faults) => {
            eprintln!("{faults}");
            return ExitCode::from(config::EXIT_CODE);
        }
    };
    super::block_on(async move {
        let _ = rustls::crypto::ring::default_provider().install_default();
        match app::open_store(&config).await {
            Ok(_) => {
                println!("the database is prepared");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::from(super::EXIT_UNAVAILABLE)
            }
        }
    })
}
