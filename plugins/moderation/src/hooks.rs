//! Hooks of the plugin: they ask restrictions and rules before an operation takes effect. The verdicts are the same for every way into the service.

use std::{sync::Arc, time::Duration};

use chat_sdk::{
    Role, UserId,
    plugin::{
        BoxFuture, FailurePolicy, Hook, HookData, HookFault, HookPoint, HookRequest, HookSpec,
        HookVerdict, HostError, MAX_REASON,
    },
};

use crate::{
    Moderation,
    fold::Folded,
    ids,
    matcher::{CompiledRule, Hit, Place},
    restrictions::{Restriction, RestrictionKind},
    rules::Action,
};

/// Position of the hooks: they see what other plugins have changed, and no later hook refuses a message that slow mode has counted.
const ORDER: i32 = 1000;
/// Time limit of a verdict.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Reason for an author if the rule gives none.
const NOT_ALLOWED: &str = "This text is not allowed here.";

/// Hook of operations that write. It fails closed.
pub struct Writing(pub Arc<Moderation>);

/// Hook of connections. It fails open: a banned user who connects still cannot write.
pub struct Connecting(pub Arc<Moderation>);

/// Returns the hooks of the plugin.
pub fn all(plugin: &Arc<Moderation>) -> Vec<Arc<dyn Hook>> {
    vec![
        Arc::new(Writing(Arc::clone(plugin))),
        Arc::new(Connecting(Arc::clone(plugin))),
    ]
}

impl Hook for Writing {
    fn spec(&self) -> HookSpec {
        let points = [
            HookPoint::MessageBeforeSend,
            HookPoint::MessageBeforeEdit,
            HookPoint::ReactionBeforeAdd,
            HookPoint::ConversationBeforeCreate,
            HookPoint::ParticipantBeforeAdd,
        ];
        HookSpec {
            timeout: TIMEOUT,
            failure: FailurePolicy::Closed,
            order: ORDER,
            ..HookSpec::new("writing", &points)
        }
    }

    fn ask(
        self: Arc<Self>,
        request: HookRequest,
    ) -> BoxFuture<'static, Result<HookVerdict, HookFault>> {
        Box::pin(async move { answer(self.0.judge(&request).await) })
    }
}

impl Hook for Connecting {
    fn spec(&self) -> HookSpec {
        HookSpec {
            timeout: TIMEOUT,
            order: ORDER,
            ..HookSpec::new("connecting", &[HookPoint::UserBeforeConnect])
        }
    }

    fn ask(
        self: Arc<Self>,
        request: HookRequest,
    ) -> BoxFuture<'static, Result<HookVerdict, HookFault>> {
        Box::pin(async move {
            let banned = self.0.ban_everywhere(&request.actor_id).await;
            answer(banned.map(|ban| ban.map_or(HookVerdict::Pass, |ban| restricted(&ban))))
        })
    }
}

fn answer(verdict: Result<HookVerdict, HostError>) -> Result<HookVerdict, HookFault> {
    verdict.map_err(|_| HookFault::new("the restrictions or the rules could not be read"))
}

/// Returns a refusal, and counts it.
fn refuse(code: &'static str, reason: &str) -> HookVerdict {
    metrics::counter!("chat_moderation_refused_total", "reason" => code).increment(1);
    HookVerdict::Refuse {
        code: code.to_owned(),
        reason: cut(reason).to_owned(),
    }
}

/// Returns the beginning of a reason that fits into a verdict.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_REASON);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Returns the refusal of a user or a conversation that is restricted.
fn restricted(restriction: &Restriction) -> HookVerdict {
    let (code, what) = match restriction.kind {
        RestrictionKind::Mute => ("MUTED", "You are muted"),
        RestrictionKind::Ban => ("BANNED", "You are banned"),
        RestrictionKind::Freeze | RestrictionKind::SlowMode => {
            ("FROZEN", "The conversation is frozen")
        }
    };
    let end = match restriction.end() {
        Some(end) => format!("{what} until {end}."),
        None => format!("{what}."),
    };
    match &restriction.reason {
        Some(reason) => refuse(code, &format!("{end} {reason}")),
        None => refuse(code, &end),
    }
}

/// Returns the strictest match of the rules that decide before the operation: a refusal before a hold.
fn strictest<'a>(rules: &'a [CompiledRule], text: &Folded, place: Place<'_>) -> Option<Hit<'a>> {
    let by = |action: Action| {
        rules
            .iter()
            .filter(|rule| rule.action == action && rule.applies(place))
            .find_map(|rule| rule.find(text))
    };
    by(Action::Refuse).or_else(|| by(Action::Hold))
}

fn broken(hit: Hit<'_>) -> HookVerdict {
    refuse("RULE", hit.rule.reason.as_deref().unwrap_or(NOT_ALLOWED))
}

/// True if the restrictions of a conversation do not hold for a member with this role.
fn is_exempt(role: Option<Role>) -> bool {
    matches!(role, Some(Role::Owner | Role::Admin))
}

impl Moderation {
    /// Returns the restrictions that concern the caller of a request.
    async fn restrictions_of(&self, request: &HookRequest) -> Result<Vec<Restriction>, HostError> {
        let user = Some(&request.actor_id);
        let mut ids = Vec::with_capacity(6);
        for kind in [RestrictionKind::Ban, RestrictionKind::Mute] {
            ids.push(ids::restriction(kind.as_str(), user, None));
        }
        if let Some(conversation) = &request.conversation_id {
            let place = Some(conversation);
            for kind in [RestrictionKind::Ban, RestrictionKind::Mute] {
                ids.push(ids::restriction(kind.as_str(), user, place));
            }
            for kind in [RestrictionKind::Freeze, RestrictionKind::SlowMode] {
                ids.push(ids::restriction(kind.as_str(), None, place));
            }
        }
        self.restrictions.active(ids).await
    }

