//! Users and conversations of the hostile clients. The two largest fixtures would take too long over REST: they are written to MongoDB, as the service would write
//! them.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use mongodb::Database;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::HostileArgs;
use crate::client::Host;
use crate::report::say;
use crate::socket::{Dial, connect};

/// Time limit of the handshake of the user whose cursor is taken.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A user of the service and a token.
#[derive(Debug, Clone)]
pub(super) struct User {
    /// Id of the user.
    pub id: String,
    /// Token of the user.
    pub token: String,
}

/// Everything that the hostile clients use.
#[derive(Debug)]
pub(super) struct Fixture {
    /// Senders of the largest messages.
    pub senders: Vec<User>,
    /// Conversation of these senders; the silent readers are its members too.
    pub target: String,
    /// Users who resume and do not read.
    pub readers: Vec<User>,
    /// Cursor of these users before the large messages.
    pub cursor: String,
    /// Users who list the large messages.
    pub listers: Vec<User>,
    /// Conversation with many large messages.
    pub archive: String,
    /// User whose requests have slow bodies.
    pub slow: User,
    /// User with very many conversations.
    pub crowd: User,
    /// Room with very many past members.
    pub square: String,
    /// Owner of this room, who sends.
    pub owner: User,
    /// Past members who join and leave.
    pub guests: Vec<User>,
}

/// Body of a message that is nearly as large as an event may be: 16 KiB of control characters (JSON makes six bytes of one), attachments, metadata.
pub(super) fn large_message() -> Value {
    let link = format!("https://files.example/{}", "a".repeat(700));
    json!({
        "content": "\u{1}".repeat(16_384),
        "attachments": vec![json!({ "url": link }); 10],
        "metadata": { "order": "m".repeat(16 * 1024 - 20) },
    })
}

impl Fixture {
    /// Creates all of it.
    ///
    /// # Errors
    /// If the service refuses a request, or MongoDB a write.
    pub async fn create(host: &Host, args: &HostileArgs) -> anyhow::Result<Self> {
        let tag = format!("{:08x}", rand::random::<u32>());
        let id = |name: &str| format!("bench-{tag}-{name}");
        let users = |name: &str, count: usize| -> anyhow::Result<Vec<User>> {
            (0..count)
                .map(|n| user(host, format!("bench-{tag}-{name}-{n}")))
                .collect()
        };
        let (senders, readers) = (users("sender", 2)?, users("reader", 2)?);
        let (listers, guests) = (users("lister", 2)?, users("past", 2)?);
        let mate = id("mate");
        let (crowd, owner) = (user(host, id("crowd"))?, user(host, id("owner"))?);
        let slow = user(host, id("slow"))?;
        let single = [&crowd, &owner, &slow];
        let all = senders
            .iter()
            .chain(&readers)
            .chain(&listers)
            .chain(&guests);
        let mut ids: Vec<String> = all.chain(single).map(|user| user.id.clone()).collect();
        ids.push(mate.clone());
        host.sync_users(&ids).await?;

        let members = ids_of(senders.iter().chain(&readers));
        let target = host.create_group(0, &senders[0].id, &members).await?;
        let members = ids_of(listers.iter().chain(&readers));
        let archive = host.create_group(0, &listers[0].id, &members).await?;
        let cursor = cursor_of(host, &readers[0]).await?;
        send_large(host, (&listers[0].id, &archive), args.large).await?;

        let client = mongodb::Client::with_uri_str(&args.mongodb_uri).await?;
        let database = client
            .default_database()
            .context("MONGODB_URI names no database")?;
        let pattern = [crowd.id.clone(), mate];
        let pattern = host.create_group(0, &crowd.id, &pattern).await?;
        copy_group(&database, &pattern, args.rooms).await?;
        say(
            "written",
            &format!("{} conversations of one user", args.rooms),
        );
        let body = json!({
            "type": "public", "participantIds": [], "name": "Town square", "historyVisibility": "full",
        });
        let square = host.create_conversation(0, &owner.id, body).await?;
        let prefix = format!("bench-{tag}-past-");
        add_past_members(&database, &square, &prefix, args.past_members).await?;
        say(
            "written",
            &format!("{} past members of a room", args.past_members),
        );
        Ok(Self {
            senders,
            target,
            readers,
            cursor,
            listers,
            archive,
            slow,
            crowd,
            square,
            owner,
            guests,
        })
    }
}

