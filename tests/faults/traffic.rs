//! Clients that behave as the contract asks, whatever happens to the service, and a record of the acknowledged sends.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{Connect, Node, Sandbox, Seen, User};

/// Maximum time for which a client retries.
const TIMEOUT: Duration = Duration::from_secs(40);

/// A send that was answered with success.
#[derive(Debug, Clone)]
pub struct Promise {
    /// Id of the conversation.
    pub conversation: String,
    /// The client's own id of it.
    pub key: String,
    /// The id that was answered.
    pub id: String,
    /// The number that was answered.
    pub seq: u64,
}

/// Senders that send, one message after the other, each until it succeeds, under the same `clientMessageId`.
pub struct Traffic {
    stop: Arc<AtomicBool>,
    book: Arc<Book>,
    senders: Vec<JoinHandle<()>>,
}

/// The outcome of the senders' requests.
#[derive(Default)]
struct Book {
    promises: Mutex<Vec<Promise>>,
    refusals: AtomicU64,
    broken: AtomicU64,
    slowest: Mutex<Duration>,
}

/// The traffic, when it is over.
pub struct Outcome {
    /// The sends that were acknowledged.
    pub promises: Vec<Promise>,
    /// Number of sends that were answered with 503.
    pub refusals: u64,
    /// Number of requests that found no service or lost their connection.
    pub broken: u64,
    /// The longest time that a single request took to be answered.
    pub slowest: Duration,
}

/// Four users, and three groups that all of them are in.
pub async fn senders(node: &Node) -> (Vec<User>, Vec<String>) {
    let mut users = Vec::new();
    for n in 0..4 {
        users.push(node.user(&format!("s{n}")).await);
    }
    let others: Vec<&User> = users.iter().skip(1).collect();
    let mut conversations = Vec::new();
    for _ in 0..3 {
        conversations.push(node.group(&users[0], &others).await);
    }
    (users, conversations)
}

impl Traffic {
    /// Starts one sender per user; each sends to the conversations in turn.
    pub fn start(users: &[User], conversations: &[String]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let book = Arc::new(Book::default());
        let senders = users
            .iter()
            .enumerate()
            .map(|(index, user)| {
                let (user, conversations) = (user.clone(), conversations.to_vec());
                let (stop, book) = (Arc::clone(&stop), Arc::clone(&book));
                tokio::spawn(async move {
                    let mut n = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let conversation = &conversations[(n + index) % conversations.len()];
                        send(
                            &user,
                            conversation,
                            &format!("{}/{index}/{n}", user.id),
                            &book,
                        )
                        .await;
                        n += 1;
                    }
                })
            })
            .collect();
        Self {
            stop,
            book,
            senders,
        }
    }

    /// Number of sends that succeeded so far.
    pub fn count(&self) -> usize {
        self.book.promises.lock().len()
    }

    /// Waits until `more` further sends were answered with success.
    pub async fn go_on(&self, more: usize) {
        let goal = self.count() + more;
        crate::support::eventually_within(
            TIMEOUT,
            &format!("{more} further sends succeed"),
            || async {
                assert!(
                    !self.senders.iter().any(JoinHandle::is_finished),
                    "a sender failed"
                );
                (self.count() >= goal).then_some(())
            },
        )
        .await;
    }

    /// Lets every sender finish its current message.
    pub async fn finish(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        for sender in self.senders {
            sender
                .await
                .unwrap_or_else(|error| panic!("a sender failed: {error}"));
        }
        let slowest = *self.book.slowest.lock();
        Outcome {
            promises: std::mem::take(&mut *self.book.promises.lock()),
            refusals: self.book.refusals.load(Ordering::Relaxed),
            broken: self.book.broken.load(Ordering::Relaxed),
            slowest,
        }
    }
}

