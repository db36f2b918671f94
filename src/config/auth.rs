//! Settings of authentication, and the service's own secrets.

use std::path::Path;
use std::time::Duration;

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use url::{Host, Url};

use super::parse;
use super::reader::Reader;
use super::server::AppEnv;
use super::{Kind, Variable};
use super::{Secret, Uri};

pub(super) const VARIABLES: &[Variable] = &[
    Variable::secret("AUTH_JWT_SECRET"),
    Variable::pem("AUTH_JWT_PUBLIC_KEY"),
    Variable::uri("AUTH_JWKS_URL", Kind::Text),
    Variable::list("AUTH_JWT_ALGORITHMS", None),
    Variable::text("AUTH_JWT_ISSUER", None),
    Variable::list("AUTH_JWT_AUDIENCE", None),
    Variable::number("AUTH_JWT_LEEWAY_SECONDS", "5"),
    Variable::secret("INTERNAL_API_SECRET"),
    Variable::secret("SECRETS_KEY"),
];

/// Variables of which exactly one must be set.
const KEYS: [&str; 3] = ["AUTH_JWT_SECRET", "AUTH_JWT_PUBLIC_KEY", "AUTH_JWKS_URL"];

/// Key that checks the host's tokens.
#[derive(Debug, Clone)]
pub enum TokenKey {
    /// `AUTH_JWT_SECRET`: a secret shared with the host, at least 32 bytes.
    Secret(Secret),
    /// `AUTH_JWT_PUBLIC_KEY`: a public key in PEM form, or the path of a file; here always the PEM.
    PublicKey(String),
    /// `AUTH_JWKS_URL`: URL of the host's published keys; https, or http on loopback outside production.
    Jwks(Uri),
}

/// Settings of authentication.
#[derive(Debug, Clone)]
pub struct Auth {
    /// Exactly one of `AUTH_JWT_SECRET`, `AUTH_JWT_PUBLIC_KEY` and `AUTH_JWKS_URL`.
    pub key: TokenKey,
    /// `AUTH_JWT_ALGORITHMS`: accepted algorithms, separated by commas.
    ///
    /// Default: HS256 with a secret, otherwise those of RS256, ES256 and EdDSA that fit the key.
    pub algorithms: Vec<Algorithm>,
    /// `AUTH_JWT_ISSUER`: required value of `iss`; default: not checked.
    pub issuer: Option<String>,
    /// `AUTH_JWT_AUDIENCE`: values separated by commas, one of which must be in `aud`.
    ///
    /// Default (empty): not checked.
    pub audience: Vec<String>,
    /// `AUTH_JWT_LEEWAY_SECONDS`: maximum clock difference, 0-300 seconds; default 5.
    pub leeway: Duration,
    /// `INTERNAL_API_SECRET`, required: secret of the host's backend, at least 32 bytes.
    pub internal_secret: Secret,
    /// `SECRETS_KEY`: encrypts stored secrets, at least 32 bytes.
    ///
    /// It is needed if webhooks are managed by the API.
    pub secrets_key: Option<Secret>,
}

impl Auth {
    /// Reads the settings.
    ///
    /// `env` is `None` if it is faulty itself; the rules are then as strict as in production.
    pub(super) fn read(reader: &mut Reader, env: Option<AppEnv>) -> Option<Self> {
        let key = token_key(reader, env);
        let named = reader.optional("AUTH_JWT_ALGORITHMS", algorithms);
        let algorithms = key
            .as_ref()
            .zip(named)
            .and_then(|((_, families), named)| fit(reader, families, named));
        let issuer = reader.optional("AUTH_JWT_ISSUER", |text| Ok(text.to_owned()));
        let audience = reader.optional("AUTH_JWT_AUDIENCE", |text| {
            Ok(parse::list(text)
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<_>>())
        });
        let leeway = reader.read("AUTH_JWT_LEEWAY_SECONDS", |text| {
            parse::seconds(text, 0..=300)
        });
        let internal = reader.require(
            "INTERNAL_API_SECRET",
            "make one with: openssl rand -hex 32",
            Secret::strong,
        );
        let secrets_key = reader.optional("SECRETS_KEY", Secret::strong);
        must_differ(
            reader,
            &["AUTH_JWT_SECRET", "INTERNAL_API_SECRET", "SECRETS_KEY"],
        );
        let (key, _) = key?;
        Some(Self {
            key,
            algorithms: algorithms?,
            issuer: issuer?,
            audience: audience?.unwrap_or_default(),
            leeway: leeway?,
            internal_secret: internal?,
            secrets_key: secrets_key?,
        })
    }
}

/// Returns the one key that is set, with the families of algorithms that it can check.
fn token_key(reader: &mut Reader, env: Option<AppEnv>) -> Option<(TokenKey, Vec<AlgorithmFamily>)> {
    let set: Vec<&str> = KEYS
        .into_iter()
        .filter(|name| reader.is_set(name))
        .collect();
    match set.as_slice() {
        [] => {
            let remedy = "is required, or AUTH_JWT_PUBLIC_KEY, or AUTH_JWKS_URL: what the host signs its tokens with \
                          (openssl rand -hex 32 makes a secret to share)";
            reader.fault("AUTH_JWT_SECRET", remedy);
            return None;
        }
        [_] => {}
        [first, rest @ ..] => {
            for name in rest {
                reader.fault(
                    name,
                    format!("is set beside {first}; keep the one that the host signs with"),
                );
            }
        }
    }
    let dir = reader.dir().to_owned();
    let secret = reader.optional("AUTH_JWT_SECRET", Secret::strong);
    let public = reader.optional("AUTH_JWT_PUBLIC_KEY", |text| public_key(text, &dir));
    let jwks = reader.optional("AUTH_JWKS_URL", |text| jwks_url(text, env));
    if let Some(secret) = secret? {
        return Some((TokenKey::Secret(secret), vec![AlgorithmFamily::Hmac]));
    }
    if let Some((pem, family)) = public? {
        return Some((TokenKey::PublicKey(pem), vec![family]));
    }
    let families = vec![
        AlgorithmFamily::Rsa,
        AlgorithmFamily::Ec,
        AlgorithmFamily::Ed,
    ];
    jwks?.map(|url| (TokenKey::Jwks(url), families))
}

