//! Rate limits of callers: five limits, counted in this process.
//!
//! Structure: [`RateLimits`] has a limiter per tier; each returns the [`Standing`] of the caller, or [`RateLimited`].
//!
//! - A limit of 600/60s accepts 600 requests at once, and one more every 100 ms (GCRA): there is no boundary between two minutes at which twice as
//!   many pass.
//! - Rejected requests do not count: a caller who stops exceeding the limit is accepted at the announced time.
//! - A response that is larger than [`FREE_BYTES`] counts as several requests. Its size is known only afterwards, so it is owed: the next request is accepted
//!   when the limit has room for what is owed.
//! - A check costs one look-up and one compare-and-swap; it does not wait and holds no lock.
//! - Only recent callers use memory: [`RateLimits::evict_idle`] removes those whose whole limit is available again.
//!
//! It depends on users and addresses only, not on HTTP or sockets.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use chat_sdk::UserId;
use governor::{
    NotUntil, Quota, RateLimiter,
    clock::{Clock, MonotonicClock, Reference},
    middleware::{StateInformationMiddleware, StateSnapshot},
    nanos::Nanos,
    state::keyed::DashMapStateStore,
};
use metrics::counter;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::config;

/// Time between calls of [`RateLimits::evict_idle`].
const EVICTION_PERIOD: Duration = Duration::from_secs(10);

/// Size of a response that one request includes, in bytes. Each further part of this size counts as one more request: without this, two users who list pages
/// of 1 MiB at the limit of requests took 20 MiB per second from everyone else.
pub const FREE_BYTES: usize = 64 * 1024;

/// Mask of the bits of an IPv6 address that identify a network. A client may choose the other bits.
const IPV6_NETWORK: u128 = !0 << 64;

/// Kind of rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// Limit of requests, `RATE_LIMIT_API`.
    Api,
    /// Limit of failed authentications, `RATE_LIMIT_AUTH`.
    Auth,
    /// Limit of messages, `RATE_LIMIT_MESSAGES`.
    Messages,
    /// Limit of typing signals, `RATE_LIMIT_TYPING`.
    Typing,
    /// Limit of health requests, `RATE_LIMIT_HEALTH`.
    Health,
}

impl Tier {
    fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Auth => "auth",
            Self::Messages => "messages",
            Self::Typing => "typing",
            Self::Health => "health",
        }
    }

    /// Returns the name of the counted thing, in the plural.
    fn things(self) -> &'static str {
        match self {
            Self::Api => "requests",
            Self::Auth => "failed proofs of identity from this address",
            Self::Messages => "messages",
            Self::Typing => "typing signals",
            Self::Health => "health checks from this address",
        }
    }
}

/// Remaining limit of a caller after a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Number of requests in the period of the limit.
    pub limit: u32,
    /// Number of requests that are accepted at once from now on.
    pub remaining: u32,
    /// Time until the whole limit is available again.
    pub reset: Duration,
}

/// Rejection by a rate limit. Its `Display` is a sentence for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimited {
    /// Limit that is exceeded.
    pub tier: Tier,
    /// Remaining limit of the caller.
    pub standing: Standing,
    /// Period of the limit.
    pub per: Duration,
    /// Time until the next request is accepted; never zero.
    pub retry_after: Duration,
}

impl RateLimited {
    /// Returns [`RateLimited::retry_after`] in whole seconds, rounded up: at least 1.
    pub fn retry_after_seconds(&self) -> u64 {
        whole_seconds(self.retry_after).max(1)
    }

    /// Returns [`RateLimited::retry_after`] in whole milliseconds, rounded up: at least 1.
    pub fn retry_after_millis(&self) -> u64 {
        let millis = self.retry_after.as_nanos().div_ceil(1_000_000);
        u64::try_from(millis).unwrap_or(u64::MAX).max(1)
    }
}

impl fmt::Display for RateLimited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Too many {}: at most {} in {} s. Try again in {} s.",
            self.tier.things(),
            self.standing.limit,
            self.per.as_secs(),
            self.retry_after_seconds(),
        )
    }
}

/// Returns whole seconds, rounded up.
pub fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// Result of a check: the remaining limit, `None` without a limit; or the rejection.
pub type Verdict = Result<Option<Standing>, RateLimited>;

type Keyed<K, C> = RateLimiter<K, DashMapStateStore<K>, C, StateInformationMiddleware>;

/// Requests that a caller owes for large responses.
struct Owed<I> {
    requests: u32,
    /// Time of the newest response that was charged.
    since: I,
}

