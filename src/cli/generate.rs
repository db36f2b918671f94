//! `generate`: writes the files of the repository that are generated from the code. Needs no configuration and no server.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use crate::api::catalogue::committed;

/// Arguments of `generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// Root of the repository.
    #[arg(default_value = ".")]
    root: PathBuf,
}

/// Writes the files and prints the names of those that changed. The exit code is 1 if one cannot be read or written.
pub fn run(args: &GenerateArgs) -> ExitCode {
    match committed::write(&args.root) {
        Ok(written) => {
            for path in written {
                println!("{}", path.display());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("the generated files cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}
