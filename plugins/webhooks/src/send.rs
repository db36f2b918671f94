//! One delivery attempt: the signed request and its response, bounded in time and size.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chat_sdk::{
    Timestamp, TraceParent,
    outbound::{
        address::{AddressPolicy, Lookup, SystemLookup},
        client,
        sign::{self, Keys},
    },
    plugin::Delivery,
};
use reqwest::Client;

use crate::records::Attempt;

/// HTTP client for deliveries.
pub struct Sender {
    client: Client,
    reach: AddressPolicy,
}

/// Result of an attempt.
#[derive(Debug)]
pub struct Sent {
    /// The attempt, for the record.
    pub attempt: Attempt,
    /// Success, or the reason of the failure.
    pub result: Result<(), Refused>,
}

/// Reason why an endpoint did not accept an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Description of the failure, for people.
    pub reason: String,
    /// True if the endpoint answered 410 Gone.
    pub is_gone: bool,
    /// Wait that the endpoint requested with `Retry-After`.
    pub retry_after: Option<Duration>,
}

impl Sender {
    /// Creates a sender that uses the system's resolver.
    ///
    /// # Errors
    /// If the client cannot be created because the system's certificates cannot be read.
    pub fn new(reach: AddressPolicy, timeout: Duration) -> Result<Self, reqwest::Error> {
        Self::with_lookup(reach, timeout, Arc::new(SystemLookup))
    }

    /// Creates a sender that resolves names with `lookup`.
    ///
    /// # Errors
    /// As [`Sender::new`].
    pub fn with_lookup(
        reach: AddressPolicy,
        timeout: Duration,
        lookup: Arc<dyn Lookup>,
    ) -> Result<Self, reqwest::Error> {
        let agent = concat!("chat-service-webhooks/", env!("CARGO_PKG_VERSION"));
        let client = client::guarded(agent, reach, timeout, lookup)?;
        Ok(Self { client, reach })
    }

    /// Makes one attempt.
    pub async fn attempt(&self, url: &str, keys: &Keys, delivery: &Delivery) -> Sent {
        let began = Instant::now();
        let at = Timestamp::now();
        let (status, answer, result) = self.request(url, keys, delivery, at).await;
        let attempt = Attempt {
            number: i32::try_from(delivery.attempt).unwrap_or(i32::MAX),
            at: at.as_millis(),
            duration_ms: i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX),
            status: status.map(i32::from),
            error: result.as_ref().err().map(|refused| refused.reason.clone()),
            answer,
        };
        Sent { attempt, result }
    }

    async fn request(
        &self,
        url: &str,
        keys: &Keys,
        delivery: &Delivery,
        at: Timestamp,
    ) -> (Option<u16>, Option<String>, Result<(), Refused>) {
        // The resolver is not called for a literal address, so the URL is checked here.
        let url = match self.reach.check_url(url) {
            Ok(url) => url,
            Err(problem) => return (None, None, Err(refused(format!("the URL {problem}")))),
        };
        let request = self
            .client
            .post(url)
            .header(TraceParent::HEADER, delivery.trace.next_step().to_string());
        let event = sign::Signed {
            id: delivery.event_id.as_str(),
            kind: &delivery.kind,
            at,
        };
        let request = client::sign(request, event, keys, delivery.payload.clone());
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return (None, None, Err(refused(client::explain(&error)))),
        };
        let status = response.status();
        let retry_after = client::retry_after(response.headers(), at);
        let answer = client::read(response).await;
        let result = match status.as_u16() {
            200..=299 => Ok(()),
            code => Err(Refused {
                reason: match code {
                    300..=399 => format!("answered {code}; redirects are not followed"),
                    _ => format!("answered {code}"),
                },
                is_gone: code == 410,
                retry_after,
            }),
        };
        (Some(status.as_u16()), answer, result)
    }
}

