//! `asyncapi`: prints the AsyncAPI document, or writes the JSON Schemas of events. Needs no configuration and no server.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueEnum};

use crate::api::catalogue;

/// Arguments of `asyncapi`.
#[derive(Debug, Args)]
pub struct AsyncapiArgs {
    /// Output format.
    #[arg(long, value_enum, default_value = "json")]
    format: Format,
    /// Write the JSON Schema of each event into this directory instead.
    #[arg(long, value_name = "FOLDER")]
    schemas: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Yaml,
}

/// Prints the document or writes the schemas. The exit code is 1 if a file cannot be written.
pub fn run(args: &AsyncapiArgs) -> ExitCode {
    if let Some(folder) = &args.schemas {
        return match write_schemas(folder) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{} cannot be written: {error}", folder.display());
                ExitCode::FAILURE
            }
        };
    }
    let documents = catalogue::documents();
    let text = match args.format {
        Format::Json => documents.json,
        Format::Yaml => documents.yaml,
    };
    match io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that closes the pipe early (`| head`) is not an error.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn write_schemas(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (name, text) in catalogue::schema_files() {
        fs::write(folder.join(name), text)?;
    }
    Ok(())
}
