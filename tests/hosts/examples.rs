//! The hosts in `examples/`, with the official libraries, killed during work; and the operations that are forbidden to them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::json;

use super::{durable, rights::FORBIDDEN, service_on};
use crate::support::{Nats, User, eventually_within, mortal};

/// Maximum time for a program to finish.
const LONG: Duration = Duration::from_secs(60);

/// An example with its libraries, in a folder of its own.
struct Example {
    folder: tempfile::TempDir,
    program: &'static str,
    arguments: Vec<String>,
    variables: Vec<(&'static str, PathBuf)>,
}

impl Example {
    fn python() -> Self {
        let libraries = std::env::var("TEST_HOST_PYTHON").expect("./dev test brings them");
        Self::new(
            "host-python",
            "python3",
            "host.py",
            &libraries,
            "PYTHONPATH",
        )
    }

    /// Only where there is npm.
    fn node() -> Option<Self> {
        let libraries = std::env::var("TEST_HOST_NODE").ok()?;
        let example = Self::new("host-node", "node", "host.js", &libraries, "NODE_PATH");
        let modules = Path::new(&libraries).join("node_modules");
        std::os::unix::fs::symlink(modules, example.folder.path().join("node_modules"))
            .expect("a link");
        Some(example)
    }

    fn new(
        name: &str,
        program: &'static str,
        file: &str,
        libraries: &str,
        variable: &'static str,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("examples")
            .join(name);
        for entry in fs::read_dir(source).expect("the example").flatten() {
            let target = folder.path().join(entry.file_name());
            if entry.path().is_file() {
                fs::copy(entry.path(), target).expect("is copied");
            }
        }
        Self {
            folder,
            program,
            arguments: vec![file.to_owned()],
            variables: vec![(variable, PathBuf::from(libraries))],
        }
    }

    fn command(&self, nats: &Nats, arguments: &[String]) -> Command {
        let mut command = mortal(self.program);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .env("NATS_URL", nats.address())
            .env("SHOP_PASSWORD", nats.host_password())
            .stdin(Stdio::null());
        command
    }

    fn start(&self, nats: &Nats) -> Child {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .expect("a log");
        self.command(nats, &self.arguments)
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("it starts")
    }

    /// The ids of the events that it reports as handled, in order. It reports work that it did right before it was killed only after its restart.
    fn handled(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines()
            .filter_map(|line| line.strip_prefix("message.created ")?.split(' ').next())
            .map(str::to_owned)
            .collect()
    }
}

async fn say(user: &User, conversation: &str, numbers: std::ops::Range<usize>) {
    for n in numbers {
        user.say(conversation, &format!("order {n}")).await;
    }
}

async fn survives_a_kill(example: Example) {
    let nats = Nats::with_hosts(&["shop"]).await;
    let service = service_on(&nats).await;
    let wanted = json!({ "events": ["message.created"], "ackWaitSeconds": 2 });
    durable(&service, "shop", wanted).await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&bob, &[&alice]).await;
    let mut host = example.start(&nats);
    say(&bob, &conversation, 0..30).await;
    eventually_within(LONG, "it is in the middle", || async {
        (example.handled().len() >= 15).then_some(())
    })
    .await;
    host.kill().expect("is killed");
    host.wait().expect("it ended");
    say(&bob, &conversation, 30..60).await;
    let mut host = example.start(&nats);
    let log = service.sandbox().log(&conversation).await;
    assert!(log.len() > 60);
    // Sixty orders and sixty thanks, each an event.
    eventually_within(LONG, "it has dealt with everything", || async {
        let ids: BTreeSet<String> = example.handled().into_iter().collect();
        (ids.len() >= 120).then_some(())
    })
    .await;
    host.kill().expect("is killed");
    host.wait().expect("it ended");
    let logged: BTreeSet<String> = service
        .sandbox()
        .text("log")
        .await
        .split("\"_id\": String(\"")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
        .collect();
    let handled: BTreeSet<String> = example.handled().into_iter().collect();
    assert!(handled.is_subset(&logged));
    let mut thanks = Vec::new();
    let mut path = format!("/api/conversations/{conversation}/messages?limit=100");
    loop {
        let page = bob.get(&path).await.expect(200);
        for message in page["messages"].as_array().expect("a list") {
            let content = message["content"].as_str().unwrap_or_default();
            if content.starts_with("Thank you") {
                thanks.push(content.to_owned());
            }
        }
        match page["nextCursor"].as_str() {
            Some(cursor) => {
                path =
                    format!("/api/conversations/{conversation}/messages?limit=100&before={cursor}");
            }
            None => break,
        }
    }
    thanks.sort();
    let mut expected: Vec<String> = (0..60)
        .map(|n| format!("Thank you for your order {n}"))
        .collect();
    expected.sort();
    assert_eq!(thanks, expected, "one for each order, none twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_in_python_is_killed_and_misses_nothing() {
    survives_a_kill(Example::python()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_in_node_is_killed_and_misses_nothing() {
    if let Some(example) = Example::node() {
        survives_a_kill(example).await;
    }
}

/// Attempts every forbidden operation, and fails for each that is not refused with an error.
const IN_PYTHON: &str = r#"
import asyncio, json, os, nats
async def main():
    refused = []
    async def note(error): refused.append(str(error).lower())
    nc = await nats.connect(os.environ["NATS_URL"], user="shop", password=os.environ["SHOP_PASSWORD"], error_cb=note)
    for what, subject, payload in json.load(open("forbidden.json")):
        await nc.publish(subject, payload.encode(), reply=nc.new_inbox())
        await nc.flush()
        for _ in range(100):
            if any(f'publish to "{subject.lower()}"' in text for text in refused): break
            await asyncio.sleep(0.02)
        else: raise SystemExit(f"to {what} was not refused: {refused}")
    await nc.close()
asyncio.run(main())
"#;

/// The same.
const IN_NODE: &str = r#"
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, createInbox } from "@nats-io/transport-node";
const nc = await connect({ servers: process.env.NATS_URL, user: "shop", pass: process.env.SHOP_PASSWORD });
const refused = [];
(async () => { for await (const status of nc.status()) if (status.type === "error") refused.push(String(status.error).toLowerCase()); })();
for (const [what, subject, payload] of JSON.parse(readFileSync("forbidden.json", "utf8"))) {
  nc.publish(subject, payload, { reply: createInbox() });
  await nc.flush();
  let tries = 0;
  while (!refused.some((text) => text.includes(`publish to "${subject.toLowerCase()}"`))) {
    if (++tries > 100) throw new Error(`to ${what} was not refused: ${refused}`);
    await sleep(20);
  }
}
await nc.close();
"#;

async fn is_refused(example: Example, file: &str, script: &str) {
    let nats = Nats::with_hosts(&["shop"]).await;
    let folder = example.folder.path();
    fs::write(folder.join(file), script).expect("is written");
    let forbidden = serde_json::to_string(FORBIDDEN).expect("JSON");
    fs::write(folder.join("forbidden.json"), forbidden).expect("is written");
    let output = example
        .command(&nats, &[file.to_owned()])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_in_python_is_refused_what_it_has_no_right_to() {
    is_refused(Example::python(), "forbidden.py", IN_PYTHON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_in_node_is_refused_what_it_has_no_right_to() {
    if let Some(example) = Example::node() {
        is_refused(example, "forbidden.mjs", IN_NODE).await;
    }
}
