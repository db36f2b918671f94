//! A reader's shell, in which the commands of a document run.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use crate::support::{INTERNAL_SECRET, JWT_SECRET, Node, mortal};

/// The line that marks the end of a block's output.
const END: &str = "== end of the block ==";

/// Time in seconds after which a shell ends, and the test fails with its output.
const LIMIT: &str = "300";

/// A shell in a folder that looks like the repository: `./dev` answers for the running service.
pub struct Shell {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    folder: tempfile::TempDir,
}

impl Shell {
    pub fn start(node: &Node) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let token = |user: &str| {
            let token = node.token(user).claim("iat", 0.into()).sign();
            format!("'token {user}') echo {token};;")
        };
        let text = format!(
            "#!/bin/sh\ncase \"$*\" in\n\
             env) echo 'export BASE_URL={} AUTH_JWT_SECRET={JWT_SECRET} INTERNAL_API_SECRET={INTERNAL_SECRET}';;\n\
             smoke*) exec {} \"$@\";;\n{}\nesac\n",
            node.api_url(),
            root.join("dev").display(),
            ["alice", "bob", "carol", "dana", "erik"]
                .map(token)
                .join("\n"),
        );
        let dev = folder.path().join("dev");
        fs::write(&dev, text).expect("a file");
        fs::set_permissions(&dev, fs::Permissions::from_mode(0o755)).expect("a program");
        let programs = folder.path().join("target/debug");
        fs::create_dir_all(&programs).expect("a folder");
        let program = env!("CARGO_BIN_EXE_chat-service");
        symlink(program, programs.join("chat-service")).expect("a link");
        symlink(root.join("examples"), folder.path().join("examples")).expect("a link");
        let mut child = mortal("timeout")
            .args([LIMIT, "bash"])
            .current_dir(folder.path())
            .env("CHAT", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut shell = Self {
            stdin: child.stdin.take().expect("a pipe"),
            stdout: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
            folder,
        };
        shell.run("exec 2>&1; trap 'kill $(jobs -p) 2>/dev/null' EXIT");
        // A stream that a reader ends with Ctrl-C ends by a time limit here.
        shell.run(
            r#"curl() { case " $* " in *" -N "*) command curl --max-time 2 "$@" ;; *) command curl "$@" ;; esac; }"#,
        );
        shell
    }

    /// The folder in which the shell starts.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs commands. Returns what they print.
    pub fn run(&mut self, commands: &str) -> String {
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
        // The shell ends its own jobs. The time limit, and then the end of the test process, end a shell that does not read.
        if writeln!(self.stdin, "exit").is_err() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
