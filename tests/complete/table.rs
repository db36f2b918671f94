//! Every operation that changes something: the calls that provoke it, its events, and the events that each role receives.
//!
//! The rows are in a file per resource; [`NOUNS`] names them. `ROW=<part of a name> ./dev test complete::table` runs some.

use std::collections::BTreeSet;

use chat_sdk::EventType;
use chat_sdk::commands::socket_names;
use futures_util::{StreamExt, future::BoxFuture, stream};
use serde_json::json;

use super::{
    conversations, everything, messages, participants,
    scenario::{Deployment, Scenario},
    social, unlogged, users,
};
use crate::{api::contract, support::replica::settle};

/// The rows, by resource.
const NOUNS: &[&[Row]] = &[
    conversations::ROWS,
    participants::ROWS,
    messages::ROWS,
    social::ROWS,
    unlogged::ROWS,
    users::ROWS,
];

/// Number of rows that run at once, each on its own fixture.
const AT_ONCE: usize = 6;

/// Operations of the OpenAPI document, other than GET, that are in no row: `operationId`, reason.
const OPERATIONS_LEFT_OUT: &[(&str, &str)] = &[
    ("getPresenceBatch", "reads"),
    (
        "sendNotification",
        "changes no conversation; tests/notifications",
    ),
    ("readNotification", "as sendNotification"),
    ("readAllNotifications", "as sendNotification"),
    ("deleteNotification", "as sendNotification"),
    ("registerPush", "as sendNotification"),
    ("deletePushSubscription", "as sendNotification"),
    ("createUpload", "changes no conversation; tests/attachments"),
    ("sendPiece", "as createUpload"),
    ("completeUpload", "as createUpload"),
    ("cancelUpload", "as createUpload"),
    ("deleteAttachment", "as createUpload"),
    (
        "setModerationRule",
        "changes no conversation; tests/moderation",
    ),
    ("deleteModerationRule", "as setModerationRule"),
    ("tryModerationRule", "reads"),
    ("createModerationRestriction", "as setModerationRule"),
    ("deleteModerationRestriction", "as setModerationRule"),
    ("reportMessage", "as setModerationRule"),
    ("claimModerationReport", "as setModerationRule"),
    (
        "decideModerationReport",
        "calls other operations, which have rows; tests/moderation",
    ),
    ("undoModerationDecision", "as decideModerationReport"),
    ("appealModerationDecision", "as setModerationRule"),
    ("resolveModerationAppeal", "as decideModerationReport"),
    (
        "releaseHeldMessage",
        "only a hook holds messages; tests/hooks/held.rs",
    ),
    ("dropHeldMessage", "as releaseHeldMessage"),
];

/// Commands of sockets that are in no row, with the reason.
const COMMANDS_LEFT_OUT: &[(&str, &str)] = &[
    ("authenticate", "changes nothing but its own socket"),
    (
        "activity:ping",
        "changes only that its sender is not away; tests/ws/presence.rs",
    ),
    ("messages:list", "reads"),
    ("messages:sync", "reads"),
    ("ping", "changes nothing"),
    (
        "presence:subscribe",
        "changes only what its own socket hears; tests/ws/presence.rs",
    ),
    ("presence:unsubscribe", "as presence:subscribe"),
    (
        "room:join",
        "changes only what its own socket hears; tests/ws/events.rs",
    ),
    ("room:leave", "as room:join"),
    ("token:refresh", "changes nothing but its own socket"),
];

/// Event types that no row provokes, with the reason.
const EVENTS_LEFT_OUT: &[(EventType, &str)] = &[
    (
        EventType::Noop,
        "stands where an append failed; tests/faults and the simulation make it",
    ),
    (
        EventType::UserOnline,
        "comes when sockets do, in every row; the replica's presence is compared in each",
    ),
    (
        EventType::MessageHeld,
        "only a hook holds messages; tests/hooks/held.rs",
    ),
    (EventType::MessageDropped, "as message.held"),
    (EventType::UserAway, "as user.online"),
    (EventType::UserOffline, "as user.online"),
];

