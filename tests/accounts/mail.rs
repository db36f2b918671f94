//! E-mails by a signed request to the host, and links that no request can change.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;

use super::{MAIL_SECRET, PASSWORD, log_in_with, mails, register, token_of, with_mail};
use crate::support::{Answering, eventually};

#[tokio::test]
async fn the_host_gets_signed_requests_and_sends_the_emails_itself() {
    let (builder, receiver) = with_mail().await;
    receiver.answer(|_, _| Answering::with(500));
    let service = builder.start().await;
    register(&service, "ann@shop.example").await;
    eventually("it is refused once", || async {
        (!receiver.received().is_empty()).then_some(())
    })
    .await;
    receiver.answer(|_, _| Answering::with(204));
    token_of(&receiver, "account.verification", "ann@shop.example", 2).await;
    let found = mails(&receiver, "account.verification", "ann@shop.example");
    assert_eq!(found[0].header("webhook-id"), found[1].header("webhook-id"));
    for mail in found {
        let (id, at) = (mail.header("webhook-id"), mail.header("webhook-timestamp"));
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(MAIL_SECRET.as_bytes()).expect("a key");
        mac.update(format!("{id}.{at}.").as_bytes());
        mac.update(&mail.body);
        let signature = base64::Engine::encode(
            &base64::prelude::BASE64_STANDARD,
            mac.finalize().into_bytes(),
        );
        assert_eq!(mail.header("webhook-signature"), format!("v1,{signature}"));
        assert!(mail.event["expiresAt"].is_string());
    }
}

#[tokio::test]
async fn links_begin_with_the_configured_url_whatever_a_request_claims() {
    let (builder, receiver) = with_mail().await;
    let service = builder.start().await;
    let forged = service
        .anonymous()
        .with("Host", "evil.example")
        .with("X-Forwarded-Host", "evil.example")
        .with("X-Forwarded-Proto", "http")
        .with("Forwarded", "host=evil.example;proto=http")
        .with("Origin", "https://evil.example")
        .with("Referer", "https://evil.example/");
    forged
        .post("/auth/register", super::registration("ann@shop.example"))
        .await
        .expect(202);
    // `token_of` compares the beginning of each link.
    token_of(&receiver, "account.verification", "ann@shop.example", 1).await;
    let ask = json!({ "email": "ann@shop.example" });
    forged
        .post("/auth/verify/request", ask.clone())
        .await
        .expect(204);
    token_of(&receiver, "account.verification", "ann@shop.example", 2).await;
    forged.post("/auth/reset/request", ask).await.expect(204);
    token_of(&receiver, "account.passwordReset", "ann@shop.example", 1).await;
    for mail in receiver.received() {
        assert!(!String::from_utf8_lossy(&mail.body).contains("evil"));
    }
}

#[tokio::test]
async fn an_address_gets_few_emails_in_an_hour_and_unknown_ones_none() {
    let (builder, receiver) = with_mail().await;
    let service = builder.start().await;
    let anonymous = service.anonymous();
    register(&service, "ann@shop.example").await;
    for count in 1..=8 {
        for email in ["ann@shop.example", "unknown@shop.example"] {
            let ask = json!({ "email": email });
            let answer = anonymous.post("/auth/reset/request", ask).await;
            assert_eq!((answer.status, answer.text.as_str()), (204, ""));
        }
        // Requests for one link that is not sent yet are one e-mail.
        if count <= 4 {
            token_of(
                &receiver,
                "account.passwordReset",
                "ann@shop.example",
                count,
            )
            .await;
        }
    }
    register(&service, "bob@shop.example").await;
    token_of(&receiver, "account.verification", "bob@shop.example", 1).await;
    let outbox = service.sandbox().collection("accounts_outbox").await;
    eventually("nothing is left to send", || async {
        let count = outbox.count_documents(mongodb::bson::doc! {}).await;
        (count.expect("a count") == 0).then_some(())
    })
    .await;
    assert_eq!(
        mails(&receiver, "account.passwordReset", "ann@shop.example").len(),
        4
    );
    let to_unknown =
        |mail: &crate::support::Received| mail.event["email"] == "unknown@shop.example";
    assert!(!receiver.received().iter().any(to_unknown));
}

#[tokio::test]
async fn the_owner_of_a_mailbox_can_register_after_somebody_else_did() {
    let (builder, receiver) = with_mail().await;
    let service = builder.start().await;
    let anonymous = service.anonymous();
    let by = |password: &str| json!({ "email": "ann@shop.example", "password": password });
    anonymous
        .post("/auth/register", by("known to the thief"))
        .await
        .expect(202);
    let first = token_of(&receiver, "account.verification", "ann@shop.example", 1).await;
    anonymous
        .post("/auth/register", by(PASSWORD))
        .await
        .expect(202);
    let second = token_of(&receiver, "account.verification", "ann@shop.example", 2).await;
    let verify = |token: &str, password: &str| {
        let body = json!({ "token": token, "password": password });
        let anonymous = anonymous.clone();
        async move { anonymous.post_repeating("/auth/verify", body).await }
    };
    verify(&first, "known to the thief")
        .await
        .expect_error(400, "VALIDATION_ERROR");
    verify(&second, "known to the thief")
        .await
        .expect_error(403, "FORBIDDEN");
    verify(&second, PASSWORD).await.expect(204);
    // Once the mailbox is proven, nobody replaces the account.
    anonymous
        .post("/auth/register", by("known to the thief"))
        .await
        .expect(202);
    token_of_notice(&receiver).await;
    log_in_with(&service, "ann@shop.example", PASSWORD).await;
}

async fn token_of_notice(receiver: &crate::support::Receiver) {
    eventually("the notice arrives", || async {
        let found = mails(receiver, "account.registeredAgain", "ann@shop.example");
        (!found.is_empty()).then_some(())
    })
    .await;
}
