//! Claims of a token, read after its signature was checked.

use chat_sdk::{UserId, ids::is_session_id};
use serde::Deserialize;
use serde_json::Value;

use super::error::AuthError;

/// End of the year 9999. A larger number is a mistake, mostly milliseconds.
const MAX_TIME: f64 = 253_402_300_799.0;

/// Claims of a token about its bearer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `sub`, the host's own id of the user.
    pub subject: UserId,
    /// `iat`, Unix seconds without the fraction.
    pub issued_at: Option<i64>,
    /// `exp`, Unix seconds without the fraction.
    pub expires_at: i64,
    /// `sid`, the id of the session that the token belongs to, if it can be one.
    pub session_id: Option<String>,
    /// `name`, if it is a text.
    pub name: Option<String>,
    /// `picture`, otherwise `avatarUrl`, if it is a text. Not checked to be a URL.
    pub avatar_url: Option<String>,
    /// `roles`, only those items that are texts.
    pub roles: Vec<String>,
}

/// Claims as they are in the token, of any type; serde refuses a duplicate claim.
#[derive(Debug, Deserialize)]
pub(super) struct RawClaims {
    sub: Option<Value>,
    exp: Option<Value>,
    iat: Option<Value>,
    nbf: Option<Value>,
    iss: Option<Value>,
    sid: Option<Value>,
    name: Option<Value>,
    picture: Option<Value>,
    #[serde(rename = "avatarUrl")]
    avatar_url: Option<Value>,
    roles: Option<Value>,
}

impl RawClaims {
    /// Checks the times, the issuer and the subject. `now` is in seconds since 1970.
    ///
    /// The check is here and not in jsonwebtoken, which does not say which claim is wrong, rounds fractions, and accepts lists for issuers.
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
            session_id: text(self.sid).filter(|id| is_session_id(id)),
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

/// Returns a claim that is a time (`NumericDate` of RFC 7519).
///
/// It is in seconds since 1970, with or without a fraction.
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

/// Returns whole seconds without the fraction. The caller has checked the range.
fn seconds(time: f64) -> i64 {
    time as i64
}

fn subject(claim: Option<Value>) -> Result<UserId, AuthError> {
    text(claim)
        .and_then(|text| text.parse::<UserId>().ok())
        .filter(UserId::names_a_user)
        .ok_or(AuthError::BadSubject)
}

/// Returns a claim that is a text and not empty.
fn text(claim: Option<Value>) -> Option<String> {
    match claim {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}
