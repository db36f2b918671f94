//! Names and texts: the same rule for all of them, and search by name independent of spelling variants.

use mongodb::bson::doc;
use serde_json::{Value, json};

use super::{ask, column, faults, id};
use crate::support::{Client, Service};

/// Texts without a visible character.
const BLANK: &[&str] = &[
    " ",
    "\t",
    "\n",
    "\u{a0}",
    "\u{3000}",
    "\u{200b}",
    "\u{200d}\u{fe0f}",
    "\u{feff}",
    "\u{2060}",
    "\u{ad}",
    "\u{3164}",
    "\u{2800}",
    "\u{e0020}",
];
/// Texts that are not a single line.
const LINES: &[&str] = &[
    "a\nb",
    "a\r\nb",
    "a\u{85}b",
    "a\u{2028}b",
    "a\u{2029}b",
    "a\tb",
    "a\u{1}b",
];
const FINE: &[&str] = &["名前", "👍🏽", "O’Brien", " a b ", "e\u{301}", "🏳️‍🌈"];

/// The expected treatment of a blank text.
#[derive(Clone, Copy, PartialEq)]
enum Blank {
    Refused,
    Clears,
}

/// A field that takes a name or text: the call that sets it, and the values that it allows.
struct Field<'a> {
    client: &'a Client,
    method: &'static str,
    path: String,
    body: Box<dyn Fn(&str) -> Value>,
    field: &'static str,
    is_one_line: bool,
    blank: Blank,
}

#[tokio::test]
async fn every_name_and_text_follows_one_rule() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let host = service.internal();
    let group = service.group(&alice, &[&bob]).await;
    let conversation = format!("/api/conversations/{group}");
    let messages = format!("{conversation}/messages");
    let message = id(&alice.say(&group, "text").await);
    let field =
        |client, method, path: &str, field, is_one_line, body: Box<dyn Fn(&str) -> Value>| Field {
            client,
            method,
            path: path.to_owned(),
            body,
            field,
            is_one_line,
            blank: Blank::Refused,
        };
    let fields = [
        field(
            &host,
            "POST",
            "/api/users/sync",
            "name",
            true,
            Box::new(|text| json!({ "externalUserId": "carol", "name": text })),
        ),
        field(
            &host,
            "POST",
            "/api/users/sync",
            "email",
            true,
            Box::new(|text| json!({ "externalUserId": "carol", "name": "Carol", "email": text })),
        ),
        field(
            &host,
            "POST",
            "/api/users/sync",
            "roles[0]",
            true,
            Box::new(|text| json!({ "externalUserId": "carol", "name": "Carol", "roles": [text] })),
        ),
        field(
            &alice,
            "PATCH",
            "/api/users/me",
            "name",
            true,
            Box::new(|text| json!({ "name": text })),
        ),
        field(
            &alice,
            "POST",
            "/api/conversations",
            "name",
            true,
            Box::new(|text| json!({ "type": "group", "participantIds": [], "name": text })),
        ),
        field(
            &alice,
            "PATCH",
            &conversation,
            "name",
            true,
            Box::new(|text| json!({ "name": text })),
        ),
        field(
            &alice,
            "POST",
            &messages,
            "content",
            false,
            Box::new(|text| json!({ "content": text })),
        ),
        field(
            &alice,
            "PATCH",
            &format!("/api/messages/{message}"),
            "content",
            false,
            Box::new(|text| json!({ "content": text })),
        ),
        field(
            &alice,
            "POST",
            &messages,
            "attachments[0].name",
            true,
            Box::new(|text| json!({ "attachments": [{ "url": "data:,", "name": text }] })),
        ),
        field(
            &alice,
            "POST",
            &messages,
            "attachments[0].mimeType",
            true,
            Box::new(|text| json!({ "attachments": [{ "url": "data:,", "mimeType": text }] })),
        ),
        field(
            &host,
            "POST",
            "/api/admin/webhooks",
            "description",
            false,
            Box::new(|text| json!({ "events": ["message.created"], "description": text })),
        ),
        field(
            &host,
            "POST",
            "/api/admin/consumers",
            "description",
            false,
            Box::new(|text| json!({ "name": "shop", "description": text })),
        ),
        Field {
            blank: Blank::Clears,
            ..field(
                &alice,
                "PUT",
                "/api/users/me/status",
                "text",
                true,
                Box::new(|text| json!({ "status": "busy", "text": text })),
            )
        },
        Field {
            blank: Blank::Clears,
            ..field(
                &alice,
                "PATCH",
                &format!("{conversation}/me"),
                "draft",
                false,
                Box::new(|text| json!({ "draft": text })),
            )
        },
    ];
    for field in &fields {
        let name = format!("{} {} {}", field.method, field.path, field.field);
        let set = async |text: &str| {
            ask(
                field.client,
                field.method,
                &field.path,
                Some((field.body)(text)),
            )
            .await
        };
        for text in FINE {
            let answer = set(text).await;
            assert!(answer.status < 300, "{name} {text:?}: {answer}");
        }
        for text in BLANK {
            let answer = set(text).await;
            match field.blank {
                Blank::Refused => assert_eq!(
                    (answer.status, faults(&answer)),
                    (400, vec![field.field.to_owned()]),
                    "{name} {text:?}: {answer}"
                ),
                Blank::Clears => assert!(answer.status < 300, "{name} {text:?}: {answer}"),
            }
        }
        for text in LINES {
            let answer = set(text).await;
            if field.is_one_line {
                assert_eq!(
                    (answer.status, faults(&answer)),
                    (400, vec![field.field.to_owned()]),
                    "{name} {text:?}: {answer}"
                )
            } else {
                assert!(answer.status < 300, "{name} {text:?}: {answer}")
            }
        }
    }
    // A blank status and a blank draft count as absent.
    let status = json!({ "status": "busy", "text": "\u{200b}" });
    let status = ask(&alice, "PUT", "/api/users/me/status", Some(status))
        .await
        .expect(200);
    assert_eq!(status.get("text"), None);
    alice
        .patch(
            &format!("{conversation}/me"),
            json!({ "draft": "\u{200b}" }),
        )
        .await
        .expect(200);
    assert_eq!(
        alice.get(&conversation).await.expect(200).get("draft"),
        None
    );
    // A socket follows the same rule.
    let mut socket = alice.connect().await;
    for text in BLANK {
        let body = json!({ "conversationId": group, "content": text });
        let refused = socket.refused("message:send", body).await;
        assert_eq!(refused["details"][0]["field"], "content", "{text:?}");
    }
    let body =
        json!({ "conversationId": group, "attachments": [{ "url": "data:,", "name": "a\nb" }] });
    let refused = socket.refused("message:send", body).await;
    assert_eq!(refused["details"][0]["field"], "attachments[0].name");
}

