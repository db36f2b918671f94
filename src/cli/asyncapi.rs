//! `asyncapi`: prints the AsyncAPI document, writes the JSON Schemas of events, or prints the table of events. Needs no configuration and no server.

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
    #[arg(long, value_name = "FOLDER", conflicts_with = "table")]
    schemas: Option<PathBuf>,
    /// Print the Markdown table of events instead: those of the stream, or those of webhooks.
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "stream", value_name = "OF")]
    table: Option<Table>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Yaml,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Table {
    /// Table for docs/NATS.md
    Stream,
    /// Table for docs/WEBHOOKS.md
    Webhooks,
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
    let text = match (args.table, args.format) {
        (Some(Table::Stream), _) => catalogue::table(),
        (Some(Table::Webhooks), _) => catalogue::webhooks_table(),
        (None, Format::Json) => documents.json,
        (None, Format::Yaml) => documents.yaml,
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
