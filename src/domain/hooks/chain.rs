//! The chain of hooks of a point: asked in their order, each with what the earlier ones changed.

use chat_sdk::{
    ConversationId, ConversationType, EventId, Role, UserId,
    plugin::{HookChange, HookData, HookFault, HookPoint, HookRequest, HookVerdict},
};

use super::registry::Hooks;
use crate::model::{DomainError, Result};

/// The operation about which hooks are asked, without its data.
#[derive(Debug, Clone)]
pub(in crate::domain) struct Asked<'a> {
    /// Id of the requests to the hooks.
    pub id: String,
    /// Point of the operation.
    pub point: HookPoint,
    /// User who requests it.
    pub actor: &'a UserId,
    /// Role of that user in the conversation.
    pub role: Option<Role>,
    /// The conversation.
    pub conversation: Option<&'a ConversationId>,
    /// Type of the conversation.
    pub kind: Option<ConversationType>,
}

impl<'a> Asked<'a> {
    /// Returns an operation outside any conversation, with a new id.
    pub fn new(point: HookPoint, actor: &'a UserId) -> Self {
        Self {
            id: EventId::generate().to_string(),
            point,
            actor,
            role: None,
            conversation: None,
            kind: None,
        }
    }
}

/// Data of an operation that hooks see and perhaps change.
pub(in crate::domain) trait Subject: Clone + Send + Sync {
    /// Returns the data for the hooks.
    fn data(&self) -> HookData;

    /// Applies the change of a hook.
    ///
    /// # Errors
    /// Fails if the change has a field that may not be changed at this point, or if the result does not pass the checks of the operation.
    fn change(&mut self, change: HookChange) -> std::result::Result<(), HookFault>;

    /// Returns true if the operation can be held.
    fn can_be_held(&self) -> bool {
        false
    }
}

/// Operation that hooks may pass or refuse only.
#[derive(Debug, Clone)]
pub(in crate::domain) struct Fixed(pub HookData);

impl Subject for Fixed {
    fn data(&self) -> HookData {
        self.0.clone()
    }

    fn change(&mut self, _: HookChange) -> std::result::Result<(), HookFault> {
        Err(HookFault::new("nothing can be changed at this point"))
    }
}

/// Verdict of all hooks of a point.
#[derive(Debug, Clone)]
pub(in crate::domain) enum Verdict<S> {
    /// The operation goes on.
    Pass {
        /// The operation, with all changes.
        subject: S,
        /// True if a hook changed it.
        is_changed: bool,
    },
    /// The operation is refused.
    Refuse {
        /// Code for programs.
        code: String,
        /// Reason for people.
        reason: String,
    },
    /// The operation is held.
    Hold {
        /// The operation, as the hooks before left it.
        subject: S,
        /// Name of the hook.
        hook: String,
        /// Reason for the reviewers.
        reason: String,
    },
}

/// Effect of one verdict.
enum Effect<S> {
    Pass,
    Change(S),
    Refuse { code: String, reason: String },
    Hold { reason: String },
}

/// Asks the hooks about an operation. The first one that refuses or holds it ends the chain.
///
/// # Errors
/// [`DomainError::Unavailable`] if a hook failed that fails closed.
pub(in crate::domain) async fn ask<S: Subject>(
    hooks: &Hooks,
    asked: Asked<'_>,
    mut subject: S,
) -> Result<Verdict<S>> {
    let mut is_changed = false;
    if hooks.is_bot(asked.actor) {
        return Ok(Verdict::Pass {
            subject,
            is_changed,
        });
    }
    for hook in hooks.all().iter().filter(|hook| hook.concerns(&asked)) {
        let name = hook.spec().name.clone();
        let request = HookRequest {
            id: asked.id.clone(),
            point: asked.point,
            hook: name.clone(),
            actor_id: asked.actor.clone(),
            role: asked.role,
            conversation_id: asked.conversation.cloned(),
            conversation_type: asked.kind,
            data: subject.data(),
        };
        if hook.spec().is_shadow {
            hook.watch(request);
            continue;
        }
        let apply = |verdict| effect(&subject, verdict);
        match hook.decide(request, apply).await? {
            None | Some(Effect::Pass) => {}
            Some(Effect::Change(changed)) => {
                subject = changed;
                is_changed = true;
            }
            Some(Effect::Refuse { code, reason }) => return Ok(Verdict::Refuse { code, reason }),
            Some(Effect::Hold { reason }) => {
                return Ok(Verdict::Hold {
                    subject,
                    hook: name,
                    reason,
                });
            }
        }
    }
    Ok(Verdict::Pass {
        subject,
        is_changed,
    })
}

fn effect<S: Subject>(
    subject: &S,
    verdict: HookVerdict,
) -> std::result::Result<Effect<S>, HookFault> {
    Ok(match verdict {
        HookVerdict::Pass => Effect::Pass,
        HookVerdict::Change(change) => {
            let mut changed = subject.clone();
            changed.change(*change)?;
            Effect::Change(changed)
        }
        HookVerdict::Refuse { code, reason } => Effect::Refuse { code, reason },
        HookVerdict::Hold { reason } if subject.can_be_held() => Effect::Hold { reason },
        HookVerdict::Hold { .. } => {
            return Err(HookFault::new("nothing can be held at this point"));
        }
    })
}

/// Asks the hooks about an operation that cannot be held. Returns it with the changes of the hooks.
///
/// # Errors
/// As for [`ask`]; [`DomainError::Refused`].
pub(in crate::domain) async fn change_or_refuse<S: Subject>(
    hooks: &Hooks,
    asked: Asked<'_>,
    subject: S,
) -> Result<S> {
    match ask(hooks, asked, subject).await? {
        Verdict::Pass { subject, .. } | Verdict::Hold { subject, .. } => Ok(subject),
        Verdict::Refuse { code, reason } => Err(DomainError::Refused { code, reason }),
    }
}

/// Asks the hooks about an operation that they may only pass or refuse.
///
/// # Errors
/// As for [`change_or_refuse`].
pub(in crate::domain) async fn pass_or_refuse(
    hooks: &Hooks,
    asked: Asked<'_>,
    subject: Fixed,
) -> Result<()> {
    change_or_refuse(hooks, asked, subject).await.map(drop)
}