/// An operation, and the users who receive events about it.
pub struct Row {
    /// The operation, as a sentence.
    pub name: &'static str,
    /// The state of the fixture before the operation.
    pub scenario: Setting,
    /// The ways to do it; each is tried on a scenario of its own.
    pub ways: &'static [Way],
    /// The events that it makes, in their order, as NATS shows them.
    pub events: &'static [EventType],
    /// The events that sockets receive.
    pub pushed: Pushed,
}

/// The kind of conversation of the fixture; [`Scenario`] lists its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// A group with the full history visible to all members.
    Group,
    /// A group in which members see only messages since they joined.
    JoinedGroup,
    /// A public conversation.
    Public,
    /// A public conversation in which members see only messages since they joined.
    JoinedPublic,
}

/// One way to do it.
pub struct Way {
    by: By,
    act: Act,
}

/// Runs the operation, and stores its results in the fixture.
pub type Act = for<'a> fn(&'a mut Scenario) -> BoxFuture<'a, ()>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Operation(&'static str),
    Command(&'static str),
}

/// By the REST operation with this `operationId`.
pub const fn rest(operation: &'static str, act: Act) -> Way {
    Way {
        by: By::Operation(operation),
        act,
    }
}

/// By this command of a socket.
pub const fn socket(command: &'static str, act: Act) -> Way {
    Way {
        by: By::Command(command),
        act,
    }
}

/// The events that the socket of each role gets, in their order.
#[derive(Debug, Clone, Copy)]
pub struct Pushed {
    /// The user who created the conversation.
    pub owner: &'static [&'static str],
    /// An admin of it.
    pub admin: &'static [&'static str],
    /// A plain member.
    pub member: &'static [&'static str],
    /// A former member.
    pub former: &'static [&'static str],
    /// A user who was never a member.
    pub stranger: &'static [&'static str],
}

/// No events for anybody.
pub const NOBODY: Pushed = members(&[]);

/// The same events for all members, and none for others.
pub const fn members(events: &'static [&'static str]) -> Pushed {
    Pushed {
        owner: events,
        admin: events,
        member: events,
        former: &[],
        stranger: &[],
    }
}

fn rows() -> impl Iterator<Item = &'static Row> {
    NOUNS.iter().copied().flatten()
}