/// One limit, counted separately for each key.
struct Limiter<K: Hash + Eq + Clone, C: Clock> {
    tier: Tier,
    count: NonZeroU32,
    per: Duration,
    /// Time until one more request is accepted.
    step: Duration,
    keyed: Keyed<K, C>,
    /// Requests that callers owe for large responses. Callers who owe nothing are not in it.
    owed: Mutex<HashMap<K, Owed<C::Instant>>>,
    clock: C,
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> Limiter<K, C> {
    /// Creates a limiter; `None` without a limit.
    fn new(tier: Tier, limit: Option<config::RateLimit>, clock: &C) -> Option<Self> {
        let limit = limit?;
        let count = NonZeroU32::new(limit.count)?;
        let step = limit.per / limit.count;
        let quota = Quota::with_period(step)?.allow_burst(count);
        let keyed = RateLimiter::dashmap_with_clock(quota, clock.clone()).with_middleware();
        Some(Self {
            tier,
            count,
            per: limit.per,
            step,
            keyed,
            owed: Mutex::default(),
            clock: clock.clone(),
        })
    }

    /// Adds `requests` to what `key` owes, at most the whole limit: nobody waits longer than its period.
    fn owe(&self, key: &K, requests: u32) {
        if requests > 0 {
            let since = self.clock.now();
            let mut owed = self.owed.lock();
            let before = owed.get(key).map_or(0, |owed| owed.requests);
            let requests = before.saturating_add(requests).min(self.count.get() - 1);
            owed.insert(key.clone(), Owed { requests, since });
        }
    }

    /// Counts one request of `key`, together with all that it owes.
    fn check(&self, key: &K) -> Verdict {
        let mut owed = self.owed.lock();
        let counted = owed.get(key).map_or(0, |owed| owed.requests) + 1;
        let counted = NonZeroU32::new(counted).unwrap_or(NonZeroU32::MIN);
        let Ok(verdict) = self.keyed.check_key_n(key, counted) else {
            // More than the whole limit is never owed.
            return Ok(None);
        };
        if verdict.is_ok() && counted.get() > 1 {
            owed.remove(key);
        }
        drop(owed);
        self.verdict(verdict)
    }

    fn verdict(&self, verdict: Result<StateSnapshot, NotUntil<C::Instant>>) -> Verdict {
        let limit = self.count.get();
        match verdict {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity().min(limit);
                Ok(Some(Standing {
                    limit,
                    remaining,
                    reset: self.step * (limit - remaining),
                }))
            }
            Err(until) => {
                counter!("chat_rate_limited_total", "tier" => self.tier.name()).increment(1);
                let wait = until.wait_time_from(self.clock.now());
                let retry_after = wait.max(Duration::from_millis(1));
                Err(RateLimited {
                    tier: self.tier,
                    standing: Standing {
                        limit,
                        remaining: 0,
                        reset: retry_after + self.step * (limit - 1),
                    },
                    per: self.per,
                    retry_after,
                })
            }
        }
    }

    fn evict_idle(&self) {
        self.keyed.retain_recent();
        self.keyed.shrink_to_fit();
        // A caller whose whole limit is available again has waited for what it owes.
        let mut owed = self.owed.lock();
        let (now, per) = (self.clock.now(), Nanos::from(self.per));
        owed.retain(|_, owed| now.duration_since(owed.since) < per);
        owed.shrink_to_fit();
    }
}

fn check<K: Hash + Eq + Clone, C: Clock + Clone>(
    limiter: &Option<Limiter<K, C>>,
    key: &K,
) -> Verdict {
    limiter
        .as_ref()
        .map_or(Ok(None), |limiter| limiter.check(key))
}

/// Rate limits of this process.
pub struct RateLimits<C: Clock = MonotonicClock> {
    api: Option<Limiter<UserId, C>>,
    api_from: Option<Limiter<IpAddr, C>>,
    auth: Option<Limiter<IpAddr, C>>,
    messages: Option<Limiter<UserId, C>>,
    typing: Option<Limiter<UserId, C>>,
    health: Option<Limiter<IpAddr, C>>,
}

impl RateLimits {
    /// Creates the limits of the configuration.
    pub fn new(limits: &config::Limits) -> Self {
        Self::with_clock(limits, &MonotonicClock)
    }

    /// Removes idle callers again and again, until `stop`.
    pub async fn keep_evicting(self: Arc<Self>, stop: CancellationToken) {
        let pause = || tokio::time::sleep(EVICTION_PERIOD);
        while stop.run_until_cancelled(pause()).await.is_some() {
            self.evict_idle();
        }
    }
}

impl<C: Clock + Clone> RateLimits<C> {
    fn with_clock(limits: &config::Limits, clock: &C) -> Self {
        Self {
            api: Limiter::new(Tier::Api, limits.api, clock),
            api_from: Limiter::new(Tier::Api, limits.api, clock),
            auth: Limiter::new(Tier::Auth, limits.auth, clock),
            messages: Limiter::new(Tier::Messages, limits.messages, clock),
            typing: Limiter::new(Tier::Typing, limits.typing, clock),
            health: Limiter::new(Tier::Health, limits.health, clock),
        }
    }

