//! Passwords: their rules, and their hashes with Argon2id on a bounded number of blocking threads.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier},
};
use metrics::{gauge, histogram};
use precis_profiles::{OpaqueString, precis_core::profile::Profile};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Minimum length of a password in characters.
pub const MIN_CHARACTERS: usize = 8;
/// Maximum length of a password in bytes, after preparation.
pub const MAX_BYTES: usize = 256;
/// Maximum length of a password as it is sent, in bytes.
const MAX_INPUT: usize = 1024;
/// Memory of one hash in KiB, as OWASP recommends for Argon2id with two passes and one lane.
const MEMORY_KIB: u32 = 19 * 1024;
/// Hash of no password, with the same parameters; it is compared if there is no account.
const ABSENT: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// Time for which a request waits for a free thread.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// Number of places for each thread.
const PLACES: usize = 8;

/// Prepared password, as RFC 8265 (OpaqueString) compares it. Its `Debug` output hides it.
pub struct Password(String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Password {
    /// Prepares a password that a user types to log in.
    ///
    /// # Errors
    /// The fault, as a sentence that can follow the name of the field. It does not depend on any account.
    pub fn typed(text: &str) -> Result<Self, &'static str> {
        if text.len() > MAX_INPUT {
            return Err("must have at most 256 bytes");
        }
        let prepared = OpaqueString::new()
            .enforce(text)
            .map_err(|_| "must not be empty or contain control characters or unassigned ones")?;
        if prepared.len() > MAX_BYTES {
            return Err("must have at most 256 bytes");
        }
        Ok(Self(prepared.into_owned()))
    }

    /// Prepares a password that a user chooses; `others` are texts that everybody could guess.
    ///
    /// # Errors
    /// As [`Password::typed`].
    pub fn chosen(text: &str, others: &[&str]) -> Result<Self, &'static str> {
        let password = Self::typed(text)?;
        if password.0.chars().count() < MIN_CHARACTERS {
            return Err("must have at least 8 characters");
        }
        let first = password.0.chars().next();
        let is_repeated = password.0.chars().all(|c| Some(c) == first);
        let lower = password.0.to_lowercase();
        if is_repeated || others.iter().any(|other| other.to_lowercase() == lower) {
            return Err("is too easy to guess: one repeated character, or your address");
        }
        Ok(password)
    }
}

/// No thread is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

/// Place of a request among those that compute a hash or wait for a thread.
///
/// A request takes it before any other work, so that requests beyond the limit cost the database nothing.
pub struct Place(OwnedSemaphorePermit);

/// Computes hashes, at most a number at once.
pub struct Hasher {
    threads: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

fn argon2() -> Argon2<'static> {
    let params =
        Params::new(MEMORY_KIB, 2, 1, None).expect("the parameters are within Argon2's ranges");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(password: &[u8]) -> Option<String> {
    let salt: [u8; 16] = rand::random();
    let hash = argon2().hash_password_with_salt(password, &salt).ok()?;
    Some(hash.to_string())
}

impl Hasher {
    /// Creates a hasher for `threads` hashes at once.
    pub fn new(threads: usize) -> Self {
        Self {
            threads: Arc::new(Semaphore::new(threads)),
            places: Arc::new(Semaphore::new(threads * PLACES)),
        }
    }

    /// Takes a place for one hash.
    ///
    /// # Errors
    /// [`Busy`] if all places are taken.
    pub fn place(&self) -> Result<Place, Busy> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map(Place).map_err(|_| Busy)
    }

