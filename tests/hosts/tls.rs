//! One node with TLS.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use async_nats::ConnectOptions;

use crate::support::{Service, configure, configured, eventually_within, free_port};

/// An authority and a certificate of it for this machine's loopback.
pub fn certify(folder: &Path) {
    let script = r#"
        set -e
        key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }
        key authority.key
        openssl req -x509 -new -key authority.key -days 2 -subj "/CN=an authority" -out authority.pem
        key key.pem
        openssl req -new -key key.pem -subj "/CN=localhost" -out request.pem
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' >names
        openssl x509 -req -in request.pem -CA authority.pem -CAkey authority.key -CAcreateserial -days 2 \
            -extfile names -out cert.pem
    "#;
    let status = Command::new("sh")
        .args(["-c", script])
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("openssl runs");
    assert!(status.success());
}

/// The value of a variable that NATS reads as a text.
pub fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

#[tokio::test]
async fn with_tls_the_service_and_a_host_work_and_plaintext_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    certify(folder);
    configure(&folder.join("conf"), &["shop"]);
    let port = free_port();
    let mut server = configured(&folder.join("conf"), "tls.conf", &folder.join("data"))
        .env("BROKER_TLS_CERT", quoted(&folder.join("cert.pem")))
        .env("BROKER_TLS_KEY", quoted(&folder.join("key.pem")))
        .args(["--addr", "127.0.0.1", "--port", &port.to_string()])
        .spawn()
        .expect("nats-server starts");
    let authority = folder.join("authority.pem");
    let options = || {
        ConnectOptions::with_user_and_password("shop".to_owned(), "test_host".to_owned())
            .add_root_certificates(authority.clone())
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let shop = eventually_within(Duration::from_secs(20), "the server is there", || {
        let options = options();
        async move {
            options
                .connect(format!("tls://localhost:{port}"))
                .await
                .ok()
        }
    })
    .await;
    let service = Service::builder()
        .env(
            "NATS_URL",
            &format!("tls://chat:test_broker@localhost:{port}"),
        )
        .env("NATS_SUBJECT_PREFIX", "chat")
        .env("NATS_COMMAND_HOSTS", "shop")
        .env("SSL_CERT_FILE", &authority.display().to_string())
        .spawn()
        .await;
    service.user("alice").await;
    eventually_within(Duration::from_secs(20), "a command is answered", || {
        let shop = shop.clone();
        async move {
            let payload = r#"{"externalUserId":"bob","name":"Bob"}"#;
            let answer = shop
                .request("chat.api.shop.users.sync", payload.into())
                .await;
            answer.ok().filter(|answer| !answer.payload.is_empty())
        }
    })
    .await;
    service.internal().get("/api/users/bob").await.expect(200);
    // Without the authority the certificate is not believed.
    let stranger =
        ConnectOptions::with_user_and_password("shop".to_owned(), "test_host".to_owned());
    let refused = stranger.connect(format!("tls://localhost:{port}")).await;
    assert!(refused.is_err());
    // A client without TLS gets no answer: after its greeting the server only waits for the handshake.
    let said = {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut raw = tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .expect("a socket");
        let connect =
            "CONNECT {\"user\":\"shop\",\"pass\":\"test_host\",\"verbose\":true}\r\nPING\r\n";
        raw.write_all(connect.as_bytes()).await.expect("is written");
        let mut said = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(5), raw.read_to_end(&mut said)).await;
        String::from_utf8_lossy(&said).into_owned()
    };
    assert!(said.contains("\"tls_required\":true"), "{said}");
    assert!(!said.contains("PONG") && !said.contains("+OK"), "{said}");
    drop(service);
    let _ = server.kill();
    let _ = server.wait();
}
