//! Rule of each variable, with the text of its fault; those of authentication have their own file.

use super::tests::Place;
use super::*;

/// Returns the one fault of a configuration that is valid except for these variables.
pub(super) fn fault(pairs: &[(&str, &str)]) -> String {
    let faults = Place::valid().env(pairs).faults();
    assert_eq!(faults.len(), 1, "{pairs:?} gives {faults:#?}");
    faults[0].clone()
}

/// Checks rows of a variable, a value that is refused, and a required part of the fault.
pub(super) fn refused(rows: &[(&str, &str, &str)]) {
    for (name, text, said) in rows {
        let fault = fault(&[(name, text)]);
        assert!(fault.starts_with(&format!("{name}: ")), "{fault}");
        assert!(
            fault.contains(said),
            "{name}={text} says {fault:?}, not {said:?}"
        );
    }
}

pub(super) fn config(pairs: &[(&str, &str)]) -> Config {
    Place::valid().env(pairs).config()
}

#[test]
fn mongodb() {
    refused(&[
        (
            "MONGODB_URI",
            "postgres://u:pw@h/db",
            "must start with mongodb://",
        ),
        ("MONGODB_URI", "mongodb://", "has no valid host"),
        ("MONGODB_URI", "mongodb://u:pw@/db", "has no valid host"),
        ("MONGODB_URI", "mongodb://h:99999/db", "has no valid host"),
        ("MONGODB_URI", "mongodb://h1,,h2/db", "has no valid host"),
        (
            "MONGODB_URI",
            "mongodb://h/a.b",
            "has a path that is not the name of a database",
        ),
        (
            "MONGODB_URI",
            "mongodb+srv://h1,h2/db",
            "must name one host",
        ),
        (
            "MONGODB_URI",
            "mongodb+srv://h:27017/db",
            "must name one host",
        ),
        ("MONGODB_DATABASE", "a b", "is not the name of a database"),
        ("MONGODB_DATABASE", "$db", "is not the name of a database"),
    ]);
    let database = |pairs: &[(&str, &str)]| config(pairs).stores.mongodb_database;
    assert_eq!(
        database(&[(
            "MONGODB_URI",
            "mongodb://u:p%40w@h1:1,h2:2,[::1]:3/shop?replicaSet=rs0"
        )]),
        "shop"
    );
    assert_eq!(database(&[("MONGODB_URI", "mongodb://h")]), "chat");
    assert_eq!(
        database(&[("MONGODB_URI", "mongodb://h/?replicaSet=rs0")]),
        "chat"
    );
    assert_eq!(
        database(&[
            ("MONGODB_URI", "mongodb+srv://c.example.net/x"),
            ("MONGODB_DATABASE", "y")
        ]),
        "y"
    );
    assert_eq!(
        database(&[("MONGODB_URI", "mongodb://%2Ftmp%2Fmongodb-27017.sock/x")]),
        "x"
    );
}

#[test]
fn nats() {
    refused(&[
        (
            "NATS_URL",
            "localhost:4222",
            "must start with nats:// or tls://",
        ),
        (
            "NATS_URL",
            "http://localhost",
            "must start with nats:// or tls://",
        ),
        ("NATS_URL", "nats://a:4222,b:4222", "each server of a list"),
        ("NATS_URL", "nats://", "has no valid host"),
        ("NATS_URL", "nats://h:port", "has no valid host"),
        ("NATS_URL", ",", "names no server"),
        ("NATS_CREDS", "missing.creds", "no file \"missing.creds\""),
        ("NATS_SUBJECT_PREFIX", "a.b", "no dots"),
        ("NATS_SUBJECT_PREFIX", "Chat", "a-z"),
        ("NATS_SUBJECT_PREFIX", "a*", "a-z"),
        (
            "NATS_SUBJECT_PREFIX",
            "a2345678901234567890123456789012x",
            "1-32",
        ),
        ("NATS_REPLICAS", "0", "from 1 to 5"),
        ("NATS_REPLICAS", "6", "from 1 to 5"),
        ("EVENT_RETENTION_DAYS", "0", "a whole number of days from 1"),
        (
            "EVENT_RETENTION_DAYS",
            "-1",
            "a whole number of days from 1",
        ),
        ("EVENT_STREAM_MAX_MB", "8", "a whole number of MiB from 16"),
        ("RELAY_SECOND_SWEEP_SECONDS", "4", "seconds from 5 to 3600"),
        ("LOG_RETENTION_DAYS", "1.5", "a whole number of days from 1"),
    ]);
    let stores = config(&[(
        "NATS_URL",
        "nats://u:pw@a:4222, tls://t0ken@b ,nats://[::1]:4222/",
    )])
    .stores;
    assert_eq!(stores.nats_urls.len(), 3);
    assert_eq!(stores.nats_urls[0].expose(), "nats://u:pw@a:4222");
    let place = Place::valid()
        .file("host.creds", "x")
        .env(&[("NATS_CREDS", "host.creds")]);
    assert!(
        place
            .config()
            .stores
            .nats_creds
            .is_some_and(|path| path.is_file())
    );
}

