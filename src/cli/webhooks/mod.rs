//! `webhooks`: endpoints, deliveries and dead letters of a running service, from the command line.
//!
//! Cast: `service` asks the admin API with the internal secret of the configuration, `show` prints what it says, `again` replays and backfills, `progress`
//! tells how far that is.
//!
//! It works beside the service and not inside it: it opens no database and no broker, so it does what any host could do.

mod again;
mod progress;
mod service;
mod show;

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use self::service::{Failure, Service};
use crate::config::{self, Caller, Sources};

/// What `webhooks` takes.
#[derive(Debug, Args)]
pub struct WebhooksArgs {
    /// Where the service is; by default on this machine, at PORT.
    #[arg(long, global = true, env = "BASE_URL", value_name = "URL")]
    url: Option<String>,
    /// Print what the service answers, as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: WebhooksCommand,
}

#[derive(Debug, Subcommand)]
enum WebhooksCommand {
    /// The endpoints, and how far each is behind.
    List,
    /// What was delivered to an endpoint, and what was not, the newest events first.
    Deliveries {
        /// The endpoint's id.
        endpoint: String,
        /// Only those with this outcome.
        #[arg(long)]
        status: Option<Status>,
        /// How many.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// The attempts to deliver one event, with what was answered.
    Attempts {
        /// The endpoint's id.
        endpoint: String,
        /// The event's id.
        event: String,
    },
    /// Events that an endpoint did not take, the newest first; or one of them, whole.
    DeadLetters {
        /// Show this one, with its event.
        #[arg(conflicts_with_all = ["endpoint", "kind", "since", "limit"])]
        letter: Option<String>,
        #[command(flatten)]
        which: Which,
        /// How many.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Deliver dead letters again: those named, or all that are meant.
    Replay(again::ReplayArgs),
    /// Deliver what happened since a moment to an endpoint, from the log.
    Backfill(again::BackfillArgs),
    /// Send a test event to an endpoint and say what came of it.
    Test {
        /// The endpoint's id.
        endpoint: String,
        /// How many seconds to wait for the outcome.
        #[arg(long, default_value_t = 20, value_name = "SECONDS")]
        wait: u64,
    },
    /// Enable an endpoint that is disabled: it gets everything that happened meanwhile.
    Enable {
        /// The endpoint's id.
        endpoint: String,
    },
}

/// Which dead letters are meant.
#[derive(Debug, Clone, Args)]
struct Which {
    /// Of this endpoint.
    #[arg(long, value_name = "ID")]
    endpoint: Option<String>,
    /// Of this type of event.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Given up at this moment or later, such as 2026-01-15T00:00:00.000Z.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Status {
    /// The endpoint took it.
    Delivered,
    /// It is tried again.
    Retrying,
    /// It was given up and is a dead letter.
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

/// Runs one of them. The exit code is 1 for a refusal, 69 when the service does not answer, 78 for a configuration that cannot be used.
pub fn run(args: &WebhooksArgs, sources: &Sources) -> ExitCode {
    let caller = match Caller::load(sources) {
        Ok(caller) => caller,
        Err(faults) => {
            eprintln!("{faults}");
            return ExitCode::from(config::EXIT_CODE);
        }
    };
    super::block_on(async {
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
                ExitCode::from(super::EXIT_UNAVAILABLE)
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
