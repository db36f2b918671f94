//! Checks of the writer for reactions, and the canonical spelling of an emoji.

use chat_sdk::{Timestamp, UserId};

use super::{
    access,
    command::{Decision, WantedReaction},
    entry::{Body, Reaction},
    error::{DomainError, Result},
    messages::{as_no_message, in_conversation},
    state::{ConversationState, MessageState, Reactors, SHOWN_REACTORS},
    visibility::Audience,
};

/// Maximum number of different emoji on one message.
pub const MAX_EMOJI: usize = 50;

/// Maximum length of a shortcode in characters, colons included.
const MAX_SHORTCODE: usize = 66;

/// One user's reaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Reacted {
    /// Emoji of the reaction.
    pub emoji: String,
    /// User who reacted.
    pub user: UserId,
    /// Time of the reaction.
    pub at: Timestamp,
    /// Seq of the reaction's entry.
    pub seq: u64,
}

/// Returns the canonical spelling of an emoji.
///
/// Emoji with any variation selector, or without one, are the same.
///
/// A shortcode is returned unchanged.
///
/// # Errors
/// [`DomainError::Validation`] if the text is neither.
pub fn canonical(text: &str) -> Result<String> {
    let emoji = emojis::get(text).or_else(|| emojis::get(&without_selectors(text)?));
    if let Some(emoji) = emoji {
        return Ok(emoji.as_str().to_owned());
    }
    let name = text
        .strip_prefix(':')
        .and_then(|text| text.strip_suffix(':'));
    let is_shortcode = name.is_some_and(|name| {
        !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+'))
    });
    if is_shortcode && text.len() <= MAX_SHORTCODE {
        return Ok(text.to_owned());
    }
    Err(DomainError::invalid(
        "emoji",
        "must be one emoji, or a :shortcode: of at most 64 letters, digits, _, - and +",
    ))
}

/// Returns `text` without variation selectors; `None` if one follows a character without variants.
fn without_selectors(text: &str) -> Option<String> {
    let is_selector = |c: char| matches!(c, '\u{fe0e}' | '\u{fe0f}');
    let mut plain = String::with_capacity(text.len());
    let mut before = None;
    for c in text.chars() {
        if !is_selector(c) {
            plain.push(c);
        } else if before.is_none_or(is_selector) {
            return None;
        }
        before = Some(c);
    }
    Some(plain)
}

pub(super) fn check_add(
    state: &ConversationState,
    actor: Option<&UserId>,
    message: Option<&MessageState>,
    has_reacted: bool,
    wanted: &WantedReaction,
    at: Timestamp,
) -> Result<Decision> {
    let (actor, message) = check(state, actor, message, at)?;
    if has_reacted {
        return Ok(Decision::Nothing);
    }
    let used = message
        .reactions
        .values()
        .filter(|reactors| reactors.count > 0)
        .count();
    let mut reactors = message
        .reactions
        .get(&wanted.emoji)
        .cloned()
        .unwrap_or_default();
    if reactors.count == 0 && used >= MAX_EMOJI {
        return Err(DomainError::Conflict(
            format!("A message has at most {MAX_EMOJI} different reactions.").into(),
        ));
    }
    reactors.count += 1;
    if reactors.user_ids.len() < SHOWN_REACTORS {
        reactors.user_ids.push(actor.clone());
    }
    Ok(Decision::Append(Body::ReactionAdded(reaction(
        wanted, actor, reactors,
    ))))
}

pub(super) fn check_remove(
    state: &ConversationState,
    actor: Option<&UserId>,
    message: Option<&MessageState>,
    has_reacted: bool,
    wanted: &WantedReaction,
    at: Timestamp,
) -> Result<Decision> {
    let (actor, message) = check(state, actor, message, at)?;
    if !has_reacted {
        return Ok(Decision::Nothing);
    }
    Ok(taken_back(actor, message, wanted))
}

/// Decides on the removal of a deleted user's reaction.
///
/// It needs neither membership nor the conversation's permission.
pub(super) fn check_withdraw(
    state: &ConversationState,
    user: &UserId,
    message: Option<&MessageState>,
    has_reacted: bool,
    wanted: &WantedReaction,
) -> Result<Decision> {
    state.living().ok_or_else(DomainError::no_conversation)?;
    let message = in_conversation(state, message)?;
    if !has_reacted {
        return Ok(Decision::Nothing);
    }
    Ok(taken_back(user, message, wanted))
}

fn taken_back(actor: &UserId, message: &MessageState, wanted: &WantedReaction) -> Decision {
    let mut reactors = message
        .reactions
        .get(&wanted.emoji)
        .cloned()
        .unwrap_or_default();
    reactors.count = reactors.count.saturating_sub(1);
    reactors.user_ids.retain(|user| user != actor);
    Decision::Append(Body::ReactionRemoved(reaction(wanted, actor, reactors)))
}

fn check<'a>(
    state: &ConversationState,
    actor: Option<&'a UserId>,
    message: Option<&'a MessageState>,
    at: Timestamp,
) -> Result<(&'a UserId, &'a MessageState)> {
    let (fields, standing) = access::member(state, actor).map_err(as_no_message)?;
    let actor = actor.ok_or_else(DomainError::no_user)?;
    let message = in_conversation(state, message)?;
    let sees = |member| Audience::of(fields, member).sees(message.seq);
    if !standing.member().is_none_or(sees) || message.is_gone(at) {
        return Err(DomainError::no_message());
    }
    if !fields.settings.features.reactions {
        return Err(DomainError::Forbidden(
            "Reactions are off in this conversation.".into(),
        ));
    }
    access::not_blocked(state, Some(actor))?;
    if message.is_deleted {
        return Err(DomainError::Conflict("The message was deleted.".into()));
    }
    Ok((actor, message))
}

fn reaction(wanted: &WantedReaction, actor: &UserId, reactors: Reactors) -> Reaction {
    Reaction {
        message_id: wanted.message_id.clone(),
        emoji: wanted.emoji.clone(),
        user_id: actor.clone(),
        total_count: reactors.count,
        user_ids: reactors.user_ids,
        message_seq: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emoji_has_one_spelling() {
        for emoji in [
            "\u{2764}\u{fe0f}",
            "👍",
            "\u{2600}",
            "🏳️‍🌈",
            "👁️‍🗨️",
            "1\u{fe0f}\u{20e3}",
        ] {
            let spelling = canonical(emoji).ok();
            assert!(spelling.is_some(), "{emoji}");
            let plain = emoji.replace('\u{fe0f}', "");
            let first = emoji.chars().next().expect("not empty").to_string();
            let rest = plain.strip_prefix(&first).expect("it begins with it");
            for other in [
                plain.clone(),
                format!("{first}\u{fe0e}{rest}"),
                format!("{first}\u{fe0f}{rest}"),
            ] {
                assert_eq!(canonical(&other).ok(), spelling, "{other}");
            }
        }
        for good in ["👍", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", ":party_parrot:", ":+1:"]
        {
            assert!(canonical(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_text_that_is_not_an_emoji_is_rejected() {
        for bad in [
            "",
            "a",
            "1",
            "👍👍",
            "👍 ",
            "::",
            ":a b:",
            ":$where:",
            ":a.b:",
            "🇩",
            "<b>",
            "1\u{fe0e}",
            "\u{fe0e}",
            "\u{fe0e}👍",
            "👍\u{fe0e}\u{fe0e}",
            "❤\u{fe0e}\u{fe0f}",
        ] {
            assert!(canonical(bad).is_err(), "{bad}");
        }
        assert!(canonical(&format!(":{}:", "x".repeat(65))).is_err());
    }
}
