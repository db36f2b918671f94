"""Deploys releases to this machine, through an ssh server of its own: clients behind nginx notice neither a new release, nor one that does not work, nor a
rollback. Ends with 0 if everything is as it should be.

From the environment: SETTINGS of the service, one NAME=value a line; the programs BINARY, SSHD and NGINX_PROGRAM.
"""
import base64
import hashlib
import hmac
import json
import os
import platform
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = dict(line.split("=", 1) for line in os.environ["SETTINGS"].splitlines())
BEGUN = time.monotonic()
ARCH = platform.machine()


def log(text):
    print(f"{time.monotonic() - BEGUN:6.1f} s  {text}", flush=True)


def check(condition, text):
    if not condition:
        raise SystemExit(f"FAILED: {text}")


def run(*command, **options):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    check(done.returncode == 0, f"{command}: {done.stdout}")
    return done.stdout


def write(path, text, mode=0o644):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def token(user):
    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    claims = {"sub": user, "iat": int(time.time()), "exp": int(time.time()) + 3600}
    head = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps(claims).encode())
    mac = hmac.new(SETTINGS["AUTH_JWT_SECRET"].encode(), head, hashlib.sha256).digest()
    return (head + b"." + part(mac)).decode()


class Host:
    """An ssh server, an nginx, and a deployment beside them."""

    def __init__(self, folder):
        self.folder, self.base = folder, folder / "srv"
        ssh_port, self.http_port, *self.ports = free_ports(6)
        for key in ("host", "key"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key))
        write(folder / "sshd_config", f"Port {ssh_port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\n"
              f"AuthorizedKeysFile {folder}/key.pub\nPasswordAuthentication no\nUsePAM no\nStrictModes no\n"
              "PermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n")
        write(folder / "known", f"[127.0.0.1]:{ssh_port} {(folder / 'host.pub').read_text()}")
        write(folder / "ssh_config", f"Host box\nHostName 127.0.0.1\nPort {ssh_port}\nUser {run('id', '-un')}IdentityFile {folder}/key\n"
              f"IdentitiesOnly yes\nUserKnownHostsFile {folder}/known\nStrictHostKeyChecking yes\n")
        # nginx reads these files at its start, which is before the first deployment here.
        for kind, port in (("api", self.ports[0]), ("ws", self.ports[1])):
            write(self.base / f"nginx/{kind}.conf", f"server 127.0.0.1:{port};\n")
        self.configure(0o600)
        # They end with this program, whatever ends it.
        mortal = ["setpriv", "--pdeathsig", "TERM"]
        self.processes = [
            subprocess.Popen([*mortal, os.environ["SSHD"], "-D", "-E", f"{folder}/sshd.log", "-f", f"{folder}/sshd_config"]),
            subprocess.Popen([*mortal, *self.nginx_command()]),
        ]

    def configure(self, mode):
        lines = (f"{name}={value}\n" for name, value in SETTINGS.items())
        write(self.base / "config/.env", "".join(lines), mode)

    def nginx_command(self):
        folder = self.folder / "nginx"
        folder.mkdir()
        (folder / "includes").symlink_to(ROOT / "nginx/includes")
        text = (ROOT / "nginx/chat.conf.template").read_text()
        for name, value in {
            "LISTEN": f"127.0.0.1:{self.http_port}", "API_SERVERS": f"include {self.base}/nginx/api.conf;",
            "WS_SERVERS": f"include {self.base}/nginx/ws.conf;", "ALLOWED_ORIGINS": "*", "RESOLVER": "", "PAGE_DIR": f"{folder}/page",
            "DOCS_DIR": f"{folder}/docs", "RUN_DIR": str(folder), "ACCESS_LOG": f"{folder}/access.log", "ERROR_LOG": f"{folder}/error.log",
            "WORKER_CONNECTIONS": "1024",
        }.items():
            text = text.replace("${NGINX_" + name + "}", value)
        write(folder / "nginx.conf", text)
        self.reload = f"kill -HUP $(cat {folder}/nginx.pid)"
        user = " user root;" if os.geteuid() == 0 else ""
        return [os.environ["NGINX_PROGRAM"], "-p", str(folder), "-c", f"{folder}/nginx.conf", "-g", f"daemon off;{user}"]

    def command(self, *words):
        return ["bash", str(ROOT / "deploy.sh"), *words[:2 if words[0] == "deploy" else 1], "box", *words[2 if words[0] == "deploy" else 1:],
                "--ssh-config", f"{self.folder}/ssh_config", "--base", str(self.base)]

    def environment(self):
        # Variables of the caller have no effect on what runs.
        return {**os.environ, "PORT": "1", "MONGODB_URI": "mongodb://127.0.0.1:1/wrong", "BASE": "/nonexistent", "KEEP": "0"}

    def call(self, *words):
        done = subprocess.run(self.command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env=self.environment())
        log(f"deploy.sh {words[0]} ended with {done.returncode}")
        for name in ("AUTH_JWT_SECRET", "INTERNAL_API_SECRET", "SECRETS_KEY", "NATS_URL"):
            check(SETTINGS[name] not in done.stdout, f"{name} is in the output: {done.stdout}")
        return done

    def succeeds(self, *words):
        done = self.call(*words)
        check(done.returncode == 0, f"{words}: {done.stdout}")
        return done.stdout

    def fails(self, text, *words):
        done = self.call(*words)
        last = (done.stdout.splitlines() or [""])[-1]
        check(done.returncode == 1, f"{words}: expected a failure: {done.stdout}")
        check(last.startswith("error: ") and text in last, f"{words}: expected '{text}' in the last line: {done.stdout}")
        return last

    def running(self):
        """Pids of the processes in the slots."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if f"{self.base}/slots/".encode() in path.read_bytes():
                    found.append(int(path.parent.name))
            except OSError:
                pass
        return found

    def check_runs(self, version):
        status = self.succeeds("status")
        check(f"version     {version}\n" in status and "health      ready" in status and "unfinished" not in status, status)
        check((self.base / "current/VERSION").read_text().strip() == version, "the link `current` has another version")
        pids = self.running()
        check(len(pids) == 1, f"expected one process: {pids}")
        program = os.readlink(f"/proc/{pids[0]}/exe")
        check(program.startswith(f"{self.base}/releases/{version}/"), f"{program} runs")
        answer = self.http("GET", "/api/status", {"X-Internal-Secret": SETTINGS["INTERNAL_API_SECRET"]}, port=self.active_port())
        check(version.startswith(answer["version"] + "+"), f"{answer['version']} answers")

    def active_port(self):
        return self.ports[0 if os.readlink(self.base / "current").endswith("a") else 2]

    def http(self, method, path, headers, body=None, port=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port or self.http_port}{path}", data, {"Content-Type": "application/json", **headers}, method=method)
        with urllib.request.urlopen(request, timeout=15) as answer:
            return json.load(answer)

    def close(self):
        # First the shells that would start the processes again.
        for path in (self.base / "run").glob("*.keeper"):
            try:
                os.killpg(int(path.read_text()), signal.SIGKILL)
            except (OSError, ValueError):
                pass
        for pid in self.running():
            os.kill(pid, signal.SIGKILL)
        for process in self.processes:
            process.terminate()
            process.wait()


class Chat:
    """Alice and a group of her, behind nginx; with a request every 20 ms in the background."""

    def __init__(self, host):
        self.host, self.faults, self.count, self.is_over = host, [], 0, False
        host.http("POST", "/api/users/sync", {"X-Internal-Secret": SETTINGS["INTERNAL_API_SECRET"]}, {"externalUserId": "alice", "name": "Alice"})
        self.headers = {"Authorization": f"Bearer {token('alice')}"}
        self.conversation = host.http("POST", "/api/conversations", self.headers, {"type": "group", "name": "Deployments", "participantIds": []})["id"]
        self.texts = []
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        while not self.is_over:
            try:
                self.host.http("GET", "/api/users/me", self.headers)
            except (OSError, ValueError) as error:
                self.faults.append(f"{time.monotonic() - BEGUN:.1f} s: {error!r}")
            self.count += 1
            time.sleep(0.02)

    def say(self, text):
        """Sends a message, and fails unless the history has all messages."""
        path = f"/api/conversations/{self.conversation}/messages"
        self.host.http("POST", path, self.headers, {"content": text, "clientMessageId": text})
        self.texts.append(text)
        history = json.dumps(self.host.http("GET", path + "?limit=50", self.headers))
        check(all(one in history for one in self.texts), f"a message is missing: {history}")

    def end(self):
        self.is_over = True
        self.thread.join()
        check(not self.faults, f"{len(self.faults)} of {self.count} requests failed: {self.faults[:5]}")
        log(f"{self.count} requests were answered")


def package(folder):
    """Makes an archive with ./dev release, from the binary of the tests. The bill of materials is not the subject."""
    write(folder / "cyclonedx", '#!/bin/sh\nwhile [ "$1" != --override-filename ]; do shift; done\necho \'{"bomFormat":"CycloneDX"}\' >"$2.json"\n', 0o755)
    run("strip", "-o", str(folder / "chat-service"), os.environ["BINARY"])
    environment = {**os.environ, "CHAT_BINARY": str(folder / "chat-service"), "CYCLONEDX": str(folder / "cyclonedx")}
    environment.pop("SSHD")
    run("bash", str(ROOT / "dev"), "release", "--label", "a", "--output", str(folder), env=environment)
    (archive,) = folder.glob("chat-service-*.tar.gz")
    run("sha256sum", "--strict", "-c", f"{archive.name}.sha256", cwd=folder)
    run("tar", "-xzf", archive.name, cwd=folder)
    unpacked = folder / archive.name.removesuffix(".tar.gz")
    run("sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS", cwd=unpacked)
    for name in ("bin/chat-service", "nginx/chat.conf.template", "nats/nats.conf", "LICENSE", "sbom.cdx.json", "docs/OPERATIONS.md", "deploy.sh"):
        check((unpacked / name).is_file(), f"{name} is not in the archive")
    return archive, unpacked


# A program that is ready at once, and ends three seconds later.
SHORT_LIVED = """#!/usr/bin/env python3
import http.server, os, sys, threading, time

