//! The fixture for a row of the table: two nodes behind nginx, a conversation, and five users with a socket each.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use chat_sdk::EventType;
use futures_util::{StreamExt, future::join_all};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::table::{Pushed, Setting};
use crate::support::{
    Client, Front, Service, User,
    replica::{Watcher, hear_all},
};

/// The number of the first scenario; each user's id ends with their scenario's. Those of a crowd have less digits.
const FIRST_SCENE: u32 = 1000;
/// Number of users in a crowd: more than one log entry may name.
pub const CROWD: usize = 230;

/// Two nodes with all roles behind nginx, and a NATS subscriber.
pub struct Deployment {
    /// nginx.
    pub front: Arc<Front>,
    events: Arc<Mutex<Vec<Value>>>,
    scenes: AtomicU32,
    // They end after nginx.
    nodes: [Service; 2],
}

/// The users and the conversation of one row.
pub struct Scenario {
    /// nginx.
    pub front: Arc<Front>,
    /// The user who created the conversation.
    pub owner: Watcher,
    /// An admin of it, who connected after it was created.
    pub admin: Watcher,
    /// A plain member.
    pub member: Watcher,
    /// A former member.
    pub former: Watcher,
    /// A user who was never a member.
    pub stranger: Watcher,
    /// The conversation.
    pub conversation: String,
    /// A message of the member.
    pub message: String,
    /// Every conversation that is compared; an act that creates one must add it here.
    pub ids: Vec<String>,
    number: String,
    /// Every event of the deployment.
    events: Arc<Mutex<Vec<Value>>>,
    /// Number of events that were received before the row began.
    before: usize,
}

impl Deployment {
    /// Starts everything.
    pub async fn start() -> Self {
        let node = || {
            // Digests come when all rows are done: they add entries to the logs of conversations.
            let toml = "[plugins.notifications]\ndigest_seconds = 300\n";
            Service::builder().all_plugins().toml(toml)
        };
        let one = node().start().await;
        let two = node().database(&one).start().await;
        let front = Front::before(&[&one, &two], &[&one, &two]).await;
        let place = front.sandbox();
        let events: Arc<Mutex<Vec<Value>>> = Arc::default();
        let nats = place.nats().await;
        let subject = format!("{}.events.>", place.prefix);
        let mut heard = nats.subscribe(subject).await.expect("a subscription");
        nats.flush().await.expect("NATS answers");
        let known = Arc::clone(&events);
        tokio::spawn(async move {
            let _nats = nats;
            while let Some(message) = heard.next().await {
                let event: Value = serde_json::from_slice(&message.payload).expect("an envelope");
                let mut known = known.lock();
                // An event that is published twice counts once.
                if !known.iter().any(|other| other["id"] == event["id"]) {
                    known.push(event);
                }
            }
        });
        Self {
            front: Arc::new(front),
            events,
            scenes: AtomicU32::new(FIRST_SCENE),
            nodes: [one, two],
        }
    }

    /// Tells both nodes to end, as an operator does.
    pub fn begin_stop(&self) {
        for node in &self.nodes {
            node.begin_stop();
        }
    }

    /// Creates a conversation with new users, known completely to everybody's replica.
    pub async fn scenario(&self, setting: Setting) -> Scenario {
        let number = self.scenes.fetch_add(1, Ordering::Relaxed);
        let front = Arc::clone(&self.front);
        let roles = ["owner", "admin", "member", "former", "stranger"];
        let ids = roles.map(|role| format!("{role}{number}"));
        let users = join_all(ids.iter().map(|id| front.user(id))).await;
        let [owner, admin, member, former, stranger] = &users[..] else {
            unreachable!("five users");
        };
        let (kind, visibility) = match setting {
            Setting::Group => ("group", "full"),
            Setting::JoinedGroup => ("group", "joined"),
            Setting::Public => ("public", "full"),
            Setting::JoinedPublic => ("public", "joined"),
        };
        let early = [owner, member, former, stranger].map(Watcher::connect);
        let mut watching: BTreeMap<String, Watcher> = join_all(early)
            .await
            .into_iter()
            .map(|watcher| (watcher.user.id.clone(), watcher))
            .collect();
        let body = json!({
            "type": kind, "historyVisibility": visibility, "name": format!("scenario {number}"),
            "participantIds": [admin.id, member.id, former.id],
        });
        let made = owner.post("/api/conversations", body).await.expect(201);
        let conversation = made["id"].as_str().expect("an id").to_owned();
        let path = format!("/api/conversations/{conversation}");
        let make_admin = json!({ "role": "admin" });
        let of_admin = format!("{path}/participants/{}", admin.id);
        owner.patch(&of_admin, make_admin).await.expect(200);
        former.say(&conversation, "I was here").await;
        let message = member.say(&conversation, "hello").await;
        let leave = format!("{path}/leave");
        former.post(&leave, json!({})).await.expect(204);
        // The replica of this user starts after the conversation has begun.
        watching.insert(admin.id.clone(), Watcher::connect(admin).await);
        let mut take = |user: &User| watching.remove(&user.id).expect("watches");
        let mut scenario = Scenario {
            owner: take(owner),
            admin: take(admin),
            member: take(member),
            former: take(former),
            stranger: take(stranger),
            message: message["id"].as_str().expect("an id").to_owned(),
            ids: vec![conversation.clone()],
            conversation,
            number: number.to_string(),
            events: Arc::clone(&self.events),
            before: 0,
            front,
        };
        scenario.have(None).await;
        scenario
    }
}

