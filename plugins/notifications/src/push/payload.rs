//! Content of a push: one JSON object. The limits of its parts add up to less than 3,800 bytes; encrypted it has 103 bytes more, and push services accept
//! 4,096.

use chat_sdk::{
    ConversationId, ConversationType, Timestamp, json_len,
    plugin::{News, Recipient},
};
use serde_json::{Value, json};
use unicode_segmentation::UnicodeSegmentation;

use crate::items::Item;

/// Maximum JSON size of the host's data in a push, in bytes; larger data is left out.
const MAX_DATA: usize = 1500;
/// Maximum JSON size of a name or a title, in bytes.
const MAX_NAME: usize = 300;
/// Maximum JSON size of a text, in bytes.
const MAX_TEXT: usize = 1200;

/// Cuts `text` at the boundary of a visible character, so that it has at most `most` bytes in JSON, with a mark at the end if something is missing.
pub fn cut(text: &str, most: usize) -> String {
    const MARK: &str = "…";
    if json_len(&text) <= most {
        return text.to_owned();
    }
    // The quotes of JSON text and the mark.
    let mut left = most.saturating_sub(2 + MARK.len());
    let mut end = 0;
    for (at, character) in text.grapheme_indices(true) {
        let size = json_len(&character) - 2;
        if size > left {
            break;
        }
        left -= size;
        end = at + character.len();
    }
    format!("{}{MARK}", &text[..end])
}

/// Returns the push for new messages of a conversation; `None` if no message concerns the recipient any more.
pub fn of_messages(
    conversation: &ConversationId,
    news: &News,
    recipient: &Recipient,
) -> Option<Value> {
    let newest = news.messages.get(*recipient.messages.last()?)?;
    let body = match (newest.content.is_empty(), newest.attachments) {
        (true, 1..) => format!("[{} attachments]", newest.attachments),
        _ => cut(&newest.content, MAX_TEXT),
    };
    let mut push = json!({
        "type": "message",
        "userId": recipient.user,
        "conversationId": conversation,
        "conversationType": news.kind,
        "messageId": newest.id,
        "body": body,
        "messageCount": recipient.messages.len(),
        "isMention": recipient.is_mentioned,
        "unreadCount": recipient.unread,
        "mentionCount": recipient.mentions,
        "timestamp": newest.created_at,
    });
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            push[name] = value;
        }
    };
    add(
        "senderId",
        newest.sender.as_ref().map(|sender| json!(sender)),
    );
    let name = |name: &Option<String>| name.as_deref().map(|name| json!(cut(name, MAX_NAME)));
    add("senderName", name(&newest.sender_name));
    // The two members of a direct conversation see one another's names.
    if news.kind != ConversationType::Direct {
        add("conversationName", name(&news.name));
    }
    Some(push)
}

/// Returns the push for a notification of the host.
pub fn of_notification(item: &Item) -> Value {
    let mut push = json!({
        "type": "notification",
        "userId": item.user_id,
        "notificationId": item.id,
        "kind": item.content.kind,
        "timestamp": Timestamp::from_millis(item.created_at),
    });
    if let Some(title) = &item.content.title {
        push["title"] = json!(cut(title, MAX_NAME));
    }
    if let Some(body) = &item.content.body {
        push["body"] = json!(cut(body, MAX_TEXT));
    }
    if let Some(data) = item.content.data() {
        if data.json_len() <= MAX_DATA {
            push["data"] = json!(data);
        } else {
            push["isDataOmitted"] = json!(true);
        }
    }
    push
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_visible_characters() {
        let family = "👨‍👩‍👧‍👦";
        let cut_text = cut(&family.repeat(100), 100);
        assert!(json_len(&cut_text) <= 100);
        let kept = cut_text.trim_end_matches('…');
        assert!(
            !kept.is_empty() && kept.len().is_multiple_of(family.len()),
            "{kept}"
        );
        assert_eq!(cut("short", 100), "short");
        assert_eq!(cut(&format!("e{}", "\u{301}".repeat(5000)), 100), "…");
        assert!(json_len(&cut(&"\u{1}".repeat(500), 100)) <= 100);
    }
}
