//! Tokens as a host would sign them.

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Map, Value, json};

use super::isolation::JWT_SECRET;

/// A token to be.
#[derive(Clone)]
pub struct Token {
    claims: Map<String, Value>,
    secret: String,
}

impl Token {
    /// A valid token of `subject` for an hour.
    pub fn of(subject: &str) -> Self {
        let mut claims = Map::new();
        claims.insert("sub".to_owned(), json!(subject));
        let token = Self {
            claims,
            secret: JWT_SECRET.to_owned(),
        };
        token.expires_in(3600)
    }

    /// Ends `seconds` from now; before now when negative.
    pub fn expires_in(self, seconds: i64) -> Self {
        let now = i64::try_from(jsonwebtoken::get_current_timestamp()).expect("a time");
        self.claim("exp", json!(now + seconds))
    }

    /// With another claim, or another value of one.
    pub fn claim(mut self, name: &str, value: Value) -> Self {
        self.claims.insert(name.to_owned(), value);
        self
    }

    /// Signed with another secret.
    pub fn secret(mut self, secret: &str) -> Self {
        self.secret = secret.to_owned();
        self
    }

    /// The token.
    pub fn sign(&self) -> String {
        let key = EncodingKey::from_secret(self.secret.as_bytes());
        jsonwebtoken::encode(&Header::default(), &self.claims, &key).expect("a token")
    }
}