#[test]
fn server() {
    refused(&[
        ("PORT", "65536", "a port from 1 to 65535"),
        ("PORT", "-1", "a port from 1 to 65535"),
        ("WS_PORT", "4000", "is 4000, the same as PORT"),
        ("HOST", "localhost", "must be an IP address"),
        ("APP_ENV", "developmnt", "did you mean \"development\"?"),
        ("LOG_FORMAT", "xml", "must be one of text, json"),
        ("LOG_LEVEL", "debugg", "did you mean \"debug\"?"),
        ("LOG_LEVEL", "chat_service=loud", "must be one of"),
        ("SHUTDOWN_GRACE_SECONDS", "3601", "seconds from 0 to 3600"),
        ("TRUSTED_PROXIES", "10.0.0.0/33", "holds \"10.0.0.0/33\""),
        ("TRUSTED_PROXIES", "nginx", "holds \"nginx\""),
    ]);
    let server = config(&[
        ("PORT", "0"),
        ("WS_PORT", "0"),
        ("HOST", "::"),
        ("APP_ENV", "PRODUCTION"),
        ("LOG_FORMAT", "json"),
        ("LOG_LEVEL", "info,chat_service=debug"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, 192.168.1.1, fd00::/8"),
        ("ALLOWED_ORIGINS", "https://shop.example"),
    ])
    .server;
    assert_eq!(
        (server.port, server.ws_port, server.app_env),
        (0, 0, AppEnv::Production)
    );
    assert_eq!(server.log_format, LogFormat::Json);
    assert_eq!(server.trusted_proxies.len(), 3);
    assert!(
        config(&[("TRUSTED_PROXIES", "none")])
            .server
            .trusted_proxies
            .is_empty()
    );
}

#[test]
fn origins() {
    refused(&[
        ("ALLOWED_ORIGINS", "shop.example", "scheme://host"),
        (
            "ALLOWED_ORIGINS",
            "https://shop.example/",
            "leave out the slash",
        ),
        (
            "ALLOWED_ORIGINS",
            "https://shop.example/path",
            "without a path",
        ),
        (
            "ALLOWED_ORIGINS",
            "https://u@shop.example",
            "without a path",
        ),
        ("ALLOWED_ORIGINS", "*,https://a", "* stands alone"),
        (
            "ALLOWED_ORIGINS",
            "https://*.example",
            "patterns are not known",
        ),
        ("ALLOWED_ORIGINS", "null", "scheme://host"),
    ]);
    let origins = config(&[(
        "ALLOWED_ORIGINS",
        "https://Shop.Example:443, http://localhost:3000, capacitor://localhost",
    )])
    .cors
    .allowed_origins;
    for good in [
        "https://shop.example",
        "http://localhost:3000",
        "capacitor://localhost",
    ] {
        assert!(origins.allows(good), "{good}");
    }
    for bad in [
        "http://shop.example",
        "https://shop.example.evil",
        "http://localhost",
        "null",
        "",
    ] {
        assert!(!origins.allows(bad), "{bad}");
    }
    assert_eq!(
        config(&[("ALLOWED_ORIGINS", "none")]).cors.allowed_origins,
        Origins::Listed(Vec::new())
    );
    let warnings = Place::valid()
        .env(&[("APP_ENV", "production")])
        .loaded()
        .warnings;
    assert_eq!(
        warnings,
        ["ALLOWED_ORIGINS: is * in production: any web page may call; list your own origins"]
    );
}

#[test]
fn rates_sizes_times_and_plugins() {
    for text in [
        "600", "600/", "/60s", "0/60s", "600/60", "600/0s", "600/60d", "a/60s", "-1/60s", "1/25h",
        "9/é", "x",
    ] {
        refused(&[(
            "RATE_LIMIT_API",
            text,
            "write a count and a time, such as 600/60s",
        )]);
    }
    refused(&[
        ("MAX_MESSAGE_BYTES", "0", "bytes from 1 to 65536"),
        ("MAX_MESSAGE_BYTES", "65537", "bytes from 1 to 65536"),
        ("MAX_SOCKETS_PER_USER", "0", "sockets from 1"),
        ("MAX_GROUP_MEMBERS", "1", "members from 2"),
        ("AWAY_THRESHOLD_SECONDS", "0", "seconds from 1"),
        ("TYPING_TTL_SECONDS", "0", "seconds from 1"),
        ("RECORDING_TTL_SECONDS", "soon", "seconds from 1"),
        ("PLUGINS", "web hooks", "holds \"web hooks\""),
        ("PLUGINS", "search,search", "names \"search\" twice"),
    ]);
    let limits = config(&[
        ("RATE_LIMIT_API", "10/2m"),
        ("RATE_LIMIT_AUTH", "0"),
        ("RATE_LIMIT_TYPING", "OFF"),
    ])
    .limits;
    assert_eq!(
        limits.api,
        Some(RateLimit {
            count: 10,
            per: std::time::Duration::from_secs(120)
        })
    );
    assert_eq!((limits.auth, limits.typing), (None, None));
    assert!(config(&[("PLUGINS", "none")]).plugins.enabled.is_empty());
}
