//! Runs the table of [`roles`](super::roles): every cell is a request of its own, on a separate conversation if it changes something.

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::super::contract;
use super::roles::{self, CALLERS, Row};
use crate::support::{Answer, Client, Service, User};

const GHOST_CONVERSATION: &str = "cnv_00000000000000000000000000";
const GHOST_MESSAGE: &str = "msg_00000000000000000000000000";
/// Number of cells that run at once.
const AT_ONCE: usize = 6;

/// All callers of the table.
struct Fixture {
    host: Client,
    anonymous: Client,
    owner: User,
    admin: User,
    member: User,
    former: User,
    target: User,
    stranger: User,
}

impl Fixture {
    async fn of(service: &Service) -> Self {
        for extra in ["deputy", "newcomer"] {
            service.user(extra).await;
        }
        Self {
            host: service.internal(),
            anonymous: service.anonymous(),
            owner: service.user("owner").await,
            admin: service.user("admin").await,
            member: service.user("member").await,
            former: service.user("former").await,
            target: service.user("target").await,
            stranger: service.user("stranger").await,
        }
    }

    /// The client of a column.
    fn client(&self, caller: &str) -> Client {
        match self.writer(caller) {
            Some(writer) if caller != "acting" => (**writer).clone(),
            _ => match caller {
                "stranger" => (*self.stranger).clone(),
                "anonymous" => self.anonymous.clone(),
                "acting" => self.host.acting_for("member"),
                _ => self.host.clone(),
            },
        }
    }

    /// The user who sends the caller's own message.
    fn writer(&self, caller: &str) -> Option<&User> {
        match caller {
            "owner" => Some(&self.owner),
            "admin" => Some(&self.admin),
            "member" | "acting" => Some(&self.member),
            "former" => Some(&self.former),
            _ => None,
        }
    }
}

/// The fixture that one cell of the table is checked on.
struct Stage {
    conversation: String,
    own: String,
    other: String,
    /// The user whom the target blocks. Each cell uses a new one, because two users have only one direct conversation.
    blocked: Option<User>,
}

impl Stage {
    /// Ids that do not exist.
    fn ghost() -> Self {
        Self {
            conversation: GHOST_CONVERSATION.to_owned(),
            own: GHOST_MESSAGE.to_owned(),
            other: GHOST_MESSAGE.to_owned(),
            blocked: None,
        }
    }

    /// A direct conversation with the target, who then blocks the caller.
    async fn set_blocked(service: &Service, fixture: &Fixture) -> Self {
        let id = format!("blocked-{}", ulid::Ulid::generate());
        let blocked = service.user(&id).await;
        let conversation = service.direct(&blocked, &fixture.target).await;
        let stage = Self {
            own: super::super::id(&blocked.say(&conversation, "from the caller").await),
            other: super::super::id(&fixture.target.say(&conversation, "from the target").await),
            conversation,
            blocked: Some(blocked),
        };
        let block = format!("/api/users/me/blocks/{id}");
        let answer = super::super::ask(&fixture.target, "PUT", &block, None).await;
        answer.expect(204);
        stage
    }

    async fn set(fixture: &Fixture, kind: &str, caller: &str) -> Self {
        let (maker, participants) = match kind {
            "direct" => (&fixture.member, json!(["target"])),
            _ => (
                &fixture.owner,
                json!(["admin", "deputy", "member", "former", "target"]),
            ),
        };
        let body = json!({ "type": kind, "participantIds": participants });
        let made = maker.post_repeating("/api/conversations", body).await;
        assert!(matches!(made.status, 200 | 201), "{made}");
        let conversation = super::super::id(&made.json);
        if kind != "direct" {
            for admin in ["admin", "deputy"] {
                let path = format!("/api/conversations/{conversation}/participants/{admin}");
                fixture
                    .owner
                    .patch(&path, json!({ "role": "admin" }))
                    .await
                    .expect(200);
            }
        }
        let other = super::super::id(&fixture.target.say(&conversation, "from the target").await);
        let own = match fixture.writer(caller) {
            Some(writer) => super::super::id(&writer.say(&conversation, "from the caller").await),
            None => GHOST_MESSAGE.to_owned(),
        };
        if kind != "direct" {
            let leave = format!("/api/conversations/{conversation}/leave");
            fixture.former.post(&leave, Value::Null).await.expect(204);
        }
        Self {
            conversation,
            own,
            other,
            blocked: None,
        }
    }

