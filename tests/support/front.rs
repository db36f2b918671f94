//! A real nginx with the repository's own configuration, in front of the nodes of a test.
//!
//! It derefs to a [`Node`] with nginx's addresses, so users, sockets and everything else work through it unchanged. Its limits per address exempt loopback, and
//! so the tests.

use std::{
    fs,
    net::SocketAddr,
    ops::Deref,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::{
    check::eventually,
    isolation::{Sandbox, program},
    node::Node,
    process::{free_port, mortal_by, signal},
};

/// A running nginx. It and its workers end with the handle, and with the test process.
pub struct Front {
    node: Node,
    child: Child,
    folder: TempDir,
    port: u16,
    origins: String,
}

impl Deref for Front {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl Front {
    /// An nginx before the REST of `api` and the sockets of `ws`, ready.
    pub async fn before(api: &[&Node], ws: &[&Node]) -> Self {
        let place = Arc::clone(api.first().or(ws.first()).expect("a node").sandbox());
        Self::start(place, &addresses_of_api(api), &addresses_of_ws(ws)).await
    }

    /// The same, with other pages than all allowed to read its own errors.
    pub async fn before_allowing(origins: &str, node: &Node) -> Self {
        let (api, ws) = (addresses_of_api(&[node]), addresses_of_ws(&[node]));
        Self::begin(Arc::clone(node.sandbox()), &api, &ws, origins)
            .await
            .ready()
            .await
    }

    /// An nginx before anything that answers HTTP at these addresses of loopback, ready.
    pub async fn start(place: Arc<Sandbox>, api: &[SocketAddr], ws: &[SocketAddr]) -> Self {
        Self::start_unready(place, api, ws).await.ready().await
    }

    async fn ready(self) -> Self {
        let mut front = self;
        let said = front.path("said");
        let child = &mut front.child;
        front
            .node
            .wait_ready(|| {
                let status = child.try_wait().expect("a child")?;
                let said = fs::read_to_string(&said).unwrap_or_default();
                Some(format!("{status}\n{said}"))
            })
            .await;
        front
    }

    /// An nginx that listens, whoever is behind it or not.
    pub async fn start_unready(place: Arc<Sandbox>, api: &[SocketAddr], ws: &[SocketAddr]) -> Self {
        Self::begin(place, api, ws, "*").await
    }

    async fn begin(
        place: Arc<Sandbox>,
        api: &[SocketAddr],
        ws: &[SocketAddr],
        origins: &str,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        render(folder.path(), port, origins, api, ws);
        let front = Self {
            node: Node::new(place, Some(port), Some(port)),
            child: command(folder.path()).spawn().expect("nginx starts"),
            folder,
            port,
            origins: origins.to_owned(),
        };
        eventually("nginx listens", || async move {
            TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        front
    }

    /// Gives it other nodes, as an operator does: a new file, then SIGHUP. It takes the file a moment later.
    pub fn reload(&self, api: &[&Node], ws: &[&Node]) {
        let (api, ws) = (addresses_of_api(api), addresses_of_ws(ws));
        render(self.folder.path(), self.port, &self.origins, &api, &ws);
        signal(&self.child, Signal::HUP);
    }

    /// The lines of its access log.
    #[track_caller]
    pub fn access_log(&self) -> Vec<Value> {
        let lines = self.access_log_text();
        let lines = lines.lines().map(|line| {
            serde_json::from_str(line).unwrap_or_else(|_| panic!("a line of the log: {line}"))
        });
        lines.collect()
    }

    /// Its access log as it was written.
    pub fn access_log_text(&self) -> String {
        fs::read_to_string(self.path("access.log")).unwrap_or_default()
    }

    /// Its error log and its standard output.
    pub fn error_log_text(&self) -> String {
        let read = |name| fs::read_to_string(self.path(name)).unwrap_or_default();
        read("error.log") + &read("said")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn addresses_of_api(nodes: &[&Node]) -> Vec<SocketAddr> {
    nodes.iter().map(|node| address(node.api_url())).collect()
}

fn addresses_of_ws(nodes: &[&Node]) -> Vec<SocketAddr> {
    nodes.iter().map(|node| address(node.ws_url())).collect()
}

/// The address in a URL of a node.
fn address(url: &str) -> SocketAddr {
    let authority = url
        .split('/')
        .nth(2)
        .expect("a URL of a node with the role");
    authority.parse().expect("an address")
}

/// Writes its configuration, as `./dev up` does.
fn render(folder: &Path, port: u16, origins: &str, api: &[SocketAddr], ws: &[SocketAddr]) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("nginx");
    let servers = |addresses: &[SocketAddr]| {
        let servers = addresses.iter().map(|address| format!("server {address};"));
        servers.collect::<Vec<_>>().join(" ")
    };
    let path = |name: &str| folder.join(name).display().to_string();
    let mut text = fs::read_to_string(source.join("chat.conf.template")).expect("the template");
    for (name, value) in [
        ("NGINX_LISTEN", format!("127.0.0.1:{port}")),
        ("NGINX_API_SERVERS", servers(api)),
        ("NGINX_WS_SERVERS", servers(ws)),
        ("NGINX_ALLOWED_ORIGINS", origins.to_owned()),
        ("NGINX_RESOLVER", String::new()),
        ("NGINX_PAGE_DIR", path("page")),
        ("NGINX_DOCS_DIR", path("docs")),
        ("NGINX_RUN_DIR", folder.display().to_string()),
        ("NGINX_ACCESS_LOG", path("access.log")),
        ("NGINX_ERROR_LOG", path("error.log")),
        ("NGINX_WORKER_CONNECTIONS", "1024".to_owned()),
    ] {
        text = text.replace(&format!("${{{name}}}"), &value);
    }
    fs::write(folder.join("nginx.conf"), text).expect("a file");
    let includes = folder.join("includes");
    if !includes.exists() {
        symlink(source.join("includes"), includes).expect("a link");
    }
}

fn command(folder: &Path) -> Command {
    let mut directives = "daemon off;".to_owned();
    if rustix::process::geteuid().is_root() {
        // As root its workers would switch to another user, who may not read the folders of this one.
        directives.push_str(" user root;");
    }
    // Asked to end, the first process takes its workers with it; killed, it would leave them behind.
    let mut command = mortal_by("TERM", &program("NGINX"));
    let said = fs::File::create(folder.join("said")).expect("a file");
    command
        .arg("-p")
        .arg(folder)
        .arg("-c")
        .arg(folder.join("nginx.conf"))
        .args(["-g", &directives])
        // A variable of this name tells nginx to inherit listening sockets.
        .env_remove("NGINX")
        .stdin(Stdio::null())
        .stdout(said.try_clone().expect("a file"))
        .stderr(said);
    command
}

impl Drop for Front {
    fn drop(&mut self) {
        signal(&self.child, Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
