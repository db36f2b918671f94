//! Digest of a request to send a message: tells a repetition from another message.

use chat_sdk::MessageId;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Draft;

/// Number of bytes of the digest that are kept.
const HASH_BYTES: usize = 12;

/// Returns a short digest of what makes two drafts the same message, however their JSON is written.
pub(crate) fn request_hash(draft: &Draft) -> String {
    let mut hash = RequestHash::new("send");
    let is = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    hash.field("content", is(&draft.content).as_deref());
    let kind = draft.kind.unwrap_or_default();
    hash.field("type", Some(&format!("{kind:?}")));
    for attachment in &draft.attachments {
        // An absent field and a null one are both `None`, and numbers are integers: there is one way to write it.
        let text = serde_json::to_string(attachment).unwrap_or_default();
        hash.field("attachment", Some(&text));
    }
    hash.field("replyTo", draft.reply_to.as_ref().map(MessageId::as_str));
    hash.field("threadId", draft.thread_id.as_ref().map(MessageId::as_str));
    for user in &draft.mentions {
        hash.field("mention", Some(user.as_str()));
    }
    hash.field("silent", draft.silent.then_some("true"));
    let ttl_seconds = draft.ttl_seconds.map(|seconds| seconds.to_string());
    hash.field("ttlSeconds", ttl_seconds.as_deref());
    if let Some(metadata) = &draft.metadata {
        hash.begin("metadata");
        hash.object(metadata.as_map());
    }
    hash.finish()
}

/// Returns the digest of a forward: it depends on the forwarded message's id, not on its present text.
pub(crate) fn forward_hash(message: &MessageId) -> String {
    let mut hash = RequestHash::new("forward");
    hash.field("messageId", Some(message.as_str()));
    hash.finish()
}

/// Digest of a request's fields.
///
/// Every part goes in with its length, so that no byte can move from one part to the next.
struct RequestHash(Sha256);

impl RequestHash {
    fn new(command: &str) -> Self {
        let mut hash = Self(Sha256::new());
        hash.part(command);
        hash
    }

    fn part(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text);
    }

    fn begin(&mut self, name: &str) {
        self.part(name);
    }

    /// Adds a field. A field without a value counts as absent.
    fn field(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.begin(name);
            self.part(value);
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.part("null"),
            Value::Bool(value) => self.part(if *value { "true" } else { "false" }),
            Value::Number(number) => {
                self.part("number");
                self.part(&plain_number(number));
            }
            Value::String(text) => {
                self.part("string");
                self.part(text);
            }
            Value::Array(items) => {
                self.part("array");
                self.0.update((items.len() as u64).to_le_bytes());
                for item in items {
                    self.value(item);
                }
            }
            Value::Object(fields) => self.object(fields),
        }
    }

    fn object(&mut self, fields: &serde_json::Map<String, Value>) {
        self.part("object");
        self.0.update((fields.len() as u64).to_le_bytes());
        let mut names: Vec<&String> = fields.keys().collect();
        names.sort();
        for name in names {
            self.part(name);
            self.value(&fields[name]);
        }
    }

    fn finish(self) -> String {
        let digest = self.0.finalize();
        let mut text = String::with_capacity(2 * HASH_BYTES);
        for byte in &digest[..HASH_BYTES] {
            for half in [byte >> 4, byte & 15] {
                text.push(char::from(b"0123456789abcdef"[usize::from(half)]));
            }
        }
        text
    }
}

/// Returns one spelling for each number: `1`, `1.0` and `1e0` are the same.
fn plain_number(number: &serde_json::Number) -> String {
    let whole = number.as_f64().filter(|_| number.is_f64());
    let whole = whole.filter(|float| float.fract() == 0.0);
    match whole {
        // The casts are exact: the number is whole, and the bounds are powers of two.
        Some(float) if (0.0..18_446_744_073_709_551_616.0).contains(&float) => {
            (float as u64).to_string()
        }
        Some(float) if (-9_223_372_036_854_775_808.0..0.0).contains(&float) => {
            (float as i64).to_string()
        }
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(json: &str) -> String {
        request_hash(&serde_json::from_str(json).expect("a draft"))
    }

    #[test]
    fn equal_bodies_have_one_hash_however_they_are_written() {
        let first = hash(
            r#"{"content":"a","metadata":{"a":1,"b":[1.5,{"c":-2,"d":10000000000000000000}]},"silent":false}"#,
        );
        for same in [
            r#"{"metadata":{"b":[1.5,{"d":1e19,"c":-2.0}],"a":1.0},"content":"a"}"#,
            r#"{ "content" : "\u0061", "type":"text", "metadata": { "a":1e0, "b":[ 15e-1, {"c":-2,"d":1.0e19} ] }, "attachments":[], "mentions":[] }"#,
            r#"{"content":"a","metadata":{"a":0.1e1,"b":[1.50,{"c":-2,"d":10000000000000000000}]},"replyTo":null,"ttlSeconds":null,"clientMessageId":"x"}"#,
        ] {
            assert_eq!(hash(same), first, "{same}");
        }
        assert_eq!(
            hash(r#"{"metadata":{"z":-0.0}}"#),
            hash(r#"{"metadata":{"z":0}}"#)
        );
    }

    #[test]
    fn different_bodies_have_different_hashes() {
        let bodies = [
            r#"{}"#,
            r#"{"content":"a"}"#,
            r#"{"content":"a "}"#,
            r#"{"content":"a","metadata":{}}"#,
            r#"{"content":"a","metadata":{"a":null}}"#,
            r#"{"content":"a","metadata":{"a":1}}"#,
            r#"{"content":"a","metadata":{"a":"1"}}"#,
            r#"{"content":"a","metadata":{"a":1.5}}"#,
            r#"{"content":"a","metadata":{"a":true}}"#,
            r#"{"content":"a","metadata":{"a":[1]}}"#,
            r#"{"content":"a","metadata":{"a":[[1]]}}"#,
            r#"{"content":"a","metadata":{"a":{"b":1}}}"#,
            r#"{"content":"a","metadata":{"a":1,"b":1}}"#,
            r#"{"content":"a","type":"custom"}"#,
            r#"{"content":"a","silent":true}"#,
            r#"{"content":"a","ttlSeconds":1}"#,
            r#"{"content":"a","mentions":["b"]}"#,
            r#"{"content":"a","mentions":["b","c"]}"#,
            r#"{"content":"a","mentions":["c","b"]}"#,
            r#"{"content":"a","attachments":[{"url":"b"}]}"#,
            r#"{"content":"a","attachments":[{"url":"b","name":"c"}]}"#,
            r#"{"content":"a","replyTo":"msg_00000000000000000000000000"}"#,
            r#"{"content":"a","threadId":"msg_00000000000000000000000000"}"#,
        ];
        let hashes: std::collections::HashSet<String> =
            bodies.iter().map(|body| hash(body)).collect();
        assert_eq!(hashes.len(), bodies.len());
    }
}
