//! Effects of decisions and restrictions on the chat: deleted and restored messages, removed members, closed connections.
//!
//! Every effect may be repeated: a process that dies leaves it to another one.

use bytes::Bytes;
use chat_sdk::{
    ConversationId, GivenUserId, Message, UserId,
    commands::{
        Empty, OfMessage, RateLimit,
        messages::DeleteMessage,
        participants::{OfMember, RemoveParticipant},
    },
    plugin::{Caller, ChatError, ChatRequest, HostError},
};
use serde_json::Value;

use crate::{
    Moderation,
    decisions::{AppealStatus, Decision, DecisionAction, Effect},
    restrictions::{Restriction, RestrictionKind},
};

/// Maximum number of pages of members among which an owner is searched.
const MAX_MEMBER_PAGES: usize = 100;

/// Outcome of an effect: a code of an error that will not go away, or success.
type Outcome = Result<Option<String>, HostError>;

/// Returns the code of a final error; a temporary one is an error of the call.
fn outcome(result: Result<(), ChatError>) -> Outcome {
    match result {
        Ok(()) => Ok(None),
        Err(error) if error.is_temporary() => Err(HostError::Unavailable(error.message)),
        Err(error) => Ok(Some(error.code)),
    }
}

impl Moderation {
    /// Carries out or undoes the effect of a decision, and returns the decision as it is then.
    ///
    /// # Errors
    /// [`HostError::Unavailable`]; a worker repeats it.
    pub async fn carry_out(&self, decision: Decision) -> Result<Decision, HostError> {
        let (problem, after) = match decision.effect {
            Effect::Pending => (self.apply(&decision).await?, Effect::Applied),
            Effect::Undoing => {
                if decision.appeal != AppealStatus::Approved {
                    self.reports
                        .reopen(&decision.report_id, &decision.id)
                        .await?;
                }
                (self.take_back(&decision).await?, Effect::Undone)
            }
            Effect::Applied | Effect::Undone | Effect::Failed => return Ok(decision),
        };
        let after = if problem.is_some() {
            Effect::Failed
        } else {
            after
        };
        let finished = self
            .decisions
            .finish(&decision.id, decision.effect, after, problem.as_deref())
            .await?;
        Ok(finished.unwrap_or(decision))
    }

    /// Finishes the effect of a decision that another process has left.
    ///
    /// # Errors
    /// [`HostError::Unavailable`]; a worker repeats it.
    pub async fn finish_left(&self, decision: Decision) -> Result<(), HostError> {
        if decision.effect == Effect::Pending {
            let report = self.reports.get(&decision.report_id).await?;
            let is_of_report =
                report.is_some_and(|report| report.decision_id.as_deref() == Some(&decision.id));
            if !is_of_report {
                // The process died before the decision was the report's.
                return self.decisions.withdraw(&decision.id).await;
            }
        }
        self.carry_out(decision).await.map(drop)
    }

    async fn apply(&self, decision: &Decision) -> Outcome {
        let kind = match decision.action {
            DecisionAction::Dismiss => return Ok(None),
            DecisionAction::Remove => return self.remove_message(decision).await,
            DecisionAction::Mute => RestrictionKind::Mute,
            DecisionAction::Ban => RestrictionKind::Ban,
        };
        let place = (!decision.is_everywhere).then(|| decision.conversation_id.clone());
        let user = Some(decision.user_id.clone());
        let mut restriction = Restriction::new(kind, user, place, decision.duration_seconds);
        restriction.decision_id = Some(decision.id.clone());
        self.restrict(&restriction).await?;
        Ok(None)
    }

    async fn take_back(&self, decision: &Decision) -> Outcome {
        match decision.action {
            DecisionAction::Dismiss => Ok(None),
            DecisionAction::Remove if !decision.has_removed => Ok(None),
            DecisionAction::Remove => {
                let Some(owner) = self.owner_of(decision).await? else {
                    return Ok(Some("NO_OWNER".to_owned()));
                };
                let request = ChatRequest {
                    caller: Caller::User(owner),
                    method: "POST",
                    path: format!("/api/messages/{}/restore", decision.message_id),
                    body: Bytes::new(),
                    limit: RateLimit::Api,
                };
                outcome(self.host.chat.request(request).await.map(drop))
            }
            DecisionAction::Mute | DecisionAction::Ban => {
                let (id, user) = (&decision.id, &decision.user_id);
                self.restrictions.end_of_decision(id, user).await?;
                Ok(None)
            }
        }
    }

