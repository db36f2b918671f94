//! Examples of all bodies, by the name of the schema.

use serde_json::{Value, json};

const TIME: &str = "2026-01-15T10:30:00.000Z";
const USER: &str = "usr_01hzx3v7k9q2m4n6p8r0s2t4v6";
const SESSION: &str = "ses_01hzx3v7k9q2m4n6p8r0s2t4v6";
const REFRESH: &str = "rt_01hzx3v7k9q2m4n6p8r0s2t4v6_q0mC3vJp8bYx2N5sT7wZ1aD4fG6hK9lQ0rU3yE5iO8c";
const LINK: &str = "q0mC3vJp8bYx2N5sT7wZ1aD4fG6hK9lQ0rU3yE5iO8c";
const PASSWORD: &str = "correct horse battery";

/// Returns the example of a schema.
pub fn example(schema: &str) -> Option<Value> {
    Some(match schema {
        "AccountsRegister" => {
            json!({ "email": "ann@shop.example", "password": PASSWORD, "name": "Ann" })
        }
        "AccountsRegistered" => json!({ "verificationRequired": true }),
        "AccountsLogin" => json!({ "login": "ann@shop.example", "password": PASSWORD }),
        "AccountsRefresh" => json!({ "refreshToken": REFRESH }),
        "AccountsEmail" => json!({ "email": "ann@shop.example" }),
        "AccountsVerify" => json!({ "token": LINK, "password": PASSWORD }),
        "AccountsReset" => json!({ "token": LINK, "newPassword": "staple the battery" }),
        "AccountsPassword" => json!({
            "currentPassword": PASSWORD, "newPassword": "staple the battery", "refreshToken": REFRESH,
        }),
        "AccountsProfile" => json!({ "name": "Ann", "username": "ann.shop" }),
        "AccountsDelete" => json!({ "password": PASSWORD, "messages": "anonymise" }),
        "AccountsTokens" => json!({
            "userId": USER, "sessionId": SESSION,
            "accessToken": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c3JfMDEifQ.c2lnbmF0dXJl", "expiresIn": 900,
            "refreshToken": REFRESH, "refreshExpiresIn": 604_800,
        }),
        "AccountsAccount" => json!({
            "userId": USER, "email": "ann@shop.example", "isEmailVerified": true, "isDisabled": false,
            "username": "ann.shop", "name": "Ann", "roles": ["buyer"], "createdAt": TIME,
        }),
        "AccountsByHost" => json!({ "roles": ["buyer"], "isDisabled": false }),
        "AccountsAudit" => json!({
            "entries": [{
                "id": "aud_01hzx3v7k9q2m4n6p8r0s2t4v6", "kind": "logged_in", "sessionId": SESSION, "at": TIME,
            }],
            "hasMore": false,
        }),
        _ => return None,
    })
}