    async fn play(&self, fixture: &Fixture, row: &Row, caller: &str) -> Answer {
        let myself = match &self.blocked {
            Some(blocked) => &blocked.id,
            None if caller == "acting" => "member",
            None => caller,
        };
        let client = match &self.blocked {
            Some(blocked) => (**blocked).clone(),
            None => fixture.client(caller),
        };
        let path = row
            .path
            .replace("{c}", &self.conversation)
            .replace("{own}", &self.own)
            .replace("{other}", &self.other)
            .replace("{self}", myself);
        let body = row
            .body
            .replace("{c}", &self.conversation)
            .replace("{self}", myself);
        let body = (!body.is_empty()).then(|| serde_json::from_str(&body).expect("JSON"));
        super::super::ask(&client, row.method, &format!("/api{path}"), body).await
    }
}

/// Checks one cell. Returns the difference from the table, if any.
async fn cell(
    service: &Service,
    fixture: &Fixture,
    kind: &str,
    (row, caller, expected): (&Row, &str, u16),
) -> Option<String> {
    let at = format!("{kind}: {caller}: {} {} {}", row.method, row.path, row.body);
    let stage = match kind {
        "elsewhere" => Stage::ghost(),
        _ if caller == "blocked" => Stage::set_blocked(service, fixture).await,
        _ => Stage::set(fixture, kind, caller).await,
    };
    let answer = stage.play(fixture, row, caller).await;
    if answer.status != expected {
        return Some(format!(
            "{at} answered {} instead of {expected}: {}",
            answer.status, answer.text
        ));
    }
    if expected == 404 && kind != "elsewhere" {
        let missing = Stage::ghost().play(fixture, row, caller).await;
        if missing.text != answer.text {
            return Some(format!(
                "{at} tells a foreign thing from a missing one: {} / {}",
                answer.text, missing.text
            ));
        }
    }
    None
}

async fn play_all(kind: &str, rows: Vec<Row>) {
    let service = Service::builder().all_plugins().start().await;
    let fixture = Fixture::of(&service).await;
    let cells = rows.iter().flat_map(|row| {
        CALLERS
            .iter()
            .zip(row.statuses)
            .filter_map(move |(caller, status)| status.map(|status| (row, *caller, status)))
    });
    let cells: Vec<_> = cells.collect();
    let wrong: Vec<String> = stream::iter(&cells)
        .map(|(row, caller, status)| cell(&service, &fixture, kind, (row, caller, *status)))
        .buffer_unordered(AT_ONCE)
        .filter_map(async |wrong| wrong)
        .collect()
        .await;
    assert!(
        wrong.is_empty(),
        "{} of {} cells are wrong:\n{}",
        wrong.len(),
        cells.len(),
        wrong.join("\n")
    );
}

#[tokio::test]
async fn access_in_a_group_matches_the_table() {
    play_all("group", roles::group()).await;
}

#[tokio::test]
async fn access_in_a_public_conversation_matches_the_table() {
    play_all("public", roles::public()).await;
}

#[tokio::test]
async fn access_in_a_direct_conversation_matches_the_table() {
    play_all("direct", roles::direct()).await;
}

#[tokio::test]
async fn access_outside_conversations_matches_the_table() {
    play_all("elsewhere", roles::elsewhere()).await;
}

#[test]
fn no_operation_is_missing_in_the_table() {
    let known: Vec<Row> = [roles::group(), roles::elsewhere()]
        .into_iter()
        .flatten()
        .collect();
    for operation in contract::operations()
        .iter()
        .filter(|operation| operation.path.starts_with("/api/"))
    {
        let shape: Vec<&str> = operation.path["/api".len()..].split('/').collect();
        let is_known = known.iter().any(|row| {
            let parts: Vec<&str> = row
                .path
                .split('?')
                .next()
                .unwrap_or_default()
                .split('/')
                .collect();
            row.method == operation.method
                && parts.len() == shape.len()
                && shape
                    .iter()
                    .zip(parts)
                    .all(|(known, part)| known.starts_with('{') || *known == part)
        });
        assert!(
            is_known,
            "{} {} is missing in the table of roles",
            operation.method, operation.path
        );
    }
}
