//! Runs the documents' commands in a shell, in order and through nginx, and compares the answers with those that are shown.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::Duration,
};

use super::{
    blocks, read,
    shown::{self, Like, Names},
};
use crate::{
    api::contract::operations,
    support::{Front, INTERNAL_SECRET, Nats, Node, Service, eventually_within, mortal},
};

/// The documents whose commands are run, in this order.
const DOCUMENTS: [&str; 4] = [
    "docs/API.md",
    "docs/WEBHOOKS.md",
    "docs/NATS.md",
    "README.md",
];

/// The line that marks the end of a block's output.
const END: &str = "== end of the block ==";

/// A reader's shell, in a folder where `./dev` is as in the repository.
struct Shell {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    _folder: tempfile::TempDir,
}

impl Shell {
    fn start(node: &Node) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let token = |user: &str| {
            let token = node.token(user).claim("iat", 0.into()).sign();
            format!("'token {user}') echo {token};;")
        };
        let text = format!(
            "#!/bin/sh\ncase \"$*\" in\nenv) echo 'export BASE_URL={} INTERNAL_API_SECRET={INTERNAL_SECRET}';;\n{}\nesac\n",
            node.api_url(),
            ["alice", "bob", "carol"].map(token).join("\n"),
        );
        let dev = folder.path().join("dev");
        fs::write(&dev, text).expect("a file");
        fs::set_permissions(&dev, fs::Permissions::from_mode(0o755)).expect("a program");
        let mut child = mortal("bash")
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut shell = Self {
            stdin: child.stdin.take().expect("a pipe"),
            stdout: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
            _folder: folder,
        };
        shell.run("exec 2>&1");
        // A stream that a reader ends with Ctrl-C ends by a time limit here.
        shell.run(
            r#"curl() { case " $* " in *" -N "*) command curl --max-time 2 "$@" ;; *) command curl "$@" ;; esac; }"#,
        );
        shell
    }

    /// Runs commands. Returns what they print.
    fn run(&mut self, commands: &str) -> String {
        writeln!(self.stdin, "{commands}\nprintf '\\n%s\\n' '{END}'").expect("it reads");
        let mut printed = String::new();
        loop {
            let from = printed.len();
            let read = self.stdout.read_line(&mut printed).expect("it writes");
            assert!(read > 0, "the shell ended: {printed}");
            if printed[from..].trim_end() == END {
                printed.truncate(from);
                return printed;
            }
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_answers_as_shown_and_every_operation_has_one() {
    let nats = Nats::with_hosts(&["shop"]).await;
    let service = Service::builder()
        .nats(&nats)
        .env("NATS_SUBJECT_PREFIX", "chat")
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
            let printed = shell.run(&block.text);
            let at = format!("{name}:{}", block.line);
            let next = blocks.get(n + 1);
            let shown = match next.filter(|next| next.follows && next.language != "sh") {
                Some(next) => shown::all(&next.text),
                None if printed.contains("\"statusCode\"") => Err("is refused".to_owned()),
                None => continue,
            };
            let real = shown::printed(&printed);
            let fault = shown.and_then(|shown| {
                if shown.len() != real.len() {
                    return Err(format!("shows {} answers of {}", shown.len(), real.len()));
                }
                let mut both = shown.iter().zip(&real);
                both.try_for_each(|(shown, real)| shown.against(real, Like::Value, &mut names))
            });
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
        .collect();
    assert!(missing.is_empty(), "no example that works: {missing:#?}");
}

/// True if `path` matches `pattern`. A literal segment is not an id.
fn is_of(path: &str, pattern: &str) -> bool {
    const WORDS: [&str; 6] = ["me", "search", "sync", "public", "dead-letters", "replay"];
    let (path, pattern) = (path.split('/'), pattern.split('/'));
    path.clone().count() == pattern.clone().count()
        && path.zip(pattern).all(|(part, of)| {
            part == of || of.starts_with('{') && !WORDS.contains(&part) && !part.is_empty()
        })
}
