//! Runs the documents' commands in a shell, in order and through nginx, and compares the answers with those that are shown.

use std::{collections::BTreeSet, time::Duration};

use super::{
    blocks, read,
    shell::Shell,
    shown::{self, Names},
};
use crate::{
    accounts::MAIL_SECRET,
    api::contract::operations,
    support::{Front, Nats, Node, Receiver, Service, eventually_within},
};

/// The documents whose commands are run, in this order.
const DOCUMENTS: [&str; 9] = [
    "docs/API.md",
    "docs/ACCOUNTS.md",
    "docs/WEBHOOKS.md",
    "docs/NATS.md",
    "docs/ATTACHMENTS.md",
    "docs/NOTIFICATIONS.md",
    "docs/MODERATION.md",
    "docs/HOOKS.md",
    "README.md",
];

/// Operations on a held message, which needs a hook that holds it: `hooks::held` tests them.
const OF_HELD_MESSAGES: [&str; 2] = ["DELETE /api/held/{id}", "POST /api/held/{id}/release"];

/// Waits for conditions that a block assumes and that only need time.
async fn prepare(node: &Node, commands: &str) {
    let (path, list) = if commands.contains("/dead-letters") {
        ("/api/admin/webhooks/dead-letters", "deadLetters")
    } else if commands.contains("/deliveries") {
        ("/api/admin/webhooks", "webhooks")
    } else {
        return;
    };
    let host = node.internal();
    eventually_within(Duration::from_secs(30), list, || async {
        let page = host.get(path).await.expect(200);
        let first = page[list].as_array()?.last()?;
        let Some(id) = first["id"].as_str().filter(|_| list == "webhooks") else {
            return Some(());
        };
        let page = host.get(&format!("{path}/{id}/deliveries")).await;
        (!page.expect(200)["deliveries"].as_array()?.is_empty()).then_some(())
    })
    .await;
}

/// Sets `MAIL_TOKEN` to the token of the newest e-mail of the kind that a block uses.
async fn give_mail_token(receiver: &Receiver, shell: &mut Shell, commands: &str) {
    if !commands.contains("$MAIL_TOKEN") {
        return;
    }
    let kind = if commands.contains("/auth/reset") {
        "account.passwordReset"
    } else {
        "account.verification"
    };
    let mail = receiver.wait_for(kind, 1).await.pop().expect("an e-mail");
    let link = mail.event["link"].as_str().expect("a link");
    let token = link.split_once("#token=").expect("a token").1;
    shell.run(&format!("MAIL_TOKEN={token}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_answers_as_shown_and_every_operation_has_one() {
    let nats = Nats::with_hosts(&["shop"]).await;
    let receiver = Receiver::start().await;
    let service = Service::builder()
        .all_plugins()
        // Digests would add entries to the logs that the documents show.
        .toml("[plugins.notifications]\ndigest_seconds = 300\n")
        .nats(&nats)
        .env("NATS_SUBJECT_PREFIX", "chat")
        .env("ACCOUNTS_MAIL_URL", &receiver.url())
        .env("ACCOUNTS_MAIL_SECRET", MAIL_SECRET)
        .start()
        .await;
    let front = Front::before(&[&service], &[&service]).await;
    let mut faults = Vec::new();
    for name in DOCUMENTS {
        let mut shell = Shell::start(&front);
        let mut names = Names::default();
        let blocks = blocks(&read(name));
        for (n, block) in blocks.iter().enumerate() {
            let is_request = block.text.contains("curl ") || block.text.contains("./dev env");
            if block.language != "sh" || !is_request || block.text.contains("node ") {
                continue;
            }
            prepare(&front, &block.text).await;
            give_mail_token(&receiver, &mut shell, &block.text).await;
            let printed = shell.run(&block.text);
            let at = format!("{name}:{}", block.line);
            let next = blocks.get(n + 1);
            let shown = match next.filter(|next| next.follows && next.language != "sh") {
                Some(next) => shown::all(&next.text),
                None if printed.contains("\"statusCode\"") => Err("is refused".to_owned()),
                None => continue,
            };
            let fault = shown.and_then(|shown| shown::all_against(&shown, &printed, &mut names));
            if let Err(fault) = fault {
                faults.push(format!("{at} {fault}\n{printed}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));

    let taken: BTreeSet<(String, String)> = front
        .access_log()
        .iter()
        .filter(|line| line["status"].as_u64().is_some_and(|of| of < 400))
        .map(|line| {
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            (text("method"), text("path"))
        })
        .collect();
    let missing: Vec<String> = operations()
        .into_iter()
        .filter(|operation| {
            !taken
                .iter()
                .any(|(method, path)| *method == operation.method && is_of(path, &operation.path))
        })
        .map(|operation| format!("{} {}", operation.method, operation.path))
        .filter(|operation| !OF_HELD_MESSAGES.contains(&operation.as_str()))
        .collect();
    assert!(missing.is_empty(), "no example that works: {missing:#?}");
}

/// True if `path` matches `pattern`. A literal segment is not an id.
pub fn is_of(path: &str, pattern: &str) -> bool {
    const WORDS: [&str; 7] = [
        "me",
        "search",
        "sync",
        "public",
        "dead-letters",
        "replay",
        "uploads",
    ];
    let (path, pattern) = (path.split('/'), pattern.split('/'));
    path.clone().count() == pattern.clone().count()
        && path.zip(pattern).all(|(part, of)| {
            part == of || of.starts_with('{') && !WORDS.contains(&part) && !part.is_empty()
        })
}
