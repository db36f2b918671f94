//! Layers: precedence, the content of files, and the reports about names.

use super::*;

const MONGODB: (&str, &str) = ("MONGODB_URI", "mongodb://localhost:27017/shop");
const NATS: (&str, &str) = ("NATS_URL", "nats://localhost:4222");
const JWT: (&str, &str) = ("AUTH_JWT_SECRET", "3f1c9a7e5b2d4860f1e2d3c4b5a69788");
const INTERNAL: (&str, &str) = ("INTERNAL_API_SECRET", "a1b2c3d4e5f60718293a4b5c6d7e8f90");

/// Variables of a plugin.
const OF_WEBHOOKS: &[Variable] = &[
    Variable::uri("WEBHOOK_URL", Kind::Text),
    Variable::secret("WEBHOOK_SECRET"),
    Variable::switch("WEBHOOK_ENABLED", "false"),
    Variable::switch("WEBHOOK_ALLOW_PRIVATE", "false"),
];

/// Own directory and environment of a test.
pub(super) struct Place {
    dir: tempfile::TempDir,
    sources: Sources,
}

impl Place {
    /// Returns a valid configuration, in the environment alone.
    pub(super) fn valid() -> Self {
        Self::empty().env(&[MONGODB, NATS, JWT, INTERNAL])
    }

    pub(super) fn empty() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let sources = Sources {
            toml_path: None,
            dir: dir.path().to_owned(),
            env: Vec::new(),
            plugins: vec![("webhooks", OF_WEBHOOKS)],
        };
        Self { dir, sources }
    }

    /// Sets or changes variables of the environment.
    pub(super) fn env(mut self, pairs: &[(&str, &str)]) -> Self {
        for (name, text) in pairs {
            self = self.without(name);
            self.sources
                .env
                .push(((*name).to_owned(), (*text).to_owned()));
        }
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.sources.env.retain(|(known, _)| known != name);
        self
    }

    pub(super) fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.dir.path().join(name), text).expect("a file");
        self
    }

    fn config_path(mut self, path: &str) -> Self {
        self.sources.toml_path = Some(path.into());
        self
    }

    pub(super) fn loaded(&self) -> Loaded {
        Config::load(&self.sources).unwrap_or_else(|errors| panic!("faults:\n{errors}"))
    }

    pub(super) fn config(&self) -> Config {
        self.loaded().config
    }

    pub(super) fn faults(&self) -> Vec<String> {
        match Config::load(&self.sources) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.to_string().lines().map(str::to_owned).collect(),
        }
    }
}

#[test]
fn four_variables_are_enough_and_the_rest_has_the_defaults() {
    let Loaded { config, warnings } = Place::valid().loaded();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(config.stores.mongodb_database, "shop");
    assert_eq!(config.stores.nats_subject_prefix, "chat");
    assert_eq!(
        (
            config.stores.nats_replicas,
            config.stores.event_retention_days
        ),
        (1, 7)
    );
    assert_eq!(config.stores.event_stream_max_mb, 4096);
    assert_eq!(config.stores.second_sweep.as_secs(), 600);
    assert_eq!(config.stores.log_retention_days, 365);
    assert_eq!((config.server.port, config.server.ws_port), (4000, 4001));
    assert_eq!(config.server.host.to_string(), "127.0.0.1");
    assert_eq!(config.server.app_env, AppEnv::Development);
    assert_eq!(
        (config.server.log_format, config.server.log_level.as_str()),
        (LogFormat::Text, "info")
    );
    assert_eq!(config.server.shutdown_grace.as_secs(), 30);
    assert_eq!(config.server.trusted_proxies.len(), 2);
    assert_eq!(config.auth.leeway.as_secs(), 5);
    assert_eq!(config.plugins.texts.0["WEBHOOK_ENABLED"], "false");
    assert_eq!(config.cors.allowed_origins, Origins::Any);
    assert_eq!(config.presence.away_threshold.as_secs(), 300);
    assert_eq!(
        (
            config.presence.typing_ttl.as_secs(),
            config.presence.recording_ttl.as_secs()
        ),
        (5, 30)
    );
    let rate = |count| {
        Some(RateLimit {
            count,
            per: std::time::Duration::from_secs(60),
        })
    };
    assert_eq!(
        (config.limits.api, config.limits.auth),
        (rate(600), rate(20))
    );
    assert_eq!(
        (config.limits.messages, config.limits.typing),
        (rate(120), rate(120))
    );
    assert_eq!(config.limits.health, rate(600));
    assert_eq!(
        (
            config.limits.max_message_bytes,
            config.limits.max_sockets_per_user
        ),
        (16_384, 30)
    );
    assert_eq!(config.limits.max_group_members, 10_000);
    assert_eq!(config.plugins.enabled, ["webhooks"]);
}

