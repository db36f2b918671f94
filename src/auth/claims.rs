//! What a token says, after its signature was checked.

use chat_sdk::UserId;
use serde::Deserialize;
use serde_json::Value;

use super::error::AuthError;

/// The end of the year 9999. A larger number is a mistake, mostly milliseconds.
const MAX_TIME: f64 = 253_402_300_799.0;

/// What a token says about its bearer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `sub`, the host's own id of the user.
    pub subject: UserId,
    /// `iat`, Unix seconds without the fraction.
    pub issued_at: Option<i64>,
    /// `exp`, Unix seconds without the fraction.
    pub expires_at: i64,
    /// `name`, when it is a text.
    pub name: Option<String>,
    /// `picture`, else `avatarUrl`, when it is a text. Not checked to be a URL.
    pub avatar_url: Option<String>,
    /// `roles`, those of its items that are texts.
    pub roles: Vec<String>,
}

/// The claims as they stand in the token, of any type; a claim that stands there twice is refused by serde.
#[derive(Debug, Deserialize)]
pub(super) struct RawClaims {
    sub: Option<Value>,
    exp: Option<Value>,
    iat: Option<Value>,
    nbf: Option<Value>,
    iss: Option<Value>,
    name: Option<Value>,
    picture: Option<Value>,
    #[serde(rename = "avatarUrl")]
    avatar_url: Option<Value>,
    roles: Option<Value>,
}

impl RawClaims {
    /// Checks the times, the issuer and the subject. Here and not in jsonwebtoken, which does not say which claim is wrong, rounds fractions, and takes
    /// lists for issuers. `now` is in seconds since 1970.
    pub(super) fn check(
        self,
        issuer: Option<&str>,
        now: f64,
        leeway: f64,
    ) -> Result<Claims, AuthError> {
        let expires_at = time("exp", self.exp.as_ref())?.ok_or(AuthError::BadClaim {
            claim: "exp",
            problem: "is missing",
        })?;
        let issued_at = time("iat", self.iat.as_ref())?;
        let not_before = time("nbf", self.nbf.as_ref())?;
        if expires_at < now - leeway {
            return Err(AuthError::Expired);
        }
        for (claim, time) in [("nbf", not_before), ("iat", issued_at)] {
            if time.is_some_and(|at| at > now + leeway) {
                return Err(AuthError::NotYetValid { claim });
            }
        }
        if issuer.is_some() && self.iss.as_ref().and_then(Value::as_str) != issuer {
            return Err(AuthError::WrongIssuer);
        }
        Ok(Claims {
            subject: subject(self.sub)?,
            issued_at: issued_at.map(seconds),
            expires_at: seconds(expires_at),
            name: text(self.name),
            avatar_url: text(self.picture).or_else(|| text(self.avatar_url)),
            roles: match self.roles {
                Some(Value::Array(roles)) => roles
                    .into_iter()
                    .filter_map(|role| text(Some(role)))
                    .collect(),
                _ => Vec::new(),
            },
        })
    }
}

/// A claim that is a time (`NumericDate` of RFC 7519): seconds since 1970, with or without a fraction.
fn time(claim: &'static str, value: Option<&Value>) -> Result<Option<f64>, AuthError> {
    let bad = |problem| AuthError::BadClaim { claim, problem };
    let Some(value) = value else {
        return Ok(None);
    };
    let seconds = value
        .as_f64()
        .ok_or_else(|| bad("must be a number of seconds since 1970"))?;
    if seconds < 0.0 {
        return Err(bad("must not be negative"));
    }
    if seconds > MAX_TIME {
        return Err(bad("must be in seconds since 1970, not milliseconds"));
    }
    Ok(Some(seconds))
}

/// Whole seconds, the fraction dropped. The caller has checked the range.
fn seconds(time: f64) -> i64 {
    time as i64
}

fn subject(claim: Option<Value>) -> Result<UserId, AuthError> {
    text(claim)
        .and_then(|text| text.parse::<UserId>().ok())
        .filter(UserId::names_a_user)
        .ok_or(AuthError::BadSubject)
}

/// A claim that is a text and not empty.
fn text(claim: Option<Value>) -> Option<String> {
    match claim {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}
