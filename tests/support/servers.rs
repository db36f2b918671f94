//! A MongoDB and a NATS of a single test, which may stop, kill and freeze them and delete their data.

use std::{
    fs,
    io::Read,
    net::TcpStream,
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use mongodb::bson::doc;
use rustix::process::Signal;
use tempfile::TempDir;

use super::{
    check::eventually_within,
    isolation::program,
    process::{free_port, freeze, mortal, signal},
};

/// Maximum time for a server to start.
const START: Duration = Duration::from_secs(30);

/// A mongod as a replica set of one.
pub struct Mongod {
    folder: TempDir,
    port: u16,
    child: Child,
}

/// A nats-server with JetStream.
pub struct Nats {
    folder: TempDir,
    port: u16,
    child: Child,
}

fn end(child: &mut Child) {
    // A frozen process takes no other signal.
    signal(child, Signal::CONT);
    let _ = child.kill();
    let _ = child.wait();
}

impl Mongod {
    /// A new one, writable.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let child = launch_mongod(folder.path(), port);
        let mongod = Self {
            folder,
            port,
            child,
        };
        let client = mongod.client().await;
        let config = doc! {
            "_id": "rs0",
            "version": 1,
            "members": [{ "_id": 0, "host": format!("127.0.0.1:{port}") }],
            "settings": { "electionTimeoutMillis": 500 },
        };
        eventually_within(START, "mongod is a replica set", || async {
            let admin = client.database("admin");
            admin
                .run_command(doc! { "replSetInitiate": config.clone() })
                .await
                .ok()
        })
        .await;
        mongod.wait_writable().await;
        mongod
    }

    /// Its address.
    pub fn uri(&self) -> String {
        format!("mongodb://127.0.0.1:{}/?replicaSet=rs0", self.port)
    }

    async fn client(&self) -> mongodb::Client {
        let uri = format!(
            "mongodb://127.0.0.1:{}/?directConnection=true&serverSelectionTimeoutMS=500&connectTimeoutMS=500",
            self.port
        );
        mongodb::Client::with_uri_str(uri).await.expect("a client")
    }

    async fn wait_writable(&self) {
        let client = self.client().await;
        eventually_within(START, "mongod is the primary", || async {
            let hello = client
                .database("admin")
                .run_command(doc! { "hello": 1 })
                .await
                .ok()?;
            hello.get_bool("isWritablePrimary").ok().filter(|is| *is)
        })
        .await;
    }

    /// Kills it.
    pub fn kill(&mut self) {
        end(&mut self.child);
    }

    /// Starts it again with its data.
    pub async fn restart(&mut self) {
        self.kill();
        self.child = launch_mongod(self.folder.path(), self.port);
        self.wait_writable().await;
    }

    /// Freezes it: connections stay, answers do not come.
    pub fn freeze(&self) {
        freeze(&self.child);
    }

    /// Unfreezes it.
    pub fn thaw(&self) {
        signal(&self.child, Signal::CONT);
    }
}

fn launch_mongod(folder: &Path, port: u16) -> Child {
    let data = folder.join("data");
    fs::create_dir_all(&data).expect("a folder");
    mortal(&program("MONGOD"))
        .arg("--dbpath")
        .arg(&data)
        .args(["--bind_ip", "127.0.0.1", "--port", &port.to_string()])
        .args([
            "--replSet",
            "rs0",
            "--oplogSize",
            "64",
            "--wiredTigerCacheSizeGB",
            "0.25",
        ])
        .args(["--nounixsocket", "--quiet"])
        .args(["--setParameter", "diagnosticDataCollectionEnabled=false"])
        .arg("--logpath")
        .arg(folder.join("log"))
        .arg("--logappend")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("mongod starts")
}

impl Drop for Mongod {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// The service's password in a NATS of [`Nats::with_hosts`].
const BROKER_PASSWORD: &str = "test_broker";
/// The passwords of its hosts.
const HOST_PASSWORD: &str = "test_host";

impl Nats {
    /// A new one, empty, with the configuration of `nats/` and these hosts.
    pub async fn with_hosts(hosts: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        configure(&folder.path().join("conf"), hosts);
        Self::begin(folder).await
    }

    /// A new one, empty, with the configuration of `nats/` and these plugins, which have hooks.
    pub async fn with_plugins(plugins: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let conf = folder.path().join("conf");
        configure(&conf, &[]);
        let (mut includes, mut imports) = (String::new(), String::new());
        let sample = fs::read_to_string(conf.join("hosts/words.conf")).expect("the sample");
        for plugin in plugins {
            let own = sample.replace("words", plugin);
            let own = own.replace("WORDS", &plugin.to_uppercase());
            fs::write(conf.join(format!("hosts/{plugin}.conf")), own).expect("a file");
            includes.push_str(&format!("include \"{plugin}.conf\"\n"));
            imports.push_str(&format!(
                "{{ service: {{ account: {plugin}, subject: \"chat.hook.{plugin}\" }} }}\n"
            ));
        }
        fs::write(conf.join("hosts/all.conf"), includes).expect("a file");
        let imports = format!("imports: [\n{imports}]\n");
        fs::write(conf.join("hosts/hooks.conf"), imports).expect("a file");
        Self::begin(folder).await
    }