#[test]
fn each_layer_wins_over_the_one_before() {
    let place = Place::valid();
    assert_eq!(place.config().server.port, 4000);
    let place = place.file("chat.toml", "port = 5001\nlog_level = \"warn\"\n");
    assert_eq!(place.config().server.port, 5001);
    let place = place.file(".env", "PORT=5002\n");
    assert_eq!(place.config().server.port, 5002);
    let place = place.env(&[("PORT", "5003")]);
    let config = place.config();
    assert_eq!(
        (config.server.port, config.server.log_level.as_str()),
        (5003, "warn")
    );
}

#[test]
fn an_empty_value_counts_as_not_set() {
    let place = Place::valid()
        .file(".env", "PORT=5002\n")
        .env(&[("PORT", ""), ("AUTH_JWKS_URL", "  ")]);
    assert_eq!(place.config().server.port, 5002);
    let faults = Place::valid().env(&[("INTERNAL_API_SECRET", "")]).faults();
    assert_eq!(
        faults,
        ["INTERNAL_API_SECRET: is required; make one with: openssl rand -hex 32"]
    );
}

#[test]
fn digits_and_words_stay_text() {
    let digits = "83140926675518203947162805394721";
    let config = Place::valid()
        .env(&[("INTERNAL_API_SECRET", digits), ("AUTH_JWT_ISSUER", "true")])
        .config();
    assert_eq!(config.auth.internal_secret.expose(), digits.as_bytes());
    assert_eq!(config.auth.issuer.as_deref(), Some("true"));
    let config = Place::valid().env(&[("MONGODB_DATABASE", "007")]).config();
    assert_eq!(config.stores.mongodb_database, "007");
}

#[test]
fn toml_takes_its_own_types() {
    let text = "port = 5000\nwebhook_allow_private = true\nallowed_origins = [\"https://a\", \"https://b\"]\n\
                trusted_proxies = []\nmax_message_bytes = \"99\"\nrate_limit_api = \"10/1m\"\nrate_limit_auth = 0\n\
                plugins_enabled = [\"webhooks\", \"search\"]\n[plugins.search]\nlanguage = \"de\"\nsize = 3\n";
    let Loaded { config, warnings } = Place::valid().file("chat.toml", text).loaded();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(config.plugins.texts.0["WEBHOOK_ALLOW_PRIVATE"], "true");
    assert!(
        config.cors.allowed_origins.allows("https://b")
            && !config.cors.allowed_origins.allows("https://c")
    );
    assert!(config.server.trusted_proxies.is_empty());
    assert_eq!(
        (config.limits.max_message_bytes, config.limits.auth),
        (99, None)
    );
    assert_eq!(config.plugins.enabled, ["webhooks", "search"]);
    assert_eq!(
        config.plugins.tables["search"],
        serde_json::json!({ "language": "de", "size": 3 })
    );
}

#[test]
fn wrong_types_in_toml_are_named() {
    let text = "port = true\nallowed_origins = [1]\nwebhook_enabled = 1\ninternal_api_secret = 12345\nplugins = [\"a\"]\n";
    let faults = Place::valid()
        .without("INTERNAL_API_SECRET")
        .file("chat.toml", text)
        .faults();
    for line in [
        "PORT: in chat.toml must be a whole number",
        "ALLOWED_ORIGINS: in chat.toml must be an array of texts in quotes",
        "WEBHOOK_ENABLED: in chat.toml must be true or false",
        "INTERNAL_API_SECRET: in chat.toml must be text in quotes",
        "chat.toml: \"plugins\" holds the plugins' tables; the list of plugins is called plugins_enabled",
    ] {
        assert!(
            faults.iter().any(|fault| fault == line),
            "no {line:?} in {faults:#?}"
        );
    }
    assert_eq!(faults.len(), 5, "one fault for each: {faults:#?}");
    let faults = Place::valid()
        .file("chat.toml", "[plugins]\nsearch = 1\n")
        .faults();
    assert_eq!(
        faults,
        ["chat.toml: plugins.search must be a table: write [plugins.search] and its keys below"]
    );
}

#[test]
fn unknown_keys_in_toml_are_faults_with_a_hint() {
    let faults = Place::valid()
        .file(
            "chat.toml",
            "mongo_uri = \"x\"\nPORT = 1\nzebra = 1\n[server]\nport = 1\n",
        )
        .faults();
    assert_eq!(
        faults,
        [
            "chat.toml: unknown key \"PORT\"; did you mean \"port\"?",
            "chat.toml: unknown key \"mongo_uri\"; did you mean \"mongodb_uri\"?",
            "chat.toml: unknown key \"server\"",
            "chat.toml: unknown key \"zebra\"",
        ]
    );
}