    /// Runs `work` on a blocking thread.
    ///
    /// The permit moves into the work: it is released when the hash is complete, also if the client has gone before.
    async fn run<T: Send + 'static>(
        &self,
        place: Place,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let threads = Arc::clone(&self.threads).acquire_owned();
        let permit = tokio::time::timeout(MAX_WAIT, threads).await;
        let permit = permit.map_err(|_| Busy)?.map_err(|_| Busy)?;
        let work = tokio::task::spawn_blocking(move || {
            let _permits = (permit, place.0);
            gauge!("chat_accounts_hashes_running").increment(1.0);
            let began = Instant::now();
            let done = work();
            histogram!("chat_accounts_hash_seconds").record(began.elapsed().as_secs_f64());
            gauge!("chat_accounts_hashes_running").decrement(1.0);
            done
        });
        work.await.map_err(|_| Busy)
    }

    /// Returns the hash of a password, in the PHC format.
    ///
    /// # Errors
    /// [`Busy`] if no thread becomes free in time.
    pub async fn hash(&self, place: Place, password: Password) -> Result<String, Busy> {
        self.run(place, move || hash(password.0.as_bytes()))
            .await?
            .ok_or(Busy)
    }

    /// Returns true if `stored` is the hash of the password. Without a hash it does the same work and returns false.
    ///
    /// # Errors
    /// [`Busy`] if no thread becomes free in time.
    pub async fn verify(
        &self,
        place: Place,
        password: Password,
        stored: Option<&str>,
    ) -> Result<bool, Busy> {
        let is_known = stored.is_some();
        let stored = stored.unwrap_or(ABSENT).to_owned();
        let is_same = self
            .run(place, move || {
                argon2()
                    .verify_password(password.0.as_bytes(), stored.as_str())
                    .is_ok()
            })
            .await?;
        Ok(is_same && is_known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_compared_after_preparation_and_bounded_in_bytes() {
        let typed = |text: &str| Password::typed(text).map(|password| password.0);
        assert_eq!(
            typed("re\u{301}sume\u{301} 12"),
            typed("r\u{e9}sum\u{e9}\u{a0}12")
        );
        assert_ne!(typed("Correct horse"), typed("correct horse"));
        for text in [
            "",
            "a\nb",
            "a\0b",
            &"x".repeat(257),
            &"é".repeat(129),
            &"x".repeat(1 << 20),
        ] {
            assert!(typed(text).is_err(), "{} bytes", text.len());
        }
        assert!(typed(&"x".repeat(256)).is_ok());
        for text in ["short", "aaaaaaaaaaaa", "Ann@Example.org"] {
            assert!(
                Password::chosen(text, &["ann@example.org"]).is_err(),
                "{text}"
            );
        }
        assert!(Password::chosen("correct horse", &["ann@example.org"]).is_ok());
    }

    #[tokio::test]
    async fn only_the_right_password_is_accepted_and_excess_work_is_refused() {
        let hasher = Hasher::new(1);
        let typed = |text: &str| Password::typed(text).expect("a password");
        let place = hasher.place().expect("a place");
        let stored = hasher.hash(place, typed("correct horse")).await;
        let stored = stored.expect("a hash");
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        let verify = |text: &'static str, stored: Option<String>| {
            let hasher = &hasher;
            async move {
                let place = hasher.place()?;
                hasher.verify(place, typed(text), stored.as_deref()).await
            }
        };
        assert_eq!(
            verify("correct horse", Some(stored.clone())).await,
            Ok(true)
        );
        assert_eq!(verify("battery", Some(stored.clone())).await, Ok(false));
        let began = Instant::now();
        assert_eq!(verify("correct horse", None).await, Ok(false));
        let absent = began.elapsed();
        let began = Instant::now();
        assert_eq!(verify("battery", Some(stored.clone())).await, Ok(false));
        let wrong = began.elapsed();
        assert!(
            absent * 5 > wrong && wrong * 5 > absent,
            "{absent:?} {wrong:?}"
        );
        // A thread that is busy, and as many requests as have places.
        let busy = Arc::clone(&hasher.threads)
            .acquire_owned()
            .await
            .expect("a permit");
        let places: Vec<Place> = (0..PLACES).map_while(|_| hasher.place().ok()).collect();
        assert_eq!(places.len(), PLACES);
        assert_eq!(verify("correct horse", None).await, Err(Busy));
        drop(places);
        assert_eq!(
            verify("correct horse", None).await,
            Err(Busy),
            "after a second"
        );
        drop(busy);
        assert_eq!(verify("correct horse", Some(stored)).await, Ok(true));
    }
}