    /// Deletes the message as the owner of the conversation, or as its author if there is no owner.
    async fn remove_message(&self, decision: &Decision) -> Outcome {
        let owner = self.owner_of(decision).await?;
        let actor = owner.unwrap_or_else(|| decision.user_id.clone());
        let id = decision.message_id.as_str();
        let found = self
            .host
            .chat
            .get(Caller::User(actor.clone()), &["api", "messages", id], &[])
            .await;
        let is_gone = match &found {
            Ok(message) => message["isDeleted"] == true,
            Err(error) => error.status == 404,
        };
        if is_gone {
            return Ok(None);
        }
        if let Err(error) = found {
            return outcome(Err(error));
        }
        self.decisions.begin_removal(&decision.id).await?;
        let path = OfMessage {
            message_id: decision.message_id.clone(),
        };
        let deleted = self
            .host
            .chat
            .call::<DeleteMessage>(Caller::User(actor), path, Empty {})
            .await;
        match deleted {
            Err(error) if error.status == 404 => Ok(None),
            other => outcome(other.map(drop)),
        }
    }

    /// Returns the owner of the conversation; `None` if it has none or neither the author nor the reporter is a member.
    async fn owner_of(&self, decision: &Decision) -> Result<Option<UserId>, HostError> {
        let viewers = decision.reporter_id.iter().chain([&decision.user_id]);
        for viewer in viewers {
            match self.owner_seen_by(viewer, &decision.conversation_id).await {
                Ok(Some(owner)) => return Ok(Some(owner)),
                Ok(None) => {}
                Err(error) if error.is_temporary() => {
                    return Err(HostError::Unavailable(error.message));
                }
                Err(_) => {}
            }
        }
        Ok(None)
    }

    async fn owner_seen_by(
        &self,
        viewer: &UserId,
        conversation: &ConversationId,
    ) -> Result<Option<UserId>, ChatError> {
        let path = [
            "api",
            "conversations",
            conversation.as_str(),
            "participants",
        ];
        let mut cursor = String::new();
        for _ in 0..MAX_MEMBER_PAGES {
            let query = [("limit", "100"), ("before", cursor.as_str())];
            let caller = Caller::User(viewer.clone());
            let page = self.host.chat.get(caller, &path, &query).await?;
            let members = page["participants"].as_array().into_iter().flatten();
            let owner = members
                .filter(|member| member["role"] == "owner")
                .find_map(|member| member["userId"].as_str()?.parse().ok());
            if owner.is_some() {
                return Ok(owner);
            }
            match page["nextCursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Stores a restriction and carries out its effects. Returns true if none held before.
    ///
    /// A ban in a conversation removes the member; a ban everywhere closes the user's connections. The owner of a conversation cannot be removed, and stays as a
    /// member who cannot write.
    ///
    /// # Errors
    /// [`HostError::Unavailable`]; a repetition is safe.
    pub async fn restrict(&self, restriction: &Restriction) -> Result<bool, HostError> {
        let is_new = self.restrictions.put(restriction).await?;
        if restriction.kind == RestrictionKind::Ban {
            let done = match (&restriction.user_id, &restriction.conversation_id) {
                (Some(user), Some(conversation)) => {
                    let path = OfMember {
                        conversation_id: conversation.clone(),
                        user_id: GivenUserId(user.clone()),
                    };
                    let removal =
                        self.host
                            .chat
                            .call::<RemoveParticipant>(Caller::Host, path, Empty {});
                    removal.await.map(drop)
                }
                (Some(user), None) => self.disconnect(user).await,
                (None, _) => Ok(()),
            };
            outcome(done)?;
        }
        Ok(is_new)
    }

    async fn disconnect(&self, user: &UserId) -> Result<(), ChatError> {
        let id: String = user.as_str().bytes().map(|b| format!("%{b:02X}")).collect();
        let request = ChatRequest {
            caller: Caller::Host,
            method: "POST",
            path: format!("/api/users/{id}/disconnect"),
            body: Bytes::new(),
            limit: RateLimit::Api,
        };
        self.host.chat.request(request).await.map(drop)
    }

    /// Returns a message as this user reads it.
    ///
    /// # Errors
    /// The error of the read: 404 if the user cannot read it.
    pub async fn message(&self, user: &UserId, id: &str) -> Result<Message, ChatError> {
        let caller = Caller::User(user.clone());
        let path = ["api", "messages", id];
        let found: Value = self.host.chat.get(caller, &path, &[]).await?;
        serde_json::from_value(found).map_err(|_| ChatError::read(500, b"", None))
    }
}