#[test]
fn a_broken_file_says_where_without_its_text() {
    let faults = Place::valid()
        .file("chat.toml", "port = 1\nauth_jwt_secret = hunter2hunter2\n")
        .faults();
    assert_eq!(faults.len(), 1);
    assert!(
        faults[0].starts_with("chat.toml: is not valid TOML at line 2, column 19"),
        "{faults:?}"
    );
    assert!(!faults[0].contains("hunter2"));
    let faults = Place::valid().file(".env", "PORT=1\n\nhunter2\n").faults();
    assert_eq!(faults, [".env: line 3 has no \"=\"; write NAME=value"]);
}

#[test]
fn a_named_file_must_exist_and_replaces_chat_toml() {
    let place = Place::valid()
        .file("chat.toml", "port = 5001\n")
        .config_path("other.toml");
    assert_eq!(
        place.faults(),
        [format!(
            "{}: does not exist; check the path given by --config",
            place.dir.path().join("other.toml").display()
        )]
    );
    assert_eq!(
        place
            .file("other.toml", "ws_port = 5002\n")
            .config()
            .server
            .port,
        4000
    );
}

#[test]
fn unknown_variables_with_our_prefixes_warn() {
    let place = Place::valid()
        .env(&[
            ("AUTH_JWT_SECRETS", "x"),
            ("NATS_SERVER", "x"),
            ("PATH", "x"),
            ("NATS_SERVICE_HOST", "10.0.0.1"),
            ("NATS_PORT", "tcp://10.0.0.1:4222"),
            ("MONGODB_PORT_27017_TCP_ADDR", "10.0.0.1"),
        ])
        .file(".env", "WEBHOOK_URI=x\nCOMPOSE_PROJECT_NAME=x\n");
    let warnings = place.loaded().warnings;
    assert_eq!(
        warnings,
        [
            "WEBHOOK_URI: unknown variable in .env, ignored; did you mean \"WEBHOOK_URL\"?",
            "AUTH_JWT_SECRETS: unknown variable in environment, ignored; did you mean \"AUTH_JWT_SECRET\"?",
            "NATS_SERVER: unknown variable in environment, ignored",
        ]
    );
}

#[test]
fn tables_of_plugins_that_are_off_warn() {
    let place = Place::valid().file("chat.toml", "[plugins.webhook]\nx = 1\n");
    assert_eq!(
        place.loaded().warnings,
        [
            "PLUGINS: does not name \"webhook\", so [plugins.webhook] is not used; did you mean \"webhooks\"?"
        ]
    );
    assert!(place.config().plugins.tables.contains_key("webhook"));
}

#[test]
fn all_faults_come_at_once_in_the_order_of_the_groups() {
    let faults = Place::empty()
        .env(&[
            ("PORT", "x"),
            ("RATE_LIMIT_API", "many"),
            ("APP_ENV", "prod"),
        ])
        .faults();
    let names: Vec<&str> = faults
        .iter()
        .filter_map(|fault| fault.split_once(':'))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        names,
        [
            "MONGODB_URI",
            "NATS_URL",
            "PORT",
            "APP_ENV",
            "AUTH_JWT_SECRET",
            "INTERNAL_API_SECRET",
            "RATE_LIMIT_API"
        ]
    );
}

#[test]
fn dotenv_files_are_read_literally() {
    let text = "\u{feff}# comment\r\nexport A=1\r\n B = two words # comment\nC='a # $b \\n'\nD=\"x\\ny \\\"q\\\" \\\\ $z\" # c\n\
                E=\"-----BEGIN\nline\n-----END\"\nF=\nG=a#b\nH=a=b==\nA=2\n";
    let pairs = dotenv::parse(text.trim_start_matches('\u{feff}')).expect("valid");
    let pairs: Vec<(&str, &str)> = pairs
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    assert_eq!(
        pairs,
        [
            ("A", "1"),
            ("B", "two words"),
            ("C", "a # $b \\n"),
            ("D", "x\ny \"q\" \\ $z"),
            ("E", "-----BEGIN\nline\n-----END"),
            ("F", ""),
            ("G", "a#b"),
            ("H", "a=b=="),
            ("A", "2"),
        ]
    );
    for (text, line) in [
        ("A='x", 1),
        ("A=1\nB=\"x\ny", 2),
        ("=x", 1),
        ("A B=x", 1),
        ("\nA='x'y", 2),
    ] {
        assert_eq!(
            dotenv::parse(text).map_err(|(line, _)| line),
            Err(line),
            "{text:?}"
        );
    }
}
