//! HTTP operations on conversations.

use chat_sdk::{
    Conversation, ConversationId, Patch,
    commands::conversations::{CreateConversation, UpdateConversation},
    http::Query,
};
use poem_openapi::OpenApi;

use super::{
    auth::{AsJoiner, AsUser, ByHost, Caller},
    error::ApiError,
    failure::{Failure, Status},
    parts::{
        body::ValidJson,
        page::{ConversationPage, PageQuery},
        path::Path,
        reply::{Json, NoContent, Upserted},
    },
    state::Tag,
};
use crate::{
    domain::{Context, conversations, participants},
    model::error::Faults,
};

/// Returns the new value of a field that always has one; adds a fault for `null`.
pub(super) fn set_or_kept<T>(
    field: &'static str,
    patch: Patch<T>,
    faults: &mut Faults,
) -> Option<T> {
    match patch {
        Patch::Keep => None,
        Patch::Set(value) => Some(value),
        Patch::Clear => {
            faults.add(field, "must not be null; leave it out to keep it");
            None
        }
    }
}

/// Operations on conversations.
pub struct ConversationsApi(pub Context);

#[OpenApi(prefix_path = "/api", tag = "Tag::Conversations")]
impl ConversationsApi {
    /// Create a conversation
    ///
    /// Creates a conversation with the caller as a member and returns it; for `direct` returns 200 with the conversation of the two users if it
    /// exists. Only the host sets `retentionSeconds` of a direct conversation, with a change.
    ///
    /// Fails with 400 that names the participant who is unknown, whom the caller may not add (`PARTICIPANT_ADD_RULE`), who blocks the caller or is
    /// blocked by the caller, or who is a member of `MAX_CONVERSATIONS_PER_USER` conversations.
    #[oai(
        path = "/conversations",
        method = "post",
        operation_id = "createConversation"
    )]
    async fn create(
        &self,
        caller: AsUser,
        by: ByHost,
        body: ValidJson<CreateConversation>,
    ) -> Result<Upserted<Conversation>, Failure<CreateConversation>> {
        let made = conversations::create(&self.0, &caller.0, by.0, body.0).await?;
        Ok(Upserted {
            is_new: made.is_new,
            body: made.conversation,
        })
    }

    /// List the caller's conversations
    ///
    /// Returns the conversations with the latest activity first, each with its newest message, unread counts and the caller's draft. Archived
    /// conversations are listed only with `archived=true`. Hidden conversations are omitted until a new message.
    #[oai(
        path = "/conversations",
        method = "get",
        operation_id = "listConversations"
    )]
    async fn list(
        &self,
        caller: AsUser,
        /// True to list only the archived conversations, false to list only the others. Default: false.
        archived: Query<Option<bool>>,
        page: PageQuery,
    ) -> Result<Json<ConversationPage>, ApiError> {
        let archived = archived.0.unwrap_or_default();
        let page = conversations::list(&self.0, &caller.0, archived.into(), &page.0).await?;
        Ok(Json(page.into()))
    }

    /// Find public conversations
    ///
    /// Returns public conversations by name. The caller does not have to be a member.
    #[oai(
        path = "/conversations/public",
        method = "get",
        operation_id = "listPublicConversations"
    )]
    async fn list_public(
        &self,
        _caller: AsUser,
        /// Beginning of the name, 1 to 100 characters, compared regardless of case. Default: all public conversations.
        q: Query<Option<String>>,
        page: PageQuery,
    ) -> Result<Json<ConversationPage>, ApiError> {
        let page = conversations::list_public(&self.0, q.0.as_deref(), &page.0).await?;
        Ok(Json(page.into()))
    }

    /// Get a conversation
    ///
    /// Returns one conversation with its newest message, the caller's unread counts, settings and draft.
    ///
    /// Fails with 404 if the conversation does not exist or the caller was never a member.
    #[oai(
        path = "/conversations/:id",
        method = "get",
        operation_id = "getConversation"
    )]
    async fn get(
        &self,
        caller: AsUser,
        /// Id of the conversation.
        id: Path<ConversationId>,
    ) -> Result<Json<Conversation>, ApiError> {
        Ok(Json(conversations::get(&self.0, &caller.0, &id.0).await?))
    }

    /// Change a conversation's settings
    ///
    /// Owners, admins and the host can change all settings; in a direct conversation both users can change the metadata, the features and the
    /// retention. A shorter `retentionSeconds` removes messages of other users, so only an owner, or the host without `X-Acting-User`, can set it; in
    /// a direct conversation only the host.
    ///
    /// Fails with 403 if the caller lacks the right and with 404 if the caller is not a member.
    #[oai(
        path = "/conversations/:id",
        method = "patch",
        operation_id = "updateConversation"
    )]
    async fn change(
        &self,
        caller: Caller,
        /// Id of the conversation.
        id: Path<ConversationId>,
        body: ValidJson<UpdateConversation>,
    ) -> Result<Json<Conversation>, Failure<UpdateConversation>> {
        let changed = conversations::change(&self.0, caller.user(), &id.0, body.0).await?;
        Ok(Json(changed))
    }

    /// Delete a conversation
    ///
    /// Deletes the conversation for all members.
    ///
    /// Fails with 403 unless the caller is an owner, and for a direct conversation.
    #[oai(
        path = "/conversations/:id",
        method = "delete",
        operation_id = "deleteConversation"
    )]
    async fn delete(
        &self,
        caller: AsUser,
        /// Id of the conversation.
        id: Path<ConversationId>,
    ) -> Result<NoContent, Failure<Status<403>>> {
        conversations::delete(&self.0, &caller.0, &id.0).await?;
        Ok(NoContent)
    }

    /// Join a public conversation
    ///
    /// Makes the caller a member and returns the conversation, also if the caller already is a member.
    ///
    /// Fails with 403 if a hook refuses the new member, with 404 if the conversation does not exist or is not public, and with 409 if it is full or
    /// the caller is a member of `MAX_CONVERSATIONS_PER_USER` conversations.
    #[oai(
        path = "/conversations/:id/join",
        method = "post",
        operation_id = "joinConversation"
    )]
    async fn join(
        &self,
        caller: AsJoiner,
        /// Id of the conversation.
        id: Path<ConversationId>,
    ) -> Result<Json<Conversation>, Failure<Status<403, 409>>> {
        Ok(Json(participants::join(&self.0, &caller.0, &id.0).await?))
    }

    /// Leave a conversation
    ///
    /// Ends the caller's membership. Messages up to this moment stay readable for the caller.
    ///
    /// Fails with 403 for a direct conversation and with 409 for the last owner while other members remain: make another member owner first.
    #[oai(
        path = "/conversations/:id/leave",
        method = "post",
        operation_id = "leaveConversation"
    )]
    async fn leave(
        &self,
        caller: AsJoiner,
        /// Id of the conversation.
        id: Path<ConversationId>,
    ) -> Result<NoContent, Failure<Status<403, 409>>> {
        participants::leave(&self.0, &caller.0, &id.0).await?;
        Ok(NoContent)
    }
}