fn refused(reason: String) -> Refused {
    Refused {
        reason,
        is_gone: false,
        retry_after: None,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        net::SocketAddr,
        pin::Pin,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use bytes::Bytes;
    use chat_sdk::{EventId, outbound::sign::Key};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Lookup that returns its addresses one after the other, and then always the last one.
    struct Rebinding {
        answers: Vec<&'static str>,
        asked: AtomicUsize,
    }

    impl Rebinding {
        fn new(answers: &[&'static str]) -> Arc<Self> {
            Arc::new(Self {
                answers: answers.to_vec(),
                asked: AtomicUsize::new(0),
            })
        }
    }

    impl Lookup for Rebinding {
        fn lookup(
            &self,
            _host: String,
        ) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<SocketAddr>>> + Send>> {
            let turn = self.asked.fetch_add(1, Ordering::SeqCst);
            let answer = self.answers[turn.min(self.answers.len() - 1)];
            let address = SocketAddr::new(answer.parse().expect("an address"), 0);
            Box::pin(async move { Ok(vec![address]) })
        }
    }

    /// Starts a server on loopback that accepts every request, closes the connection, and counts the connections.
    async fn house() -> (u16, Arc<AtomicUsize>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let visits = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&visits);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
                let _ = stream.write_all(answer).await;
            }
        });
        (port, visits)
    }

    fn delivery() -> Delivery {
        let event_id = EventId::generate();
        Delivery {
            trace: TraceParent::of(&event_id),
            event_id,
            kind: "message.created".to_owned(),
            owner: "cnv_01hzx3v7k9q2m4n6p8r0s2t4v6".to_owned(),
            seq: Some(1),
            payload: Bytes::from_static(b"{}"),
            attempt: 1,
            is_replay: false,
        }
    }

    async fn attempt(
        reach: AddressPolicy,
        lookup: Arc<Rebinding>,
        url: &str,
    ) -> Result<(), String> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let timeout = Duration::from_secs(5);
        let sender = Sender::with_lookup(reach, timeout, lookup).expect("a sender");
        let keys = Keys {
            newest: Key::new("0123456789abcdef0123456789abcdef"),
            previous: None,
        };
        let sent = sender.attempt(url, &keys, &delivery()).await;
        sent.result.map_err(|refused| refused.reason)
    }

    const PUBLIC_ONLY: AddressPolicy = AddressPolicy {
        setting: "WEBHOOK_ALLOW_PRIVATE",
        is_private_allowed: false,
        is_loopback_allowed: false,
    };

    #[tokio::test]
    async fn name_that_resolves_to_an_internal_address_is_not_dialled() {
        let (port, visits) = house().await;
        let url = format!("http://shop.example:{port}/hook");
        for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0"] {
            // The URL passes the check of its name; the name resolves to an internal address when it is dialled.
            PUBLIC_ONLY
                .check_url(&url)
                .expect("a name is not resolved yet");
            let refused = attempt(PUBLIC_ONLY, Rebinding::new(&[address]), &url).await;
            assert_eq!(
                refused,
                Err("the address is private, loopback or link-local, and not allowed".to_owned()),
                "{address}"
            );
        }
        assert_eq!(visits.load(Ordering::SeqCst), 0, "nothing was dialled");
    }

    #[tokio::test]
    async fn the_checked_address_is_the_one_that_is_dialled() {
        let (port, visits) = house().await;
        let url = format!("http://shop.example:{port}/hook");
        let loopback = AddressPolicy {
            is_loopback_allowed: true,
            ..PUBLIC_ONLY
        };
        // A second lookup would return an address where no server listens.
        let lookup = Rebinding::new(&["127.0.0.1", "10.255.255.1"]);
        assert_eq!(attempt(loopback, Arc::clone(&lookup), &url).await, Ok(()));
        assert_eq!(
            lookup.asked.load(Ordering::SeqCst),
            1,
            "one lookup per connection"
        );
        assert_eq!(visits.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn literal_address_is_checked_at_every_attempt() {
        let (port, visits) = house().await;
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "[::1]",
            "[::ffff:7f00:1]",
        ] {
            // The URL may have been stored while it was allowed, and the resolver is not called for a literal address.
            let lookup = Rebinding::new(&["93.184.216.34"]);
            let url = format!("http://{host}:{port}/hook");
            let refused = attempt(PUBLIC_ONLY, Arc::clone(&lookup), &url).await;
            let reason = refused.expect_err("it is refused");
            assert!(
                reason.contains("private, loopback or link-local"),
                "{reason}"
            );
            assert_eq!(lookup.asked.load(Ordering::SeqCst), 0);
        }
        assert_eq!(visits.load(Ordering::SeqCst), 0, "nothing was dialled");
    }
}
