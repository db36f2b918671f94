//! Settings of the data stores: MongoDB, and NATS with its stream.

use std::{path::PathBuf, time::Duration};

use chat_sdk::hosts::is_host_name;

use super::Uri;
use super::parse;
use super::reader::Reader;
use super::{Kind, Variable};

pub(super) const VARIABLES: &[Variable] = &[
    Variable::uri("MONGODB_URI", Kind::Text),
    Variable::text("MONGODB_DATABASE", None),
    Variable::uri("NATS_URL", Kind::List),
    Variable::text("NATS_CREDS", None),
    Variable::text("NATS_SUBJECT_PREFIX", Some("chat")),
    Variable::number("NATS_REPLICAS", "1"),
    Variable::list("NATS_COMMAND_HOSTS", None),
    Variable::number("EVENT_RETENTION_DAYS", "7"),
    Variable::number("EVENT_STREAM_MAX_MB", "4096"),
    Variable::number("RELAY_SECOND_SWEEP_SECONDS", "600"),
    Variable::number("LOG_RETENTION_DAYS", "365"),
];

/// MongoDB and NATS.
#[derive(Debug, Clone)]
pub struct Stores {
    /// `MONGODB_URI`, required: `mongodb://` or `mongodb+srv://`, of a replica set.
    pub mongodb_uri: Uri,
    /// `MONGODB_DATABASE`; default: the path of `MONGODB_URI`, otherwise `chat`.
    pub mongodb_database: String,
    /// `NATS_URL`, required: `nats://` or `tls://` addresses of one cluster, separated by commas.
    pub nats_urls: Vec<Uri>,
    /// `NATS_CREDS`: path of a credentials file; default: none, or the credentials in `NATS_URL`.
    pub nats_creds: Option<PathBuf>,
    /// `NATS_SUBJECT_PREFIX`: first token of every subject, 1-32 of `a-z 0-9 _ -`; default `chat`.
    pub nats_subject_prefix: String,
    /// `NATS_REPLICAS`: copies of the stream, 1-5; default 1.
    pub nats_replicas: usize,
    /// `NATS_COMMAND_HOSTS`: names of the hosts that may send commands over NATS; default: none.
    ///
    /// They are separated by commas.
    pub nats_command_hosts: Vec<String>,
    /// `EVENT_RETENTION_DAYS`: days that events stay in the stream; default 7.
    pub event_retention_days: u32,
    /// `EVENT_STREAM_MAX_MB`: maximum size of the stream in MiB; default 4096. The server reserves it.
    pub event_stream_max_mb: u32,
    /// `RELAY_SECOND_SWEEP_SECONDS`: age at which the relay compares the log with the stream again, 5-3600; default 600.
    pub second_sweep: Duration,
    /// `LOG_RETENTION_DAYS`: days that log entries other than messages stay; default 365.
    pub log_retention_days: u32,
}

impl Stores {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let mongodb = reader.require(
            "MONGODB_URI",
            "set it to the address of a replica set, for example mongodb://localhost:27017/chat?replicaSet=rs0",
            mongodb_uri,
        );
        let database = reader.optional("MONGODB_DATABASE", database_name);
        let nats_urls = reader.require(
            "NATS_URL",
            "set it to the address of a NATS server with JetStream, for example nats://localhost:4222",
            nats_urls,
        );
        let dir = reader.dir().to_owned();
        let nats_creds = reader.optional("NATS_CREDS", |text| {
            let path = dir.join(text);
            if path.is_file() {
                Ok(path)
            } else {
                Err(format!(
                    "no file \"{}\"; check the path",
                    parse::short(text)
                ))
            }
        });
        let nats_subject_prefix = reader.read("NATS_SUBJECT_PREFIX", subject_prefix);
        let nats_replicas = reader.read("NATS_REPLICAS", |text| parse::size(text, 1..=5, "copies"));
        let nats_command_hosts = reader.optional("NATS_COMMAND_HOSTS", host_names);
        let event_retention_days = reader.read("EVENT_RETENTION_DAYS", |text| {
            parse::small(text, 1..=3_650, "days")
        });
        let event_stream_max_mb = reader.read("EVENT_STREAM_MAX_MB", |text| {
            parse::small(text, 16..=1_048_576, "MiB")
        });
        let second_sweep = reader.read("RELAY_SECOND_SWEEP_SECONDS", |text| {
            parse::seconds(text, 5..=3_600)
        });
        let log_retention_days = reader.read("LOG_RETENTION_DAYS", |text| {
            parse::small(text, 1..=36_500, "days")
        });
        let (mongodb_uri, path) = mongodb?;
        Some(Self {
            mongodb_uri,
            mongodb_database: database?.or(path).unwrap_or_else(|| "chat".to_owned()),
            nats_urls: nats_urls?,
            nats_creds: nats_creds?,
            nats_subject_prefix: nats_subject_prefix?,
            nats_replicas: nats_replicas?,
            nats_command_hosts: nats_command_hosts?.unwrap_or_default(),
            event_retention_days: event_retention_days?,
            event_stream_max_mb: event_stream_max_mb?,
            second_sweep: second_sweep?,
            log_retention_days: log_retention_days?,
        })
    }
}