    /// A new one, empty.
    pub async fn start() -> Self {
        Self::begin(tempfile::tempdir().expect("a folder")).await
    }

    async fn begin(folder: TempDir) -> Self {
        let port = free_port();
        let child = launch_nats(folder.path(), port);
        let nats = Self {
            folder,
            port,
            child,
        };
        nats.wait_ready().await;
        nats
    }

    /// Its address, with the service's login where it has one.
    pub fn url(&self) -> String {
        if self.configuration().exists() {
            format!("nats://chat:{BROKER_PASSWORD}@127.0.0.1:{}", self.port)
        } else {
            format!("nats://127.0.0.1:{}", self.port)
        }
    }

    /// Its address without a login.
    pub fn address(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The password of its hosts.
    pub fn host_password(&self) -> &'static str {
        HOST_PASSWORD
    }

    /// The folder of its configuration.
    pub fn configuration(&self) -> std::path::PathBuf {
        self.folder.path().join("conf")
    }

    async fn wait_ready(&self) {
        let port = self.port;
        eventually_within(START, "nats-server greets", || async move {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
            let mut greeting = [0; 4];
            stream.read_exact(&mut greeting).ok()?;
            (&greeting == b"INFO").then_some(())
        })
        .await;
    }

    /// Kills it.
    pub fn kill(&mut self) {
        end(&mut self.child);
    }

    /// Starts it again with its current data.
    pub async fn restart(&mut self) {
        self.kill();
        self.child = launch_nats(self.folder.path(), self.port);
        self.wait_ready().await;
    }

    /// Freezes it: connections stay, answers do not come.
    pub fn freeze(&self) {
        freeze(&self.child);
    }

    /// Unfreezes it.
    pub fn thaw(&self) {
        signal(&self.child, Signal::CONT);
    }

    /// Deletes its data. It must not run.
    pub fn lose_everything(&self) {
        let _ = fs::remove_dir_all(self.folder.path().join("data"));
    }

    /// Keeps a copy of its data. It must not run.
    pub fn keep_copy(&self) {
        copy(
            &self.folder.path().join("data"),
            &self.folder.path().join("copy"),
        );
    }

    /// Puts the copy back in place of its data. It must not run.
    pub fn rewind(&self) {
        self.lose_everything();
        copy(
            &self.folder.path().join("copy"),
            &self.folder.path().join("data"),
        );
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// Copies `nats/` to `target`, and includes `hosts` as its comments say.
pub fn configure(target: &Path, hosts: &[&str]) {
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("nats"), target);
    let sample = fs::read_to_string(target.join("hosts/shop.conf")).expect("the sample");
    let mut includes = String::new();
    for host in hosts {
        let upper = host.to_uppercase();
        let own = sample.replace("shop", host).replace("SHOP", &upper);
        fs::write(target.join(format!("hosts/{host}.conf")), own).expect("a file");
        includes.push_str(&format!("include \"{host}.conf\"\n"));
    }
    fs::write(target.join("hosts/all.conf"), includes).expect("a file");
}

/// nats-server with the file `name` of the configuration in `folder`, with the logins that it asks the environment for.
pub fn configured(folder: &Path, name: &str, store: &Path) -> std::process::Command {
    let mut command = mortal(&program("NATS_SERVER"));
    command
        .arg("-c")
        .arg(folder.join(name))
        .env("BROKER_PASSWORD", BROKER_PASSWORD)
        .env("BROKER_STORE_DIR", format!("\"{}\"", store.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let hosts = fs::read_dir(folder.join("hosts")).expect("a folder");
    for host in hosts.flatten() {
        let name = host.path().with_extension("");
        let name = name.file_name().unwrap_or_default().to_string_lossy();
        command.env(format!("{}_PASSWORD", name.to_uppercase()), HOST_PASSWORD);
    }
    command
}

fn launch_nats(folder: &Path, port: u16) -> Child {
    if folder.join("conf").exists() {
        return configured(&folder.join("conf"), "nats.conf", &folder.join("data"))
            .args(["--addr", "127.0.0.1", "--port", &port.to_string()])
            .spawn()
            .expect("nats-server starts");
    }
    mortal(&program("NATS_SERVER"))
        .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"])
        .arg(folder.join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nats-server starts")
}

impl Drop for Nats {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}