fn user(host: &Host, id: String) -> anyhow::Result<User> {
    let token = host.token(&id)?;
    Ok(User { id, token })
}

fn ids_of<'a>(users: impl Iterator<Item = &'a User>) -> Vec<String> {
    users.map(|user| user.id.clone()).collect()
}

/// Returns the cursor with which a new socket of `user` begins.
async fn cursor_of(host: &Host, user: &User) -> anyhow::Result<String> {
    let mut socket = connect(&Dial {
        url: host.ws_url(0),
        token: user.token.clone(),
        internal_secret: None,
        conversation: None,
    })
    .await?;
    let first = async {
        while let Some(frame) = socket.next().await {
            let Message::Text(text) = frame? else {
                continue;
            };
            let frame: Value = serde_json::from_str(&text)?;
            if let Some(cursor) = frame["data"]["cursor"].as_str() {
                return Ok(cursor.to_owned());
            }
        }
        bail!("the socket closed before `connected`")
    };
    timeout(CONNECT_LIMIT, first)
        .await
        .context("no `connected`")?
}

async fn send_large(
    host: &Host,
    (sender, conversation): (&str, &str),
    count: u32,
) -> anyhow::Result<()> {
    let message = &large_message();
    stream::iter(0..count as usize)
        .map(|n| host.send_message(n, sender, conversation, message))
        .buffer_unordered(4)
        .try_collect()
        .await
}

/// Makes `count` copies of a group, with the same members.
async fn copy_group(database: &Database, pattern: &str, count: u32) -> anyhow::Result<()> {
    // Ids have a fixed length; the last five characters, which are random in a new id, become a number.
    ensure!(
        pattern.len() > 5,
        "{pattern} is not the id of a conversation"
    );
    let head = &pattern[..pattern.len() - 5];
    let number = doc! { "$toString": { "$add": ["$number", 100_000] } };
    let copy = doc! { "$concat": [head, { "$substrBytes": [number, 1, 5] }] };
    let member = doc! { "$concat": [copy.clone(), ":", "$userId"] };
    for (collection, filter, fields) in [
        (
            "conversations",
            doc! { "_id": pattern },
            doc! { "_id": copy.clone() },
        ),
        (
            "participants",
            doc! { "conversationId": pattern },
            doc! { "_id": member, "conversationId": copy },
        ),
    ] {
        let pipeline = [
            doc! { "$match": filter },
            doc! { "$set": { "number": { "$range": [0, i64::from(count)] } } },
            doc! { "$unwind": "$number" },
            doc! { "$set": fields },
            doc! { "$unset": "number" },
        ];
        merge(database, collection, collection, pipeline.to_vec()).await?;
    }
    Ok(())
}

/// Writes `count` past members of a conversation, whose ids are `prefix` and a number.
async fn add_past_members(
    database: &Database,
    conversation: &str,
    prefix: &str,
    count: u32,
) -> anyhow::Result<()> {
    let user = doc! { "$concat": [prefix, { "$toString": "$number" }] };
    let pipeline = vec![
        doc! { "$match": { "_id": conversation } },
        doc! { "$project": { "number": { "$range": [0, i64::from(count)] } } },
        doc! { "$unwind": "$number" },
        doc! { "$project": {
            "_id": { "$concat": [conversation, ":", user.clone()] },
            "conversationId": { "$literal": conversation },
            "userId": user,
            "role": { "$literal": "member" },
            "intervals": { "$literal": [[1_i64, 1_i64]] },
            "leftUnder": { "$literal": "full" },
            "isActive": { "$literal": false },
            "joinedAt": "$$NOW",
            "preferences": { "$literal": {
                "muted": false, "archived": false, "pinned": false, "hidden": false, "notificationLevel": "all",
            } },
            "hiddenAt": { "$literal": 0_i64 },
            "isBlocking": { "$literal": false },
            "seq": { "$literal": 1_i64 },
        } },
    ];
    merge(database, "conversations", "participants", pipeline).await
}

async fn merge(
    database: &Database,
    from: &str,
    into: &str,
    mut pipeline: Vec<Document>,
) -> anyhow::Result<()> {
    // Replacing is for the first copy if it happens to be the pattern itself.
    pipeline.push(doc! { "$merge": { "into": into, "whenMatched": "replace" } });
    let documents = database.collection::<Document>(from);
    let written = documents.aggregate(pipeline).await;
    written
        .map(drop)
        .with_context(|| format!("write to {into}"))
}