/// Checks the URI and returns it with the database in its path.
///
/// A fault never quotes the value: it may contain a password.
fn mongodb_uri(text: &str) -> Result<(Uri, Option<String>), String> {
    let rest = text
        .strip_prefix("mongodb://")
        .or_else(|| text.strip_prefix("mongodb+srv://"))
        .ok_or("must start with mongodb:// or mongodb+srv://")?;
    let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
    let (hosts, path) = match rest.rsplit_once('@') {
        Some((_, rest)) => rest.split_once('/').unwrap_or((rest, "")),
        None => rest.split_once('/').unwrap_or((rest, "")),
    };
    // A Unix socket is percent-encoded, as the driver requires.
    let is_host =
        |host: &str| parse::is_host_and_port(host) || host.ends_with(".sock") && host.contains('%');
    if !hosts.split(',').all(is_host) {
        return Err(
            "has no valid host; write mongodb://host:27017/database, and percent-encode \
                    the characters : / ? # [ ] @ in a password"
                .to_owned(),
        );
    }
    if text.starts_with("mongodb+srv://") && (hosts.contains(',') || hosts.contains(':')) {
        return Err(
            "with mongodb+srv:// must name one host without a port; the port comes from DNS"
                .to_owned(),
        );
    }
    let path = match path {
        "" => None,
        path => Some(database_name(path).map_err(|problem| format!("has a path that {problem}"))?),
    };
    Ok((Uri::new(text), path))
}

/// Checks a database name against the rules that MongoDB has on any system.
fn database_name(text: &str) -> Result<String, String> {
    if (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    {
        Ok(text.to_owned())
    } else {
        Err("is not the name of a database; use 1-63 letters, digits, _ and -".to_owned())
    }
}

fn nats_urls(text: &str) -> Result<Vec<Uri>, String> {
    let urls = parse::list(text);
    if urls.is_empty() {
        return Err("names no server; write nats://host:4222".to_owned());
    }
    urls.into_iter()
        .map(|url| {
            let rest = url
                .strip_prefix("nats://")
                .or_else(|| url.strip_prefix("tls://"))
                .ok_or("must start with nats:// or tls:// (each server of a list)")?;
            let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
            let host = host.strip_suffix('/').unwrap_or(host);
            if !parse::is_host_and_port(host) {
                return Err(
                    "has no valid host; write nats://host:4222, more servers with commas, and \
                            percent-encode the characters : / ? # [ ] @ , in a password"
                        .to_owned(),
                );
            }
            Ok(Uri::new(url))
        })
        .collect()
}

fn host_names(text: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = parse::list(text).into_iter().map(str::to_owned).collect();
    match names.iter().find(|name| !is_host_name(name)) {
        Some(name) => Err(format!(
            "names \"{}\", which is no name of a host; use 1-32 of a-z, 0-9 and _, beginning with a letter",
            parse::short(name)
        )),
        None => Ok(names),
    }
}

fn subject_prefix(text: &str) -> Result<String, String> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    if (1..=32).contains(&text.len()) && text.bytes().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "is \"{}\"; use 1-32 of the characters a-z, 0-9, _ and - (no dots)",
            parse::short(text)
        ))
    }
}