    /// Counts a request or command of `user` that has no limit of its own.
    ///
    /// # Errors
    /// [`RateLimited`] if the limit is exceeded.
    pub fn api(&self, user: &UserId) -> Verdict {
        check(&self.api, user)
    }

    /// Charges `user` for a response of `bytes`: what exceeds [`FREE_BYTES`] counts against the limit of the user's next request.
    pub fn charge(&self, user: &UserId, bytes: usize) {
        let requests = bytes.saturating_sub(1) / FREE_BYTES;
        self.owe(user, u32::try_from(requests).unwrap_or(u32::MAX));
    }

    /// Adds `requests` to what `user` owes for the limit of requests; the next request pays it.
    pub fn owe(&self, user: &UserId, requests: u32) {
        if let Some(limiter) = &self.api {
            limiter.owe(user, requests);
        }
    }

    /// Counts an unauthenticated request from `address`.
    ///
    /// # Errors
    /// [`RateLimited`] if the limit is exceeded.
    pub fn api_from(&self, address: IpAddr) -> Verdict {
        check(&self.api_from, &network(address))
    }

    /// Counts a failed authentication from `address`. Successful ones are not counted and never rejected: valid credentials work whatever other
    /// clients behind the address do. Signatures and long secrets cannot be guessed, so they need no more protection.
    ///
    /// # Errors
    /// [`RateLimited`] if the limit is exceeded; it replaces the original error.
    pub fn failed_proof(&self, address: IpAddr) -> Verdict {
        check(&self.auth, &network(address))
    }

    /// Counts a message that `user` sends over any interface.
    ///
    /// # Errors
    /// [`RateLimited`] if the limit is exceeded.
    pub fn messages(&self, user: &UserId) -> Verdict {
        check(&self.messages, user)
    }

    /// Counts a typing or recording signal of `user`, or its end.
    ///
    /// # Errors
    /// [`RateLimited`] if the limit is exceeded.
    pub fn typing(&self, user: &UserId) -> Verdict {
        check(&self.typing, user)
    }

    /// Counts a health request from `address`: it needs no authentication and costs a request to MongoDB.
    ///
    /// # Errors
    /// [`RateLimited`] if the limit is exceeded.
    pub fn health(&self, address: IpAddr) -> Verdict {
        check(&self.health, &network(address))
    }

    /// Removes all callers whose whole limit is available again.
    pub fn evict_idle(&self) {
        for limiter in [&self.api, &self.messages, &self.typing]
            .into_iter()
            .flatten()
        {
            limiter.evict_idle();
        }
        for limiter in [&self.api_from, &self.auth, &self.health]
            .into_iter()
            .flatten()
        {
            limiter.evict_idle();
        }
    }
}