/// Reads the PEM from the variable or from the file that it names, and finds its family.
fn public_key(text: &str, dir: &Path) -> Result<(String, AlgorithmFamily), String> {
    let pem = if text.contains("-----BEGIN") {
        // Many environments cannot hold line breaks; a literal `\n` is the usual workaround.
        text.replace("\\n", "\n")
    } else {
        std::fs::read_to_string(dir.join(text)).map_err(|error| {
            format!(
                "is neither a PEM text nor a readable file (\"{}\": {})",
                parse::short(text),
                error.kind()
            )
        })?
    };
    if pem.contains("PRIVATE KEY") {
        return Err(
            "holds a private key, which belongs to the host alone; give its public half \
                    (openssl pkey -in key.pem -pubout)"
                .to_owned(),
        );
    }
    if pem.contains("BEGIN CERTIFICATE") {
        return Err(
            "holds a certificate; give its public key (openssl x509 -in cert.pem -noout -pubkey)"
                .to_owned(),
        );
    }
    let bytes = pem.as_bytes();
    let family = if let Ok(key) = DecodingKey::from_rsa_pem(bytes) {
        // A modulus of 2048 bits alone is 256 bytes; shorter keys would refuse every token later.
        if key.try_get_as_bytes().is_ok_and(|der| der.len() < 260) {
            return Err("holds an RSA key of less than 2048 bits; use at least 2048".to_owned());
        }
        AlgorithmFamily::Rsa
    } else if DecodingKey::from_ec_pem(bytes).is_ok() {
        AlgorithmFamily::Ec
    } else if DecodingKey::from_ed_pem(bytes).is_ok() {
        AlgorithmFamily::Ed
    } else {
        return Err(
            "holds no public key that can be read; give an RSA, EC or Ed25519 key in PEM form \
                    (-----BEGIN PUBLIC KEY-----)"
                .to_owned(),
        );
    };
    Ok((pem, family))
}

fn jwks_url(text: &str, env: Option<AppEnv>) -> Result<Uri, String> {
    let url =
        Url::parse(text).map_err(|_| "is not a URL; write https://host/.well-known/jwks.json")?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => return Err("names no host; write https://host/.well-known/jwks.json".to_owned()),
    };
    let lenient = env == Some(AppEnv::Development);
    match url.scheme() {
        "https" => Ok(Uri::new(text)),
        "http" if loopback && lenient => Ok(Uri::new(text)),
        _ => Err(
            "must start with https:// (http:// only on loopback, outside production): \
                  who can change the keys on the way can sign in as anybody"
                .to_owned(),
        ),
    }
}

fn algorithms(text: &str) -> Result<Vec<Algorithm>, String> {
    let names = parse::list(text);
    if names.is_empty() {
        return Err("names no algorithm; leave it out for the default".to_owned());
    }
    let mut algorithms = Vec::new();
    for name in names {
        let algorithm = name.parse().map_err(|_| {
            format!(
                "holds \"{}\"; known are HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, \
                 ES384 and EdDSA",
                parse::short(name)
            )
        })?;
        if !algorithms.contains(&algorithm) {
            algorithms.push(algorithm);
        }
    }
    Ok(algorithms)
}

/// Returns the algorithms to accept.
///
/// These are the named ones, all of which must fit the key, otherwise the default of its families.
fn fit(
    reader: &mut Reader,
    families: &[AlgorithmFamily],
    named: Option<Vec<Algorithm>>,
) -> Option<Vec<Algorithm>> {
    let fits = |algorithm: &Algorithm| families.contains(&algorithm.family());
    let Some(named) = named else {
        let usual = [
            Algorithm::HS256,
            Algorithm::RS256,
            Algorithm::ES256,
            Algorithm::EdDSA,
        ];
        return Some(usual.into_iter().filter(fits).collect());
    };
    let Some(stray) = named.iter().find(|algorithm| !fits(algorithm)) else {
        return Some(named);
    };
    let problem = match (families, stray.family()) {
        ([AlgorithmFamily::Hmac], _) => {
            "does not work with AUTH_JWT_SECRET; name only HS256, HS384 or HS512"
        }
        // With a public key as "secret" anyone could sign.
        (_, AlgorithmFamily::Hmac) => {
            "works only with AUTH_JWT_SECRET, never beside a public key; leave it out"
        }
        _ => "does not fit the kind of key in AUTH_JWT_PUBLIC_KEY; leave it out",
    };
    reader.fault("AUTH_JWT_ALGORITHMS", format!("{stray:?} {problem}"));
    None
}

/// Fails if two of the variables have the same secret: its leak would compromise both purposes at once.
fn must_differ(reader: &mut Reader, names: &[&str]) {
    for (at, name) in names.iter().enumerate() {
        let Some(text) = reader.text(name) else {
            continue;
        };
        if let Some(other) = names[..at]
            .iter()
            .find(|other| reader.text(other) == Some(text))
        {
            reader.fault(
                name,
                format!("is the same as {other}; give each its own (openssl rand -hex 32)"),
            );
        }
    }
}
