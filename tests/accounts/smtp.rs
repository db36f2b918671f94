//! E-mails by SMTP, to a real server.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{PASSWORD, PUBLIC_URL, log_in_with, register, with_accounts};
use crate::support::{eventually, eventually_within, free_port, mortal, program};

/// A real SMTP server, which accepts e-mails of a user with a password.
struct SmtpServer {
    child: Child,
    mails: Arc<Mutex<Vec<Value>>>,
}

impl SmtpServer {
    fn start(port: u16) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/accounts/smtp_server.py");
        let mut child = mortal("/usr/bin/python3")
            .args([script, &port.to_string()])
            .env("PYTHONPATH", program("TEST_SMTP_PYTHON"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let ready = lines.next().expect("a line").expect("text");
        assert_eq!(ready, "ready");
        let mails: Arc<Mutex<Vec<Value>>> = Arc::default();
        let kept = Arc::clone(&mails);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().push(serde_json::from_str(&line).expect("JSON"));
            }
        });
        Self { child, mails }
    }

    /// Waits for the e-mail number `count` with this subject. Returns it.
    async fn mail(&self, subject: &str, count: usize) -> Value {
        let within = Duration::from_secs(30);
        eventually_within(within, "the e-mail arrives", || async {
            let mails = self.mails.lock();
            let mut found = mails.iter().filter(|mail| mail["subject"] == subject);
            found.nth(count - 1).cloned()
        })
        .await
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The token of the link in an e-mail.
fn link_token(mail: &Value) -> String {
    let text = mail["text"].as_str().expect("a text");
    let line = text.lines().find(|line| line.starts_with(PUBLIC_URL));
    let line = line.unwrap_or_else(|| panic!("no link in {text}"));
    line.split_once("#token=").expect("a token").1.to_owned()
}

#[tokio::test]
async fn addresses_are_verified_and_passwords_reset_by_smtp_also_after_an_outage() {
    let port = free_port();
    let service = with_accounts()
        .env(
            "ACCOUNTS_MAIL_URL",
            &format!("smtp://chat:secret@127.0.0.1:{port}"),
        )
        .env("ACCOUNTS_MAIL_FROM", "Shop <no-reply@shop.example>")
        .start()
        .await;
    let anonymous = service.anonymous();
    // The server is not there yet: the answer does not wait for it, and the e-mail is sent later.
    register(&service, "Ann@Shop.example").await;
    eventually("a first attempt fails", || async {
        let metrics = service.anonymous().get("/metrics").await.text;
        metrics
            .contains("chat_accounts_mails_total{result=\"failed\"}")
            .then_some(())
    })
    .await;
    let server = SmtpServer::start(port);
    let mail = server.mail("Confirm your e-mail address", 1).await;
    assert_eq!(mail["to"], json!(["Ann@shop.example"]));
    assert_eq!(mail["from"], "no-reply@shop.example");
    let login = json!({ "login": "ann@shop.example", "password": PASSWORD });
    let early = anonymous.post_repeating("/auth/login", login.clone()).await;
    early.expect_error(401, "UNAUTHORIZED");

    // Somebody else who registered the address first would know another password.
    let token = link_token(&mail);
    let wrong = json!({ "token": token, "password": "battery staple" });
    let answer = anonymous.post_repeating("/auth/verify", wrong).await;
    answer.expect_error(403, "FORBIDDEN");
    let verify = json!({ "token": token, "password": PASSWORD });
    let answer = anonymous
        .post_repeating("/auth/verify", verify.clone())
        .await;
    answer.expect(204);
    let again = anonymous.post_repeating("/auth/verify", verify).await;
    again.expect_error(400, "VALIDATION_ERROR");
    anonymous
        .post_repeating("/auth/login", login)
        .await
        .expect(200);

    register(&service, "ann@shop.example").await;
    server.mail("You have an account already", 1).await;
    let ask = json!({ "email": "ANN@shop.example" });
    anonymous
        .post("/auth/reset/request", ask.clone())
        .await
        .expect(204);
    let first = link_token(&server.mail("Set a new password", 1).await);
    anonymous.post("/auth/reset/request", ask).await.expect(204);
    let second = link_token(&server.mail("Set a new password", 2).await);
    let reset = |token: &str, password: &str| {
        let body = json!({ "token": token, "newPassword": password });
        let anonymous = anonymous.clone();
        async move { anonymous.post_repeating("/auth/reset", body).await }
    };
    reset(&second, "short")
        .await
        .expect_error(400, "VALIDATION_ERROR");
    reset(&second, "staple the battery").await.expect(204);
    // The older link belongs to the former password.
    reset(&first, "staple the battery")
        .await
        .expect_error(400, "VALIDATION_ERROR");
    log_in_with(&service, "ann@shop.example", "staple the battery").await;
}