/// Returns the part of an address that one client can hold: an IPv4 address, or the /64 of an IPv6 address.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & IPV6_NETWORK).into(),
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn limits(count: u32, per: u64) -> (RateLimits<FakeRelativeClock>, FakeRelativeClock) {
        let limit = Some(config::RateLimit {
            count,
            per: Duration::from_secs(per),
        });
        let clock = FakeRelativeClock::default();
        let settings = config::Limits {
            api: limit,
            auth: limit,
            messages: limit,
            typing: None,
            health: limit,
            max_message_bytes: 1,
            max_sockets_per_user: 1,
            max_group_members: 2,
            max_conversations_per_user: 1,
            participant_add_rule: config::AddRule::Anyone,
        };
        (RateLimits::with_clock(&settings, &clock), clock)
    }

    fn user(id: &str) -> UserId {
        id.parse().expect("an id")
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn the_limit_passes_at_once_and_then_one_per_step() {
        let (limits, clock) = limits(3, 60);
        let alice = user("alice");
        let left = [2, 1, 0].map(|remaining| {
            let standing = limits.api(&alice).expect("passes").expect("a limit");
            assert_eq!((standing.limit, standing.remaining), (3, remaining));
            standing.reset.as_secs()
        });
        assert_eq!(left, [20, 40, 60]);
        clock.advance(Duration::from_secs(5));
        let refused = limits.api(&alice).expect_err("is refused");
        assert_eq!(refused.retry_after, Duration::from_secs(15));
        assert_eq!(refused.standing.reset, Duration::from_secs(55));
        assert_eq!(
            refused.to_string(),
            "Too many requests: at most 3 in 60 s. Try again in 15 s."
        );
        clock.advance(Duration::from_secs(15));
        assert!(limits.api(&alice).is_ok());
        assert!(limits.api(&alice).is_err());
    }

    #[test]
    fn a_large_response_counts_as_several_requests() {
        let (limits, clock) = limits(60, 60);
        let (alice, bob) = (user("alice"), user("bob"));
        assert!(limits.api(&alice).is_ok());
        limits.charge(&alice, FREE_BYTES);
        let standing = limits.api(&alice).expect("passes").expect("a limit");
        assert_eq!(standing.remaining, 58, "one part is included");
        limits.charge(&alice, 16 * FREE_BYTES);
        let standing = limits.api(&alice).expect("passes").expect("a limit");
        assert_eq!(standing.remaining, 42, "15 more parts are owed");
        for _ in 0..3 {
            limits.charge(&alice, 16 * FREE_BYTES);
        }
        let refused = limits.api(&alice).expect_err("46 are more than 42");
        assert_eq!(refused.retry_after, Duration::from_secs(4));
        assert!(limits.api(&bob).is_ok(), "others owe nothing");
        clock.advance(Duration::from_secs(4));
        assert!(limits.api(&alice).is_ok());
        // Even the largest response delays its reader by no more than the period of the limit.
        limits.charge(&alice, usize::MAX);
        let refused = limits.api(&alice).expect_err("is refused");
        assert_eq!(refused.retry_after, Duration::from_secs(60));
        clock.advance(Duration::from_secs(60));
        limits.evict_idle();
        assert!(limits.api(&alice).is_ok());
    }

    #[test]
    fn rejected_requests_do_not_delay_the_next_one() {
        let (limits, clock) = limits(1, 10);
        let alice = user("alice");
        assert!(limits.messages(&alice).is_ok());
        for _ in 0..1_000 {
            assert!(limits.messages(&alice).is_err());
        }
        clock.advance(Duration::from_secs(10));
        assert!(limits.messages(&alice).is_ok());
    }

    #[test]
    fn users_and_tiers_are_counted_separately() {
        let (limits, _) = limits(1, 60);
        let (alice, bob) = (user("alice"), user("bob"));
        assert!(limits.api(&alice).is_ok() && limits.api(&alice).is_err());
        assert!(limits.messages(&alice).is_ok());
        assert!(limits.api(&bob).is_ok());
        assert!(limits.api_from(address("1.1.1.1")).is_ok());
        assert!(limits.failed_proof(address("1.1.1.1")).is_ok());
        assert!(limits.health(address("1.1.1.1")).is_ok());
        assert!(limits.health(address("1.1.1.1")).is_err());
    }

    #[test]
    fn without_a_limit_every_request_passes() {
        let (limits, _) = limits(1, 60);
        for _ in 0..1_000 {
            assert_eq!(limits.typing(&user("alice")), Ok(None));
        }
    }

    #[test]
    fn addresses_of_one_network_share_a_limit() {
        let (limits, _) = limits(1, 60);
        assert!(limits.failed_proof(address("2001:db8::1")).is_ok());
        assert!(limits.failed_proof(address("2001:db8::ffff:2")).is_err());
        assert!(limits.failed_proof(address("2001:db8:0:1::1")).is_ok());
        assert!(limits.failed_proof(address("9.9.9.9")).is_ok());
        assert!(limits.failed_proof(address("::ffff:9.9.9.9")).is_err());
        assert!(limits.failed_proof(address("9.9.9.8")).is_ok());
    }

    #[test]
    fn idle_callers_are_evicted_and_active_ones_are_kept() {
        let (limits, clock) = limits(1, 60);
        let remembered = || limits.api.as_ref().map_or(0, |limiter| limiter.keyed.len());
        for n in 0..1_000 {
            assert!(limits.api(&user(&format!("user-{n}"))).is_ok());
        }
        clock.advance(Duration::from_secs(119));
        let late = user("late");
        assert!(limits.api(&late).is_ok());
        limits.evict_idle();
        // The limit of the others is available again.
        clock.advance(Duration::from_secs(2));
        limits.evict_idle();
        assert_eq!(remembered(), 1);
        assert!(limits.api(&late).is_err());
    }

    #[test]
    fn waiting_times_are_rounded_up_and_never_zero() {
        let refused = |millis| RateLimited {
            tier: Tier::Messages,
            standing: Standing {
                limit: 1,
                remaining: 0,
                reset: Duration::ZERO,
            },
            per: Duration::from_secs(1),
            retry_after: Duration::from_millis(millis),
        };
        let seconds = |millis| refused(millis).retry_after_seconds();
        assert_eq!([seconds(1), seconds(1_000), seconds(1_001)], [1, 1, 2]);
        assert_eq!(refused(1_500).retry_after_millis(), 1_500);
    }
}