async fn send(user: &User, conversation: &str, key: &str, book: &Book) {
    let path = format!("/api/conversations/{conversation}/messages");
    let body = json!({ "content": format!("text of {key}"), "clientMessageId": key });
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let asked = Instant::now();
        let answer = user.try_post(&path, body.clone()).await;
        match answer {
            Ok(answer) if matches!(answer.status, 200 | 201) => {
                let took = asked.elapsed();
                let mut slowest = book.slowest.lock();
                *slowest = took.max(*slowest);
                drop(slowest);
                book.promises.lock().push(Promise {
                    conversation: conversation.to_owned(),
                    key: key.to_owned(),
                    id: answer.json["id"].as_str().expect("an id").to_owned(),
                    seq: answer.json["seq"].as_u64().expect("a number"),
                });
                return;
            }
            Ok(answer) => {
                assert!(
                    !answer.header("retry-after").is_empty(),
                    "without Retry-After: {answer}"
                );
                answer.expect_error(503, "UNAVAILABLE");
                book.refusals.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {
                book.broken.fetch_add(1, Ordering::Relaxed);
            }
        }
        assert!(
            Instant::now() < deadline,
            "{key} did not succeed within {TIMEOUT:?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Fails unless every acknowledged send is in the log exactly once, under the id and seq of its answer, and the log has no gap.
pub async fn check_history(
    place: &Sandbox,
    reader: &User,
    conversations: &[String],
    promises: &[Promise],
) {
    for conversation in conversations {
        let log = place.log(conversation).await;
        let numbers: Vec<u64> = log.iter().map(|(seq, _)| *seq).collect();
        let dense: Vec<u64> = (1..=log.len() as u64).collect();
        assert_eq!(numbers, dense, "the numbers of {conversation}");
        let history = reader.history(conversation).await;
        let mut by_key: BTreeMap<&str, &Value> = BTreeMap::new();
        for message in &history {
            if let Some(key) = message["clientMessageId"].as_str() {
                let twice = by_key.insert(key, message);
                assert!(
                    twice.is_none(),
                    "{key} is there twice: {message} and {twice:?}"
                );
            }
        }
        let own = promises
            .iter()
            .filter(|promise| promise.conversation == *conversation);
        for promise in own {
            let kept = by_key.get(promise.key.as_str()).unwrap_or_else(|| {
                panic!(
                    "{promise:?} is not in the history of {} messages",
                    history.len()
                )
            });
            assert_eq!(kept["id"], promise.id.as_str(), "{promise:?}");
            assert_eq!(kept["seq"], promise.seq, "{promise:?}");
        }
        let messages = log
            .iter()
            .filter(|(_, kind)| kind == "message.created")
            .count();
        assert_eq!(
            messages,
            history.len(),
            "the history shows every message of {conversation}"
        );
    }
    let ids: HashSet<&str> = promises.iter().map(|promise| promise.id.as_str()).collect();
    assert_eq!(
        ids.len(),
        promises.len(),
        "every promise is a message of its own"
    );
}

/// A client that listens, and comes back with its cursor whenever it is cut off, to one node after the other.
pub struct Listener {
    seen: Arc<Mutex<Seen>>,
    problem: Arc<Mutex<Option<String>>>,
    task: JoinHandle<()>,
}

impl Listener {
    /// Connects `user`, who may have several nodes to choose from, and stays connected.
    pub async fn start(at: Vec<User>) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let problem = Arc::new(Mutex::new(None));
        let (connected, is_connected) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(listen(
            at,
            Arc::clone(&seen),
            Arc::clone(&problem),
            connected,
        ));
        is_connected.await.expect("the listener connects");
        Self {
            seen,
            problem,
            task,
        }
    }

    /// Waits until everything up to the end of the log of `conversations` came, and checks that it came in order and without a hole.
    pub async fn check(self, place: &Sandbox, conversations: &[String]) {
        let started = Instant::now();
        for conversation in conversations {
            let last = place.log(conversation).await.len() as u64;
            let deadline = Instant::now() + Duration::from_secs(30);
            while self.seen.lock().last(conversation) < last && Instant::now() < deadline {
                assert!(
                    !self.task.is_finished(),
                    "the listener failed: {:?}",
                    self.problem.lock()
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let seen = self.seen.lock();
            let numbers = seen.numbers(conversation);
            let first = numbers.first().copied().unwrap_or_default();
            let expected: Vec<u64> = (first..=last).collect();
            let missing: Vec<&u64> = expected
                .iter()
                .filter(|seq| !numbers.contains(seq))
                .collect();
            assert!(
                missing.is_empty(),
                "{} of {last} never came, {:?} after the end: {missing:?}",
                missing.len(),
                started.elapsed()
            );
            assert_eq!(
                numbers, expected,
                "what came of {conversation} came in order"
            );
        }
        assert_eq!(*self.problem.lock(), None);
        self.task.abort();
    }
}

async fn listen(
    at: Vec<User>,
    seen: Arc<Mutex<Seen>>,
    problem: Arc<Mutex<Option<String>>>,
    connected: tokio::sync::oneshot::Sender<()>,
) {
    let mut connected = Some(connected);
    let mut cursor: Option<String> = None;
    for node in (0..at.len()).cycle() {
        let how = Connect {
            resume: cursor.clone(),
            ..Connect::default()
        };
        let Ok(mut socket) = at[node].try_connect(how).await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        if cursor.is_some() && socket.connected["resumed"] != true {
            *problem.lock() = Some("it was told to reload".to_owned());
            return;
        }
        if let Some(connected) = connected.take() {
            let _ = connected.send(());
        }
        while let Some(frame) = socket.any().await {
            seen.lock().note([frame]);
        }
        cursor = Some(socket.cursor());
    }
}
