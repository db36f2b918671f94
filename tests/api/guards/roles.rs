//! The access table: one row per operation, one column per caller; the cell is the status.
//!
//! `{c}` is the conversation, `{own}` a message of the caller, `{other}` a message of the member `target`, `{self}` the caller. `admin` and `deputy` are
//! admins, `former` is a former member. `acting` is the host acting for the plain member, `host` the host without an acting user. `blocked` is a member of a
//! direct conversation whom `target`, the other member, blocks. `-`: impossible combination.

/// An operation, its body, and a status per caller.
pub struct Row {
    /// The method.
    pub method: &'static str,
    /// The path after `/api`.
    pub path: &'static str,
    /// The body as JSON; empty for none.
    pub body: &'static str,
    /// The statuses, in the order of [`CALLERS`]; `None` for an impossible combination.
    pub statuses: [Option<u16>; 9],
}

/// The columns.
pub const CALLERS: [&str; 9] = [
    "owner",
    "admin",
    "member",
    "former",
    "stranger",
    "anonymous",
    "acting",
    "host",
    "blocked",
];

fn row(method: &'static str, path: &'static str, body: &'static str, cells: &'static str) -> Row {
    let mut statuses = [None; 9];
    let cells: Vec<&str> = cells.split_whitespace().collect();
    // Only a direct conversation has a column for `blocked`.
    assert!(
        matches!(cells.len(), 8 | 9),
        "{method} {path} has another number of cells"
    );
    for (status, cell) in statuses.iter_mut().zip(cells) {
        *status = cell.parse().ok();
    }
    Row {
        method,
        path,
        body,
        statuses,
    }
}