    /// Returns the ban of a user everywhere.
    async fn ban_everywhere(&self, user: &UserId) -> Result<Option<Restriction>, HostError> {
        let id = ids::restriction(RestrictionKind::Ban.as_str(), Some(user), None);
        Ok(self.restrictions.active(vec![id]).await?.pop())
    }

    /// Decides about an operation that writes.
    async fn judge(&self, request: &HookRequest) -> Result<HookVerdict, HostError> {
        let own = self.restrictions_of(request).await?;
        let is_text = matches!(request.data, HookData::Message(_) | HookData::Edit(_));
        let is_write = is_text || matches!(request.data, HookData::Reaction(_));
        let stops = |restriction: &&Restriction| match restriction.kind {
            RestrictionKind::Ban => true,
            RestrictionKind::Mute => is_text,
            RestrictionKind::Freeze => is_write && !is_exempt(request.role),
            RestrictionKind::SlowMode => false,
        };
        if let Some(restriction) = own.iter().find(stops) {
            return Ok(restricted(restriction));
        }
        match &request.data {
            HookData::Message(message) => {
                let mut text = message.content.clone();
                for name in message
                    .attachments
                    .iter()
                    .filter_map(|file| file.name.as_ref())
                {
                    text.push('\n');
                    text.push_str(name);
                }
                self.judge_message(request, &text, &own).await
            }
            HookData::Edit(edit) => self.judge_text(request, &edit.content).await,
            HookData::Conversation(new) => match &new.name {
                Some(name) => {
                    let rules = self.rules.current().await?;
                    let place = Place {
                        conversation: None,
                        kind: Some(new.kind),
                    };
                    let hit = strictest(&rules, &Folded::of(name), place);
                    Ok(hit.map_or(HookVerdict::Pass, broken))
                }
                None => Ok(HookVerdict::Pass),
            },
            HookData::Participants(new) => self.judge_members(request, &new.user_ids).await,
            HookData::Reaction(_) | HookData::Connection(_) => Ok(HookVerdict::Pass),
        }
    }

    async fn judge_text(
        &self,
        request: &HookRequest,
        text: &str,
    ) -> Result<HookVerdict, HostError> {
        let rules = self.rules.current().await?;
        let hit = strictest(&rules, &Folded::of(text), place_of(request));
        Ok(hit.map_or(HookVerdict::Pass, broken))
    }

    /// Decides about a message. Slow mode counts a message last, so that a refused one does not begin the wait again.
    async fn judge_message(
        &self,
        request: &HookRequest,
        text: &str,
        own: &[Restriction],
    ) -> Result<HookVerdict, HostError> {
        let rules = self.rules.current().await?;
        let hit = strictest(&rules, &Folded::of(text), place_of(request));
        if let Some(hit) = hit.filter(|hit| hit.rule.action == Action::Refuse) {
            return Ok(broken(hit));
        }
        if let Some(refusal) = self.claim_turn(request, own).await? {
            return Ok(refusal);
        }
        Ok(match hit {
            Some(hit) => {
                metrics::counter!("chat_moderation_held_total").increment(1);
                HookVerdict::Hold {
                    reason: format!("The message matches the rule {}.", hit.rule.name),
                }
            }
            None => HookVerdict::Pass,
        })
    }

    /// Counts a message in a conversation with slow mode; the refusal if the last one is too young.
    async fn claim_turn(
        &self,
        request: &HookRequest,
        own: &[Restriction],
    ) -> Result<Option<HookVerdict>, HostError> {
        let slow = own
            .iter()
            .find(|restriction| restriction.kind == RestrictionKind::SlowMode);
        let interval = slow.and_then(|slow| slow.interval_seconds);
        let (Some(interval), Some(conversation)) = (interval, &request.conversation_id) else {
            return Ok(None);
        };
        if is_exempt(request.role) {
            return Ok(None);
        }
        let claim = self
            .restrictions
            .claim(conversation, &request.actor_id, interval, &request.id)
            .await?;
        Ok(claim.err().map(|wait| {
            let seconds = (wait + 999) / 1000;
            let reason = format!("Slow mode: the next message is accepted in {seconds} seconds.");
            refuse("RATE_LIMITED", &reason)
        }))
    }

    /// Decides about new members: none of them may be banned in the conversation.
    async fn judge_members(
        &self,
        request: &HookRequest,
        users: &[UserId],
    ) -> Result<HookVerdict, HostError> {
        let Some(conversation) = &request.conversation_id else {
            return Ok(HookVerdict::Pass);
        };
        let ban = RestrictionKind::Ban.as_str();
        let ids = users
            .iter()
            .map(|user| ids::restriction(ban, Some(user), Some(conversation)));
        let banned = self.restrictions.active(ids.collect()).await?;
        let Some(restriction) = banned.first() else {
            return Ok(HookVerdict::Pass);
        };
        Ok(match &restriction.user_id {
            Some(user) if *user != request.actor_id => {
                refuse("BANNED", &format!("The user {user} is banned here."))
            }
            _ => restricted(restriction),
        })
    }
}

fn place_of(request: &HookRequest) -> Place<'_> {
    Place {
        conversation: request.conversation_id.as_ref(),
        kind: request.conversation_type,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let long = "ä".repeat(MAX_REASON);
        assert_eq!(cut(&long).len(), MAX_REASON);
        let odd = format!("x{long}");
        assert_eq!(cut(&odd).len(), MAX_REASON - 1);
    }
}