/// Names, and the searches that find each.
const NAMES: &[(&str, &[&str])] = &[
    (
        "José Núñez",
        &["Jose\u{301}", "JOSÉ", "nu\u{301}n\u{303}", "ＪＯＳÉ"],
    ),
    ("ΟΔΥΣΣΕΑΣ", &["ΟΔΥΣ", "οδυσς", "Οδυσσέας", "οδυσσεα"]),
    ("Straße", &["STRASSE", "straß", "STRA\u{1e9e}"]),
    (
        "Flann O’Brien",
        &["o'brien", "O\u{2bc}Brien", "flann o`", "brien"],
    ),
    (
        "Jean–Luc\u{a0}Picard",
        &[
            "jean-luc picard",
            "jean‐luc\u{2003}p",
            "luc",
            "\u{3000}JEAN",
        ],
    ),
    ("ガッツ", &["ｶﾞｯ", "カ\u{3099}ッツ"]),
    (
        "한글",
        &["\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}", "한"],
    ),
    ("שָׁלוֹם", &["שלום", "שָׁ"]),
    ("Ёлка", &["ЁЛКА", "е\u{308}л"]),
    ("ﬁnn\u{200b}ian", &["finnian", "FINN"]),
    ("İdil", &["idil", "IDIL"]),
    ("ᏣᎳᎩ", &["ꮳꮃ"]),
];

