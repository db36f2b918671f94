//! Parses pushed frames, as far as the bench needs them.
//!
//! A frame is scanned with borrowed fields, because every delivery passes through here; a frame that does not fit them (a
//! text with an escape, an event of another shape) is parsed again by the slow path.

use serde::Deserialize;

use super::check::Content;
use super::run::Run;
use super::socket::Reply;

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    event: &'a str,
    #[serde(borrow)]
    id: Option<&'a str>,
    seq: Option<u64>,
    #[serde(borrow)]
    data: Option<Data<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    #[serde(borrow)]
    id: Option<&'a str>,
    #[serde(borrow)]
    conversation_id: Option<&'a str>,
    #[serde(borrow)]
    content: Option<&'a str>,
    #[serde(borrow)]
    code: Option<&'a str>,
    success: Option<bool>,
    message: Option<Numbered>,
    #[serde(borrow)]
    error: Option<ErrorBody<'a>>,
}

#[derive(Deserialize)]
struct Numbered {
    seq: Option<u64>,
}

#[derive(Deserialize)]
struct ErrorBody<'a> {
    #[serde(borrow)]
    code: Option<&'a str>,
}

/// Meaning of a frame to the bench.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The socket is ready.
    Connected,
    /// The answer to a send.
    Answer(u32, Reply),
    /// An event with a seq.
    Numbered(u64, Content),
    /// An `error` event with this code.
    Error(String),
    /// An event that the bench does not follow.
    Other,
    /// Not a JSON object of the protocol.
    Unreadable,
}

/// Parses a frame for a user whose only conversation is `own`.
pub(super) fn parse(text: &str, run: &Run, own: Option<&str>) -> Event {
    let slow;
    let frame = match serde_json::from_str::<Frame<'_>>(text) {
        Ok(frame) => frame,
        Err(_) => {
            let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else {
                return Event::Unreadable;
            };
            slow = value;
            let Some(event) = slow["event"].as_str() else {
                return Event::Unreadable;
            };
            let data = &slow["data"];
            Frame {
                event,
                id: slow["id"].as_str(),
                seq: slow["seq"].as_u64(),
                data: Some(Data {
                    id: data["id"].as_str(),
                    conversation_id: data["conversationId"].as_str(),
                    content: data["content"].as_str(),
                    code: data["code"].as_str(),
                    success: data["success"].as_bool(),
                    message: Some(Numbered {
                        seq: data["message"]["seq"].as_u64(),
                    }),
                    error: Some(ErrorBody {
                        code: data["error"]["code"].as_str(),
                    }),
                }),
            }
        }
    };
    let data = frame.data;
    let conversation = data.as_ref().and_then(|data| {
        // Events about a conversation carry the conversation itself.
        let itself = frame.event.starts_with("conversation:");
        data.conversation_id.or(data.id.filter(|_| itself))
    });
    match frame.event {
        "connected" => Event::Connected,
        "ack" => {
            let (Some(number), Some(data)) = (frame.id.and_then(|id| id.parse().ok()), data) else {
                return Event::Other;
            };
            let reply = if data.success == Some(true) {
                Reply::Stored(data.message.and_then(|message| message.seq))
            } else {
                let code = data.error.and_then(|error| error.code);
                Reply::Refused(code.unwrap_or("(no code)").to_owned())
            };
            Event::Answer(number, reply)
        }
        "error" => {
            let code = data.and_then(|data| data.code).unwrap_or("(no code)");
            Event::Error(code.to_owned())
        }
        "message:new" => {
            let number = data
                .and_then(|data| data.content)
                .and_then(|content| run.number_in(content));
            let content = match number {
                Some(number) if conversation == own => Content::Message(number),
                _ => Content::Stranger,
            };
            // Completeness cannot be proved for a message without a seq: seq 0 breaks the order and so is reported.
            Event::Numbered(frame.seq.unwrap_or(0), content)
        }
        _ => match frame.seq {
            // An event that names no conversation, or another one, has its seq in another log.
            Some(seq) if conversation.is_some() && conversation == own => {
                Event::Numbered(seq, Content::Entry)
            }
            _ => Event::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_understood() {
        let run = Run::new(100);
        let own = Some("cnv_a");
        let content = run.content(42);
        let parse = |text: &str| parse(text, &run, own);
        let message = |conversation: &str, content: &str| {
            format!(
                r#"{{"event":"message:new","id":"evt_1","seq":7,"data":{{"id":"msg_1","conversationId":"{conversation}","seq":7,"content":"{content}","metadata":{{"a":[1]}},"replyTo":null}},"cursor":"x"}}"#
            )
        };
        let mine = Event::Numbered(7, Content::Message(42));
        let stranger = Event::Numbered(7, Content::Stranger);
        assert_eq!(parse(&message("cnv_a", &content)), mine);
        assert_eq!(parse(&message("cnv_b", &content)), stranger);
        assert_eq!(parse(&message("cnv_a", "hello")), stranger);
        // An escape cannot be borrowed; the slow path parses it.
        assert_eq!(parse(&message("cnv_a", &format!("{content}\\n"))), mine);
        assert_eq!(
            parse(
                r#"{"id":"9","event":"ack","data":{"success":true,"message":{"id":"m","seq":3}}}"#
            ),
            Event::Answer(9, Reply::Stored(Some(3)))
        );
        assert_eq!(
            parse(
                r#"{"id":"9","event":"ack","data":{"success":false,"error":{"code":"RATE_LIMITED","message":"say \"please\""}}}"#
            ),
            Event::Answer(9, Reply::Refused("RATE_LIMITED".to_owned()))
        );
        assert_eq!(
            parse(r#"{"event":"error","data":{"code":"X","message":"a text","timestamp":"t"}}"#),
            Event::Error("X".to_owned())
        );
        assert_eq!(
            parse(r#"{"event":"seq:skip","seq":8,"data":{"conversationId":"cnv_a"}}"#),
            Event::Numbered(8, Content::Entry)
        );
        assert_eq!(
            parse(r#"{"event":"conversation:updated","seq":9,"data":{"id":"cnv_a","name":"n"}}"#),
            Event::Numbered(9, Content::Entry)
        );
        assert_eq!(
            parse(r#"{"event":"user:updated","seq":9,"data":{"id":"u"}}"#),
            Event::Other
        );
        assert_eq!(
            parse(r#"{"event":"user:online","data":{"userId":"u","conversationId":"cnv_a"}}"#),
            Event::Other
        );
        assert_eq!(
            parse(r#"{"event":"connected","data":{"userId":"u","rooms":[]}}"#),
            Event::Connected
        );
        assert_eq!(parse("pong"), Event::Unreadable);
    }
}