impl Scenario {
    /// The five.
    pub fn everybody(&mut self) -> [&mut Watcher; 5] {
        [
            &mut self.owner,
            &mut self.admin,
            &mut self.member,
            &mut self.former,
            &mut self.stranger,
        ]
    }

    /// The path of the conversation, with more after it.
    pub fn path(&self, rest: &str) -> String {
        format!("/api/conversations/{}{rest}", self.conversation)
    }

    /// The path of the member's message.
    pub fn message_path(&self) -> String {
        format!("/api/messages/{}", self.message)
    }

    /// The host's backend.
    pub fn host(&self) -> Client {
        self.front.internal()
    }

    /// Prepares the fixture before the row begins, and waits until every replica has followed.
    pub async fn have(&mut self, id: Option<&Value>) {
        if let Some(id) = id {
            self.ids.push(id.as_str().expect("an id").to_owned());
        }
        hear_all(&mut self.everybody()).await;
        self.forget_what_came();
    }

    /// Creates many users by a sync of the host. Returns their ids.
    pub async fn crowd(&mut self) -> Vec<String> {
        let ids: Vec<String> = (0..CROWD).map(|n| format!("crowd{n:03}")).collect();
        let users = ids
            .iter()
            .map(|id| json!({ "externalUserId": id, "name": id }));
        let body = json!({ "users": users.collect::<Vec<_>>() });
        self.host()
            .post("/api/users/sync/batch", body)
            .await
            .expect(200);
        self.have(None).await;
        ids
    }

    /// Ignores everything that was received so far.
    pub fn forget_what_came(&mut self) {
        for watcher in self.everybody() {
            watcher.came.clear();
        }
        self.before = self.events.lock().len();
    }

    /// True if an event is about this fixture, except for notebooks.
    fn is_own(&self, event: &Value) -> bool {
        let people = [
            &self.owner,
            &self.admin,
            &self.member,
            &self.former,
            &self.stranger,
        ];
        let of_scene = |field: &str| {
            let id = event[field].as_str();
            id.is_some_and(|id| id.ends_with(&self.number))
        };
        let conversation = event["conversationId"].as_str().unwrap_or_default();
        let is_notebook = people
            .iter()
            .any(|watcher| watcher.notebook() == conversation);
        let is_known = self.ids.iter().any(|id| id == conversation);
        // Presence depends on when sockets connect and disconnect, not on the operation.
        let of_presence = ["user.online", "user.away", "user.offline"];
        let is_presence = of_presence.iter().any(|kind| event["type"] == *kind);
        !is_presence && !is_notebook && (is_known || of_scene("actorId") || of_scene("userId"))
    }

    /// Waits until NATS showed exactly these events since.
    ///
    /// # Errors
    /// The events that NATS showed instead.
    pub async fn expect_events(&self, expected: &[EventType]) -> Result<(), String> {
        let expected: Vec<&str> = expected.iter().map(|kind| kind.as_str()).collect();
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let kinds: Vec<String> = {
                let events = self.events.lock();
                let of_row = events[self.before..]
                    .iter()
                    .filter(|event| self.is_own(event));
                of_row
                    .map(|event| event["type"].as_str().expect("a type").to_owned())
                    .collect()
            };
            if kinds == expected {
                return Ok(());
            }
            if kinds.len() > expected.len() || Instant::now() > deadline {
                return Err(format!("NATS showed {kinds:?} instead of {expected:?}"));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the sockets received exactly the expected events since. Events that are in no log may arrive a moment after the others.
    ///
    /// # Errors
    /// The sockets that received other events than expected.
    pub async fn expect_pushed(&mut self, expected: &Pushed) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let report = self.report_pushed(expected);
            if report.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(report);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            for watcher in self.everybody() {
                if !watcher.is_gone {
                    watcher.follow().await;
                }
            }
        }
    }

    /// The sockets that received other events than expected; empty if there are none.
    fn report_pushed(&self, expected: &Pushed) -> String {
        let mut report = String::new();
        for (watcher, expected) in [
            (&self.owner, expected.owner),
            (&self.admin, expected.admin),
            (&self.member, expected.member),
            (&self.former, expected.former),
            (&self.stranger, expected.stranger),
        ] {
            if watcher.is_gone {
                continue;
            }
            let came: Vec<&str> = watcher
                .came
                .iter()
                .map(|frame| frame["event"].as_str().expect("a name"))
                .collect();
            if came != expected {
                let who = &watcher.user.id;
                report.push_str(&format!("{who} got {came:?} instead of {expected:?}\n"));
            }
        }
        report
    }
}
