//! `healthcheck`: a health probe for containers without curl.

use std::{process::ExitCode, time::Duration};

use clap::Args;

/// Arguments of `healthcheck`.
#[derive(Debug, Args)]
pub struct HealthcheckArgs {
    /// URL of the health endpoint.
    #[arg(long, default_value = "http://127.0.0.1:4000/health/ready")]
    url: String,
}

/// Exits with 0 if the response has a success status.
pub fn run(args: &HealthcheckArgs) -> ExitCode {
    super::process::block_on(async {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(3))
            .no_proxy()
            .build();
        let answer = match client {
            Ok(client) => client.get(&args.url).send().await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(answer) if answer.status().is_success() => ExitCode::SUCCESS,
            Ok(answer) => {
                eprintln!("{} answered {}", args.url, answer.status());
                ExitCode::FAILURE
            }
            Err(error) => {
                eprintln!("{} did not respond: {error}", args.url);
                ExitCode::FAILURE
            }
        }
    })
}
