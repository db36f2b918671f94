//! The real binary as a child process, for behaviour that needs a process: signals, crashes, fail points.

use std::{
    fs::File,
    net::TcpListener,
    ops::Deref,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{check::eventually_within, isolation::Sandbox, node::Node};

/// A running binary. Killed with its handle, and with the test process.
pub struct Process {
    node: Node,
    child: Child,
    roles: String,
    settings: Vec<(String, String)>,
    folder: TempDir,
}

impl Deref for Process {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

/// A port of loopback that is free at this moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A command that dies with the test process, where the system can arrange that.
pub fn mortal(program: &str) -> Command {
    mortal_by("KILL", program)
}

/// A command that gets `signal` when the test process dies, where the system can arrange that.
pub fn mortal_by(signal: &str, program: &str) -> Command {
    let setpriv = std::path::Path::new("/usr/bin/setpriv");
    if setpriv.exists() {
        let mut command = Command::new(setpriv);
        command.args(["--pdeathsig", signal, program]);
        command
    } else {
        Command::new(program)
    }
}

/// Sends `signal` to a child.
pub fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .expect("a pid");
    let _ = kill_process(pid, signal);
}

/// Freezes a child, and waits until all its threads have stopped, because the signal takes effect a moment later.
pub fn freeze(child: &Child) {
    signal(child, Signal::STOP);
    let tasks = format!("/proc/{}/task", child.id());
    let deadline = Instant::now() + Duration::from_secs(2);
    let stands_still = |task: &std::path::Path| {
        let stat = std::fs::read_to_string(task.join("stat")).unwrap_or_default();
        // The state follows the name, which is in brackets.
        stat.rsplit(')')
            .next()
            .is_none_or(|rest| rest.trim_start().starts_with('T') || rest.is_empty())
    };
    while Instant::now() < deadline {
        // On systems without /proc, only the deadline applies.
        if let Ok(tasks) = std::fs::read_dir(&tasks)
            && tasks.flatten().all(|task| stands_still(&task.path()))
        {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Process {
    pub(super) async fn start(
        place: Arc<Sandbox>,
        roles: &str,
        mut settings: Vec<(String, String)>,
    ) -> Self {
        let has = |role: &str| roles == "all" || roles.contains(role);
        let mut port = |variable: &str, is_wanted: bool| {
            let port = free_port();
            settings.retain(|(name, _)| name != variable);
            settings.push((variable.to_owned(), port.to_string()));
            is_wanted.then_some(port)
        };
        // A process that only works shows its health on the port of the API.
        let api_port = port("PORT", has("api") || !has("ws"));
        let ws_port = port("WS_PORT", has("ws"));
        let folder = tempfile::tempdir().expect("a folder");
        let child = launch(&folder, roles, &settings);
        let mut process = Self {
            node: Node::new(place, api_port, ws_port),
            child,
            roles: roles.to_owned(),
            settings,
            folder,
        };
        process.wait_ready().await;
        process
    }

    async fn wait_ready(&mut self) {
        let log = self.folder.path().join("log");
        let child = &mut self.child;
        self.node
            .wait_ready(|| {
                let status = child.try_wait().expect("a child")?;
                Some(format!(
                    "{status}\n{}",
                    std::fs::read_to_string(&log).unwrap_or_default()
                ))
            })
            .await;
    }

    /// The log output so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Current memory in MiB, and its maximum since [`Process::forget_peak`].
    pub fn memory(&self) -> (u64, u64) {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).expect("the process lives");
        let mib = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let kib = line.and_then(|line| line.split_whitespace().next());
            kib.expect("a field").parse::<u64>().expect("a number") / 1024
        };
        (mib("VmRSS:"), mib("VmHWM:"))
    }

    /// Resets the maximum of the memory.
    pub fn forget_peak(&self) {
        let path = format!("/proc/{}/clear_refs", self.child.id());
        std::fs::write(path, "5").expect("the process lives");
    }

    /// Kills it.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        signal(&self.child, Signal::TERM);
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually_within(Duration::from_secs(20), "the process ends", || {
            let status = child.try_wait().expect("a child");
            async move { status }
        })
        .await
    }

    /// Starts it again on the same ports, without the fail point that it had, and waits until it is ready.
    pub async fn restart(&mut self) {
        self.kill();
        self.settings.retain(|(name, _)| name != "CHAT_FAILPOINT");
        self.child = launch(&self.folder, &self.roles, &self.settings);
        self.wait_ready().await;
    }
}

fn launch(folder: &TempDir, roles: &str, settings: &[(String, String)]) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.path().join("log"))
        .expect("a log");
    mortal(env!("CARGO_BIN_EXE_chat-service"))
        .args(["serve", "--roles", roles])
        .env_clear()
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .spawn()
        .expect("the binary starts")
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines.len().saturating_sub(40);
            // The last log lines of the process are part of the failure report.
            #[expect(
                clippy::print_stderr,
                reason = "a failing test shows the log of its process"
            )]
            {
                eprintln!(
                    "--- the last lines of {} --roles {}\n{}",
                    self.node.api_url(),
                    self.roles,
                    lines[last..].join("\n")
                );
            }
        }
    }
}
