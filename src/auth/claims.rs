//! What a token says, after its signature was checked.

use serde::Deserialize;
use serde_json::Value;

use super::error::AuthError;

/// The longest `sub`, in characters.
const MAX_SUBJECT_CHARS: usize = 128;
/// Words that stand where a user id would stand in a path.
const RESERVED_SUBJECTS: [&str; 3] = ["me", "search", "sync"];
/// The end of the year 9999: what lies behind is no time but a mistake, or milliseconds.
const MAX_TIME: u64 = 253_402_300_799;

/// What a token says about its bearer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `sub`, the host's own id of the user: 1-128 characters, no control characters, no reserved word.
    pub subject: String,
    /// `iat`, Unix seconds.
    pub issued_at: Option<i64>,
    /// `exp`, Unix seconds.
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
    /// Checks what jsonwebtoken leaves open: it takes fractions for times, lists for issuers, and any subject.
    pub(super) fn check(
        self,
        issuer: Option<&str>,
        now: u64,
        leeway: u64,
    ) -> Result<Claims, AuthError> {
        let expires_at = time(self.exp.as_ref())?.ok_or(AuthError::Malformed)?;
        let issued_at = time(self.iat.as_ref())?;
        time(self.nbf.as_ref())?;
        if issued_at.is_some_and(|at| at > now.saturating_add(leeway)) {
            return Err(AuthError::NotYetValid);
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

/// A claim that is a time: whole seconds since 1970, nothing else.
fn time(claim: Option<&Value>) -> Result<Option<u64>, AuthError> {
    claim
        .map(|value| {
            value
                .as_u64()
                .filter(|seconds| *seconds <= MAX_TIME)
                .ok_or(AuthError::Malformed)
        })
        .transpose()
}

fn seconds(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

fn subject(claim: Option<Value>) -> Result<String, AuthError> {
    let subject = text(claim).ok_or(AuthError::BadSubject)?;
    let length = subject.chars().take(MAX_SUBJECT_CHARS + 1).count();
    if length > MAX_SUBJECT_CHARS
        || subject.chars().any(char::is_control)
        || RESERVED_SUBJECTS.contains(&subject.as_str())
    {
        return Err(AuthError::BadSubject);
    }
    Ok(subject)
}

/// A claim that is a text and not empty.
fn text(claim: Option<Value>) -> Option<String> {
    match claim {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}
