//! The access table of socket commands. One row per command and kind of object, one column per caller; the cell is `ok` or the status with which REST answers
//! such a refusal. tests/api/guards/roles.rs is the same for REST.
//!
//! `{c}` is the conversation, `{own}` a message of the caller, `{other}` one of the member `target`, `{ghost}` and `{nothing}` are a conversation and a message
//! that do not exist, `{token}` is the caller's, `{later}` is a time in an hour. `former` is a former member; `blocked` is a member of a direct conversation
//! whom `target`, the other member, blocks; `anonymous` has a socket and shows no token: it is closed with 4401. `-`: impossible combination.

use std::collections::BTreeSet;

use chat_sdk::commands::socket_names;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Connect, Service, Socket, TokenBy, User, in_an_hour};

/// The columns.
const CALLERS: [&str; 7] = [
    "owner",
    "admin",
    "member",
    "former",
    "blocked",
    "stranger",
    "anonymous",
];

const GHOST: &str = "cnv_00000000000000000000000000";
const NOTHING: &str = "msg_00000000000000000000000000";

/// A command, the data that it is sent with, and a cell per caller.
struct Row(&'static str, &'static str, &'static str);

/// In a group and in a public conversation: permissions there do not depend on the right to join.
#[rustfmt::skip]
const GROUP: &[Row] = &[
    //                                                                                        owner admin member former blocked stranger anonymous
    Row("message:send",      r#"{"conversationId":"{c}","content":"hello"}"#,                "ok    ok    ok     404    -       404      4401"),
    Row("message:send",      r#"{"conversationId":"{c}","content":"x","threadId":"{other}"}"#, "ok  ok    ok     404    -       404      4401"),
    Row("message:send",      r#"{"conversationId":"{c}","content":"x","replyTo":"{nothing}"}"#, "400 400  400    404    -       404      4401"),
    Row("message:schedule",  r#"{"conversationId":"{c}","content":"x","sendAt":"{later}"}"#, "ok    ok    ok     404    -       404      4401"),
    Row("message:edit",      r#"{"messageId":"{own}","content":"changed"}"#,                 "ok    ok    ok     404    -       -        4401"),
    Row("message:edit",      r#"{"messageId":"{other}","content":"changed"}"#,               "403   403   403    404    -       404      4401"),
    Row("reaction:add",      r#"{"messageId":"{other}","emoji":"👍"}"#,                       "ok    ok    ok     404    -       404      4401"),
    Row("reaction:remove",   r#"{"messageId":"{other}","emoji":"👍"}"#,                       "ok    ok    ok     404    -       404      4401"),
    Row("message:delivered", r#"{"messageId":"{other}"}"#,                                   "ok    ok    ok     404    -       404      4401"),
    Row("message:read",      r#"{"messageId":"{other}"}"#,                                   "ok    ok    ok     404    -       404      4401"),
    Row("conversation:read", r#"{"conversationId":"{c}"}"#,                                  "ok    ok    ok     404    -       404      4401"),
    Row("conversation:read", r#"{"conversationId":"{c}","upToMessageId":"{other}"}"#,        "ok    ok    ok     404    -       404      4401"),
    Row("messages:list",     r#"{"conversationId":"{c}","limit":3}"#,                        "ok    ok    ok     ok     -       404      4401"),
    Row("messages:sync",     r#"{"conversationId":"{c}"}"#,                                  "ok    ok    ok     ok     -       404      4401"),
    Row("typing:start",      r#"{"conversationId":"{c}"}"#,                                  "ok    ok    ok     404    -       404      4401"),
    Row("typing:stop",       r#"{"conversationId":"{c}"}"#,                                  "ok    ok    ok     404    -       404      4401"),
    Row("recording:start",   r#"{"conversationId":"{c}"}"#,                                  "ok    ok    ok     404    -       404      4401"),
    Row("recording:stop",    r#"{"conversationId":"{c}"}"#,                                  "ok    ok    ok     404    -       404      4401"),
    Row("room:leave",        r#"{"conversationId":"{c}"}"#,                                  "ok    ok    ok     ok     -       ok       4401"),
    Row("room:join",         r#"{"conversationId":"{c}"}"#,                                  "ok    ok    ok     404    -       404      4401"),
    Row("message:delete",    r#"{"messageId":"{own}"}"#,                                     "ok    ok    ok     404    -       -        4401"),
    Row("message:delete",    r#"{"messageId":"{other}"}"#,                                   "ok    ok    403    404    -       404      4401"),
];

/// In a direct conversation: two plain members.
#[rustfmt::skip]
const DIRECT: &[Row] = &[
    //                                                                                        owner admin member former blocked stranger anonymous
    Row("message:send",      r#"{"conversationId":"{c}","content":"hello"}"#,                "-     -     ok     -      403     404      4401"),
    Row("message:send",      r#"{"receiverId":"target","content":"hello"}"#,                 "-     -     ok     -      403     -        4401"),
    Row("message:schedule",  r#"{"conversationId":"{c}","content":"x","sendAt":"{later}"}"#, "-     -     ok     -      403     404      4401"),
    Row("message:edit",      r#"{"messageId":"{own}","content":"changed"}"#,                 "-     -     ok     -      403     -        4401"),
    Row("message:edit",      r#"{"messageId":"{other}","content":"changed"}"#,               "-     -     403    -      403     404      4401"),
    Row("reaction:add",      r#"{"messageId":"{other}","emoji":"👍"}"#,                       "-     -     ok     -      403     404      4401"),
    Row("reaction:remove",   r#"{"messageId":"{other}","emoji":"👍"}"#,                       "-     -     ok     -      403     404      4401"),
    Row("message:delivered", r#"{"messageId":"{other}"}"#,                                   "-     -     ok     -      ok      404      4401"),
    Row("message:read",      r#"{"messageId":"{other}"}"#,                                   "-     -     ok     -      ok      404      4401"),
    Row("conversation:read", r#"{"conversationId":"{c}"}"#,                                  "-     -     ok     -      ok      404      4401"),
    Row("messages:list",     r#"{"conversationId":"{c}"}"#,                                  "-     -     ok     -      ok      404      4401"),
    Row("messages:sync",     r#"{"conversationId":"{c}"}"#,                                  "-     -     ok     -      ok      404      4401"),
    Row("typing:start",      r#"{"conversationId":"{c}"}"#,                                  "-     -     ok     -      ok      404      4401"),
    Row("typing:stop",       r#"{"conversationId":"{c}"}"#,                                  "-     -     ok     -      ok      404      4401"),
    Row("recording:start",   r#"{"conversationId":"{c}"}"#,                                  "-     -     ok     -      ok      404      4401"),
    Row("recording:stop",    r#"{"conversationId":"{c}"}"#,                                  "-     -     ok     -      ok      404      4401"),
    Row("room:leave",        r#"{"conversationId":"{c}"}"#,                                  "-     -     ok     -      ok      ok       4401"),
    Row("room:join",         r#"{"conversationId":"{c}"}"#,                                  "-     -     ok     -      ok      404      4401"),
    Row("message:delete",    r#"{"messageId":"{own}"}"#,                                     "-     -     ok     -      ok      -        4401"),
    Row("message:delete",    r#"{"messageId":"{other}"}"#,                                   "-     -     403    -      403     404      4401"),
];

/// About no conversation.
#[rustfmt::skip]
const ELSEWHERE: &[Row] = &[
    //                                                                                        owner admin member former blocked stranger anonymous
    Row("message:send",         r#"{"receiverId":"nobody knows","content":"x"}"#,            "400   400   400    400    -       400      4401"),
    Row("message:send",         r#"{"content":"to nobody"}"#,                                "400   400   400    400    -       400      4401"),
    Row("message:send",         r#"{"conversationId":"{ghost}","content":"x"}"#,             "404   404   404    404    -       404      4401"),
    Row("presence:subscribe",   r#"{"userIds":["target","nobody knows"]}"#,                  "ok    ok    ok     ok     -       ok       4401"),
    Row("presence:unsubscribe", r#"{"userIds":["target","nobody knows"]}"#,                  "ok    ok    ok     ok     -       ok       4401"),
    Row("activity:ping",        r#"{}"#,                                                     "ok    ok    ok     ok     -       ok       4401"),
    Row("ping",                 r#"{}"#,                                                     "ok    ok    ok     ok     -       ok       4401"),
    Row("token:refresh",        r#"{"token":"{token}"}"#,                                    "ok    ok    ok     ok     -       ok       4401"),
    Row("authenticate",         r#"{"token":"{token}"}"#,                                    "ok    ok    ok     ok     -       ok       -"),
];

/// A caller with a socket, and the ids that it can name.
struct Caller {
    name: &'static str,
    user: User,
    socket: Socket,
    conversation: String,
    own: String,
    other: String,
    /// True if the caller and the target may write now, so that every cell can have its own messages.
    writes: bool,
}

impl Caller {
    fn fill(&self, template: &str) -> Value {
        let text = template
            .replace("{c}", &self.conversation)
            .replace("{own}", &self.own)
            .replace("{other}", &self.other)
            .replace("{ghost}", GHOST)
            .replace("{nothing}", NOTHING)
            .replace("{later}", &in_an_hour())
            .replace("{token}", &self.user.token);
        serde_json::from_str(&text).expect("JSON")
    }

    /// The same, with ids that do not exist.
    fn fill_with_nothing(&self, template: &str) -> Value {
        let (own, other) = ("{nothing}", "{nothing}");
        let template = template.replace("{own}", own).replace("{other}", other);
        self.fill(&template.replace("{c}", "{ghost}"))
    }
}

/// The cell that an answer makes.
fn cell_of(ack: &Value) -> String {
    if ack["success"] == true {
        return "ok".to_owned();
    }
    let status = match ack["error"]["code"].as_str() {
        Some("VALIDATION_ERROR") => "400",
        Some("UNAUTHORIZED") => "401",
        Some("FORBIDDEN") => "403",
        Some("NOT_FOUND") => "404",
        Some("CONFLICT") => "409",
        _ => return ack.to_string(),
    };
    status.to_owned()
}

async fn said(user: &User, conversation: &str) -> String {
    let message = user.say(conversation, "hello").await;
    message["id"].as_str().expect("an id").to_owned()
}

/// The close code that a socket without a token gets for `command` with `data`.
async fn code_of_anonymous(service: &Service, command: &str, data: Value) -> String {
    let how = Connect {
        token_by: TokenBy::FirstFrame,
        ..Connect::default()
    };
    let socket = Socket::open(service.ws_url(), &how).await;
    let mut socket = socket.unwrap_or_else(|refusal| panic!("{refusal:?}"));
    // The data need not be complete: a socket without a token is closed before it is read.
    socket.post_unchecked(command, data);
    socket.closed().await.to_string()
}

/// Checks `rows` with every caller. Returns the differences, if any.
async fn play(
    service: &Service,
    target: &User,
    callers: &mut [Caller],
    rows: &[Row],
) -> Vec<String> {
    let mut wrong = Vec::new();
    for Row(command, template, cells) in rows {
        let cells: Vec<&str> = cells.split_whitespace().collect();
        assert_eq!(cells.len(), CALLERS.len(), "{command} {template}");
        for caller in &mut *callers {
            let column = CALLERS.iter().position(|name| *name == caller.name);
            let expected = cells[column.expect("a column")];
            if expected == "-" {
                continue;
            }
            if caller.writes {
                caller.other = said(target, &caller.conversation).await;
                caller.own = said(&caller.user, &caller.conversation).await;
            }
            let at = format!("{}: {command} {template}", caller.name);
            let ack = caller
                .socket
                .send_unchecked(command, caller.fill(template))
                .await;
            if cell_of(&ack) != expected {
                wrong.push(format!("{at} answered {ack} instead of {expected}"));
                continue;
            }
            let names_something = ["{c}", "{own}", "{other}"]
                .iter()
                .any(|name| template.contains(name));
            let has_own_room = *command == "room:leave" && caller.writes;
            if names_something && (expected == "404" || *command == "room:leave") && !has_own_room {
                let data = caller.fill_with_nothing(template);
                let missing = caller.socket.send_unchecked(command, data).await;
                if missing != ack {
                    wrong.push(format!(
                        "{at} tells a foreign thing from a missing one: {ack} / {missing}"
                    ));
                }
            }
        }
        let expected = *cells.last().expect("a cell");
        if expected != "-" {
            let data = json!({ "conversationId": GHOST });
            let code = code_of_anonymous(service, command, data).await;
            if code != expected {
                wrong.push(format!("anonymous: {command} was closed with {code}"));
            }
        }
    }
    wrong
}

async fn caller(
    name: &'static str,
    user: &User,
    conversation: &str,
    own: String,
    other: String,
    writes: bool,
) -> Caller {
    Caller {
        name,
        user: user.clone(),
        socket: user.connect().await,
        conversation: conversation.to_owned(),
        own,
        other,
        writes,
    }
}

/// Everybody around a group or public conversation.
async fn around_group(service: &Service, target: &User, kind: &str) -> Vec<Caller> {
    let [owner, admin, member, former, stranger] =
        ["owner", "admin", "member", "former", "stranger"].map(|name| service.user(name));
    let owner = owner.await;
    let (admin, member) = (admin.await, member.await);
    let (former, stranger) = (former.await, stranger.await);
    let others = [&admin.id, &member.id, &former.id, &target.id];
    let body = json!({ "type": kind, "participantIds": others });
    let made = owner.post("/api/conversations", body).await.expect(201);
    let id = made["id"].as_str().expect("an id").to_owned();
    let role = format!("/api/conversations/{id}/participants/admin");
    let body = json!({ "role": "admin" });
    owner.patch(&role, body).await.expect(200);
    let (of_former, other) = (said(&former, &id).await, said(target, &id).await);
    let leave = format!("/api/conversations/{id}/leave");
    former.post(&leave, Value::Null).await.expect(204);
    let nothing = || NOTHING.to_owned();
    vec![
        caller("owner", &owner, &id, nothing(), nothing(), true).await,
        caller("admin", &admin, &id, nothing(), nothing(), true).await,
        caller("member", &member, &id, nothing(), nothing(), true).await,
        caller("former", &former, &id, of_former, other.clone(), false).await,
        caller("stranger", &stranger, &id, nothing(), other, false).await,
    ]
}

async fn assert_right(service: &Service, target: &User, mut callers: Vec<Caller>, rows: &[Row]) {
    let wrong = play(service, target, &mut callers, rows).await;
    assert!(
        wrong.is_empty(),
        "{} cells are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[tokio::test]
async fn commands_in_a_group_match_the_table() {
    let service = Service::start().await;
    let target = service.user("target").await;
    let callers = around_group(&service, &target, "group").await;
    assert_right(&service, &target, callers, GROUP).await;
}

#[tokio::test]
async fn commands_in_a_public_conversation_match_the_table() {
    let service = Service::start().await;
    let target = service.user("target").await;
    let callers = around_group(&service, &target, "public").await;
    assert_right(&service, &target, callers, GROUP).await;
}

#[tokio::test]
async fn commands_in_a_direct_conversation_match_the_table() {
    let service = Service::start().await;
    let target = service.user("target").await;
    let [member, blocked] = ["member", "blocked"].map(|name| service.user(name));
    let (member, blocked) = (member.await, blocked.await);
    let stranger = service.user("stranger").await;
    let id = service.direct(&member, &target).await;
    let apart = service.direct(&blocked, &target).await;
    let own = said(&blocked, &apart).await;
    let other = said(&target, &apart).await;
    let block = "/api/users/me/blocks/blocked";
    target.request(Method::PUT, block, None).await.expect(204);
    let nothing = || NOTHING.to_owned();
    let foreign = said(&target, &id).await;
    let callers = vec![
        caller("member", &member, &id, nothing(), nothing(), true).await,
        caller("blocked", &blocked, &apart, own, other, false).await,
        caller("stranger", &stranger, &id, nothing(), foreign, false).await,
    ];
    assert_right(&service, &target, callers, DIRECT).await;
}

#[tokio::test]
async fn commands_outside_conversations_match_the_table() {
    let service = Service::start().await;
    let target = service.user("target").await;
    let callers = around_group(&service, &target, "group").await;
    assert_right(&service, &target, callers, ELSEWHERE).await;
}

#[test]
fn no_command_is_missing_in_the_table() {
    let rows = [GROUP, DIRECT, ELSEWHERE].into_iter().flatten();
    let known: BTreeSet<&str> = rows.map(|Row(command, _, _)| *command).collect();
    let all: BTreeSet<&str> = socket_names().collect();
    assert_eq!(
        known, all,
        "left: commands of the table; right: of the service"
    );
    // Each command about a conversation or a message is in both tables.
    let commands = |rows: &[Row]| -> BTreeSet<&'static str> {
        rows.iter().map(|Row(command, _, _)| *command).collect()
    };
    assert_eq!(commands(GROUP), commands(DIRECT));
    assert!(commands(ELSEWHERE).is_superset(&(&all - &commands(GROUP))));
}
