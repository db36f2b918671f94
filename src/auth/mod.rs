//! Authentication of callers: checks the host's tokens and the internal secret.
//!
//! [`Verifier`] takes a token and returns [`Claims`] or an [`AuthError`]; it uses a fixed key or the host's published key set (`jwks`). [`Issuer`] signs
//! tokens for plugins, if the key is a shared secret. Both the REST
//! API and the sockets use it, so the rules are the same.
//!
//! Rules of this module:
//! - the accepted algorithms are those of the configuration; the algorithm in a token's header is only compared with them;
//! - no key, address or certificate from a token is ever used (`jwk`, `jku`, `x5u`, `x5c`);
//! - a token is refused as a whole: no part of it is trusted before its signature and all its claims have passed;
//! - no error reveals anything about a secret or quotes a token.
//!
//! This module knows tokens and keys only: no HTTP server, no socket, no database, no NATS.

mod claims;
mod error;
mod internal;
mod issuer;
mod jwks;
mod keyset;
mod verifier;

#[cfg(test)]
mod testkit;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_jwks;
#[cfg(test)]
mod tests_keys;

pub use claims::Claims;
pub use error::{AuthError, SetupError};
pub use internal::internal_secret_matches;
pub use issuer::Issuer;
pub use verifier::Verifier;
