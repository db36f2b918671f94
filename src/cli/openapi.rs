//! `openapi`: prints the OpenAPI document, or compares it with a file. Needs no configuration and no server.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use chat_sdk::plugin::PluginFactory;
use clap::{Args, ValueEnum};

use crate::api::{Documents, documents};

/// Arguments of `openapi`.
#[derive(Debug, Args)]
pub struct OpenapiArgs {
    /// Output format.
    #[arg(long, value_enum, default_value = "json")]
    format: Format,
    /// Print nothing; fail if this file differs from the document.
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Yaml,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Yaml => "yaml",
        }
    }
}

/// Prints or compares the document. The exit code is 1 if the file differs or cannot be read.
pub fn run(args: &OpenapiArgs, plugins: &[PluginFactory]) -> ExitCode {
    let Documents { json, yaml } = documents(plugins);
    let text = match args.format {
        Format::Json => json,
        Format::Yaml => yaml,
    };
    match &args.check {
        Some(file) => check(file, &text, args.format),
        None => match io::stdout().lock().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            // A reader that closes the pipe early (`| head`) is not an error.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
    }
}

fn check(file: &PathBuf, text: &str, format: Format) -> ExitCode {
    let shown = file.display();
    match fs::read_to_string(file) {
        Ok(found) if found == text => ExitCode::SUCCESS,
        Ok(_) => {
            eprintln!(
                "{shown} differs from the document of this version; refresh it with: chat-service openapi --format {} > {shown}",
                format.name()
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{shown} cannot be read: {error}");
            ExitCode::FAILURE
        }
    }
}