/// Checks one row in one way. Returns the differences, if any.
async fn play(deployment: &Deployment, row: &Row, way: &Way) -> Result<(), String> {
    let mut scenario = deployment.scenario(row.scenario).await;
    (way.act)(&mut scenario).await;
    let ids = scenario.ids.clone();
    settle(&mut scenario.everybody(), &ids)
        .await
        .map_err(|report| format!("the replicas differ:\n{report}"))?;
    scenario.expect_events(row.events).await?;
    scenario.expect_pushed(&row.pushed).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_every_operation_the_pushed_state_equals_rest() {
    let wanted = std::env::var("ROW").unwrap_or_default();
    let deployment = Deployment::start().await;
    let plays = rows()
        .filter(|row| row.name.contains(&wanted))
        .flat_map(|row| row.ways.iter().map(move |way| (row, way)));
    let failures: Vec<String> = stream::iter(plays)
        .map(|(row, way)| {
            let deployment = &deployment;
            async move {
                let report = play(deployment, row, way).await.err()?;
                Some(format!("{} ({:?}): {report}", row.name, way.by))
            }
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(|failure| async { failure })
        .collect()
        .await;
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    if wanted.is_empty() {
        everything::finish(&deployment).await;
    }
}

/// Fails unless every one of `all` is either in `known` or left out with a reason, and not both.
#[track_caller]
fn assert_covered<'a>(
    what: &str,
    all: impl IntoIterator<Item = &'a str>,
    known: &BTreeSet<&'a str>,
    left_out: &BTreeSet<&'a str>,
) {
    let all: BTreeSet<&str> = all.into_iter().collect();
    for name in &all {
        assert!(
            known.contains(name) != left_out.contains(name),
            "the {what} {name} must be in a row of tests/complete, or else be left out with a reason in tests/complete/table.rs, and not both"
        );
    }
    for name in known.union(left_out) {
        assert!(
            all.contains(name),
            "tests/complete knows the {what} {name}, which there is not"
        );
    }
}

fn ways(pick: fn(By) -> Option<&'static str>) -> BTreeSet<&'static str> {
    let ways = rows().flat_map(|row| row.ways);
    ways.filter_map(|way| pick(way.by)).collect()
}

#[tokio::test]
async fn every_operation_other_than_get_is_in_the_table() {
    // The document that a service serves is the committed one: tests/api/docs.rs.
    let operations = contract::operations();
    let ids = operations
        .iter()
        .filter(|operation| operation.method != "GET")
        // The host's own: nothing of it is shown to any user. tests/webhooks
        .filter(|operation| !operation.path.starts_with("/api/admin/"))
        // Accounts are not part of the chat. tests/accounts
        .filter(|operation| !operation.path.starts_with("/auth/"))
        .map(|operation| {
            operation.says["operationId"]
                .as_str()
                .unwrap_or(&operation.path)
        });
    let known = ways(|by| match by {
        By::Operation(id) => Some(id),
        By::Command(_) => None,
    });
    let left_out = OPERATIONS_LEFT_OUT.iter().map(|(id, _)| *id).collect();
    assert_covered("operation", ids, &known, &left_out);
}

#[tokio::test]
async fn every_command_that_changes_something_is_in_the_table() {
    let known = ways(|by| match by {
        By::Operation(_) => None,
        By::Command(name) => Some(name),
    });
    let left_out = COMMANDS_LEFT_OUT.iter().map(|(name, _)| *name).collect();
    assert_covered("command", socket_names(), &known, &left_out);
}

#[tokio::test]
async fn every_command_of_the_list_is_known_to_a_socket_and_no_other() {
    let deployment = Deployment::start().await;
    let mut socket = deployment.front.user("somebody").await.connect().await;
    for command in socket_names() {
        let ack = socket
            .send_unchecked(command, json!({ "nonsense": 1 }))
            .await;
        let is_unknown = ack["error"]["details"][0]["field"] == "event";
        assert!(!is_unknown, "{command}: {ack}");
    }
    for unknown in ["", "message:explode", "MESSAGE:SEND", "connected"] {
        let error = socket.refused(unknown, json!({})).await;
        assert_eq!(error["details"][0]["field"], "event", "{unknown}: {error}");
    }
}

#[tokio::test]
async fn every_type_of_event_is_provoked_by_a_row() {
    let known = rows()
        .flat_map(|row| row.events)
        .map(|kind| kind.as_str())
        .collect();
    let left_out = EVENTS_LEFT_OUT
        .iter()
        .map(|(kind, _)| kind.as_str())
        .collect();
    let all = EventType::ALL.iter().map(|kind| kind.as_str());
    assert_covered("event type", all, &known, &left_out);
}

/// A check that never fails would make the three above say less than they seem to.
#[test]
fn missing_and_duplicate_rows_are_noticed() {
    let set = |names: &[&'static str]| names.iter().copied().collect::<BTreeSet<_>>();
    let is_noticed = |all: &[&'static str], known: &[&'static str], left_out: &[&'static str]| {
        let (all, known, left_out) = (all.to_vec(), set(known), set(left_out));
        std::panic::catch_unwind(|| assert_covered("thing", all, &known, &left_out)).is_err()
    };
    assert!(!is_noticed(&["a", "b"], &["a"], &["b"]));
    assert!(is_noticed(&["a", "b", "new"], &["a"], &["b"]));
    assert!(is_noticed(&["a", "b"], &["a", "b"], &["b"]));
    assert!(is_noticed(&["a"], &["a", "gone"], &[]));
    assert!(is_noticed(&["a"], &["a"], &["gone"]));
}