class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

if sys.argv[1] == "serve":
    for name in ("PORT", "WS_PORT"):
        server = http.server.HTTPServer(("127.0.0.1", int(os.environ[name])), Ready)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    time.sleep(3)
    os._exit(1)
"""


def repackage(unpacked, label, script, with_real=False):
    """Makes another release whose program is a script. It has the real program under the name bin/real, if asked for."""
    version = (unpacked / "VERSION").read_text().split("+")[0]
    name = f"chat-service-{version}+{label}-linux-{ARCH}"
    release = unpacked.parent / name
    (release / "bin").mkdir(parents=True)
    if with_real:
        os.link(unpacked / "bin/chat-service", release / "bin/real")
    write(release / "VERSION", f"{version}+{label}\n")
    write(release / "bin/chat-service", script, 0o755)
    run("sh", "-c", "find . -type f ! -name SHA256SUMS -exec sha256sum {} + >../sums && mv ../sums SHA256SUMS", cwd=release)
    run("tar", "-I", "gzip -1", "-cf", f"{name}.tar.gz", name, cwd=release.parent)
    return str(release.parent / f"{name}.tar.gz")


def main():
    with tempfile.TemporaryDirectory(prefix="chat-deploy-") as name:
        folder = Path(name)
        archives = folder / "archives"
        archives.mkdir()
        archive, unpacked = package(archives)
        log("packaged")
        host = Host(folder)
        try:
            trial(host, archive, unpacked)
        finally:
            host.close()


def trial(host, archive, unpacked):
    a = (unpacked / "VERSION").read_text().strip()
    ports = ",".join(map(str, host.ports))
    options = ["--ports", ports, "--observe", "1", "--wait", "30", "--supervisor", "none", "--keep", "3", "--reload", host.reload]

    # A host without a release, an archive that is not whole, and a configuration that everybody can read.
    deadline = time.monotonic() + 10
    while "No release is deployed" not in host.call("status").stdout:
        check(time.monotonic() < deadline, "sshd does not answer: " + (host.folder / "sshd.log").read_text())
        time.sleep(0.2)
    cut = unpacked.parent / archive.name.replace("+a-", "+cut-")
    cut.write_bytes(archive.read_bytes()[:100_000])
    host.fails("cannot be unpacked", "deploy", str(cut), *options)
    host.configure(0o644)
    host.fails("chmod o=", "deploy", str(archive), *options)
    host.configure(0o600)
    check(not (host.base / "current").exists(), "something was deployed")

    host.succeeds("deploy", str(archive), *options)
    host.check_runs(a)
    chat = Chat(host)
    chat.say("with the first release")
    # From here on no option is repeated: the host has stored them.
    check("already running" in host.succeeds("deploy", str(archive)), "a second deployment changed something")
    host.fails("no release before", "rollback")

    # A release that is never ready, and one that ends soon after it was.
    never = repackage(unpacked, "never", '#!/bin/sh\n[ "$1" != serve ] || exec sleep 1000\n')
    host.fails(f"not ready after 3 seconds. {a} still serves", "deploy", never, "--wait", "3")
    host.check_runs(a)
    dies = repackage(unpacked, "dies", SHORT_LIVED)
    # On a slow machine it may end before anybody has seen it ready.
    last = host.fails(f". {a} still serves", "deploy", dies, "--observe", "8")
    check("soon after its start" in last or "stopped at its start" in last, last)
    host.check_runs(a)
    chat.say("after two releases that did not work")

    # A release that needs a while.
    slow = repackage(unpacked, "b", '#!/bin/sh\n[ "$1" != serve ] || sleep 2\nexec "$(dirname "$0")/real" "$@"\n', with_real=True)
    b = a.replace("+a", "+b")
    host.succeeds("deploy", slow)
    host.check_runs(b)
    chat.say("with the second release")

    # The connection breaks in the middle of a rollback. The host goes on to its end.
    caller = subprocess.Popen(host.command("rollback"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=host.environment(), start_new_session=True)
    check(any("Starting" in line for line in caller.stdout), "the rollback did not begin")
    os.killpg(caller.pid, signal.SIGKILL)
    caller.wait()
    log("the connection is cut")
    deadline = time.monotonic() + 40
    lock = ["flock", "-n", str(host.base / "run/lock"), "true"]
    while (host.base / "current/VERSION").read_text().strip() != a or subprocess.run(lock).returncode != 0:
        check(time.monotonic() < deadline, "the rollback did not end")
        time.sleep(0.1)
    host.check_runs(a)
    chat.say("after the rollback")
    chat.end()
    releases = sorted(os.listdir(host.base / "releases"))
    check(a in releases and b in releases and len(releases) <= 4, f"releases: {releases}")
    host.succeeds("stop")
    check(host.running() == [], "something still runs")


if __name__ == "__main__":
    main()
