//! Examples of all bodies, by the name of the schema.

use serde_json::{Value, json};

const TIME: &str = "2026-01-15T10:30:00.000Z";
const END: &str = "2026-01-15T11:30:00.000Z";
const CONVERSATION: &str = "cnv_01hzx3v7k9q2m4n6p8r0s2t4v6";
const MESSAGE: &str = "msg_01hzx3v7k9q2m4n6p8r0s2t4v6";
const REPORT: &str = "rep_01hzx3v7k9q2m4n6p8r0s2t4v6";
const DECISION: &str = "dec_01hzx3v7k9q2m4n6p8r0s2t4v6";

/// Returns the example of a schema.
pub fn example(schema: &str) -> Option<Value> {
    Some(match schema {
        "SetRule" => set_rule(),
        "ModerationRule" => {
            let mut rule = rule();
            rule["entries"] = json!(["heck", "darn*"]);
            rule
        }
        "ModerationRulePage" => json!({ "rules": [rule()], "hasMore": false }),
        "TryRule" => json!({ "rule": set_rule(), "since": TIME, "limit": 1000 }),
        "TriedRule" => json!({
            "scanned": 1000, "matched": 3, "entries": [{ "index": 0, "count": 3 }],
            "samples": [{ "messageId": MESSAGE, "conversationId": CONVERSATION, "entry": 0 }],
            "nextCursor": "7595914290871107583",
        }),
        "Restrict" => json!({
            "kind": "mute", "userId": "bob", "durationSeconds": 3600, "reason": "Please stay polite.",
        }),
        "ModerationRestriction" => restriction(),
        "ModerationRestrictionPage" => {
            json!({ "restrictions": [restriction()], "hasMore": false })
        }
        "ReportMessage" => json!({ "messageId": MESSAGE, "reason": "This is an insult." }),
        "OwnReport" => json!({ "id": REPORT, "messageId": MESSAGE, "createdAt": TIME }),
        "ModerationReport" => report(),
        "ModerationReportPage" => json!({ "reports": [report()], "hasMore": false }),
        "ClaimReport" | "UndoDecision" => json!({ "reviewerId": "rita" }),
        "DecideReport" => json!({ "reviewerId": "rita", "action": "remove", "note": "An insult." }),
        "ModerationDecision" => decision(),
        "ModerationDecisionPage" => json!({ "decisions": [decision()], "hasMore": false }),
        "OwnDecision" => own_decision(),
        "OwnDecisionPage" => json!({ "decisions": [own_decision()], "hasMore": false }),
        "AppealDecision" => json!({ "reason": "It was a joke between friends." }),
        "ResolveAppeal" => json!({ "reviewerId": "sam", "approve": true }),
        _ => return None,
    })
}

fn set_rule() -> Value {
    json!({
        "kind": "words", "entries": ["heck", "darn*"], "action": "refuse",
        "conversationTypes": ["public"], "reason": "Please stay polite.",
    })
}

fn rule() -> Value {
    json!({
        "name": "profanity", "kind": "words", "entryCount": 2, "action": "refuse",
        "conversationTypes": ["public"], "conversationIds": [], "reason": "Please stay polite.",
        "invalidEntries": [], "createdAt": TIME, "updatedAt": TIME,
    })
}

fn restriction() -> Value {
    json!({
        "id": "rst_01hzx3v7k9q2m4n6p8r0s2t4v6", "kind": "mute", "userId": "bob",
        "reason": "Please stay polite.", "createdAt": TIME, "expiresAt": END,
    })
}

fn report() -> Value {
    json!({
        "id": REPORT, "messageId": MESSAGE, "conversationId": CONVERSATION, "authorId": "bob",
        "reporterId": "alice", "reason": "This is an insult.",
        "evidence": { "content": "What the heck", "attachments": [], "isEdited": false, "versionAt": TIME },
        "status": "open", "claimedBy": "rita", "claimedUntil": END, "createdAt": TIME,
    })
}

fn decision() -> Value {
    json!({
        "id": DECISION, "reportId": REPORT, "messageId": MESSAGE, "conversationId": CONVERSATION,
        "userId": "bob", "action": "remove", "isEverywhere": false, "reviewerId": "rita",
        "note": "An insult.", "effect": "applied", "decidedAt": TIME, "appeal": "none",
    })
}

fn own_decision() -> Value {
    json!({
        "id": DECISION, "messageId": MESSAGE, "conversationId": CONVERSATION, "action": "remove",
        "decidedAt": TIME, "appeal": "none",
    })
}