fn query(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

async fn finds_all(service: &Service) {
    let seeker = service.user("seeker").await;
    for (index, (name, queries)) in NAMES.iter().enumerate() {
        for text in *queries {
            let found = seeker
                .get(&format!("/api/users/search?q={}", query(text)))
                .await
                .expect(200);
            let found = column(&found["users"], "externalUserId");
            assert_eq!(
                found,
                [format!("u{index:02}")],
                "{text} does not find {name}"
            );
        }
        // The name of a conversation is found by its beginning.
        let whole = queries.iter().filter(|text| {
            ![
                "nu\u{301}n\u{303}",
                "o'brien",
                "O\u{2bc}Brien",
                "brien",
                "luc",
            ]
            .contains(text)
        });
        for text in whole {
            let found = seeker
                .get(&format!("/api/conversations/public?q={}", query(text)))
                .await
                .expect(200);
            assert_eq!(column(&found["conversations"], "name"), [*name], "{text}");
        }
    }
}

async fn with_names() -> Service {
    let service = Service::start().await;
    let users: Vec<Value> = NAMES
        .iter()
        .enumerate()
        .map(|(index, (name, _))| json!({ "externalUserId": format!("u{index:02}"), "name": name }))
        .collect();
    let host = service.internal();
    host.post("/api/users/sync/batch", json!({ "users": users }))
        .await
        .expect(200);
    let owner = service.user("owner").await;
    for (name, _) in NAMES {
        let body = json!({ "type": "public", "participantIds": [], "name": name });
        owner.post("/api/conversations", body).await.expect(201);
    }
    service
}

#[tokio::test]
async fn a_name_is_found_however_it_is_written() {
    let service = with_names().await;
    finds_all(&service).await;
    let seeker = service.user("seeker").await;
    for (path, items) in [
        ("/api/users/search", "users"),
        ("/api/conversations/public", "conversations"),
    ] {
        for text in ["Jose ", "か", "\u{1112}\u{1161}", "xyz"] {
            let found = seeker
                .get(&format!("{path}?q={}", query(text)))
                .await
                .expect(200);
            assert_eq!(found[items], json!([]), "accents count: {text}");
        }
        for text in ["\u{200b}", " ", &"x".repeat(101)] {
            let answer = seeker.get(&format!("{path}?q={}", query(text))).await;
            assert_eq!(
                (answer.status, faults(&answer)),
                (400, vec!["q".to_owned()]),
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn names_that_an_earlier_version_stored_are_found_after_the_upgrade() {
    let service = with_names().await;
    let place = service.sandbox();
    let (users, conversations) = (
        place.collection("users").await,
        place.collection("conversations").await,
    );
    // As an earlier version left them.
    let old = vec![doc! { "$set": { "searchKeys": [{ "$toLower": "$profile.name" }] } }];
    users
        .update_many(doc! {}, old)
        .await
        .expect("MongoDB answers");
    let old = vec![doc! { "$set": { "nameKey": { "$toLower": "$name" } } }];
    conversations
        .update_many(doc! {}, old)
        .await
        .expect("MongoDB answers");
    let meta = place.collection("meta").await;
    meta.delete_one(doc! { "_id": "searchKeys" })
        .await
        .expect("MongoDB answers");
    let second = Service::builder().database(&service).start().await;
    finds_all(&second).await;
    let done = meta
        .find_one(doc! { "_id": "searchKeys" })
        .await
        .expect("MongoDB answers");
    let done = done.expect("it is noted");
    assert_eq!(done.get_bool("isDone").ok(), Some(true));
    // An interrupted upgrade continues after the documents that are done: earlier ones stay as they are.
    let stale = doc! { "$set": { "searchKeys": ["stale"] } };
    for user in ["u00", "u05"] {
        users
            .update_one(doc! { "_id": user }, stale.clone())
            .await
            .expect("MongoDB answers");
    }
    let interrupted = doc! { "$set": { "users": "u03" }, "$unset": { "isDone": "" } };
    meta.update_one(doc! { "_id": "searchKeys" }, interrupted)
        .await
        .expect("MongoDB answers");
    let third = Service::builder().database(&service).start().await;
    let seeker = third.user("seeker").await;
    let found = seeker.get("/api/users/search?q=stale").await.expect(200);
    assert_eq!(column(&found["users"], "externalUserId"), ["u00"]);
}
