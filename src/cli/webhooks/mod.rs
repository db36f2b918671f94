//! `webhooks`: endpoints, deliveries and dead letters of a running service, from the command line.
//!
//! Modules: `service` calls the admin API with the internal secret of the configuration, `show` prints the responses, `again` replays and backfills, and
//! `progress` shows the progress of these.
//!
//! The commands run outside the service and open neither the database nor the broker: they can do only what any host can do.

mod again;
mod progress;
pub(super) mod service;
mod show;

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use self::service::{Failure, Service};
use crate::config::{self, Caller, Sources};

/// Arguments of `webhooks`.
#[derive(Debug, Args)]
pub struct WebhooksArgs {
    /// Base URL of the service; default: this machine, at PORT.
    #[arg(long, global = true, env = "BASE_URL", value_name = "URL")]
    url: Option<String>,
    /// Print the responses of the service as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: WebhooksCommand,
}

#[derive(Debug, Subcommand)]
enum WebhooksCommand {
    /// List the endpoints, with the backlog of each.
    List,
    /// List the deliveries to an endpoint and their outcomes, newest events first.
    Deliveries {
        /// Id of the endpoint.
        endpoint: String,
        /// List only deliveries with this outcome.
        #[arg(long)]
        status: Option<Status>,
        /// Maximum number of deliveries to list.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// List the attempts to deliver one event, with the response to each.
    Attempts {
        /// Id of the endpoint.
        endpoint: String,
        /// Id of the event.
        event: String,
    },
    /// List the events that could not be delivered, newest first, or show one of them in full.
    DeadLetters {
        /// Show this dead letter, with its event.
        #[arg(conflicts_with_all = ["endpoint", "kind", "since", "limit"])]
        letter: Option<String>,
        #[command(flatten)]
        which: Which,
        /// Maximum number of dead letters to list.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Deliver dead letters again: the ones named by id, or all that match the filter.
    Replay(again::ReplayArgs),
    /// Deliver past events since a given time from the log to an endpoint.
    Backfill(again::BackfillArgs),
    /// Send a test event to an endpoint and print the outcome.
    Test {
        /// Id of the endpoint.
        endpoint: String,
        /// Seconds to wait for the outcome.
        #[arg(long, default_value_t = 20, value_name = "SECONDS")]
        wait: u64,
    },
    /// Enable a disabled endpoint: it receives every event of the time in which it was disabled.
    Enable {
        /// Id of the endpoint.
        endpoint: String,
    },
}

/// Filter of dead letters.
#[derive(Debug, Clone, Args)]
struct Which {
    /// Only dead letters of this endpoint.
    #[arg(long, value_name = "ID")]
    endpoint: Option<String>,
    /// Only dead letters of this event type.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only dead letters given up at this time or later, for example 2026-01-15T00:00:00.000Z.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
}

/// Outcome of the delivery of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Status {
    /// The endpoint accepted the event.
    Delivered,
    /// The event will be retried.
    Retrying,
    /// The event was given up and is a dead letter.
    Dead,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retrying => "retrying",
            Self::Dead => "dead",
        }
    }
}

/// Runs a webhooks command. The exit code is 1 if the service refuses it, 69 if the service does not respond, 78 if the configuration cannot be used.
pub fn run(args: &WebhooksArgs, sources: &Sources) -> ExitCode {
    let caller = match Caller::load(sources) {
        Ok(caller) => caller,
        Err(faults) => {
            eprintln!("{faults}");
            return ExitCode::from(config::EXIT_CODE);
        }
    };
    super::process::block_on(async {
        let outcome = async {
            let service = Service::new(caller, args.url.as_deref())?;
            act(&service, args).await
        };
        match outcome.await {
            Ok(()) => ExitCode::SUCCESS,
            Err(Failure::Refused(why)) => {
                eprintln!("{why}");
                ExitCode::FAILURE
            }
            Err(Failure::Unavailable(why)) => {
                eprintln!("{why}");
                ExitCode::from(super::process::EXIT_UNAVAILABLE)
            }
        }
    })
}

async fn act(service: &Service, args: &WebhooksArgs) -> Result<(), Failure> {
    match &args.command {
        WebhooksCommand::List => {
            let found = service.list("", "webhooks", &[], u32::MAX).await?;
            show::list(args.json, found, show::ENDPOINTS)
        }
        WebhooksCommand::Deliveries {
            endpoint,
            status,
            limit,
        } => {
            let status = status.map(Status::as_str);
            let path = format!("/{}/deliveries", service::segment(endpoint));
            let query = [("status", status)];
            let found = service.list(&path, "deliveries", &query, *limit).await?;
            show::list(args.json, found, show::DELIVERIES)
        }
        WebhooksCommand::Attempts { endpoint, event } => {
            let (endpoint, event) = (service::segment(endpoint), service::segment(event));
            let path = format!("/{endpoint}/deliveries/{event}/attempts");
            let mut found = service.get(&path).await?;
            show::list(args.json, found["attempts"].take(), show::ATTEMPTS)
        }
        WebhooksCommand::DeadLetters {
            letter: Some(letter),
            ..
        } => {
            let path = format!("/dead-letters/{}", service::segment(letter));
            show::one(&service.get(&path).await?)
        }
        WebhooksCommand::DeadLetters {
            letter: None,
            which,
            limit,
        } => {
            let found = service
                .list("/dead-letters", "deadLetters", &which.query(), *limit)
                .await?;
            show::list(args.json, found, show::DEAD_LETTERS)
        }
        WebhooksCommand::Replay(replay) => again::replay(service, replay, args.json).await,
        WebhooksCommand::Backfill(backfill) => again::backfill(service, backfill, args.json).await,
        WebhooksCommand::Test { endpoint, wait } => {
            again::test(service, endpoint, *wait, args.json).await
        }
        WebhooksCommand::Enable { endpoint } => {
            let path = format!("/{}/enable", service::segment(endpoint));
            let found = service.post(&path, None).await?;
            show::list(args.json, vec![found].into(), show::ENDPOINTS)
        }
    }
}

impl Which {
    fn query(&self) -> [(&'static str, Option<&str>); 3] {
        [
            ("endpointId", self.endpoint.as_deref()),
            ("type", self.kind.as_deref()),
            ("since", self.since.as_deref()),
        ]
    }
}