/// In a group.
#[rustfmt::skip]
pub fn group() -> Vec<Row> {
    vec![
        //                                                                                                owner admin member former stranger anonymous acting host
        row("GET",    "/conversations/{c}", "",                                                          "200   200   200    404    404      401       200    400"),
        row("PATCH",  "/conversations/{c}", r#"{"name":"New"}"#,                                         "200   200   403    404    404      401       403    200"),
        row("DELETE", "/conversations/{c}", "",                                                          "204   403   403    404    404      401       403    400"),
        row("POST",   "/conversations/{c}/join", "",                                                     "200   200   200    404    404      401       200    400"),
        row("POST",   "/conversations/{c}/leave", "",                                                    "409   204   204    404    404      401       204    400"),
        row("GET",    "/conversations/{c}/participants", "",                                             "200   200   200    404    404      401       200    400"),
        row("POST",   "/conversations/{c}/participants", r#"{"userIds":["newcomer"]}"#,                  "201   201   403    404    404      401       403    201"),
        row("POST",   "/conversations/{c}/participants", r#"{"userIds":["newcomer"],"role":"admin"}"#,   "201   201   403    404    404      401       403    201"),
        row("POST",   "/conversations/{c}/participants", r#"{"userIds":["newcomer"],"role":"owner"}"#,   "201   403   403    404    404      401       403    201"),
        row("PATCH",  "/conversations/{c}/participants/target", r#"{"role":"admin"}"#,                   "200   403   403    404    404      401       403    200"),
        row("PATCH",  "/conversations/{c}/participants/{self}", r#"{"role":"owner"}"#,                   "200   403   403    404    404      -         403    -"),
        row("PATCH",  "/conversations/{c}/participants/owner", r#"{"role":"member"}"#,                   "409   403   403    404    404      401       403    409"),
        row("DELETE", "/conversations/{c}/participants/target", "",                                      "204   204   403    404    404      401       403    204"),
        row("DELETE", "/conversations/{c}/participants/deputy", "",                                      "204   403   403    404    404      401       403    204"),
        row("DELETE", "/conversations/{c}/participants/owner", "",                                       "409   403   403    404    404      401       403    409"),
        row("DELETE", "/conversations/{c}/participants/{self}", "",                                      "409   204   204    404    404      -         204    -"),
        row("GET",    "/conversations/{c}/presence", "",                                                 "200   200   200    404    404      401       200    200"),
        row("GET",    "/conversations/{c}/messages", "",                                                 "200   200   200    200    404      401       200    400"),
        row("POST",   "/conversations/{c}/messages", r#"{"content":"hello"}"#,                           "201   201   201    404    404      401       201    201"),
        row("GET",    "/conversations/{c}/log", "",                                                      "200   200   200    200    404      401       200    400"),
        row("GET",    "/messages/{other}", "",                                                           "200   200   200    200    404      401       200    400"),
        row("GET",    "/messages/{other}/history", "",                                                   "200   200   200    200    404      401       200    400"),
        row("PATCH",  "/messages/{other}", r#"{"content":"changed"}"#,                                   "403   403   403    404    404      401       403    400"),
        row("PATCH",  "/messages/{own}", r#"{"content":"changed"}"#,                                     "200   200   200    404    -        -         200    -"),
        row("DELETE", "/messages/{other}", "",                                                           "204   204   403    404    404      401       403    400"),
        row("DELETE", "/messages/{own}", "",                                                             "204   204   204    404    -        -         204    -"),
        row("POST",   "/messages/{other}/reactions", r#"{"emoji":"👍"}"#,                                 "200   200   200    404    404      401       200    400"),
        row("DELETE", "/messages/{other}/reactions/:tada:", "",                                          "200   200   200    404    404      401       200    400"),
        row("GET",    "/messages/{other}/reactions", "",                                                 "200   200   200    200    404      401       200    400"),
        row("PUT",    "/messages/{other}/pin", "",                                                       "200   200   403    404    404      401       403    400"),
        row("DELETE", "/messages/{other}/pin", "",                                                       "204   204   403    404    404      401       403    400"),
        row("GET",    "/conversations/{c}/pins", "",                                                     "200   200   200    404    404      401       200    400"),
        row("GET",    "/messages/{other}/replies", "",                                                   "200   200   200    200    404      401       200    400"),
        row("POST",   "/messages/{other}/restore", "",                                                   "200   200   403    404    404      401       403    400"),
        row("POST",   "/messages/{other}/forward", r#"{"conversationIds":["{c}"]}"#,                     "201   201   201    400    404      401       201    400"),
        row("PATCH",  "/conversations/{c}/me", r#"{"muted":true}"#,                                      "200   200   200    404    404      401       200    400"),
        row("PUT",    "/messages/{other}/read", "",                                                      "200   200   200    404    404      401       200    400"),
        row("DELETE", "/messages/{other}/read", "",                                                      "204   204   204    404    404      401       204    400"),
        row("GET",    "/messages/{other}/read", "",                                                      "200   200   200    404    404      401       200    400"),
        row("PUT",    "/messages/{other}/delivered", "",                                                 "200   200   200    404    404      401       200    400"),
        row("GET",    "/messages/{other}/delivered", "",                                                 "200   200   200    404    404      401       200    400"),
        row("PUT",    "/messages/{other}/replies/read", "",                                              "200   200   200    404    404      401       200    400"),
        row("GET",    "/messages/{other}/replies/unread-count", "",                                      "200   200   200    404    404      401       200    400"),
        row("PUT",    "/conversations/{c}/read", r#"{}"#,                                                "200   200   200    404    404      401       200    400"),
        row("GET",    "/conversations/{c}/unread-count", "",                                             "200   200   200    404    404      401       200    400"),
    ]
}

/// In a public conversation: as in a group, but everybody may join.
pub fn public() -> Vec<Row> {
    let mut rows = group();
    for row in &mut rows {
        if row.path.ends_with("/join") {
            row.statuses = [
                Some(200),
                Some(200),
                Some(200),
                Some(200),
                Some(200),
                Some(401),
                Some(200),
                Some(400),
                None,
            ];
        }
    }
    rows
}

/// In a direct conversation: two plain members, who cannot leave.
#[rustfmt::skip]
pub fn direct() -> Vec<Row> {
    vec![
        //                                                                                                owner admin member former stranger anonymous acting host blocked
        row("GET",    "/conversations/{c}", "",                                                          "-     -     200    -      404      401       200    400  200"),
        row("PATCH",  "/conversations/{c}", r#"{"metadata":{"topic":"tea"}}"#,                           "-     -     200    -      404      401       200    200  403"),
        row("PATCH",  "/conversations/{c}", r#"{"name":"New"}"#,                                         "-     -     403    -      404      401       403    403  403"),
        row("DELETE", "/conversations/{c}", "",                                                          "-     -     403    -      404      401       403    400  403"),
        row("POST",   "/conversations/{c}/join", "",                                                     "-     -     200    -      404      401       200    400  200"),
        row("POST",   "/conversations/{c}/leave", "",                                                    "-     -     403    -      404      401       403    400  403"),
        row("GET",    "/conversations/{c}/participants", "",                                             "-     -     200    -      404      401       200    400  200"),
        row("POST",   "/conversations/{c}/participants", r#"{"userIds":["newcomer"]}"#,                  "-     -     403    -      404      401       403    403  403"),
        row("PATCH",  "/conversations/{c}/participants/target", r#"{"role":"admin"}"#,                   "-     -     403    -      404      401       403    403  403"),
        row("DELETE", "/conversations/{c}/participants/target", "",                                      "-     -     403    -      404      401       403    403  403"),
        row("DELETE", "/conversations/{c}/participants/{self}", "",                                      "-     -     403    -      404      -         403    -    403"),
        row("GET",    "/conversations/{c}/presence", "",                                                 "-     -     200    -      404      401       200    200  200"),
        row("GET",    "/conversations/{c}/messages", "",                                                 "-     -     200    -      404      401       200    400  200"),
        row("POST",   "/conversations/{c}/messages", r#"{"content":"hello"}"#,                           "-     -     201    -      404      401       201    201  403"),
        row("GET",    "/conversations/{c}/log", "",                                                      "-     -     200    -      404      401       200    400  200"),
        row("GET",    "/messages/{other}", "",                                                           "-     -     200    -      404      401       200    400  200"),
        row("GET",    "/messages/{other}/history", "",                                                   "-     -     200    -      404      401       200    400  200"),
        row("PATCH",  "/messages/{other}", r#"{"content":"changed"}"#,                                   "-     -     403    -      404      401       403    400  403"),
        row("PATCH",  "/messages/{own}", r#"{"content":"changed"}"#,                                     "-     -     200    -      -        -         200    -    403"),
        row("DELETE", "/messages/{other}", "",                                                           "-     -     403    -      404      401       403    400  403"),
        row("DELETE", "/messages/{own}", "",                                                             "-     -     204    -      -        -         204    -    204"),
        row("POST",   "/messages/{other}/reactions", r#"{"emoji":"👍"}"#,                                 "-     -     200    -      404      401       200    400  403"),
        row("DELETE", "/messages/{other}/reactions/:tada:", "",                                          "-     -     200    -      404      401       200    400  403"),
        row("GET",    "/messages/{other}/reactions", "",                                                 "-     -     200    -      404      401       200    400  200"),
        row("PUT",    "/messages/{other}/pin", "",                                                       "-     -     200    -      404      401       200    400  403"),
        row("DELETE", "/messages/{other}/pin", "",                                                       "-     -     204    -      404      401       204    400  403"),
        row("GET",    "/conversations/{c}/pins", "",                                                     "-     -     200    -      404      401       200    400  200"),
        row("GET",    "/messages/{other}/replies", "",                                                   "-     -     200    -      404      401       200    400  200"),
        row("POST",   "/messages/{other}/restore", "",                                                   "-     -     403    -      404      401       403    400  403"),
        row("POST",   "/messages/{other}/forward", r#"{"conversationIds":["{c}"]}"#,                     "-     -     201    -      404      401       201    400  400"),
        row("PATCH",  "/conversations/{c}/me", r#"{"muted":true}"#,                                      "-     -     200    -      404      401       200    400  200"),
        row("PUT",    "/messages/{other}/read", "",                                                      "-     -     200    -      404      401       200    400"),
        row("DELETE", "/messages/{other}/read", "",                                                      "-     -     204    -      404      401       204    400"),
        row("GET",    "/messages/{other}/read", "",                                                      "-     -     200    -      404      401       200    400"),
        row("PUT",    "/messages/{other}/delivered", "",                                                 "-     -     200    -      404      401       200    400"),
        row("GET",    "/messages/{other}/delivered", "",                                                 "-     -     200    -      404      401       200    400"),
        row("PUT",    "/messages/{other}/replies/read", "",                                              "-     -     200    -      404      401       200    400"),
        row("GET",    "/messages/{other}/replies/unread-count", "",                                      "-     -     200    -      404      401       200    400"),
        row("PUT",    "/conversations/{c}/read", r#"{}"#,                                                "-     -     200    -      404      401       200    400"),
        row("GET",    "/conversations/{c}/unread-count", "",                                             "-     -     200    -      404      401       200    400"),
    ]
}

/// Operations outside conversations: `stranger` stands for any user, and `acting` for the host that acts for a user.
#[rustfmt::skip]
pub fn elsewhere() -> Vec<Row> {
    vec![
        //                                                                                                owner admin member former stranger anonymous acting host
        row("GET",    "/health", "",                                                                     "-     -     -      -      200      200       200    200"),
        row("GET",    "/status", "",                                                                     "-     -     -      -      401      401       200    200"),
        row("GET",    "/metrics", "",                                                                    "-     -     -      -      401      401       200    200"),
        row("POST",   "/users/sync", r#"{"externalUserId":"target","name":"target"}"#,                   "-     -     -      -      401      401       200    200"),
        row("POST",   "/users/sync/batch", r#"{"users":[]}"#,                                            "-     -     -      -      401      401       200    200"),
        row("GET",    "/users/me", "",                                                                   "-     -     -      -      200      401       200    400"),
        row("PATCH",  "/users/me", "{}",                                                                 "-     -     -      -      200      401       200    400"),
        row("GET",    "/users/search?q=t", "",                                                           "-     -     -      -      200      401       200    200"),
        row("GET",    "/users/target", "",                                                               "-     -     -      -      200      401       200    200"),
        row("GET",    "/users/ghost", "",                                                                "-     -     -      -      404      401       404    404"),
        row("PUT",    "/users/me/status", r#"{"status":"busy"}"#,                                        "-     -     -      -      200      401       200    400"),
        row("GET",    "/users/target/presence", "",                                                      "-     -     -      -      200      401       200    200"),
        row("GET",    "/users/ghost/presence", "",                                                       "-     -     -      -      200      401       200    200"),
        row("POST",   "/presence/batch", r#"{"userIds":["target"]}"#,                                    "-     -     -      -      200      401       200    200"),
        row("DELETE", "/users/ghost", "",                                                                "-     -     -      -      401      401       404    404"),
        row("GET",    "/users/ghost/erasure", "",                                                        "-     -     -      -      401      401       404    404"),
        row("GET",    "/users/target/export", "",                                                        "-     -     -      -      401      401       200    200"),
        row("POST",   "/users/target/disconnect", "",                                                    "-     -     -      -      401      401       204    204"),
        row("GET",    "/conversations", "",                                                              "-     -     -      -      200      401       200    400"),
        row("GET",    "/conversations/public", "",                                                       "-     -     -      -      200      401       200    400"),
        row("POST",   "/conversations", r#"{"type":"group","participantIds":["target"]}"#,               "-     -     -      -      201      401       201    400"),
        row("GET",    "/events", "",                                                                     "-     -     -      -      200      401       200    400"),
        row("POST",   "/messages", r#"{"receiverId":"target","content":"hello"}"#,                       "-     -     -      -      201      401       201    400"),
        row("PUT",    "/users/me/blocks/newcomer", "",                                                   "-     -     -      -      204      401       204    400"),
        row("PUT",    "/users/me/blocks/ghost", "",                                                      "-     -     -      -      404      401       404    400"),
        row("DELETE", "/users/me/blocks/newcomer", "",                                                   "-     -     -      -      204      401       204    400"),
        row("GET",    "/users/me/blocks", "",                                                            "-     -     -      -      200      401       200    400"),
        // Refused for its time, after the access check: a time in the future would have to be computed for each request.
        row("POST",   "/scheduled", r#"{"receiverId":"target","content":"x","sendAt":"2020-01-01T00:00:00.000Z"}"#, "-     -     -      -      400      401       400    400"),
        row("GET",    "/scheduled", "",                                                                  "-     -     -      -      200      401       200    400"),
        row("GET",    "/scheduled/sch_00000000000000000000000000", "",                                   "-     -     -      -      404      401       404    400"),
        row("PATCH",  "/scheduled/sch_00000000000000000000000000", r#"{"content":"later"}"#,             "-     -     -      -      404      401       404    400"),
        row("DELETE", "/scheduled/sch_00000000000000000000000000", "",                                   "-     -     -      -      404      401       404    400"),
        row("GET",    "/held", "",                                                                       "-     -     -      -      200      401       200    200"),
        row("POST",   "/held/msg_00000000000000000000000000/release", "",                                "-     -     -      -      401      401       404    404"),
        row("DELETE", "/held/msg_00000000000000000000000000", "",                                        "-     -     -      -      404      401       404    404"),
        row("GET",    "/unread", "",                                                                     "-     -     -      -      200      401       200    400"),
        row("GET",    "/unread-count", "",                                                               "-     -     -      -      200      401       200    400"),
        row("GET",    "/moderation/rules", "",                                                           "-     -     -      -      401      401       200    200"),
        row("PUT",    "/moderation/rules/{self}", r#"{"kind":"words","entries":["heck"],"action":"report"}"#, "-     -     -      -      401      401       201    201"),
        row("GET",    "/moderation/rules/nothing", "",                                                   "-     -     -      -      401      401       404    404"),
        row("DELETE", "/moderation/rules/nothing", "",                                                   "-     -     -      -      401      401       404    404"),
        row("POST",   "/moderation/dry-run", r#"{"rule":{"kind":"words","entries":["heck"],"action":"refuse"},"limit":1}"#, "-     -     -      -      401      401       200    200"),
        row("GET",    "/moderation/restrictions", "",                                                    "-     -     -      -      401      401       200    200"),
        // Refused for its field, after the access check: a mute would change the other rows.
        row("POST",   "/moderation/restrictions", r#"{"kind":"mute"}"#,                                  "-     -     -      -      401      401       400    400"),
        row("DELETE", "/moderation/restrictions/rst_00000000000000000000000000", "",                     "-     -     -      -      401      401       404    404"),
        row("POST",   "/moderation/reports", r#"{"messageId":"msg_00000000000000000000000000"}"#,        "-     -     -      -      404      401       404    400"),
        row("GET",    "/moderation/reports", "",                                                         "-     -     -      -      401      401       200    200"),
        row("POST",   "/moderation/reports/rep_00000000000000000000000000/claim", r#"{"reviewerId":"rita"}"#, "-     -     -      -      401      401       404    404"),
        row("POST",   "/moderation/reports/rep_00000000000000000000000000/decide", r#"{"reviewerId":"rita","action":"dismiss"}"#, "-     -     -      -      401      401       404    404"),
        row("GET",    "/moderation/decisions", "",                                                       "-     -     -      -      401      401       200    200"),
        row("GET",    "/moderation/me/decisions", "",                                                    "-     -     -      -      200      401       200    400"),
        row("POST",   "/moderation/decisions/dec_00000000000000000000000000/undo", r#"{"reviewerId":"rita"}"#, "-     -     -      -      401      401       404    404"),
        row("POST",   "/moderation/decisions/dec_00000000000000000000000000/appeal", r#"{"reason":"x"}"#, "-     -     -      -      404      401       404    400"),
        row("POST",   "/moderation/decisions/dec_00000000000000000000000000/appeal/resolve", r#"{"reviewerId":"rita","approve":true}"#, "-     -     -      -      401      401       404    404"),
        row("POST",   "/notifications", r#"{"userIds":["target"],"kind":"LIKE"}"#,                       "-     -     -      -      401      401       201    201"),
        row("GET",    "/notifications", "",                                                              "-     -     -      -      200      401       200    400"),
        row("GET",    "/notifications/unread-count", "",                                                 "-     -     -      -      200      401       200    400"),
        row("PUT",    "/notifications/read", "",                                                         "-     -     -      -      200      401       200    400"),
        row("PUT",    "/notifications/ntf_00000000000000000000000000/read", "",                          "-     -     -      -      404      401       404    400"),
        row("DELETE", "/notifications/ntf_00000000000000000000000000", "",                               "-     -     -      -      404      401       404    400"),
        row("GET",    "/notifications/push/key", "",                                                     "-     -     -      -      200      401       200    400"),
        row("PUT",    "/notifications/push/subscriptions", r#"{"endpoint":"https://push.example/send","keys":{"p256dh":"BLn9b-VR0ca83knDNZ32dCHGyjJp-1riX9ZTN40MqV8K_LpQmLqxC_DoHvqvFXO_nGdAB4W9dogZb_sM-uV4JbY","auth":"_ordMnz7uTCmrpBTeUV4Bw"}}"#, "-     -     -      -      200      401       200    400"),
        row("GET",    "/notifications/push/subscriptions", "",                                           "-     -     -      -      200      401       200    400"),
        row("DELETE", "/notifications/push/subscriptions/psh_00000000000000000000000000", "",            "-     -     -      -      404      401       404    400"),
        row("POST",   "/attachments/uploads", r#"{"name":"a.txt","size":1}"#,                            "-     -     -      -      201      401       201    400"),
        row("GET",    "/attachments/uploads/att_00000000000000000000000000", "",                         "-     -     -      -      404      401       404    400"),
        row("PUT",    "/attachments/uploads/att_00000000000000000000000000?offset=0", "{}",              "-     -     -      -      404      401       404    400"),
        row("POST",   "/attachments/uploads/att_00000000000000000000000000/complete", "",                "-     -     -      -      404      401       404    400"),
        row("DELETE", "/attachments/uploads/att_00000000000000000000000000", "",                         "-     -     -      -      404      401       404    400"),
        row("GET",    "/attachments/att_00000000000000000000000000", "",                                 "-     -     -      -      404      401       404    400"),
        row("GET",    "/attachments/att_00000000000000000000000000/link", "",                            "-     -     -      -      404      401       404    400"),
        row("DELETE", "/attachments/att_00000000000000000000000000", "",                                 "-     -     -      -      404      401       404    400"),
        row("GET",    "/attachments/att_00000000000000000000000000/content?expires=1&signature=x", "",   "-     -     -      -      403      403       403    403"),
        row("GET",    "/attachments/att_00000000000000000000000000/thumbnail?expires=1&signature=x", "", "-     -     -      -      403      403       403    403"),
        row("GET",    "/admin/consumers", "",        "-     -     -      -      401      401       200    200"),
        row("POST",   "/admin/consumers", r#"{"name":"{self}"}"#, "-     -     -      -      401      401       201    201"),
        row("GET",    "/admin/consumers/nobody", "",        "-     -     -      -      401      401       404    404"),
        row("DELETE", "/admin/consumers/nobody", "",        "-     -     -      -      401      401       404    404"),
        row("GET",    "/admin/accounts/usr_nobody", "",        "-     -     -      -      401      401       404    404"),
        row("PATCH",  "/admin/accounts/usr_nobody", r#"{}"#,   "-     -     -      -      401      401       404    404"),
        row("GET",    "/admin/accounts/usr_nobody/audit", "",        "-     -     -      -      401      401       404    404"),
        row("GET",    "/admin/plugins", "",        "-     -     -      -      401      401       200    200"),
        row("POST",   "/admin/plugins", r#"{"name":"{self}","points":["user.before_connect"],"shadow":true}"#, "-     -     -      -      401      401       201    201"),
        row("GET",    "/admin/plugins/nobody", "",        "-     -     -      -      401      401       404    404"),
        row("DELETE", "/admin/plugins/nobody", "",        "-     -     -      -      401      401       404    404"),
        row("GET",    "/admin/webhooks", "",        "-     -     -      -      401      401       200    200"),
        row("POST",   "/admin/webhooks", r#"{"events":["*"]}"#, "-     -     -      -      401      401       201    201"),
        row("GET",    "/admin/webhooks/whk_00000000000000000000000000", "",        "-     -     -      -      401      401       404    404"),
        row("PATCH",  "/admin/webhooks/whk_00000000000000000000000000", r#"{}"#,   "-     -     -      -      401      401       404    404"),
        row("DELETE", "/admin/webhooks/whk_00000000000000000000000000", "",        "-     -     -      -      401      401       404    404"),
        row("POST",   "/admin/webhooks/whk_00000000000000000000000000/rotate-secret", "",        "-     -     -      -      401      401       404    404"),
        row("POST",   "/admin/webhooks/whk_00000000000000000000000000/test", "",        "-     -     -      -      401      401       404    404"),
        row("POST",   "/admin/webhooks/whk_00000000000000000000000000/enable", "",        "-     -     -      -      401      401       404    404"),
        row("POST",   "/admin/webhooks/whk_00000000000000000000000000/backfill", r#"{"since":"2026-01-15T10:30:00.000Z"}"#, "-     -     -      -      401      401       404    404"),
        row("GET",    "/admin/webhooks/whk_00000000000000000000000000/deliveries", "",        "-     -     -      -      401      401       404    404"),
        row("GET",    "/admin/webhooks/whk_00000000000000000000000000/deliveries/evt_00000000000000000000000000/attempts", "",        "-     -     -      -      401      401       404    404"),
        row("GET",    "/admin/webhooks/whk_00000000000000000000000000/events", "",        "-     -     -      -      401      401       404    404"),
        row("POST",   "/admin/webhooks/whk_00000000000000000000000000/events/ack", r#"{"ackIds":[]}"#, "-     -     -      -      401      401       404    404"),
        row("GET",    "/admin/webhooks/dead-letters", "",        "-     -     -      -      401      401       200    200"),
        row("POST",   "/admin/webhooks/dead-letters/replay", r#"{}"#,   "-     -     -      -      401      401       200    200"),
        row("GET",    "/admin/webhooks/dead-letters/dlq_00000000000000000000000000", "",        "-     -     -      -      401      401       404    404"),
        row("POST",   "/admin/webhooks/dead-letters/dlq_00000000000000000000000000/replay", "",        "-     -     -      -      401      401       404    404"),
    ]
}
