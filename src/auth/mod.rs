//! Who is calling: checks the host's tokens and the internal secret.
//!
//! Cast: [`Verifier`] takes a token and gives [`Claims`] or an [`AuthError`]; behind it stands a fixed key or
//! the host's published key set (`jwks`). Both the REST API and the sockets come through here, so the rules are the same.
//!
//! Rules that hold here:
//! - the algorithms are those of the configuration; what a token's header asks for is only compared with them;
//! - no key, address or certificate out of a token is ever used (`jwk`, `jku`, `x5u`, `x5c`);
//! - a token is refused whole: nothing of it is believed before its signature and all its claims have passed;
//! - no error says anything about a secret or quotes a token.
//!
//! This room knows tokens and keys only: no HTTP server, no socket, no database, no NATS.

mod claims;
mod error;
mod internal;
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
pub use verifier::Verifier;
