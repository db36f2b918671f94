//! Settings of the process: listening addresses, logs, and shutdown.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use tracing_subscriber::EnvFilter;

use super::Variable;
use super::parse;
use super::reader::Reader;

pub(super) const VARIABLES: &[Variable] = &[
    Variable::number("PORT", "4000"),
    Variable::number("WS_PORT", "4001"),
    Variable::text("HOST", Some("127.0.0.1")),
    Variable::text("APP_ENV", Some("development")),
    Variable::text("LOG_FORMAT", Some("text")),
    Variable::text("LOG_LEVEL", Some("info")),
    Variable::number("SHUTDOWN_GRACE_SECONDS", "30"),
    Variable::list("TRUSTED_PROXIES", Some("127.0.0.0/8,::1")),
];

/// Environment of the deployment: development is lenient where that is harmless, production warns more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppEnv {
    /// Developer's machine.
    Development,
    /// Deployment with real users.
    Production,
}

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line, for machines.
    Json,
}

/// Ports, environment, logs, shutdown.
#[derive(Debug, Clone)]
pub struct Server {
    /// `PORT`: port of the REST API; 0 lets the system choose; default 4000.
    pub port: u16,
    /// `WS_PORT`: port of the WebSocket; 0 lets the system choose; default 4001.
    pub ws_port: u16,
    /// `HOST`: the IP address to listen on; default 127.0.0.1 (the image sets 0.0.0.0).
    pub host: IpAddr,
    /// `APP_ENV`: development or production; default development.
    pub app_env: AppEnv,
    /// `LOG_FORMAT`: text or json; default text.
    pub log_format: LogFormat,
    /// `LOG_LEVEL`: a level or tracing directives such as `info,chat_service=debug`; default info.
    pub log_level: String,
    /// `SHUTDOWN_GRACE_SECONDS`: seconds to finish requests in flight, 0-3600; default 30.
    pub shutdown_grace: Duration,
    /// `TRUSTED_PROXIES`: addresses or networks with trusted forwarding headers; default loopback.
    ///
    /// `none` trusts none.
    pub trusted_proxies: Vec<IpNet>,
}

impl Server {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let port = reader.read("PORT", port);
        let ws_port = reader.read("WS_PORT", self::port);
        let host = reader.read("HOST", |text| {
            text.parse::<IpAddr>().map_err(|_| {
                let text = parse::short(text);
                format!("is \"{text}\"; it must be an IP address such as 127.0.0.1, 0.0.0.0 or ::")
            })
        });
        let app_env = reader.read("APP_ENV", |text| {
            let choices = [
                ("development", AppEnv::Development),
                ("production", AppEnv::Production),
            ];
            parse::choice(text, &choices)
        });
        let log_format = reader.read("LOG_FORMAT", |text| {
            parse::choice(
                text,
                &[("text", LogFormat::Text), ("json", LogFormat::Json)],
            )
        });
        let log_level = reader.read("LOG_LEVEL", log_level);
        let shutdown_grace = reader.read("SHUTDOWN_GRACE_SECONDS", |text| {
            parse::seconds(text, 0..=3_600)
        });
        let trusted_proxies = reader.read("TRUSTED_PROXIES", networks);
        if let (Some(port), Some(ws_port)) = (port, ws_port)
            && port == ws_port
            && port != 0
        {
            reader.fault(
                "WS_PORT",
                format!("is {port}, the same as PORT; give each its own"),
            );
        }
        Some(Self {
            port: port?,
            ws_port: ws_port?,
            host: host?,
            app_env: app_env?,
            log_format: log_format?,
            log_level: log_level?,
            shutdown_grace: shutdown_grace?,
            trusted_proxies: trusted_proxies?,
        })
    }
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| {
        format!(
            "is \"{}\"; it must be a port from 1 to 65535, or 0 to let the system choose",
            parse::short(text)
        )
    })
}

/// Checks the level.
///
/// A single word must be a level: tracing would take a misspelt one for the name of a module, and log nothing.
fn log_level(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    let plain = !text.contains(['=', ',', '[']);
    let known = LEVELS.iter().any(|level| text.eq_ignore_ascii_case(level));
    if known || !plain && EnvFilter::builder().parse(text).is_ok() {
        return Ok(text.to_owned());
    }
    let hint = parse::did_you_mean(text, LEVELS.iter().map(|level| (*level).to_owned()));
    Err(format!(
        "is \"{}\"; it must be one of {}, or directives such as info,chat_service=debug{hint}",
        parse::short(text),
        LEVELS.join(", ")
    ))
}

fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    parse::list(text)
        .into_iter()
        .map(|item| {
            item.parse::<IpNet>().or_else(|_| item.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
                let item = parse::short(item);
                format!("holds \"{item}\"; write IP addresses or networks such as 10.0.0.0/8, with commas")
            })
        })
        .collect()
}
