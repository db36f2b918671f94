//! One mailbox is one account, whatever the races and the spelling; user names that look alike are one name.

use std::time::Duration;

use chat_sdk::Timestamp;
use futures_util::future::join_all;
use mongodb::bson::doc;
use serde_json::json;

use super::{
    PASSWORD, log_in, log_in_with, register, register_verified, registration, token_of,
    with_accounts, with_mail,
};
use crate::support::{Node, eventually_within};

#[tokio::test]
async fn parallel_registrations_of_one_address_make_one_account_and_get_one_answer() {
    let service = with_accounts()
        .env("ACCOUNTS_MAX_HASHES", "8")
        .start()
        .await;
    let other = with_accounts()
        .env("ACCOUNTS_MAX_HASHES", "8")
        .roles("api")
        .database(&service)
        .start()
        .await;
    let ask = |n: usize| {
        let node: &Node = if n.is_multiple_of(2) {
            &service
        } else {
            &other
        };
        let client = node.anonymous();
        async move {
            client
                .post_repeating("/auth/register", registration("ann@shop.example"))
                .await
        }
    };
    let answers = join_all((0..20).map(ask)).await;
    let later = ask(0).await;
    for answer in answers {
        assert_eq!(
            (answer.status, &answer.text),
            (202, &later.text),
            "{answer}"
        );
    }
    let accounts = service.sandbox().collection("accounts_accounts").await;
    assert_eq!(accounts.count_documents(doc! {}).await.expect("a count"), 1);
    log_in(&service, "ann@shop.example").await;
}

#[tokio::test]
async fn all_spellings_of_an_address_are_one_account() {
    let service = with_accounts().start().await;
    let spellings = [
        "Ann@Bücher.example",
        "ann@bücher.example",
        "  ANN@BÜCHER.EXAMPLE  ",
        "ann@bu\u{308}cher.example",
        "ａｎｎ＠bücher.example",
        "ann@xn--bcher-kva.example",
    ];
    for spelling in spellings {
        register(&service, spelling).await;
    }
    let accounts = service.sandbox().collection("accounts_accounts").await;
    assert_eq!(accounts.count_documents(doc! {}).await.expect("a count"), 1);
    let first = log_in(&service, spellings[0]).await;
    for spelling in spellings {
        assert_eq!(
            log_in(&service, spelling).await.user,
            first.user,
            "{spelling}"
        );
    }
    for another in ["a.nn@bücher.example", "ann+shop@bücher.example"] {
        register(&service, another).await;
        assert_ne!(
            log_in(&service, another).await.user,
            first.user,
            "{another}"
        );
    }
}

#[tokio::test]
async fn spellings_share_the_limit_of_failed_logins_and_a_stranger_locks_nobody_out_elsewhere() {
    let service = with_accounts()
        .env("ACCOUNTS_MAX_FAILED_LOGINS", "3")
        .start()
        .await;
    // A window of 15 minutes begins on the clock; the test must not cross its end.
    eventually_within(
        Duration::from_secs(100),
        "a window has a minute left",
        || async { (Timestamp::now().as_millis() / 1000 % 900 < 820).then_some(()) },
    )
    .await;
    register(&service, "ann@shop.example").await;
    let from = |address: &str| service.anonymous().with("X-Forwarded-For", address);
    let attempt = async |address: &str, login: &str, password: &str| {
        let body = json!({ "login": login, "password": password });
        from(address)
            .post_repeating("/auth/login", body)
            .await
            .status
    };
    for login in ["ann@shop.example", "ANN@shop.example", "ａnn@shop.example"] {
        assert_eq!(attempt("203.0.113.7", login, "wrong horse").await, 401);
    }
    assert_eq!(
        attempt("203.0.113.7", "ann@shop.example", PASSWORD).await,
        401
    );
    assert_eq!(
        attempt("203.0.113.8", "ann@shop.example", PASSWORD).await,
        200
    );
    // From all addresses together there is a limit too, ten times as high.
    for n in 0..27 {
        let address = format!("198.51.100.{n}");
        assert_eq!(
            attempt(&address, "ann@shop.example", "wrong horse").await,
            401
        );
    }
    assert_eq!(
        attempt("203.0.113.9", "ann@shop.example", PASSWORD).await,
        401
    );
}

#[tokio::test]
async fn a_user_name_logs_in_and_belongs_to_one_account() {
    let service = with_accounts().start().await;
    register(&service, "ann@shop.example").await;
    register(&service, "bob@shop.example").await;
    let ann = log_in(&service, "ann@shop.example").await;
    let bob = log_in(&service, "bob@shop.example").await;
    let rename = async |user: &super::Tokens, name: &str| {
        let body = json!({ "username": name });
        user.at(&service).patch("/auth/me", body).await
    };
    let me = rename(&ann, "Paypal.Shop").await.expect(200);
    assert_eq!(me["username"], "Paypal.Shop");
    for name in ["paypal.shop", "PayPalShop", "paypa1_shop", "ｐaypal.shop"] {
        rename(&bob, name).await.expect_error(409, "CONFLICT");
    }
    for name in [
        "admin",
        "Supp0rt",
        "p\u{430}ypal",
        "a",
        "ann@shop.example",
        "\u{202e}bob",
    ] {
        let error = rename(&bob, name)
            .await
            .expect_error(400, "VALIDATION_ERROR");
        assert_eq!(error["details"][0]["field"], "username", "{name}");
    }
    assert_eq!(
        log_in_with(&service, "PAYPAL.SHOP", PASSWORD).await.user,
        ann.user
    );
    let profile = ann.at(&service).get("/api/users/me").await.expect(200);
    assert_eq!(profile["metadata"]["username"], "Paypal.Shop");
    // The former name is free again.
    rename(&ann, "ann.shop").await.expect(200);
    rename(&bob, "paypal-shop").await.expect(200);
    assert_eq!(
        log_in_with(&service, "ann.shop", PASSWORD).await.user,
        ann.user
    );
    assert_eq!(
        log_in_with(&service, "paypalshop", PASSWORD).await.user,
        bob.user
    );
}

#[tokio::test]
async fn another_spelling_of_an_address_resets_the_password_of_the_same_account() {
    let (builder, receiver) = with_mail().await;
    let service = builder.start().await;
    register_verified(&service, &receiver, "ann@shop.example").await;
    let anonymous = service.anonymous();
    let ask = json!({ "email": " ＡNN@SHOP.example " });
    anonymous.post("/auth/reset/request", ask).await.expect(204);
    let token = token_of(&receiver, "account.passwordReset", "ann@shop.example", 1).await;
    let body = json!({ "token": token, "newPassword": "staple the battery" });
    anonymous
        .post_repeating("/auth/reset", body)
        .await
        .expect(204);
    log_in_with(&service, "ann@shop.example", "staple the battery").await;
}
